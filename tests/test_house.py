"""The house as DESIGN draws it: which room may import which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import livestream

PACKAGE = Path(livestream.__file__).parent
#: Every arrow that may be drawn; all may also import `contract`, and themselves.
MAY_IMPORT = {
    "contract": set(),
    "__init__": {"app", "client", "settings", "stream"},
    "__main__": {"cli"},
    "cli": {"app", "settings", "client", "parity", "lab"},
    "app": {"settings", "stream", "services", "transport", "web"},
    "settings": {"stream"},
    "stream": {"services"},
    "services": set(),
    "transport": set(),
    "web": {"services"},
    "client": set(),
    "wire": set(),
    "parity": {"wire"},
    "lab": {"wire"},
}


def room_of(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_names(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its arrow"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(path):
    """The rooms that a module imports, as (room, whole name)."""
    for name in imported_names(path):
        parts = name.split(".")
        if parts[0] == "livestream" and len(parts) > 1:
            yield parts[1], name


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_a_module_imports_only_what_its_room_may(path):
    room = room_of(path)
    allowed = MAY_IMPORT[room] | {room, "contract"}
    assert [name for other, name in arrows(path) if other not in allowed] == []


def test_the_port_knows_of_the_services_only_their_interfaces():
    names = [name for path in (PACKAGE / "stream").glob("*.py") for _, name in arrows(path)]
    modules = {".".join(name.split(".")[:3]) for name in names if ".services" in name}
    assert modules == {"livestream.services.interfaces"}


@pytest.mark.parametrize(
    "instrument",
    ["parity.run", "parity.recorder", "lab.swarm", "lab.experiment", "wire.client", "client"])
def test_an_instrument_loads_nothing_of_the_service(instrument):
    code = (
        f"import sys, livestream.{instrument}\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('flask', 'werkzeug')])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_port_needs_no_flask_and_no_sockets():
    names = [name for path in (PACKAGE / "stream").glob("*.py") for name in imported_names(path)]
    roots = {name.split(".")[0] for name in names}
    servers = {"flask", "flask_sock", "werkzeug", "simple_websocket", "wsproto", "h11", "socket"}
    assert roots & servers == set()
