"""The tour as data: its chapters, what each asks, runs and says that this prints."""

import re
from pathlib import Path
from typing import NamedTuple

EXAMPLES = Path(__file__).parents[2] / "examples"
TOUR = EXAMPLES / "README.md"
#: What is another each time stands as this in the tour.
ANY = "…"
_CHAPTER = re.compile(
    r"^## \d+\. (?P<title>.+)\n\n\*(?P<question>.+\?)\*\n\n    python examples/(?P<name>\w+)\.py\n", re.M)
_PRINTED = re.compile(r"^```text\n(.*?)^```$", re.M | re.S)


class Chapter(NamedTuple):
    """`printed` is the program's output, line by line; `text` the whole chapter."""

    title: str
    question: str
    script: Path
    printed: list[str]
    text: str


def chapters() -> list[Chapter]:
    """In their order."""
    whole = TOUR.read_text()
    found = []
    for start in _CHAPTER.finditer(whole):
        text = whole[start.start():].partition("\n## ")[0]
        block = _PRINTED.search(text)
        found.append(Chapter(
            start["title"], start["question"], EXAMPLES / f"{start['name']}.py",
            block[1].splitlines() if block else [], text))
    return found


def is_printed(said: str, line: str) -> bool:
    """Whether a line is what the tour says, in which `…` stands for anything that is not nothing."""
    pattern = ".+".join(map(re.escape, said.split(ANY)))
    return re.fullmatch(pattern, line) is not None
