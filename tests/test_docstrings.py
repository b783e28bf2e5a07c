"""Every public name says what it is, every package what is where, and a module which document it follows."""

import ast
import re
from pathlib import Path

import pytest

import livestream
from livestream.settings import OPTIONS
from livestream.stream.profiles import FAULTS
from tests.documents import ROOT

PACKAGE = Path(livestream.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = sorted(path for path in MODULES if path.name == "__init__.py")
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
#: Rooms that do what SPEC, an RFC or another document says; their modules name its part.
FAITHFUL = ("stream", "transport", "services", "web", "client", "wire")
#: Those of them that no document speaks of: the port's own.
OURS = {
    "client/waiting.py", "stream/history.py", "stream/shared.py", "stream/sleeping.py", "stream/sources.py",
    "transport/observed.py", "transport/refusals.py", "transport/sockets.py", "services/interfaces.py",
    "web/addresses.py", "web/health.py", "web/metrics.py", "web/page.py", "web/rates.py", "web/refusals.py",
}
#: The headings of SPEC; a reference may leave out the end of one.
PARTS = re.findall(r"^## (.+)$", (ROOT / "examples" / "SPEC.md").read_text(), re.M)
_PART_OF_SPEC = re.compile(r'SPEC, (?:parts? )?((?:"[^"]+"(?:,? (?:and )?|\b))+)')
_LINE_BREAK = re.compile(r"\n *(?:#:? )?")
_DOCUMENT = re.compile(r'SPEC, (?:parts? )?"|RFC \d{4}|PEP \d+|DESIGN, "')


def within(path):
    return path.relative_to(PACKAGE).as_posix()


def public(node, name=""):
    """Name and node of each public function, class and method; not what is inside a function."""
    for one in node.body:
        if isinstance(one, DEFINITIONS) and not one.name.startswith("_"):
            yield f"{name}{one.name}", one
            if isinstance(one, ast.ClassDef):
                yield from public(one, f"{name}{one.name}.")


def in_one_line(text):
    """Docstrings and comments alike."""
    return " ".join(_LINE_BREAK.sub(" ", text).split())


def docstring(path):
    return in_one_line(ast.get_docstring(ast.parse(path.read_text())) or "")


@pytest.mark.parametrize("path", MODULES, ids=within)
def test_every_public_name_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert [name for name, node in public(tree) if not ast.get_docstring(node)] == []


def test_pydoc_tells_every_setting_and_every_flag():
    assert [name for name in OPTIONS if f"- `{name}`: " not in livestream.Settings.__doc__] == []
    assert [name for name in FAULTS if f"- `{name}`: " not in livestream.Profile.__doc__] == []


@pytest.mark.parametrize("path", PACKAGES, ids=within)
def test_a_package_says_what_is_where(path):
    named = set(re.findall(r"`(\w+)`", docstring(path)))
    inside = {one.parent.name if one.name == "__init__.py" else one.stem
              for one in (*path.parent.glob("*.py"), *path.parent.glob("*/__init__.py")) if one != path}
    assert inside - named - {"__main__"} == set()


@pytest.mark.parametrize(
    "path", [path for path in MODULES if within(path).partition("/")[0] in FAITHFUL], ids=within)
def test_a_module_names_the_part_of_a_document_that_it_follows(path):
    assert bool(_DOCUMENT.search(docstring(path))) is (within(path) not in OURS)


def test_every_part_of_spec_that_is_named_is_there():
    named = {(within(path), part) for path in MODULES
             for parts in _PART_OF_SPEC.findall(in_one_line(path.read_text()))
             for part in re.findall(r'"([^"]+)"', parts)}
    assert {"Service", "Messages"} < {part for _, part in named}
    assert [(file, part) for file, part in named if not is_a_part(part)] == []


def is_a_part(name):
    return any(re.match(rf"{re.escape(name)}\b", part) for part in PARTS)


@pytest.mark.parametrize("name, right", [
    ("Life of a connection", True), ("As shipped", True), ("Life of a conn", False), ("Lives", False),
])
def test_a_part_is_named_by_its_heading_or_how_that_begins(name, right):
    assert is_a_part(name) is right
