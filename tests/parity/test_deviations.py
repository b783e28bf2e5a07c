"""The excuses: each names real cases, says exactly what comes instead, and excuses nothing else."""

import json
from collections import Counter
from pathlib import Path

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection

from livestream import contract
from livestream.parity.cases import load_cases, wire_bytes
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.deviations import LAYERS, DeviationError, load_deviations
from livestream.parity.judging.expectations import AS_RECORDED, recorded_cases

FOUND = Path(__file__).parents[2] / "examples" / "java_twin" / "found.jsonl"
CASES = [
    case for name in ("messages.jsonl", "frames.jsonl", "handshake.jsonl", "http.jsonl", "shipped.jsonl")
    for case in load_cases(name)
]
#: What only the Java twin has shown so far.
CASES += [case for case in load_cases(FOUND) if case.name != "message-before-reserved-opcode"]
CASES += [case for case in recorded_cases(AS_RECORDED) if case.kind == "threads"]
BY_NAME = {(LAYERS[case.kind], case.name): case for case in CASES}
DEVIATIONS = load_deviations()
EXCUSED = [case for case in CASES if DEVIATIONS.of(case)]
FRAME_CASES = [case for case in CASES if case.kind == "frame"]

ILLEGAL_CODE = BY_NAME["frames", "close-999-illegal"]
BAD_TEXT = BY_NAME["frames", "utf8-invalid-byte"]
GOOD = BY_NAME["messages", "ping"]


def instead(case):
    """What the deviation says the port gives."""
    return dict(DEVIATIONS.of(case).expected(case).observed)


def names(cases):
    return [case.name for case in cases]


def test_the_excused_cases_are_three_habits_of_the_container_and_a_thread():
    assert {case.name for case in EXCUSED} == {
        "close-999-illegal", "close-1005-illegal", "close-1006-illegal", "close-1016-illegal",
        "close-2000-illegal", "close-2999-illegal", "close-1014", "close-bad-utf8",
        "close-5000-illegal", "close-65535-illegal-then-ping",
        "utf8-cut-after-one-byte-of-two", "utf8-cut-around-a-ping", "surrogate-high-before-a-letter",
        "utf8-invalid-byte", "utf8-truncated", "utf8-surrogate", "utf8-overlong",
        "no-connection", "post", "http-1.0", "upgrade-h2c",
        "connect",
    }


def test_every_case_that_is_named_exists_and_is_named_once():
    named = Counter((entry.layer, case) for entry in DEVIATIONS.deviations for case in entry.cases)
    assert named.keys() <= BY_NAME.keys()
    assert set(named.values()) == {1}


def test_every_entry_has_its_own_name_and_a_reason():
    entries = (*DEVIATIONS.deviations, *DEVIATIONS.limits, *DEVIATIONS.additions)
    assert len({entry.name for entry in entries}) == len(entries)
    assert all(len(entry.reason) > 40 and entry.reason.endswith(".") for entry in entries)
    assert all("RFC" in entry.rfc for entry in DEVIATIONS.deviations)


@pytest.mark.parametrize("case", EXCUSED, ids=names(EXCUSED))
def test_what_comes_instead_is_excused_and_what_was_recorded_needs_no_excuse(case):
    deviation = DEVIATIONS.of(case)
    assert differences(case, instead(case)), "the deviation must say something else than the recording"
    assert DEVIATIONS.excuse(case, instead(case)) is deviation
    assert DEVIATIONS.not_needed(case, instead(case)) is None
    assert DEVIATIONS.excuse(case, dict(case.observed)) is None
    assert DEVIATIONS.not_needed(case, dict(case.observed)) is deviation


@pytest.mark.parametrize("case, change", [
    (ILLEGAL_CODE, {"close": {"code": 1008, "reason": ""}}),
    (ILLEGAL_CODE, {"connection_ended": False}),
    (BAD_TEXT, {"close": {"code": 1002, "reason": ""}}),
    (BAD_TEXT, {"replies": BAD_TEXT.observed["replies"]}),
    (BY_NAME["handshake", "post"], {"status": 405}),
    (BY_NAME["handshake", "post"], {"stream_opens": True}),
])
def test_a_third_way_is_not_excused(case, change):
    assert DEVIATIONS.excuse(case, instead(case) | change) is None
    assert DEVIATIONS.not_needed(case, instead(case) | change) is None


