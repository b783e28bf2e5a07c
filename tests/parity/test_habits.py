"""Inputs that a deviation is about: recognised among all frame cases, and excused when they were made up."""

from dataclasses import replace
from pathlib import Path

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection

from livestream.parity.cases import Case, load_cases, wire_bytes
from livestream.parity.judging.deviations import load_deviations
from livestream.parity.judging.habits import HABITS

JAVA_TWIN = Path(__file__).parents[2] / "examples" / "java_twin"
DEVIATIONS = load_deviations()
#: The races of a container that handles messages on other threads than frames.
WITH_RACES = load_deviations(JAVA_TWIN / "deviations.toml").before(DEVIATIONS)
BY_INPUT = {entry.input: entry for entry in WITH_RACES.deviations if entry.input}
FRAMES = {
    case.name: case for file in ("frames.jsonl", JAVA_TWIN / "found.jsonl") for case in load_cases(file)}
MESSAGES = load_cases("messages.jsonl")
PONG = '{"type":"pong","payload":{"timestamp":1795422278950},"timestamp":1795422278951}'
ERROR = '{"type":"error","payload":{"error":"Invalid message format"},"timestamp":1795422278951}'
WENT_ON = {
    "replies": [ERROR], "updates_started": [], "control": [], "close": None, "connection_ended": False,
    "answers_ping_after": True}
DROPPED = {**WENT_ON, "replies": [], "connection_ended": True, "answers_ping_after": None}


def frame(opcode, payload, **flags):
    return {"frame": {"opcode": opcode, "payload_hex": payload.hex(), **flags}}


def case_of(*steps, observed=WENT_ON, kind="frame"):
    return Case("made up", kind, observed, send=steps)


def recognised(*steps):
    case = case_of(*steps)
    return {name for name, habit in HABITS.items() if habit.recognises(case)}


def close(code, reason=b""):
    return frame(8, code.to_bytes(2, "big") + reason)


BAD_TEXT = frame(1, b"\xff")
PING = frame(1, b'{"type":"ping"}')


# --- what is recognised


def test_every_recogniser_has_its_deviation():
    assert BY_INPUT.keys() == HABITS.keys()
    assert {entry.layer for entry in BY_INPUT.values()} == {"frames", "messages"}


#: Its character is in no answer.
NOT_SHOWN = "utf8-split-across-fragments"


@pytest.mark.parametrize("name", sorted(HABITS.keys() - {"message before the end"}))
def test_in_the_corpus_just_the_cases_of_its_deviation_are_recognised(name):
    recognises = HABITS[name].recognises
    found = {case.name for case in FRAMES.values() if recognises(case)}
    assert found - {NOT_SHOWN} == BY_INPUT[name].cases
    assert [case.name for case in MESSAGES if recognises(case)] == []


