"""Every exercise fails as the project is and says what is missing, and its solution solves it and only it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import passages
from tests.support import Command

TREE = Path(__file__).parents[2]
EXERCISES = TREE / "examples" / "exercises"
#: What a copy of the project needs for being changed and tried.
PARTS = ("livestream", "examples/exercises", "tests/stream", "tests/test_house.py", "Makefile", "setup.cfg")
#: What each exercise's test says while it isn't solved.
MISSING = {
    1: "the profile `original` does not answer `unsubscribe`",
    2: "there is no profile `strict` yet",
    3: "there is no channel `server_threads` yet",
    4: "the registry does not keep exactly 100 of the 110 connections that are over",
    5: "a client that does not read holds up all others",
    6: "there is no broadcaster `single` yet",
}
#: What a solution changes of the messages, by the fault of the original that it mends; the others nothing.
MENDED = {1: {"ignores_unsubscribe"}}
#: Which room may import which.
HOUSE = [f"tests/test_house.py::{test}" for test in (
    "test_a_module_imports_only_what_its_room_may",
    "test_the_port_knows_of_the_services_only_their_interfaces",
    "test_the_port_needs_no_flask_and_no_sockets",
)]
#: Takes a minute and both processors: `make soak` runs it, solved.
LONG = "test_ten_thousand_clients_are_served"
#: How long one command may take, in seconds.
BOUND = 100

pytestmark = pytest.mark.timeout(300)


def run(folder, *command, expected=(0,), bound=BOUND):
    """What a command prints that runs in this folder, with the folder's package and our Python."""
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder), "PATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=bound)
    assert done.returncode in expected, done.stdout
    return done.stdout


def pytest_in(folder, *what, **options):
    return run(folder, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, what), **options)


def the_test_of(number):
    [path] = EXERCISES.glob(f"test_{number}_*.py")
    return path.relative_to(TREE)


def the_patch_of(number):
    [path] = EXERCISES.glob(f"solutions/{number}_*.patch")
    return path.relative_to(TREE)


def copy_project(to):
    for part in PARTS:
        (to / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (TREE / part).is_dir() else shutil.copy
        copy(TREE / part, to / part)
    shutil.copy(TREE / "tests" / "__init__.py", to / "tests")
    return to


@pytest.fixture(scope="module", params=MISSING)
def solved(request, tmp_path_factory):
    """An exercise's number, a copy of the project with its solution, and what `make solution` printed."""
    folder = copy_project(tmp_path_factory.mktemp(f"exercise-{request.param}"))
    try:
        printed = run(folder, "make", "solution", f"EXERCISE={request.param}")
    except AssertionError as error:
        pytest.fail(
            f"{the_patch_of(request.param)} does not apply any more: the project has changed where it "
            f"changes it. Solve the exercise anew, and write the patch with git diff.\n{error}")
    return request.param, folder, printed


@pytest.fixture(scope="module")
def unsolved():
    """What pytest prints of all exercises in the project as it is."""
    return pytest_in(TREE, EXERCISES, expected=(1,))


def test_there_is_one_of_each_for_every_exercise():
    tests = sorted(path.stem.removeprefix("test_") for path in EXERCISES.glob("test_*.py"))
    assert [int(name[0]) for name in tests] == list(MISSING)
    assert sorted(path.stem for path in EXERCISES.glob("solutions/*")) == tests
    readme = (EXERCISES / "README.md").read_text()
    told = re.findall(r"^## (\d)\. .+\n\n    python -m pytest (\S+)$", readme, re.M)
    assert told == [(str(number), str(the_test_of(number))) for number in MISSING]


@pytest.mark.parametrize("number", MISSING)
def test_it_fails_as_the_project_is_and_says_what_is_missing(unsolved, number):
    failures = re.findall(rf"^FAILED {the_test_of(number)}::\w+", unsolved, re.M)
    assert failures, unsolved
    said = set(re.findall(r"^E +AssertionError: (.+)", unsolved, re.M))
    assert [one for one in said if MISSING[number] in one], said


def test_nothing_else_fails(unsolved):
    """No fixture, import or server that goes wrong beside what is missing."""
    said = set(re.findall(r"^E +(\w+(?:Error|Exception|Warning)\b.*)", unsolved, re.M))
    assert [one for one in said if not any(missing in one for missing in MISSING.values())] == []
    assert " error" not in unsolved.splitlines()[-1]


def test_the_solution_solves_it_and_keeps_to_the_house(solved):
    number, folder, _ = solved
    where = run(folder, sys.executable, "-c", "import livestream; print(livestream.__file__)").strip()
    assert where == str(folder / "livestream" / "__init__.py")
    said = pytest_in(folder, the_test_of(number), *HOUSE, "-k", f"not {LONG}")
    assert re.search(r"^=+ \d+ passed(, 1 deselected)? in ", said, re.M), said


def test_the_solution_is_said_and_undone_as_said(solved, tmp_path):
    number, folder, printed = solved
    patch = str(the_patch_of(number))
    changed = set(re.findall(r"^    (\S+)$", printed, re.M))
    assert changed == {
        str(path.relative_to(folder)) for path in folder.rglob("*.py")
        if path.read_text() != (TREE / path.relative_to(folder)).read_text()}
    again = run(folder, "make", "solution", f"EXERCISE={number}", expected=(2,))
    assert f"Nothing is changed: what {patch} changes is not as the project has it" in again

    undone = shutil.copytree(folder, tmp_path / "undone")
    [undo] = re.findall(r"^Undo it: +(.*)$", printed, re.M)
    run(undone, "sh", "-c", undo)
    assert [path for path in changed if (undone / path).read_text() != (TREE / path).read_text()] == []


def test_the_solution_keeps_to_the_style(solved):
    _, folder, printed = solved
    changed = re.findall(r"^    (\S+)$", printed, re.M)
    run(folder, sys.executable, "-m", "flake8", *changed)


def test_the_solution_changes_no_other_message(solved, tmp_path):
    number, folder, _ = solved
    server = Command(cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)})
    try:
        report = tmp_path / "report.json"
        run(TREE, sys.executable, "-m", "livestream", "parity", server.url, "--only", "messages",
            "--json", str(report), expected=(0, 1))
    finally:
        server.kill()
    results = json.loads(report.read_text())["results"]
    assert len(results) >= 120
    different = [one for one in results if one["verdict"] not in ("same", "explained")]
    assert {flag for one in different for flag in one["flags"]} == MENDED.get(number, set())
    assert [one["name"] for one in different if not one["flags"]] == []


def test_the_third_is_seen_as_the_text_says(tmp_path):
    [program] = [one.text for one in passages(EXERCISES / "README.md") if one.kind == "python"]
    folder = copy_project(tmp_path)
    run(folder, "make", "solution", "EXERCISE=3")
    server = Command(cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)})
    try:
        place = server.url.removeprefix("ws://").partition("/")[0]
        said = run(folder, sys.executable, "-c", program.replace("localhost:9003", place))
    finally:
        server.kill()
    assert re.fullmatch(r"\{'threads': \d+\}\n", said)
