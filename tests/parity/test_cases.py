"""The corpus is read whole, and a file that can't be used is refused by name and line."""

import json

import pytest

from livestream.parity.cases import (
    CorpusError, SessionStep, corpus_files, load_cases, load_header, load_session, wire_bytes,
)
from livestream.wire.frames import Frame, FrameReader, Opcode

HEADER = '{"format": "livestream-corpus/1", "recorded_from": "here", "recorded_on": "2026-11-23"}'
OBSERVED = {
    "replies": [], "updates_started": [], "control": [], "close": None, "connection_ended": False,
    "answers_ping_after": True,
}
CASE = {"case": "a", "kind": "message", "send": [{"text": "{}"}], "observed": OBSERVED}


def write(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def frames(step):
    return [frame._replace(masked=False) for frame in FrameReader().feed(wire_bytes(step))]


def test_every_packaged_file_is_read():
    loaded = {
        name: len(load_session(name).steps if name.startswith("session-") else load_cases(name))
        for name in corpus_files()
    }
    assert loaded == {
        "frames.jsonl": 59, "handshake.jsonl": 26, "http.jsonl": 23, "messages.jsonl": 123,
        "shipped.jsonl": 13,
        "session-all-channels.jsonl": 76, "session-mixed.jsonl": 39, "session-repeat-subscribe.jsonl": 64,
        "session-tps-only.jsonl": 16,
    }


def test_headers_say_where_a_file_comes_from():
    header = load_header("shipped.jsonl")
    assert header.recorded_from.endswith("message handling on I/O threads")
    assert header.recorded_on == "2026-11-23"


def test_a_case_has_what_it_needs():
    case = next(case for case in load_cases("messages.jsonl") if case.name == "ping")
    assert (case.kind, case.send, case.request) == ("message", ({"text": '{"type":"ping"}'},), None)
    assert case.observed["answers_ping_after"] is True
    handshake = load_cases("handshake.jsonl")[1]
    assert (handshake.name, handshake.request) == ("no-key", {"drop": ["Sec-WebSocket-Key"]})


def test_a_session_by_its_short_name():
    session = load_session("tps-only")
    assert session.name == "tps-only"
    assert session.steps[-3:] == (
        SessionStep(11.501, "send", close=1000), SessionStep(11.503, "recv", close=1000),
        SessionStep(11.503, "recv", event="eof"),
    )


def test_a_session_step_is_written_as_it_was_read():
    records = [{"at": 0.5, "dir": "send", "text": ""}, {"at": 1.0, "dir": "recv", "event": "eof"}]
    assert [SessionStep(**record).record() for record in records] == records


def test_a_users_files(tmp_path):
    [case] = load_cases(write(tmp_path / "own.jsonl", HEADER, CASE, ""))
    assert case.name == "a"
    path = write(tmp_path / "session-own.jsonl", HEADER, {"at": 0, "dir": "recv", "text": "x"})
    session = load_session(path)
    assert (session.name, session.steps) == ("own", (SessionStep(0.0, "recv", "x"),))


def test_a_line_separator_inside_a_text_does_not_end_the_line(tmp_path):
    line = json.dumps(CASE | {"send": [{"text": "\u2028"}]}, ensure_ascii=False)
    path = tmp_path / "own.jsonl"
    path.write_text(f"{HEADER}\n{line}\n", encoding="utf-8")
    assert load_cases(path)[0].send == ({"text": "\u2028"},)


@pytest.mark.parametrize("line, words", [
    ("{", "line 2 is not JSON"),
    ("[]", "line 2 is not a JSON object"),
    ({}, "line 2: `case` is missing or not str"),
    (CASE | {"kind": "dance"}, "line 2: the kind 'dance' is none of message, frame"),
    (CASE | {"send": None}, "line 2: `send` is missing or not list"),
    (CASE | {"kind": "http"}, "line 2: `observed` lacks access_control_allow_origin, allow, body"),
    (CASE | {"observed": {}}, "line 2: `observed` lacks answers_ping_after, close, connection_ended"),
    (CASE | {"send": [{}]}, "line 2: a step can't be sent: a step has just one of text, frame"),
    (CASE | {"send": ["x"]}, "line 2: a step can't be sent"),
    (CASE | {"send": [{"text": 1}]}, "line 2: a step can't be sent"),
    (CASE | {"send": [{"text": "\ud800"}]}, "line 2: a step can't be sent"),
    (CASE | {"send": [{"frame": {"opcode": 1}}]}, "line 2: a step can't be sent"),
    (CASE | {"send": [{"frame": {"opcode": 99, "payload_hex": ""}}]}, "line 2: a step can't be sent"),
    (CASE | {"send": [{"padded_ping": 3}]}, "can't be sent: a padded ping has at least 22 bytes"),
    (CASE | {"send": [{"padded_ping": 50, "fragment": 0}]}, "line 2: a step can't be sent"),
    (CASE | {"send": [{"raw_hex": "xy"}]}, "line 2: a step can't be sent"),
])
def test_a_broken_line_is_named(tmp_path, line, words):
    path = write(tmp_path / "own.jsonl", HEADER, line)
    with pytest.raises(CorpusError) as caught:
        load_cases(path)
    assert f"{path}" in str(caught.value)
    assert words in str(caught.value)


def test_a_name_can_be_used_once(tmp_path):
    with pytest.raises(CorpusError, match="line 3: there is a case 'a' before"):
        load_cases(write(tmp_path / "own.jsonl", HEADER, CASE, CASE))


@pytest.mark.parametrize("step, words", [
    ({"at": "1", "dir": "send", "text": ""}, "`at` is missing"),
    ({"at": 1, "dir": "up", "text": ""}, "`dir` is 'up'"),
    ({"at": 1, "dir": "send"}, "a step has just one of text, close and event"),
    ({"at": 1, "dir": "send", "text": "", "close": 1000}, "a step has just one of"),
    ({"at": 1, "dir": "send", "close": "1000"}, "`close` is missing or not int"),
])
def test_a_broken_step_is_named(tmp_path, step, words):
    with pytest.raises(CorpusError, match=f"line 2: {words}"):
        load_session(write(tmp_path / "own.jsonl", HEADER, step))


@pytest.mark.parametrize("lines, words", [
    ([], "is empty"),
    (['{"format": "livestream-corpus/2"}'], "line 1: the format is 'livestream-corpus/2', not"),
    ([CASE], "line 1: the format is 'none'"),
])
def test_another_format_is_refused(tmp_path, lines, words):
    with pytest.raises(CorpusError, match=words):
        load_cases(write(tmp_path / "own.jsonl", *lines))


def test_a_file_that_is_not_there():
    with pytest.raises(CorpusError, match="nowhere.jsonl can't be read"):
        load_cases("nowhere.jsonl")


def test_text_steps_are_one_masked_frame():
    assert frames({"text": "é"}) == [Frame(Opcode.TEXT, "é".encode())]
    assert FrameReader().feed(wire_bytes({"text": "x"}))[0].masked


def test_frame_steps_say_everything():
    step = {"frame": {"opcode": 9, "payload_hex": "ff00", "fin": False, "rsv": 4, "mask": False}}
    assert FrameReader().feed(wire_bytes(step)) == [Frame(Opcode.PING, b"\xff\0", fin=False, rsv=4)]


@pytest.mark.parametrize("size, fragment, sizes", [
    (22, None, [22]), (100, 100, [100]), (100, 40, [40, 40, 20]), (100, 50, [50, 50]),
])
def test_padded_pings(size, fragment, sizes):
    got = frames({"padded_ping": size} | ({"fragment": fragment} if fragment else {}))
    assert [len(frame.payload) for frame in got] == sizes
    assert [frame.opcode for frame in got] == [Opcode.TEXT] + [Opcode.CONTINUATION] * (len(sizes) - 1)
    assert [frame.fin for frame in got] == [False] * (len(sizes) - 1) + [True]
    message = json.loads(b"".join(frame.payload for frame in got))
    assert list(message) == ["type", "a"]
    assert message["type"] == "ping"


def test_raw_bytes():
    assert wire_bytes({"raw_hex": "81ff80"}) == b"\x81\xff\x80"