@pytest.mark.parametrize("steps, names", [
    ([close(999)], {"illegal close code"}),
    ([close(0)], {"illegal close code"}),
    ([close(5000)], {"illegal close code"}),
    ([close(1004)], {"illegal close code"}),
    ([close(1015)], {"illegal close code"}),
    ([close(1014)], {"close code 1014"}),
    ([close(1000)], set()), ([close(1003)], set()), ([close(3000)], set()), ([close(4999)], set()),
    ([frame(8, b"")], set()), ([frame(8, b"\x03")], set()),
    ([close(1000, "é".encode())], set()),
    ([close(1000, b"\xc3")], {"close reason that is not UTF-8"}),
    ([close(999, b"\xff")], {"illegal close code", "close reason that is not UTF-8"}),
    ([PING, close(1014, b"\xff")], {"close code 1014", "close reason that is not UTF-8"}),
    ([BAD_TEXT], {"text that is not UTF-8"}),
    ([PING, frame(9, b""), BAD_TEXT], {"text that is not UTF-8"}),
    ([frame(2, b"\xff")], set()), ([frame(9, b"\xff")], set()), ([frame(3, b"\xff")], set()),
    ([{"text": "é"}, {"padded_ping": 30}, {"raw_hex": "81ff"}], set()),
    # In pieces, a control frame among them.
    ([frame(1, b"\xc3", fin=False), frame(9, b""), frame(0, b"\xa9")], {"code point in two fragments"}),
    ([frame(1, b"\xc3", fin=False), frame(0, b"\x28")], {"text that is not UTF-8"}),
    ([frame(1, b"a", fin=False), frame(0, b"\xc3", fin=False), frame(0, b"")], {"text that is not UTF-8"}),
    ([frame(2, b"a", fin=False), frame(0, b"\xff")], set()),
    ([frame(0, b"\xff")], set()),
    # Not finished: what can't become text any more is refused before its end.
    ([frame(1, b"\xff", fin=False)], {"text that is not UTF-8"}),
    ([frame(1, b"a", fin=False), frame(0, b"\xff", fin=False)], {"text that is not UTF-8"}),
    ([frame(1, b"\xff", fin=False), PING], {"text that is not UTF-8"}),
    ([frame(1, b"\xc3", fin=False)], set()),
    ([frame(1, b"", fin=False)], set()),
    ([frame(1, b"\xf0\x9f", fin=False), frame(0, b"\x98", fin=False), frame(0, b"\x80")],
     {"code point in two fragments"}),
    ([frame(1, "é".encode(), fin=False), frame(0, "é".encode())], set()),
    ([frame(1, b"a", fin=False), frame(1, b"\xc3", fin=False), frame(0, b"\xa9")],
     {"code point in two fragments"}),
    ([frame(2, b"\xc3", fin=False), frame(0, b"\xa9")], set()),
    ([{"text": r'{"a":"\ud800\u0141"}'}], {"lone high surrogate"}),
    ([{"text": r'{"a":"\uDBFFé"}'}], {"lone high surrogate"}),
    *[([{"text": f'{{"a":"\\ud800{rest}"}}'}], set()) for rest in (
        "", "a", "\\u0041", "\\uDC00", "\\udbff", "😀", "\\n", "\\u007f")],
    ([{"text": r'{"a":"\udc00\u0141"}'}], set()),
    ([{"padded_ping": 30}, close(999)], {"illegal close code", "message before the end"}),
    ([{"text": "{}"}, close(999)], {"illegal close code", "message before the end"}),
    ([frame(1, b"{", fin=False), close(999)], {"illegal close code"}),
    ([frame(2, b"{}"), close(999)], {"illegal close code"}),
])
def test_what_is_recognised_in_cases_that_were_made_up(steps, names):
    assert recognised(*steps) == names


@pytest.mark.parametrize("steps", [
    [frame(1, b"\xff", fin=False)], [frame(1, b"a", fin=False), frame(0, b"\xff", fin=False)],
    [frame(1, b"\xc3", fin=False), frame(0, b"\x28")],
])
def test_wsproto_refuses_it_at_once(steps):
    """Why a message that was never finished counts."""
    connection = Connection(ConnectionType.SERVER)
    for step in steps:
        connection.receive_data(wire_bytes(step))
    codes = [event.code for event in connection.events() if isinstance(event, CloseConnection)]
    assert codes == [1007]


# --- what is excused


CONFIRMED = '{"type":"subscription_confirmed","payload":{"channel":"%s","status":"subscribed"},"timestamp":1}'
HIGH = {"text": r'{"type":"subscribe","channel":"\ud800\u0141"}'}
VIOLATED = {**DROPPED, "close": {"code": 1002, "reason": ""}}
CUT = [frame(1, b'{"type":"subscribe","channel":"\xc3', fin=False), frame(0, b'\xa9"}')]
REFUSED = {**DROPPED, "close": {"code": 1007, "reason": "any words"}}


@pytest.mark.parametrize("name", [
    name for entry in BY_INPUT.values() if entry in DEVIATIONS.deviations for name in sorted(entry.cases)])
