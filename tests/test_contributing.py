"""Each recipe of the README's "Contributing", done to a copy as it says, and then proven as it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from livestream.contract import LAB_PROFILES_PATH
from livestream.wire.client import WireClient
from livestream.wire.handshake import http_request
from tests.documents import ROOT, Passage, commands, passages
from tests.placed import copy_project, filled, run, server
from tests.support import PATIENCE, SUBSCRIBE, next_text
from tests.test_house import MAY_IMPORT

CHAPTER = "Contributing"
RECIPES = ("A channel", "A flag", "A case", "An experiment")
_FILE = re.compile(r"^--- (.+)\n", re.M)

pytestmark = pytest.mark.timeout(300)


def recipe(name: str) -> str:
    """The lines of a recipe, each with its mark."""
    (found,) = [one.text for one in _of(passages(ROOT / "README.md"), name) if one.kind == "diff"]
    return found


def _of(passages: object, name: str) -> list[Passage]:
    return [one for one in passages if (one.chapter, one.section) == (CHAPTER, name)]


def proof(name: str, start: str) -> str:
    """The command of a recipe that begins so."""
    told = [one.text for one in _of(commands(ROOT / "README.md"), name) if one.kind == "block"]
    (found,) = [text for text in told if re.fullmatch(start, text)]
    return found


def apply(text: str, tree: Path) -> list[Path]:
    """Does what the lines say; returns the files. What should be there already must be there once."""
    _, *parts = _FILE.split(text)
    changed = []
    for name, lines in zip(parts[::2], parts[1::2]):
        path = tree / name
        marked = [(line[:1], line[1:] + "\n") for line in lines.splitlines()]
        assert {mark for mark, _ in marked} <= {" ", "+", "-"}, lines
        old = "".join(line for mark, line in marked if mark != "+")
        new = "".join(line for mark, line in marked if mark != "-")
        before = path.read_text() if path.exists() else ""
        assert not old or before.count(old) == 1, f"{name} has not once:\n{old}"
        path.write_text(before.replace(old, new) if old else before + new)
        changed.append(path)
    return changed


@pytest.fixture
def done(request, tmp_path):
    """A copy in which the recipe is done, still in the project's style and with its arrows."""
    tree = copy_project(tmp_path)
    changed = apply(recipe(request.param), tree)
    modules = [str(path) for path in dict.fromkeys(changed) if path.suffix == ".py"]
    checks = [[sys.executable, "-m", "flake8", *modules]] if modules else []
    checks.append([sys.executable, "-m", "pytest", "-q", "tests/test_house.py", "-k", "room or services"])
    for check in checks:
        told = subprocess.run(check, cwd=tree, capture_output=True, text=True)
        assert told.returncode == 0, told.stdout
    return tree


def proven(command: str, tree: Path, port: int) -> str:
    """Runs it against the server at this port: it must succeed."""
    code, said = run(filled(command, {"ws://localhost:9003": f"ws://127.0.0.1:{port}"}), tree)
    assert code == 0, said
    return said


def test_every_recipe_is_tried_here():
    told = {one.section for one in passages(ROOT / "README.md") if one.chapter == CHAPTER and one.section}
    assert told == set(RECIPES)


def test_the_arrows_are_those_that_are_held():
    told = [one for one in passages(ROOT / "README.md") if (one.chapter, one.kind) == (CHAPTER, "text")]
    arrows = [line.partition(" (")[0].split(" → ") for one in told for line in one.text.splitlines()]
    held = {room: rooms for room, rooms in MAY_IMPORT.items() if rooms and not room.startswith("__")}
    assert {room: set(rooms.split(", ")) for room, rooms in arrows} == held


@pytest.mark.parametrize("done", ["A channel"], indirect=True)
def test_a_new_channel_answers_a_subscribe(done):
    with server(done, "--time-scale", "0.1") as place:
        with WireClient.connect(f"ws://127.0.0.1:{place.port}", timeout=PATIENCE) as client:
            client.send_text(SUBSCRIBE % "fee_updates")
            next_text(client, "subscription_confirmed")
            updates = [json.loads(next_text(client, "fee_update").text) for _ in range(2)]
        watch = f"{proof('A channel', 'livestream watch .*')} ws://127.0.0.1:{place.port}"
        assert "fee_update" in proven(watch, done, place.port)
    assert [update["payload"] for update in updates] == 2 * [{"averageFee": 250}]
    assert "fee_update" in run(proof("A channel", "livestream asyncapi .*"), done).said
    contract = json.loads(run("livestream asyncapi", done).said)
    jsonschema.validate(updates[0], contract["components"]["schemas"]["fee_update"])


@pytest.mark.parametrize("done", ["A flag"], indirect=True)
@pytest.mark.parametrize("profile, command, answered", [
    ("original", r"livestream parity \S+ --only messages", []),
    ("corrected", r"livestream parity .* --profile corrected .*", ["Unknown type: hello"]),
])
def test_a_new_flag_changes_what_is_answered(done, profile, command, answered):
    with server(done, "--profile", profile) as place:
        url = f"ws://127.0.0.1:{place.port}"
        answer = http_request(url, "GET", LAB_PROFILES_PATH, timeout=PATIENCE)
        assert b"ignores_unknown_types" in answer.body
        with WireClient.connect(url, timeout=PATIENCE) as client:
            client.send_text('{"type":"hello"}')
            client.send_text('{"type":"ping"}')
            errors = []
            while (message := json.loads(next_text(client).text))["type"] != "pong":
                errors += [message["payload"]["error"]] if message["type"] == "error" else []
        assert errors == answered
        proven(proof("A flag", command), done, place.port)


@pytest.mark.parametrize("done", ["A case"], indirect=True)
def test_a_new_case_is_played(done):
    with server(done) as place:
        assert "same: 1 case" in proven(proof("A case", "livestream parity .*"), done, place.port)


@pytest.mark.parametrize("done", ["An experiment"], indirect=True)
def test_a_new_experiment_runs(done):
    code, said = run(proof("An experiment", "livestream scale .*"), done)
    assert "one, 5 clients" in said and "all, 5 clients" in said, said
    results = json.loads((done / "scale-pinning" / "results.json").read_text())
    assert [step["figures"]["up"] for step in results["steps"]] == [5, 5]
    assert "One processor and all for" in (done / "scale-pinning" / "report.html").read_text()


def test_a_recipe_that_does_not_fit_is_noticed(tmp_path):
    (tmp_path / "file").write_text("one\ntwo\none\n")
    apply("--- file\n two\n+three\n", tmp_path)
    assert (tmp_path / "file").read_text() == "one\ntwo\nthree\none\n"
    for wrong in ("--- file\n four\n+five\n", "--- file\n one\n+more\n", "--- file\nno mark\n"):
        with pytest.raises(AssertionError):
            apply(wrong, tmp_path)
