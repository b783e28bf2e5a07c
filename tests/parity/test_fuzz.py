"""The fuzzer, on real servers: the port, an independent one, and ones that are spoilt in one way."""

import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.stateful import run_state_machine_as_test

import livestream
from livestream.parity.cases import Case, CorpusError, Header, load_cases, wire_bytes
from livestream.parity.fuzzing.fuzz import GROUPS, fuzz
from livestream.parity.fuzzing.strategies import FRAMES, MESSAGES, TEXTS, Conversation, frame
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.deviations import load_deviations
from livestream.parity.playing.player import play_all, play_case
from livestream.parity.playing.target import Limits, NoAnswer, Target
from livestream.parity.writing import append_case, case_line
from livestream.stream.jackson import JsonError, read_tree
from livestream.wire.frames import FrameReader, Opcode, ServerStreamCheck, encode_frame
from livestream.wire.handshake import accept_value
from tests.parity.independent_server import independent_server, serving

HEADER = Header("livestream-corpus/1", "a test", "2026-11-24")
SHORT = Limits(answer=0.3, missing=0.1, settle=0.1)
#: One server spoilt in one way, and the text that shows it.
SPOILT = {
    "confirmation": lambda text: text.replace('"status":"subscribed"', '"status":"ok"'),
    "pong": lambda text: text.replace('"pong","payload":{"timestamp"', '"pong","payload":{"time"'),
}


def generated(strategy, number):
    """So many examples, the same every time."""
    examples = []

    @seed(1)
    @settings(
        max_examples=number, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(example):
        examples.append(example)

    collect()
    return examples


@pytest.fixture(scope="module")
def conversations():
    played = []
    machine = seed(1)(type("Machine", (Conversation,), {"play": staticmethod(played.append)}))
    run_state_machine_as_test(machine, settings=settings(
        max_examples=150, stateful_step_count=12, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck)))
    return played


# --- agreement and disagreement


def test_the_port_agrees_with_itself(serve):
    played = []
    found = fuzz(Target(serve().url), Target(serve().url), 60, 7, on_example=lambda: played.append(1))
    assert found == []
    assert len(played) == 60


def test_what_the_port_and_an_independent_server_disagree_about_is_small_and_can_be_kept(serve, tmp_path):
    subject = Target(serve().url)
    path = tmp_path / "found.jsonl"
    with independent_server() as url:
        reference = Target(url)
        # How deep Python's JSON reader goes depends on who calls it; everything else is fair.
        [found] = fuzz(subject, reference, 200, 1, groups=("messages",), known=lambda case, observed: any(
            len(step["text"]) > 200 for step in case.send))
        append_case(path, found.case, HEADER)
        [case] = load_cases(path)
        assert differences(case, play_case(case, reference)) == []
    assert differences(case, play_case(case, subject)) == found.differences != []
    assert differences(case, found.observed) == found.differences
    assert found.stable
    assert (case.name, case.kind) == ("fuzz-messages-1-1", "message")
    [step] = case.send
    assert len(step["text"]) < 60


@pytest.mark.parametrize("what, group, step, shown", [
    ("pong", "messages", "text", '"payload":{"time":'),
    ("pong", "frames", "frame", '"payload":{"time":'),
    ("confirmation", "conversations", "text", '"status":"ok"'),
])
def test_a_spoilt_server_is_found_by_the_one_step_that_shows_it(what, group, step, shown):
    with independent_server(SPOILT[what]) as subject, independent_server() as reference:
        [found] = fuzz(Target(subject), Target(reference), 120, 1, groups=(group,))
    [difference] = found.differences
    assert difference.where == "replies[0]"
    assert shown in difference.got and shown not in difference.expected
    [only] = found.case.send
    assert list(only) == [step]
    assert found.stable


