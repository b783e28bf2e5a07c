"""Every command that the README and the texts beside the tour tell is run here, as it is written there.

What a reader fills in, and the port, which may be taken, comes from a table. Commands that go on until Ctrl-C
are waited for until they answer, then get Ctrl-C. What needs minutes or a JVM is run by `make soak`, and here
it must only be there. `tests/examples/test_tour.py` runs the tour's programs.
"""

import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import click
import pytest
from click.testing import CliRunner

from livestream.cli import cli
from livestream.wire.client import WireClient
from tests.documents import Passage, commands, documents, passages
from tests.examples.tour import chapters
from tests.placed import Ran, copy_project, filled, run, running, server
from tests.support import PATIENCE
from tests.test_contributing import CHAPTER, RECIPES

#: Their commands have tests of their own, in tests/twin and tests/examples.
ELSEWHERE = {"java_twin", "load_balancing", "exercises", "CLAIMS.md"}
#: Commands at the same time: most of their time they wait for the stream.
AT_ONCE = 3
SCRIPT = re.compile(r"python examples/(\w+)\.py")
SERVES = re.compile(
    r"make run\b.*|(PYTHONPATH=\S+ )?livestream serve(?! --help).*|gunicorn .*|.*\./floor 9003")
WATCHES = re.compile(r"livestream watch(?!.*(\||--seconds)).*")
MINUTES = re.compile(r"make (?!run\b|plot\b).*|livestream scale\b.*|.*\blivestream parity .*|locust .*")
#: The sessions alone take half a minute, and want a quiet machine: without them a comparison is short.
SHORT = " --only messages"
#: A line of parity's table that fails.
FAILING_LAYER = re.compile(r"^(\w+) +(?:different|no answer) ", re.M)
#: Names in capitals that would be left over if the table lacked one; variables have a `=`.
UNFILLED = re.compile(r"(?<![\w$])[A-Z]{3,}\d?\b(?!=)")


def told() -> list[Passage]:
    """Every command once, whoever tells it."""
    found = [
        command for document in documents() if ELSEWHERE.isdisjoint((document.parent.name, document.name))
        for command in commands(document)
        if (command.chapter, command.section) not in {(CHAPTER, recipe) for recipe in RECIPES}
    ]
    return list({command.text: command for command in found}.values())


def of(pattern: re.Pattern[str]) -> list[str]:
    return [command.text for command in TOLD if pattern.fullmatch(command.text)]


TOLD = told()
KINDS = (SCRIPT, SERVES, WATCHES, MINUTES)
#: They end by themselves, soon.
OTHERS = [command.text for command in TOLD if not any(kind.fullmatch(command.text) for kind in KINDS)]

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("copy"))


def play(command, tree, timeout=200):
    """Runs a command to its end, with a server for each address that it names."""
    return run_beside(command, tree, lambda written: run(written, tree, timeout))


def run_beside(command, tree, act):
    """What `act` makes of the command once everything that a reader fills in is there."""
    with ExitStack() as servers:
        def start():
            return servers.enter_context(server(tree, *_like(command)))

        places = {}
        for name in ("URL", "URL2", "URL3", "ws://localhost:9003", "ws://HOST:9003", "http://SERVER:9003"):
            if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", command):
                place = start()
                scheme = name.partition(":")[0] if ":" in name else "ws"
                places[name] = f"{scheme}://127.0.0.1:{place.port}"
                places.setdefault("PID", str(place.pid))
        if command.startswith("livestream watch") and not places:
            command += f" ws://127.0.0.1:{start().port}"
        written = filled(command, places | {"DIR": "recorded"})
        assert not UNFILLED.search(written), written
        return act(written)


