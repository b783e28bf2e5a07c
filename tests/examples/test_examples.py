"""Every example runs, is named in the examples' README, and begins with its question."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# The locustfile is run by Locust, which test_locustfile.py runs.
SCRIPTS = sorted(set(EXAMPLES.glob("*.py")) - {EXAMPLES / "locustfile.py"})
MAX_LINES = 40


def run(script):
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_an_example_is_short_and_begins_with_its_question(script):
    text = script.read_text()
    assert text.count("\n") <= MAX_LINES
    question = ast.get_docstring(ast.parse(text)).splitlines()[0]
    assert question.endswith("?")
    assert f"`python examples/{script.name}` | {question}" in (EXAMPLES / "README.md").read_text()


def test_welcome():
    lines = run(EXAMPLES / "welcome.py")
    assert [line.split('"')[3] for line in lines[:2]] == ["connection_established", "tps_update"]
    assert {line.split('"')[3] for line in lines[2:]} == {
        "subscription_confirmed", "block_update", "tps_update",
    }


def test_client():
    lines = run(EXAMPLES / "client.py")
    assert [line for line in lines if line.startswith("state:")] == [
        f"state: {state}" for state in ("connecting", "open", "reconnecting", "open", "closed")]
    assert lines.count("subscribed: block_updates") == 2
    assert lines.count("block 12345") == 3


def test_custom_source():
    (line,) = run(EXAMPLES / "custom_source.py")
    memory = ast.literal_eval(line)
    assert list(memory) == ["totalValidators", "activeValidators", "inactiveValidators", "jailedValidators"]
    assert memory["totalValidators"] == memory["activeValidators"] + memory["inactiveValidators"] > 20