def test_what_is_known_is_no_disagreement():
    with independent_server(SPOILT["confirmation"]) as subject, independent_server() as reference:
        seen = []

        def known(case, observed):
            seen.append(differences(case, observed))
            return True

        assert fuzz(Target(subject), Target(reference), 40, 1, groups=("messages",), known=known) == []
    assert seen and all(seen)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_does_not_happen_again_is_told_apart(times):
    left = itertools.count(-times)

    def spoil_a_few(text):
        return SPOILT["confirmation"](text) if '"subscribed"' in text and next(left) < 0 else text

    with independent_server(spoil_a_few) as subject, independent_server() as reference:
        [found] = fuzz(Target(subject), Target(reference), 60, 1, groups=("messages",))
    assert not found.stable
    assert found.differences == differences(found.case, found.observed) != []


def test_rules_say_what_may_differ():
    numbers = itertools.count()

    def apart(text):
        """No two timestamps are the same."""
        return text.replace('"timestamp":1', f'"timestamp":{1 + next(numbers) % 8}')

    with independent_server(apart) as subject, independent_server() as reference:
        [found] = fuzz(Target(subject), Target(reference), 12, 1, groups=("messages",), rules=())
        assert "timestamp" in str(found.differences[0])
        assert fuzz(Target(subject), Target(reference), 12, 1, groups=("messages",)) == []


# --- what is generated


@contextmanager
def listening():
    """A server that answers pings only; every message it gets, in order."""
    heard = []

    def listen(connection):
        connection.send('{"type":"connection_established"}')
        connection.send('{"type":"tps_update"}')
        for message in connection:
            heard.append(message)
            connection.send('{"type":"pong"}')

    with serving(listen) as url:
        yield Target(url), heard


def heard_in(count, number):
    with listening() as (subject, heard), listening() as (reference, heard_too):
        assert fuzz(subject, reference, count, number, groups=("messages", "conversations")) == []
    assert heard == heard_too
    return heard


def test_a_seed_generates_the_same_again():
    first = heard_in(30, 5)
    assert len(first) > 40
    assert heard_in(30, 5) == first
    assert heard_in(30, 6) != first


@pytest.mark.parametrize("strategy, number", [(MESSAGES, 400), (FRAMES, 400)], ids=["messages", "frames"])
def test_every_step_can_be_sent_and_kept(strategy, number):
    for steps in generated(strategy, number):
        assert 1 <= len(steps) <= 5
        assert all(wire_bytes(step) for step in steps)
        assert json.loads(json.dumps(steps)) == steps


def test_texts_are_legal_and_illegal_often_and_fit_into_a_frame():
    texts = set(generated(TEXTS, 600))
    assert max(len(text.encode()) for text in texts) <= 65_536

    def reading(text):
        try:
            return type(read_tree(text)).__name__
        except JsonError:
            return "error"

    kinds = Counter(map(reading, texts))
    assert min(kinds["dict"], kinds["error"]) > len(texts) / 6
    assert kinds.keys() >= {"str", "int", "float", "list"}


