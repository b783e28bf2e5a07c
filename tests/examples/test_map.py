"""The map names what is there, in the file where it is, and leaves out nothing of the original."""

import re
from importlib import import_module
from operator import attrgetter

import pytest

from livestream.stream.endpoint import LiveStreamWebSocket
from livestream.transport.machine import THREAD_STACK_BYTES
from tests.examples.tour import EXAMPLES
from tests.twin.sources import JAVA, ROOT, java_members, python_members

MAP = EXAMPLES / "MAP.md"
PROPERTIES = JAVA.parents[2] / "resources" / "application.properties"
# SPEC, "Names of the original".
METHODS = (
    "onOpen", "onMessage", "onClose", "onError", "handleSubscribe", "handleUnsubscribe", "handlePing",
    "startBroadcasting", "broadcastTPSUpdates", "broadcastBlockUpdates", "broadcastNetworkStatus",
    "broadcastValidatorMetrics", "sendErrorMessage", "getConnectionStats",
)
NAMES = (
    "LiveStreamWebSocket", *METHODS, "WebSocketConnection", "connectionId", "connectedAt",
    "subscribedChannels", "WebSocketMessage", "type", "payload", "timestamp", "LiveValidatorsService",
    "getLiveValidatorStatus", "getValidatorById", "LiveDataResource",
)
# The ideas that the original is built of.
IDEAS = (
    "`Session`", "worker threads", "I/O threads", "concurrent map", "atomic counter",
    "a thread for each channel of each client", "`Thread.sleep`", "`getBasicRemote().sendText`", "container",
    "encoder", "CDI", "Jackson", "`readTree`", "Quarkus configuration",
)
THREAD_IDEAS = (
    "GIL", "stack", "names", "interruption", "daemon threads", "virtual threads", "`synchronized`",
    "seeing what others wrote",
)
_ROW = re.compile(r"^\| (?P<cells>.+) \|$", re.M)
_NAME = re.compile(r"`([^`]+)`")


def rows(columns):
    """The cells of each row of the tables that have so many columns, without the heads."""
    found = [row["cells"].split(" | ") for row in _ROW.finditer(MAP.read_text().replace("| |", "|  |"))]
    return [row for row in found if len(row) == columns and row[1] not in ("Python", "in Java")]


ROWS = rows(4)
THREAD_ROWS = rows(3)


def places(text):
    """What is named behind a file, as (file, symbol); a file alone has the symbol ""."""
    file = ""
    for name in _NAME.findall(text):
        if name.startswith("livestream/"):
            file = name
        elif file:
            yield file, name


def twin_names(cell):
    names = _NAME.findall(cell)
    return names if "application.properties" not in names else []


PLACES = sorted({place for row in ROWS for place in places(row[1])}
                | {place for row in THREAD_ROWS for place in places(row[2])})
TWIN_NAMES = sorted({name for row in ROWS for name in twin_names(row[2])})


def test_every_line_of_a_table_is_a_row_or_a_head():
    lines = MAP.read_text().splitlines()
    tables = sum(line.startswith("|--") for line in lines)
    assert len(ROWS) + len(THREAD_ROWS) + tables == sum(line.startswith("| ") for line in lines)


@pytest.mark.parametrize("file, symbol", PLACES, ids=[" ".join(place) for place in PLACES])
def test_a_python_name_is_declared_in_its_file_and_can_be_imported(file, symbol):
    assert symbol in python_members(ROOT / file)
    module = import_module(file.removesuffix(".py").replace("/", "."))
    assert attrgetter(symbol)(module) is not None


def test_every_row_names_a_python_file_that_is_there():
    assert [row for row in ROWS if not list(places(row[1]))] == []
    files = set(re.findall(r"`(livestream/[^`]*)`", MAP.read_text()))
    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("name", TWIN_NAMES)
def test_a_name_of_the_twin_is_in_its_sources(name):
    assert name in java_members(JAVA / f"{name.partition('.')[0]}.java")


def test_every_line_of_configuration_that_is_named_is_in_the_twins():
    keys = [name for row in ROWS if "application.properties" in row[2] for name in _NAME.findall(row[2])]
    known = [line.partition("=")[0] for line in PROPERTIES.read_text().splitlines()]
    assert [key for key in keys if key not in (*known, PROPERTIES.name)] == []
    assert len(keys) > 4


def test_every_name_of_the_original_has_a_row_in_which_it_comes_first():
    assert [name for name in NAMES if f"`{name}`" not in [row[0] for row in ROWS]] == []


@pytest.mark.parametrize("idea", IDEAS)
def test_an_idea_of_the_original_has_a_row(idea):
    assert [row for row in ROWS if idea in row[0]]


@pytest.mark.parametrize("idea", THREAD_IDEAS)
def test_what_threads_do_otherwise_is_told_of_both(idea):
    told = [row for row in THREAD_ROWS if idea in row[0]]
    assert told and all(len(cell) > 20 for row in told for cell in row[1:])


def snake(name):
    return re.sub(r"(?<=[a-z])([A-Z]+)", r"_\1", name).lower()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_stands_beside_its_namesakes(name):
    row = next(row for row in ROWS if row[0] == f"`{name}`")
    assert f"`LiveStreamWebSocket.{name}`" in row[2]
    if hasattr(LiveStreamWebSocket, snake(name)):
        assert f"`LiveStreamWebSocket.{snake(name)}`" in row[1]


def test_every_public_method_of_the_endpoint_is_in_the_map():
    public = {f"LiveStreamWebSocket.{name}" for name in vars(LiveStreamWebSocket) if name[0] != "_"}
    assert public - {symbol for _, symbol in PLACES} == set()
    assert len(public) == len(METHODS) - 4  # The four of the channels are a table in Python.


def test_links_resolve():
    links = re.findall(r"\]\(([^)#]+)", MAP.read_text())
    assert links and [link for link in links if not (EXAMPLES / link).exists()] == []


def test_the_stack_is_as_big_as_the_map_says():
    assert f"the port asks for {THREAD_STACK_BYTES // 1024} kB" in MAP.read_text()