def _like(command):
    """The options of a server that this command is for."""
    for option in ("--profile", "--time-scale"):
        if found := re.search(rf"{option} (\S+)", command):
            return option, found[1]
    return ()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Everything that ends by itself, each in a copy of its own."""
    def in_a_copy(command, folder):
        return play(command, copy_project(folder))

    # Here, as pytest's factory is not for several threads.
    folders = [tmp_path_factory.mktemp("copy") for _ in OTHERS]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(OTHERS, pool.map(in_a_copy, OTHERS, folders)))


@pytest.mark.parametrize("command", [one for one in of(MINUTES) if one.startswith("livestream parity ")])
def test_a_comparison_without_sessions_finds_nothing(tree, command):
    ran = play(command + SHORT, tree)
    assert ran.code == 0, ran.said


def is_well(ran):
    """A machine that stalls makes a server late, which is no matter of the command."""
    late = ran.code == 1 and set(FAILING_LAYER.findall(ran.said)) == {"cadence"}
    return ran.code == 0 or late


def test_only_a_late_server_is_excused():
    table = "layer      verdict    same\nframes     {}  59\ncadence    different  3  1\n"
    assert is_well(Ran(1, table.format("same   ")))
    assert not is_well(Ran(1, table.format("different")))
    assert not is_well(Ran(2, table.format("same   ")))
    assert not is_well(Ran(1, "no table"))


@pytest.mark.parametrize("command", OTHERS)
def test_a_command_does_what_it_is_there_for(done, command):
    assert done[command].code == 0, done[command].said
    assert done[command].said or command.startswith("export "), "it says nothing"


@pytest.mark.parametrize("command", of(SERVES))
def test_what_serves_answers_until_ctrl_c(tree, command):
    with running(filled(command, {"floor 9003": "floor 0"}), tree) as started:
        with WireClient.connect(f"ws://127.0.0.1:{started.port()}", timeout=PATIENCE):
            pass
        said = started.interrupt()
    assert "Traceback" not in said
    assert "stopped" in said or command.startswith(("gunicorn ", "cc "))


@pytest.mark.parametrize("command", of(WATCHES))
def test_what_watches_shows_updates_until_ctrl_c(tree, command):
    def watch(written):
        with running(written, tree) as started:
            started.wait_for("_update")
            return started.interrupt()

    assert "Traceback" not in run_beside(command, tree, watch)


SNIPPETS = [
    passage for document in documents() if ELSEWHERE.isdisjoint((document.parent.name, document.name))
    for passage in passages(document) if passage.kind == "python"
]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.document.name)
def test_python_in_a_text_runs(tree, snippet):
    with server(tree) as place:
        program = snippet.text.replace("ws://localhost:9003", f"ws://127.0.0.1:{place.port}")
        with running(shlex.join(["python", "-c", program]), tree) as started:
            started.wait_for("block_update")
            started.interrupt()


@pytest.mark.parametrize("name", [SCRIPT.fullmatch(command)[1] for command in of(SCRIPT)])
def test_a_program_is_run_by_the_tours_tests(name):
    assert name in {chapter.script.stem for chapter in chapters()} | {"client"}


@pytest.mark.parametrize("command", [one for one in of(MINUTES) if one.startswith("make ")])
def test_a_target_is_there(tree, command):
    code, said = run(command.replace("make ", "make --dry-run ", 1), tree)
    assert code == 0, said


@pytest.mark.parametrize("command", [one for one in of(MINUTES) if one.startswith("livestream ")])
def test_a_long_command_has_these_options(command, monkeypatch):
    called = []
    for one in _without_groups(cli, click.Context(cli)):
        monkeypatch.setattr(one, "callback", lambda *arguments, **options: called.append(options))
    urls = {name: "ws://somewhere" for name in ("URL", "URL2", "URL3")}
    written = filled(command, urls | {"HOST": "localhost", "PID": "1"})
    answers = [CliRunner().invoke(cli, shlex.split(part)[1:]) for part in written.split("; ")]
    assert [answer.exit_code for answer in answers] == [0] * len(called), answers[-1].output


def _without_groups(group, context):
    """The commands themselves, wherever they are."""
    found = [group.get_command(context, name) for name in group.list_commands(context)]
    for one in found:
        yield from _without_groups(one, context) if isinstance(one, click.Group) else [one]


@pytest.mark.parametrize("command", [one for one in of(MINUTES) if one.startswith("locust ")])
def test_what_locust_is_given_is_there(tree, command):
    code, said = run(f"{command.partition(' --host')[0]} --list", tree)
    assert code == 0, said


def test_the_commands_are_found():
    assert {"make run", "make test", "livestream serve", "livestream scale"} <= {one.text for one in TOLD}
    assert all((of(kind) for kind in KINDS)) and OTHERS and SNIPPETS