def test_frames_are_of_every_sort():
    steps = [step for steps in generated(FRAMES, 600) for step in steps]
    sent = [step["frame"] for step in steps if "frame" in step]
    assert {sort for step in steps for sort in step} == {"frame", "padded_ping", "fragment", "raw_hex"}
    assert {one["opcode"] for one in sent} >= {0, 1, 2, 3, 8, 9, 10, 15}
    assert {flag for one in sent for flag in one} == {"opcode", "payload_hex", "fin", "mask", "rsv"}
    assert {len(one["payload_hex"]) // 2 for one in sent if one["opcode"] == 9} >= {0, 1, 125, 126}


def test_nothing_comes_after_a_close(conversations):
    for steps in conversations:
        opcodes = [step["frame"]["opcode"] if "frame" in step else Opcode.TEXT for step in steps]
        assert Opcode.CLOSE not in opcodes[:-1]
    assert any(step == frame(Opcode.CLOSE) for steps in conversations for step in steps)


def test_conversations_are_legal_and_end_between_messages(conversations):
    for steps in conversations:
        check = ServerStreamCheck()
        frames = FrameReader().feed(b"".join(map(wire_bytes, steps)))
        for one in frames:
            check.look_at(one._replace(masked=False))
        assert check.faults == []
        data = [one for one in frames if one.opcode < Opcode.CLOSE]
        assert frames[-1].opcode == Opcode.CLOSE or not data or data[-1].fin


def test_a_subscription_and_a_close_never_meet(conversations):
    def has(steps, part):
        return any(part in str(step) for step in steps)

    closed = [steps for steps in conversations if has(steps, "'opcode': 8")]
    subscribed = [steps for steps in conversations if has(steps, '"channel":"block_updates"')]
    assert closed and subscribed
    assert [steps for steps in subscribed if steps in closed] == []


def test_conversations_hold_every_sort_of_step(conversations):
    sorts = Counter(
        (one.opcode, one.fin) for steps in conversations
        for one in FrameReader().feed(b"".join(map(wire_bytes, steps))))
    assert sorts.keys() >= {
        (0, False), (0, True), (1, False), (1, True), (2, False), (2, True), (8, True), (9, True), (10, True)}


# --- how a run goes and ends


@pytest.mark.parametrize("groups, count", [
    (("frames",), 5), (("conversations",), 3), (GROUPS, 1), (GROUPS, 0)])
def test_as_many_examples_as_asked(groups, count):
    played = []
    with independent_server() as url:
        fuzz(Target(url), Target(url), count, 2, groups=groups, on_example=lambda: played.append(1))
    assert len(played) == count


def test_an_unknown_group():
    with pytest.raises(ValueError, match="there is no group 'http', only messages, frames, conversations"):
        fuzz(Target("ws://127.0.0.1:1"), Target("ws://127.0.0.1:1"), 1, 1, groups=("http",))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("side", [0, 1])
def test_a_dead_server_ends_the_run(group, side):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = f"ws://127.0.0.1:{listener.getsockname()[1]}"
    played = []
    with independent_server() as url, pytest.raises(NoAnswer, match=f"Could not connect to {dead}"):
        targets = [Target(url), Target(url)]
        targets[side] = Target(dead)
        fuzz(*targets, 20, 1, groups=(group,), on_example=lambda: played.append(1))
    assert played == []


def test_a_server_that_falls_silent_in_the_middle_is_not_shrunk():
    connections = itertools.count()

    def falls_silent(connection):
        if next(connections) < 3:
            connection.send('{"type":"connection_established"}')
            connection.send('{"type":"tps_update"}')
            for _ in connection:
                connection.send('{"type":"pong"}')

    played = []
    with serving(falls_silent) as url, listening() as (reference, heard):
        with pytest.raises(NoAnswer, match=url):
            fuzz(Target(url, limits=SHORT), reference, 20, 1, on_example=lambda: played.append(1))
    assert (len(played), next(connections)) == (3, 4)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, SystemExit])
@pytest.mark.parametrize("group", GROUPS)
def test_on_example_can_end_the_run(error, group):
    played = []

    def stop():
        played.append(1)
        if len(played) == 3:
            raise error

    with independent_server() as url, pytest.raises(error):
        fuzz(Target(url), Target(url), 20, 1, groups=(group,), on_example=stop)
    assert len(played) == 3


def test_it_can_run_while_an_exception_is_handled():
    """A conversation is played when nothing went wrong in it, whatever went wrong around it."""
    played = []
    with independent_server() as url:
        try:
            raise KeyError
        except KeyError:
            fuzz(
                Target(url), Target(url), 3, 1,
                groups=("conversations",), on_example=lambda: played.append(1))
    assert len(played) == 3


def test_it_prints_nothing_and_leaves_no_file(tmp_path):
    code = (
        "import sys\n"
        "from livestream.parity.fuzzing.fuzz import fuzz\n"
        "from livestream.parity.playing.target import Target\n"
        "found = fuzz(Target(sys.argv[1]), Target(sys.argv[2]), 24, 1)\n"
        "sys.exit(len(found))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(livestream.__file__).parent.parent)}
    with independent_server(SPOILT["confirmation"]) as subject, independent_server() as reference:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, subject, reference],
            cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert done.returncode >= 1
    assert list(tmp_path.iterdir()) == []


# --- the player, without a recording


@pytest.mark.parametrize("file", ["messages.jsonl", "frames.jsonl"])
def test_the_corpus_comes_out_as_recorded_when_nothing_is_recorded(serve, file):
    cases = load_cases(file)
    target = Target(serve().url, limits=Limits(settle=0.05))
    wrong = {}
    for case, outcome in zip(cases, play_all([replace(case, observed={}) for case in cases], target)):
        found = differences(case, outcome.observed)
        if found and not load_deviations().excuse(case, outcome.observed):
            wrong[case.name] = [str(one) for one in found]
    assert wrong == {}