def test_a_case_of_the_corpus_is_excused_without_its_name(name):
    case = FRAMES[name]
    port = dict(DEVIATIONS.of(case).expected(case).observed)
    assert DEVIATIONS.excuse_generated(replace(case, name="made up"), port)
    assert not DEVIATIONS.excuse_generated(replace(case, name="made up"), {**port, "close": {"code": 1008}})


@pytest.mark.parametrize("steps, reference, port", [
    ([BAD_TEXT], WENT_ON, REFUSED),
    # What was said before is said all the same, and nothing after.
    ([PING, BAD_TEXT], {**WENT_ON, "replies": [PONG, ERROR]}, {**REFUSED, "replies": [PONG]}),
    ([PING, PING, BAD_TEXT, PING], {**WENT_ON, "replies": [PONG, PONG, ERROR, PONG]},
     {**REFUSED, "replies": [PONG, PONG]}),
    ([frame(9, b"a"), BAD_TEXT, frame(9, b"b")],
     {**WENT_ON, "control": [{"opcode": "PONG", "payload_hex": one} for one in ("61", "62")]},
     {**REFUSED, "control": [{"opcode": "PONG", "payload_hex": "61"}]}),
    ([BAD_TEXT, close(1000)], {**DROPPED, "replies": [ERROR], "close": {"code": 1000, "reason": ""}},
     REFUSED),
    ([frame(1, b"\xff", fin=False)], {**DROPPED, "close": {"code": 1002, "reason": ""}}, REFUSED),
    ([close(1000, b"\xff")], DROPPED, REFUSED),
    ([close(2000)], DROPPED, {**DROPPED, "close": {"code": 1002, "reason": ""}}),
    ([PING, close(2000)], {**DROPPED, "replies": [PONG]},
     {**DROPPED, "replies": [PONG], "close": {"code": 1002, "reason": ""}}),
    ([close(1014)], {**DROPPED, "close": {"code": 1014, "reason": ""}},
     {**DROPPED, "close": {"code": 1002, "reason": ""}}),
    # A code over 4999, after which the other side stays there and says no more.
    ([close(31522)], {**WENT_ON, "replies": [], "answers_ping_after": False}, VIOLATED),
    (CUT, {**WENT_ON, "replies": [CONFIRMED % "\ufffd\ufffd"]}, {**WENT_ON, "replies": [CONFIRMED % "é"]}),
    ([PING, *CUT], {**WENT_ON, "replies": [PONG, CONFIRMED % "\ufffd\ufffd"]},
     {**WENT_ON, "replies": [PONG, CONFIRMED % "é"]}),
    ([HIGH], {**WENT_ON, "replies": [CONFIRMED % "?A"]}, {**WENT_ON, "replies": [CONFIRMED % "?Ł"]}),
    ([HIGH], {**WENT_ON, "replies": [CONFIRMED % "?\ufffd"], "faults": ["frame 4 (TEXT) has text …"]},
     {**WENT_ON, "replies": [CONFIRMED % "?é"]}),
])
def test_what_the_deviation_says_is_excused(steps, reference, port):
    assert DEVIATIONS.excuse_generated(case_of(*steps, observed=reference), port)


