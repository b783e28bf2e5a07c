"""Is the Java twin the original?"""

import pytest

from livestream.parity.judging.deviations import name_of
from livestream.parity.judging.expectations import PROFILES, expected_cases
from tests.live.test_parity import SESSIONS, by_verdict, parity
from tests.twin.compare import RACES

pytestmark = pytest.mark.timeout(600)

#: Layers without races: every case of them is the same, and needs no excuse.
CERTAIN = {"silence", "handshake", "frames", "messages", "http", "cadence", "threads", "contract"}
#: What the container decides anew each time.
RACED = {f"statistics/{ending}" for ending in (
    "protocol error", "reset", "oversize frame", "illegal close code")}


def layers(report):
    return {layer["name"] for layer in report["layers"]}


def played(report):
    return {result["name"] for result in report["results"]}


def test_the_twin_is_the_original_without_any_excuse_of_the_ports(twin, tmp_path):
    code, lines, report = parity(
        twin.url, "--strict", *RACES, "--pid", str(twin.pid), folder=tmp_path)
    assert code == 0, lines
    assert layers(report) == CERTAIN | {"statistics"}
    assert by_verdict(report, "explained").keys() <= RACED
    whole = {name_of(case) for case in expected_cases(PROFILES["original"])}
    assert played(report) == whole | {f"cadence/{name}" for name in SESSIONS} | {"contract/every message"}


def test_as_shipped_it_is_as_mute_as_the_original(shipped_twin, tmp_path):
    code, lines, report = parity(
        shipped_twin.url, "--strict", *RACES, "--profile", "shipped", "--pid", str(shipped_twin.pid),
        folder=tmp_path)
    assert code == 0, lines
    assert layers(report) == {"silence", "handshake", "http", "statistics", "threads"}
    assert by_verdict(report, "explained").keys() <= RACED
    assert played(report) == {name_of(case) for case in expected_cases(PROFILES["shipped"])}