def test_no_ping_goes_into_a_connection_that_is_ending():
    """A server that doesn't read on would answer it with a reset, and the Close frame could be lost."""
    heard = []

    def serve_once(listener):
        connection, _ = listener.accept()
        with connection:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += connection.recv(4096)
            key = re.search(r"Sec-WebSocket-Key: (\S+)", request.decode())[1]
            texts = b'{"type":"connection_established"}', b'{"type":"tps_update"}'
            connection.sendall(
                b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + f"Sec-WebSocket-Accept: {accept_value(key)}\r\n\r\n".encode()
                + b"".join(encode_frame(Opcode.TEXT, text, mask=None) for text in texts))
            reader, frames = FrameReader(), []
            while not frames:
                frames = reader.feed(connection.recv(4096))
            connection.sendall(encode_frame(Opcode.CLOSE, frames[0].payload, mask=None))
            connection.shutdown(socket.SHUT_WR)
            heard.extend(frames)
            while data := connection.recv(4096):
                heard.extend(reader.feed(data))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_once, args=(listener,))
        thread.start()
        target = Target(f"ws://127.0.0.1:{listener.getsockname()[1]}", limits=Limits(settle=1.0))
        observed = play_case(Case("x", "frame", {}, (frame(Opcode.CLOSE, b"\x03\xe8"),)), target)
        thread.join(10)
    assert [one.opcode for one in heard] == [Opcode.CLOSE]
    assert (observed["close"], observed["connection_ended"]) == ({"code": 1000, "reason": ""}, True)


# --- keeping what was found


OBSERVED = load_cases("messages.jsonl")[0].observed
CASE = Case("fuzz-messages-1-1", "message", OBSERVED, ({"text": "é\u2028\n"},))


@pytest.mark.parametrize("file", [
    "messages.jsonl", "frames.jsonl", "handshake.jsonl", "http.jsonl", "shipped.jsonl"])
def test_a_line_is_as_it_stands_in_the_corpus(file):
    text = (files("livestream.parity") / "corpus" / file).read_text(encoding="utf-8")
    assert [case_line(case) for case in load_cases(file)] == text.splitlines()[1:]


def test_a_new_file_begins_with_its_header(tmp_path):
    path = tmp_path / "new.jsonl"
    append_case(path, CASE, HEADER)
    first, second = path.read_text().splitlines()
    assert json.loads(first) == {
        "format": "livestream-corpus/1", "recorded_from": "a test", "recorded_on": "2026-11-24"}
    assert second == case_line(CASE)
    assert load_cases(path) == [CASE]


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    path = tmp_path / "more.jsonl"
    append_case(path, CASE, HEADER)
    path.write_text(path.read_text().rstrip("\n"))
    for _ in range(2):
        append_case(path, CASE, HEADER)
    assert [case.name for case in load_cases(path)] == [
        "fuzz-messages-1-1", "fuzz-messages-1-1-2", "fuzz-messages-1-1-3"]
    assert all(case.send == CASE.send for case in load_cases(path))


def test_a_bare_name_is_the_users_file_and_not_a_packaged_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("messages.jsonl")
    for _ in range(2):
        append_case(path, replace(CASE, name="ping"), HEADER)
    assert [case.name for case in load_cases(path.absolute())] == ["ping", "ping-2"]


@pytest.mark.parametrize("content", [
    "", "text\n", '{"format":"other/1"}\n', '[1]\n',
    '{"format":"livestream-corpus/1"}\n{"at":1,"dir":"recv"}\n',
], ids=["empty", "text", "other format", "no object", "a session"])
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "other.jsonl"
    path.write_text(content)
    with pytest.raises(CorpusError, match=str(path)):
        append_case(path, CASE, HEADER)
    assert path.read_text() == content


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(CorpusError, match="can't be written"):
        append_case(tmp_path / "nowhere" / "new.jsonl", CASE, HEADER)
