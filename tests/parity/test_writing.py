"""What is written is read back equal, and a file is written whole or not at all."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livestream import contract
from livestream.parity import writing
from livestream.parity.cases import (
    Case, CorpusError, Header, Session, SessionStep, corpus_files, load_cases, load_header, load_session,
)
from livestream.parity.writing import append_case, case_line, header_line, write_cases, write_session

HEADER = Header(contract.CORPUS_FORMAT, "here", "2026-11-23")
OBSERVED = {
    "replies": [], "updates_started": [], "control": [], "close": None, "connection_ended": False,
    "answers_ping_after": True,
}
CASE = Case("a", "message", OBSERVED, ({"text": "{}"},))
SESSION = Session("x", HEADER, (SessionStep(0.5, "send", "{}"), SessionStep(0.6, "recv", event="eof")))

#: Everything that Python can hold, halves of surrogate pairs, line ends and U+2028 too.
TEXT = st.text(st.characters(codec=None, categories=None)) | st.sampled_from(
    ["\ud800", "\udfff\ud800", "a\nb\r\nc\x85\u2028\u2029\x0b\x0c\x1c", "\ufeff", "\0", "😀", '"\\'])
#: A text that is sent is UTF-8, so it has no half of a surrogate pair.
SENT = st.text() | st.sampled_from(["a\nb\r\nc\x85\u2028\u2029\x0b\x0c\x1c", "\ufeff", "\0", "😀", '"\\'])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)
HEADERS = st.builds(Header, st.just(contract.CORPUS_FORMAT), TEXT, TEXT, st.booleans())
STEPS = st.one_of(
    st.builds(lambda text: {"text": text}, SENT),
    st.builds(lambda data: {"raw_hex": data.hex()}, st.binary(max_size=20)),
    st.builds(lambda data, opcode, fin: {"frame": {
        "opcode": opcode, "payload_hex": data.hex(), "fin": fin, "mask": True, "rsv": 0}},
        st.binary(max_size=20), st.integers(0, 15), st.booleans()),
    st.builds(lambda size: {"padded_ping": size, "fragment": 7}, st.integers(30, 90)),
)
CONVERSATIONS = st.builds(
    Case, TEXT, st.sampled_from(["message", "frame"]),
    st.builds(lambda replies, close, more: {**OBSERVED, "replies": replies, "close": close, **more},
              st.lists(TEXT, max_size=3), st.none() | st.fixed_dictionaries({"code": st.integers()}),
              st.dictionaries(st.sampled_from(["faults", "further"]), JSON)),
    st.lists(STEPS, max_size=3).map(tuple))
SILENCES = st.builds(
    Case, TEXT, st.just("silence"), st.builds(lambda frames: {"frames": frames}, st.lists(JSON, max_size=3)),
    st.lists(STEPS, max_size=3).map(tuple))
HANDSHAKES = st.builds(
    lambda name, request, status: Case(
        name, "handshake", {"status": status, "headers": {}, "stream_opens": False}, request=request),
    TEXT, st.dictionaries(TEXT, JSON, max_size=3), st.integers())
REQUESTS = st.builds(
    lambda name, request, body: Case(name, "http", {
        "status": 200, "content_type": None, "allow": None, "access_control_allow_origin": None, "body": body,
    }, request=request),
    TEXT, st.dictionaries(TEXT, JSON, max_size=3), TEXT)
CASES = st.one_of(CONVERSATIONS, SILENCES, HANDSHAKES, REQUESTS)
TIMES = st.floats(0, 60, allow_nan=False).map(lambda at: round(at, 3))
SESSION_STEPS = st.builds(
    lambda at, direction, said: SessionStep(at, direction, **said), TIMES, st.sampled_from(["send", "recv"]),
    st.one_of(st.builds(lambda text: {"text": text}, TEXT), st.builds(lambda code: {"close": code},
              st.integers(0, 65_535)), st.builds(lambda event: {"event": event}, TEXT)))

#: One folder for all examples is what is wanted: each file is written over the last one.
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- what is written is read back equal


@given(HEADERS, st.lists(CASES, max_size=4, unique_by=lambda case: case.name))
@in_one_folder
def test_cases_are_read_back_equal(tmp_path, header, cases):
    path = tmp_path / "own.jsonl"
    write_cases(path, header, cases)
    assert load_header(path) == header
    assert load_cases(path) == cases
    assert names(tmp_path) == ["own.jsonl"]


@given(HEADERS, st.lists(SESSION_STEPS, max_size=6).map(tuple))
@in_one_folder
def test_sessions_are_read_back_equal(tmp_path, header, steps):
    path = tmp_path / "session-own.jsonl"
    session = Session("own", header, steps)
    write_session(path, header, session)
    assert load_session(path) == session
    assert names(tmp_path) == ["session-own.jsonl"]


@given(HEADERS, CASES)
def test_a_line_is_a_line_of_ascii(header, case):
    """So every tool that cuts at line ends cuts where we do, and no half of a surrogate pair is lost."""
    for line in (header_line(header), case_line(case)):
        assert line.isascii() and line.splitlines() == [line]


def test_a_lone_surrogate_stands_as_its_escape(tmp_path):
    path = tmp_path / "own.jsonl"
    write_cases(path, HEADER, [Case("a", "message", {**OBSERVED, "replies": ["\ud800"]})])
    assert r'"replies": ["\ud800"]' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", corpus_files())
def test_the_packaged_corpus_written_again_is_the_same(file, tmp_path):
    path, header = tmp_path / file, load_header(file)
    if file.startswith("session-"):
        write_session(path, header, load_session(file))
        assert load_session(path) == load_session(file)
    else:
        write_cases(path, header, load_cases(file))
        assert load_cases(path) == load_cases(file)
    assert load_header(path) == header


def test_partial_stands_in_the_header_only_when_it_is():
    assert "partial" not in json.loads(header_line(HEADER))
    assert json.loads(header_line(Header("f", "a", "b", partial=True)))["partial"] is True


# --- all or nothing


WRITERS = {
    "cases": lambda path: write_cases(path, HEADER, [CASE]),
    "session": lambda path: write_session(path, HEADER, SESSION),
}


def fails_half_way(monkeypatch):
    """The disk is full after the first bytes."""
    whole = Path.write_text

    def write_text(self, data, **options):
        whole(self, data[:20], **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_text)


def fails_in_the_end(monkeypatch):
    def replace(_source, _target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", replace)


def is_interrupted(monkeypatch):
    whole = Path.write_text

    def write_text(self, data, **options):
        whole(self, data[:20], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", write_text)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("breaks", [fails_half_way, fails_in_the_end, is_interrupted])
@pytest.mark.parametrize("before", [None, "precious"])
def test_a_write_that_fails_changes_nothing(tmp_path, monkeypatch, write, breaks, before):
    path = tmp_path / "own.jsonl"
    if before is not None:
        path.write_text(before)
    with monkeypatch.context() as broken, pytest.raises((OSError, KeyboardInterrupt)):
        breaks(broken)
        write(path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == (
        {} if before is None else {"own.jsonl": before})


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_is_there_stays_until_the_new_file_is_whole(tmp_path, monkeypatch, write):
    path = tmp_path / "own.jsonl"
    path.write_text("precious")
    swap, seen = os.replace, []

    def replace(source, target):
        seen.append((path.read_text(), Path(source).read_text().splitlines()[0]))
        swap(source, target)

    monkeypatch.setattr(writing.os, "replace", replace)
    write(path)
    assert seen == [("precious", header_line(HEADER))]
    assert path.read_text().splitlines()[0] == header_line(HEADER)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_case_that_can_not_be_written_changes_nothing(tmp_path, write):
    path = tmp_path / "own.jsonl"
    write(path)
    kept = path.read_bytes()
    with pytest.raises(TypeError):
        write_cases(path, HEADER, [CASE, Case("b", "message", {"replies": object()})])
    assert path.read_bytes() == kept
    assert names(tmp_path) == ["own.jsonl"]


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_folder_that_is_missing_or_in_the_way_is_an_os_error(tmp_path, write):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "none" / "own.jsonl")
    (tmp_path / "own.jsonl").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "own.jsonl")
    assert names(tmp_path) == ["own.jsonl"]


# --- adding to a file


def test_a_new_file_begins_with_its_header(tmp_path):
    path = tmp_path / "own.jsonl"
    append_case(path, CASE, HEADER)
    assert (load_header(path), load_cases(path)) == (HEADER, [CASE])


@given(st.lists(CASES, min_size=1, max_size=4))
@in_one_folder
def test_what_is_added_is_read_back_under_a_free_name(tmp_path, cases):
    path = tmp_path / "own.jsonl"
    path.unlink(missing_ok=True)
    for case in cases:
        append_case(path, case, HEADER)
    read = load_cases(path)
    assert len({case.name for case in read}) == len(read)
    assert [(case.kind, case.send, case.request, case.observed) for case in read] == [
        (case.kind, case.send, case.request, case.observed) for case in cases]
    assert all(one.name.startswith(case.name) for one, case in zip(read, cases))


def test_a_name_that_is_taken_gets_the_next_free_number(tmp_path):
    path = tmp_path / "own.jsonl"
    for name in ("a", "a-2", "a", "a"):
        append_case(path, Case(name, "message", OBSERVED), HEADER)
    assert [case.name for case in load_cases(path)] == ["a", "a-2", "a-3", "a-4"]


def test_a_last_line_without_its_end_is_ended(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(f"{header_line(HEADER)}\n{case_line(CASE)}")
    append_case(path, Case("b", "message", OBSERVED), HEADER)
    assert [case.name for case in load_cases(path)] == ["a", "b"]


def test_a_bare_name_is_never_a_packaged_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    append_case(Path("messages.jsonl"), CASE, HEADER)
    assert load_cases(tmp_path / "messages.jsonl") == [CASE]


@pytest.mark.parametrize("content", ["", "precious", '{"format": "livestream-corpus/0"}\n'])
def test_a_file_of_another_sort_is_left_as_it_was(tmp_path, content):
    path = tmp_path / "own.jsonl"
    path.write_text(content)
    with pytest.raises(CorpusError, match="own.jsonl"):
        append_case(path, CASE, HEADER)
    assert path.read_text() == content


def test_a_folder_in_the_way_is_a_corpus_error(tmp_path):
    with pytest.raises(CorpusError, match="can't be read"):
        append_case(tmp_path, CASE, HEADER)
    with pytest.raises(CorpusError, match="can't be written"):
        append_case(tmp_path / "none" / "own.jsonl", CASE, HEADER)
