"""Every chapter's program is short, begins with the chapter's question and prints what the chapter says."""

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.examples.tour import EXAMPLES, TOUR, chapters, is_printed

MAX_LINES = 40
#: Programs that run at the same time; most of their time they wait for a channel.
AT_ONCE = 3
CHAPTERS = {chapter.script.stem: chapter for chapter in chapters()}
#: Not of the tour: this one runs for an hour, by Locust, and test_locustfile.py runs it.
ELSEWHERE = {"locustfile"}

pytestmark = pytest.mark.timeout(300)


def run(name):
    command = [sys.executable, f"examples/{name}.py"]
    return subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def done():
    """Every program of the tour, run as the tour says."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(CHAPTERS, pool.map(run, CHAPTERS)))


@pytest.mark.parametrize("name", CHAPTERS)
def test_it_prints_what_the_chapter_says(done, name):
    process = done[name]
    assert (process.returncode, process.stderr) == (0, "")
    lines, said = process.stdout.splitlines(), CHAPTERS[name].printed
    assert len(lines) == len(said), process.stdout
    wrong = [(line, expected) for line, expected in zip(lines, said) if not is_printed(expected, line)]
    assert wrong == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_it_is_short_and_begins_with_the_chapters_question(name):
    text = CHAPTERS[name].script.read_text()
    assert text.count("\n") <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)).splitlines()[0] == CHAPTERS[name].question


def test_every_program_is_in_the_tour():
    programs = {path.stem for path in EXAMPLES.glob("*.py")}
    tour = TOUR.read_text()
    others = {name for name in programs if f"`python examples/{name}.py`" in tour}
    assert programs == CHAPTERS.keys() | others | ELSEWHERE


@pytest.mark.parametrize("said, line, same", [
    ("a", "a", True), ("a", "ab", False), ("a … c", "a b c", True), ("a …", "a ", False), ("…", "b", True),
    ("(1)", "(1)", True), ("1.5", "115", False),
])
def test_a_line_is_as_said(said, line, same):
    assert is_printed(said, line) is same
