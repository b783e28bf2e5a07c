"""The declarations of a source file, each with its comment or docstring: of Java and of Python."""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import tree_sitter_java
from tree_sitter import Language, Node, Parser

ROOT = Path(__file__).parents[2]
JAVA = ROOT / "examples" / "java_twin" / "src" / "main" / "java" / "livestream" / "twin"
_PARSER = Parser(Language(tree_sitter_java.language()))
_NO_MEMBERS = ("package_declaration", "import_declaration")
_PYTHON_COMMENT = re.compile(r"\s*#")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class PairError(ValueError):
    """The table and the sources disagree; says where, in one line."""


class Member(NamedTuple):
    """Whole lines of one file, indented as they are there; `first` and `last` are rows, from 0."""

    path: Path
    owner: str
    first: int
    last: int
    text: str


class Excerpt(NamedTuple):
    """Members of one class, as they are shown."""

    path: Path
    owner: str
    text: str


def excerpts(members: Iterable[Member]) -> list[Excerpt]:
    """One for each stretch of members of the same class."""
    return [Excerpt(*where, textwrap.dedent(_joined(list(stretch))))
            for where, stretch in groupby(members, lambda one: (one.path, one.owner))]


def _joined(members: list[Member]) -> str:
    """Neighbours stay neighbours; between others is an empty line."""
    text = members[0].text
    for before, after in zip(members, members[1:]):
        text += ("\n" if after.first == before.last + 1 else "\n\n") + after.text
    return text


def java_members(path: Path) -> dict[str, Member]:
    """By name, in the file's order: methods, fields, records; a class is its head, down to the brace."""
    source = path.read_bytes()
    root = _PARSER.parse(source).root_node
    if root.has_error:
        raise PairError(f"{path.name} can't be parsed")
    found: dict[str, Member] = {}
    for name, member in _java_within(root, "", path, source.decode().splitlines()):
        if name in found:
            raise PairError(f"{path.name} declares {name} twice, and a name in the table means one of them")
        found[name] = member
    return found


def _java_within(parent: Node, owner: str, path: Path, lines: list[str]) -> Iterator[tuple[str, Member]]:
    for node in parent.named_children:
        if not node.type.endswith("_declaration") or node.type in _NO_MEMBERS:
            continue
        is_class = node.type == "class_declaration"
        name = _under(owner, _java_name(node))
        first = _java_start(node, lines)
        body = node.child_by_field_name("body")
        last = body.start_point.row if is_class and body else node.end_point.row
        yield name, Member(path, name if is_class else owner, first, last, "\n".join(lines[first:last + 1]))
        if is_class and body:
            yield from _java_within(body, name, path, lines)


def _java_name(node: Node) -> str:
    """Of a field, its variable's: the house declares one at a time."""
    named = node.child_by_field_name("declarator") or node
    name = named.child_by_field_name("name")
    if name is None or name.text is None:
        raise PairError(f"row {node.start_point.row + 1}: a {node.type} without a name")
    return name.text.decode()


def _java_start(node: Node, lines: list[str]) -> int:
    """The row of the comments right above it, or its own."""
    row, above = node.start_point.row, node.prev_named_sibling
    while above is not None and above.end_point.row == row - 1 and _is_comment(above, lines):
        row, above = above.start_point.row, above.prev_named_sibling
    return row


def _is_comment(node: Node, lines: list[str]) -> bool:
    """On lines of its own: what stands behind a declaration belongs to that."""
    return node.type.endswith("comment") and lines[node.start_point.row].lstrip().startswith("/")


def python_members(path: Path) -> dict[str, Member]:
    """By qualified name: functions, classes, variables; `name:` is a definition without the inner ones."""
    text = path.read_text()
    return dict(_python_within(ast.parse(text), "", path, text.splitlines()))


def _python_within(
    parent: ast.Module | ast.stmt, owner: str, path: Path, lines: list[str]
) -> Iterator[tuple[str, Member]]:
    for node in getattr(parent, "body", ()):
        name = _under(owner, _python_name(node))
        first, last = _python_start(node, lines), (node.end_lineno or node.lineno) - 1
        if name != owner:
            yield name, Member(path, owner, first, last, "\n".join(lines[first:last + 1]))
        if not isinstance(node, _DEFINITIONS):
            continue
        inner = [_python_start(one, lines) for one in node.body if isinstance(one, _DEFINITIONS)]
        head = "\n".join(lines[first:min(inner, default=last + 1)]).rstrip()
        yield f"{name}:", Member(path, name, first, first + head.count("\n"), head)
        yield from _python_within(node, name, path, lines)


def _python_name(node: ast.stmt) -> str:
    """Of a definition or of a variable; else nothing."""
    if isinstance(node, _DEFINITIONS):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""


def _python_start(node: ast.stmt, lines: list[str]) -> int:
    """The row of its first decorator, or of the comment right above it."""
    first: int = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))]) - 1
    while first and _PYTHON_COMMENT.match(lines[first - 1]):
        first -= 1
    return first


def _under(owner: str, name: str) -> str:
    return ".".join(part for part in (owner, name) if part)