def test_the_reason_of_a_close_does_not_matter():
    observed = instead(ILLEGAL_CODE) | {"close": {"code": 1002, "reason": "any words"}}
    assert DEVIATIONS.excuse(ILLEGAL_CODE, observed) is not None


def test_other_cases_have_no_excuse():
    wrong = {**GOOD.observed, "replies": []}
    assert DEVIATIONS.of(GOOD) is None
    assert DEVIATIONS.excuse(GOOD, wrong) is None
    assert DEVIATIONS.not_needed(GOOD, dict(GOOD.observed)) is None


def test_a_case_of_the_same_name_in_another_layer_is_another_case():
    """`unmasked` is a frame case and a silence case, so a name alone is not enough."""
    assert BY_NAME["frames", "unmasked"] != BY_NAME["silence", "unmasked"]
    [*_, deviation] = DEVIATIONS.deviations
    assert not deviation.applies_to(GOOD)


# --- against wsproto itself, which is what decides


def close_code(case):
    """The code of the Close frame that wsproto answers the case's bytes with; None when it goes on."""
    connection = Connection(ConnectionType.SERVER)
    for step in case.send:
        connection.receive_data(wire_bytes(step))
        for event in connection.events():
            if isinstance(event, CloseConnection):
                return int(event.code)
    return None


@pytest.mark.parametrize("case", FRAME_CASES, ids=names(FRAME_CASES))
def test_wsproto_closes_as_recorded_or_excused(case):
    expected = instead(case) if case in EXCUSED else case.observed
    code = expected["close"] and expected["close"]["code"]
    # A frame over 65,536 bytes is the transport's to refuse; wsproto alone reads on.
    by_transport = "padded_ping" in case.send[0]
    assert close_code(case) == (None if by_transport else code)


# --- limits and additions


def test_limits_and_additions_take_their_values_from_the_contract():
    limits = {entry.option: entry.default for entry in DEVIATIONS.limits if entry.option}
    assert limits == {
        "--max-connections": str(contract.MAX_CONNECTIONS),
        "--max-threads-per-connection": str(contract.MAX_THREADS_PER_CONNECTION),
        "--max-message-size": str(contract.MAX_MESSAGE_BYTES),
    }
    assert {entry.address for entry in DEVIATIONS.additions} == {
        contract.WEBSOCKET_STATS_PATH, contract.LAB_PATH, contract.METRICS_PATH, contract.HEALTH_LIVE_PATH}


# --- a user's file


ENTRY = {
    "name": "n", "layer": "frames", "cases": ["unmasked"], "reason": "r", "rfc": "f",
    "instead": '{"close": {"code": 1003}}',
}


def write(tmp_path, **changes):
    entry = {key: value for key, value in (ENTRY | changes).items() if value is not None}
    lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
    path = tmp_path / "own.toml"
    path.write_text("\n".join(["[[deviation]]", *lines]))
    return path


def test_a_users_file(tmp_path):
    own = load_deviations(write(tmp_path))
    case = BY_NAME["frames", "unmasked"]
    observed = {**case.observed, "close": {"code": 1003, "reason": ""}}
    assert own.excuse(case, observed).name == "n"
    assert DEVIATIONS.excuse(case, observed) is None
    assert own.of(BY_NAME["silence", "unmasked"]) is None


@pytest.mark.parametrize("changes, words", [
    ({"rfc": None}, "deviation 1 lacks 'rfc'"),
    ({"layer": "cake"}, "deviation 1: the layer 'cake' is none of messages, frames"),
    ({"cases": "unmasked"}, "deviation 1: `cases` is a list"),
    ({"instead": "{"}, "deviation 1: "),
    ({"instead": "{}"}, "deviation 1: `instead` is a JSON object with some of answers_ping_after, close"),
    ({"instead": '{"status": 404}'}, "deviation 1: `instead` is a JSON object"),
])
def test_a_broken_entry_is_named(tmp_path, changes, words):
    path = write(tmp_path, **changes)
    with pytest.raises(DeviationError) as caught:
        load_deviations(path)
    assert f"{path}: {words}" in str(caught.value)


@pytest.mark.parametrize("text, words", [
    ("[[deviation]", "can't be read"), ("[deviation]", "with two brackets"),
    ("[[excuse]]", "unknown entries: excuse"), ("deviation = [1]", "deviation 1: "),
])
def test_a_broken_file_is_named(tmp_path, text, words):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(DeviationError, match=words) as caught:
        load_deviations(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(DeviationError, match="nowhere.toml can't be read"):
        load_deviations("nowhere.toml")
