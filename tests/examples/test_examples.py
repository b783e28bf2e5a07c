"""The script beside the tour runs, is named in the examples' README, and begins with its question."""

import ast
import subprocess
import sys

from tests.examples.tour import EXAMPLES, TOUR

CLIENT = EXAMPLES / "client.py"
MAX_LINES = 40


def test_the_client_is_short_and_begins_with_its_question():
    text = CLIENT.read_text()
    assert text.count("\n") <= MAX_LINES
    question = ast.get_docstring(ast.parse(text)).splitlines()[0]
    assert question.endswith("?")
    assert f"`python examples/client.py` | {question}" in TOUR.read_text()


def test_the_client_comes_back_when_its_server_does():
    done = subprocess.run([sys.executable, CLIENT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("state:")] == [
        f"state: {state}" for state in ("connecting", "open", "reconnecting", "open", "closed")]
    assert lines.count("subscribed: block_updates") == 2
    assert lines.count("block 12345") == 3