@pytest.mark.parametrize("steps, reference, port", [
    ([HIGH], {**WENT_ON, "replies": [CONFIRMED % "?A"]}, {**WENT_ON, "replies": []}),
    ([HIGH], {**WENT_ON, "replies": [CONFIRMED % "?A"]}, {**DROPPED, "replies": [CONFIRMED % "?Ł"]}),
    # Another answer to the same input.
    ([BAD_TEXT], WENT_ON, {**REFUSED, "close": {"code": 1002, "reason": ""}}),
    ([BAD_TEXT], WENT_ON, {**REFUSED, "close": None}),
    ([BAD_TEXT], WENT_ON, {**REFUSED, "connection_ended": False}),
    ([BAD_TEXT], WENT_ON, {**REFUSED, "updates_started": ["block_update"]}),
    ([BAD_TEXT], WENT_ON, {**REFUSED, "faults": ["frame 1 (TEXT) is masked"]}),
    # Earlier replies that are others, or more than there were.
    ([PING, BAD_TEXT], {**WENT_ON, "replies": [PONG, ERROR]}, {**REFUSED, "replies": [ERROR]}),
    ([PING, BAD_TEXT], {**WENT_ON, "replies": [PONG, ERROR]}, {**REFUSED, "replies": [PONG, ERROR, ERROR]}),
    ([frame(9, b"a"), BAD_TEXT], {**WENT_ON, "control": [{"opcode": "PONG", "payload_hex": "61"}]},
     {**REFUSED, "control": [{"opcode": "PONG", "payload_hex": "62"}]}),
    # The same answer to another input.
    ([PING], {**WENT_ON, "replies": [PONG]}, REFUSED),
    ([frame(2, b"\xff")], {**WENT_ON, "replies": []}, REFUSED),
    ([close(1000)], {**DROPPED, "close": {"code": 1000, "reason": ""}}, REFUSED),
    ([close(1000)], {**DROPPED, "close": {"code": 1000, "reason": ""}}, {**DROPPED, "close": {"code": 1002}}),
    (CUT, {**WENT_ON, "replies": [CONFIRMED % "\ufffd\ufffd"]}, {**WENT_ON, "replies": []}),
    (CUT, {**WENT_ON, "replies": [CONFIRMED % "é"]}, {**WENT_ON, "replies": [CONFIRMED % "e"]}),
    ([PING, *CUT], {**WENT_ON, "replies": [PONG, CONFIRMED % "\ufffd\ufffd"]},
     {**WENT_ON, "replies": [ERROR, CONFIRMED % "é"]}),
    # A race that only one container has.
    ([PING, frame(3, b"")], VIOLATED, {**VIOLATED, "replies": [PONG]}),
    # A deviation of the close code says nothing of replies.
    ([PING, close(2000)], {**DROPPED, "replies": [PONG]}, {**DROPPED, "close": {"code": 1002, "reason": ""}}),
])
def test_nothing_else_is_excused(steps, reference, port):
    assert not DEVIATIONS.excuse_generated(case_of(*steps, observed=reference), port)


@pytest.mark.parametrize("steps, reference, port", [
    ([PING, frame(3, b"")], VIOLATED, {**VIOLATED, "replies": [PONG]}),
    ([PING, frame(3, b"")], {**VIOLATED, "replies": [PONG]}, VIOLATED),
    ([PING, PING, frame(3, b"")], {**VIOLATED, "replies": [PONG]}, {**VIOLATED, "replies": [PONG, PONG]}),
    # Several habits at once.
    ([PING, close(2000)], DROPPED, {**VIOLATED, "replies": [PONG]}),
    ([PING, close(1000, b"\xff")], DROPPED, {**REFUSED, "replies": [PONG]}),
    ([PING, close(0, b"\xff")], DROPPED, {**VIOLATED, "replies": [PONG]}),
    ([*CUT, PING, frame(3, b"")], {**VIOLATED, "replies": [CONFIRMED % "\ufffd\ufffd"]},
     {**VIOLATED, "replies": [CONFIRMED % "é", PONG]}),
])
def test_a_container_with_races_has_more_excuses(steps, reference, port):
    case = case_of(*steps, observed=reference)
    assert WITH_RACES.excuse_generated(case, port)
    assert not DEVIATIONS.excuse_generated(case, port)


@pytest.mark.parametrize("steps, reference, port", [
    ([PING, frame(3, b"")], VIOLATED, {**VIOLATED, "close": {"code": 1008, "reason": ""}}),
    ([PING, PING, frame(3, b"")], {**VIOLATED, "replies": [PONG]}, {**VIOLATED, "replies": [ERROR, PONG]}),
    ([PING, PING], {**WENT_ON, "replies": [PONG]}, {**WENT_ON, "replies": [PONG, PONG]}),
    ([frame(3, b"")], VIOLATED, {**VIOLATED, "replies": [PONG]}),
])
def test_and_no_more_than_those(steps, reference, port):
    assert not WITH_RACES.excuse_generated(case_of(*steps, observed=reference), port)
