"""Is the port the Java twin? And what generated inputs showed of the two."""

from collections import Counter

import pytest

from livestream.parity.cases import load_cases
from livestream.parity.judging.deviations import load_deviations, name_of
from livestream.parity.judging.habits import HABITS
from tests.live.test_parity import by_verdict, parity
from tests.support import Command
from tests.twin.compare import RACES
from tests.twin.jvm import FOLDER
from tests.twin.test_corpus import CERTAIN, RACED, layers, played

pytestmark = pytest.mark.timeout(600)

#: The same inputs each time; `make compare` generates others.
SEED = "20251016"
#: What the fuzzer found, as the twin answered it.
FOUND = FOLDER / "found.jsonl"


@pytest.fixture(scope="module")
def port():
    server = Command("--log-level", "error")
    yield server
    server.kill()


def test_the_port_is_the_twin_but_for_excused_habits_fuzz_1000_included(port, twin, tmp_path):
    code, lines, report = parity(
        port.url, "--against", twin.url, *RACES, "--pid", str(port.process.pid),
        "--against-pid", str(twin.pid), "--fuzz", "1000", "--seed", SEED, folder=tmp_path)
    assert code == 0, lines
    packaged = {f"{entry.layer}/{case}" for entry in load_deviations().deviations for case in entry.cases}
    assert by_verdict(report, "explained").keys() <= packaged | RACED
    assert by_verdict(report, "same").keys() >= {"fuzz/examples", "threads/close", "messages/ping"}
    assert layers(report) >= CERTAIN - {"contract"} | {"statistics", "fuzz"}


# --- what was found by generating


def test_what_was_found_is_still_so(twin, tmp_path):
    code, lines, report = parity(twin.url, "--corpus", str(FOUND), "--strict", *RACES, folder=tmp_path)
    assert code == 0, lines
    assert played(report) == {name_of(case) for case in load_cases(FOUND)}


def test_the_port_answers_it_as_its_excuses_say(port, tmp_path):
    code, lines, report = parity(port.url, "--corpus", str(FOUND), *RACES, folder=tmp_path)
    assert code == 0, lines
    assert played(report) == {name_of(case) for case in load_cases(FOUND)}


def test_what_was_found_is_about_these_habits():
    about = Counter(name for name, habit in HABITS.items() for case in load_cases(FOUND)
                    if habit.recognises(case))
    assert about == {
        "illegal close code": 2, "code point in two fragments": 2, "message before the end": 1,
        "lone high surrogate": 1,
    }
