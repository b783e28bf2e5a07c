"""The project's texts as data: what they tell a reader to type, where they point, and their parts' names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
#: Folders that are made, not written.
MADE = {"build", "dist", "node_modules", "target"}
#: What a piece of code in the middle of a sentence begins with when it is a command.
PROGRAMS = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:make [a-z]|livestream [a-z]|python |pip install |gunicorn |locust |cc |openssl )")
#: It stands for what a reader is to think of: what has it is no command as written.
OPEN = "…"
_REMARK = re.compile(r"\s{2,}#.*")
_MARKDOWN = MarkdownIt("commonmark").enable("table")


class Passage(NamedTuple):
    """A piece of code, or a link, with the headings that it stands under (the second and third level)."""

    document: Path
    chapter: str
    section: str
    #: "block" (indented), "span" (in a sentence), "link", or the name of a fence: "python", "text", "diff" …
    kind: str
    text: str

    @property
    def place(self) -> str:
        """As a test's name."""
        return f"{self.document.relative_to(ROOT)}: {self.text}"


def documents() -> list[Path]:
    """Every text of the project."""
    found = sorted(ROOT.rglob("*.md"))
    return [path for path in found if not any(_is_made(part) for part in path.relative_to(ROOT).parts)]


def _is_made(part: str) -> bool:
    return part.startswith(".") or part in MADE


def passages(document: Path) -> Iterator[Passage]:
    """All pieces of code and all links of a text, in their order."""
    headings = {"h2": "", "h3": ""}
    tokens = _MARKDOWN.parse(document.read_text())
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            headings["h3"] = ""
            headings[token.tag] = tokens[number + 1].content
        for kind, text in _said(token):
            yield Passage(document, headings["h2"], headings["h3"], kind, text)


def _said(token: Token) -> Iterator[tuple[str, str]]:
    if token.type == "code_block":
        yield "block", token.content
    if token.type == "fence":
        yield token.info, token.content
    for child in token.children or ():
        if child.type == "code_inline":
            yield "span", child.content
        if child.type == "link_open":
            yield "link", str(child.attrs["href"])
        if child.type == "image":
            yield "link", str(child.attrs["src"])


def commands(document: Path) -> Iterator[Passage]:
    """What a reader is told to type: each line of an indented block, and each command in a sentence."""
    for passage in passages(document):
        for line in _lines(passage):
            yield passage._replace(text=line)


def _lines(passage: Passage) -> list[str]:
    if passage.kind == "block":
        whole = passage.text.replace("\\\n", " ").splitlines()
        return [line for line in (_REMARK.sub("", line).strip() for line in whole) if line]
    if passage.kind == "span" and PROGRAMS.match(passage.text) and OPEN not in passage.text:
        return [passage.text]
    return []


def anchors(document: Path) -> set[str]:
    """What `#…` may point to in a text: its headings in small letters, with hyphens for blanks."""
    tokens = _MARKDOWN.parse(document.read_text())
    found: set[str] = set()
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            words = re.sub(r"[^\w\- ]", "", tokens[number + 1].content.lower())
            found.add(words.replace(" ", "-"))
    return found
