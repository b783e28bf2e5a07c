"""The player, against an independent server, and against servers that misbehave."""

import itertools
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from livestream.parity.cases import Case, Session, load_cases, load_header, load_session
from livestream.parity.judging.comparison import differences
from livestream.parity.playing.conversation import CLOSING_PING
from livestream.parity.playing.player import (
    play_all, play_case, play_each, play_handshake_case, play_http_case, play_message_case, play_silence_case,
)
from livestream.parity.playing.sessions import play_session
from livestream.parity.playing.target import Limits, NoAnswer, Target
from livestream.wire.client import WireError
from tests.parity.independent_server import independent_server, serving

MESSAGES = {case.name: case for case in load_cases("messages.jsonl")}
FRAMES = {case.name: case for case in load_cases("frames.jsonl")}
HANDSHAKES = {case.name: case for case in load_cases("handshake.jsonl")}
SHIPPED = {case.name: case for case in load_cases("shipped.jsonl")}

#: Where only the time limit can end the waiting.
SHORT = Limits(answer=0.3, missing=0.1, settle=0.1, silence=0.2)
#: What an honest server without the original's JSON and frame limits answers as the original does.
SAME_EVERYWHERE = [
    *(MESSAGES[name] for name in (
        "ping", "ping-extra", "ping-space", "ping-dup-key", "ping-dup-key2", "type-missing", "type-array",
        "empty", "scalar-num", "array", "text-garbage", "num-dot", "emoji-value", "sub-tps_updates",
        "sub-block_updates", "sub-network_status", "sub-validator_metrics", "sub-none", "sub-empty",
        "sub-unknown", "sub-uni", "sub-nul", "sub-long", "unsub", "portal-subscribe")),
    *(FRAMES[name] for name in (
        "binary-ping", "fragmented-text", "control-ping-between-fragments", "control-ping-125",
        "control-ping-126", "continuation-without-start", "close-1000", "close-4999", "close-one-byte",
        "close-then-text", "unmasked", "rsv-4", "reserved-opcode-15", "text-of-65536",
        "fragments-of-32768-to-2097152", "subscribe-twice")),
    *(HANDSHAKES[name] for name in (
        "plain", "connection-list", "upgrade-other-case", "subprotocols-offered", "deflate-offered",
        "origin-foreign", "path-query", "path-suffix", "path-root")),
]


@pytest.fixture(scope="module")
def server():
    with independent_server() as url:
        yield Target(url)


def pong(text):
    """Whether a message on its way out is a pong."""
    return json.loads(text)["type"] == "pong"


# --- an independent server


def test_it_is_the_same_where_it_follows_the_spec(server):
    outcomes = play_all(SAME_EVERYWHERE, server)
    assert [outcome.case for outcome in outcomes] == SAME_EVERYWHERE
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    found = {outcome.case.name: differences(outcome.case, outcome.observed) for outcome in outcomes}
    assert {name: found for name, found in found.items() if found} == {}


@pytest.mark.parametrize("case, where", [
    (MESSAGES["lit-nan"], {"replies[0]"}),
    (MESSAGES["lit-truefalse"], {"replies[0]"}),
    (MESSAGES["sub-float-exp"], {"replies[0]"}),
    (FRAMES["close-999-illegal"], {"close"}),
    (FRAMES["utf8-invalid-byte"], {"replies[0]", "close", "connection_ended", "answers_ping_after"}),
    (FRAMES["text-of-65537"], {"replies[0]", "close", "connection_ended", "answers_ping_after"}),
    (HANDSHAKES["no-key"], {"status"}),
    (HANDSHAKES["no-connection"], {"status", "headers", "stream_opens"}),
], ids=lambda value: getattr(value, "name", ""))
def test_where_it_differs_is_seen(server, case, where):
    observed = play_case(case, server)
    assert {difference.where.partition(":")[0] for difference in differences(case, observed)} == where


def test_without_a_recording_the_result_is_the_same(server):
    """The recording only sets the pace: a fuzzed case has none."""
    names = ("ping", "sub-block_updates", "close-1000", "control-ping")
    for case in ((MESSAGES | FRAMES)[name] for name in names):
        observed = play_message_case(Case(case.name, case.kind, {}, case.send), server)
        assert differences(case, observed) == []


def test_a_session_keeps_its_shape():
    recorded = load_session("mixed")
    quick = Session("mixed", recorded.header, tuple(step for step in recorded.steps if step.at < 1.5))
    with independent_server() as url:
        played = play_session(quick, Target(url))
    assert played.name == "mixed"
    assert [step.text for step in played.steps if step.dir == "send"] == [
        step.text for step in quick.steps if step.dir == "send"]
    types = [json.loads(step.text)["type"] for step in played.steps if step.dir == "recv"]
    assert types[:2] == ["connection_established", "tps_update"]
    assert {"pong", "subscription_confirmed", "block_update"} < set(types)
    assert [step.at for step in played.steps] == sorted(step.at for step in played.steps)


def test_a_session_ends_with_its_close(server):
    header = load_header("messages.jsonl")
    steps = [step for step in load_session("tps-only").steps if step.close]
    session = Session("close", header, tuple(step.__class__(0.0, step.dir, close=1000) for step in steps))
    played = play_session(session, server)
    told = [(step.dir, step.close, step.event) for step in played.steps if step.text is None]
    assert told == [("send", 1000, None), ("recv", 1000, None), ("recv", None, "eof")]


# --- servers that are wrong in one way: the change is what the case shows


def observed_with(change, case):
    with independent_server(change) as url:
        return play_message_case(case, Target(url, limits=Limits(answer=1.0, missing=0.2, settle=0.2)))


def test_a_server_that_answers_no_ping():
    observed = observed_with(lambda text: None if pong(text) else text, MESSAGES["ping"])
    assert (observed["replies"], observed["answers_ping_after"]) == ([], False)


def test_a_server_that_answers_every_other_ping():
    pongs = itertools.count()
    observed = observed_with(lambda text: None if pong(text) and next(pongs) % 2 else text, MESSAGES["ping"])
    assert (observed["replies"], observed["answers_ping_after"]) == ([], True)
    assert differences(MESSAGES["ping"], observed)


@pytest.mark.parametrize("step", [
    {"text": CLOSING_PING}, {"frame": {"opcode": 1, "payload_hex": CLOSING_PING.encode().hex()}}])
def test_the_pong_of_a_ping_that_was_sent_before_is_not_taken_for_the_closing_pings(step):
    """However late that comes."""
    def answers_late(connection):
        welcomes(connection)
        connection.recv()
        connection.send('{"type":"pong","payload":1}')
        connection.recv()
        threading.Event().wait(0.3)
        connection.send('{"type":"pong","payload":2}')
        connection.recv()

    case = replace(MESSAGES["ping"], send=(step,), observed={})
    with serving(answers_late) as url:
        observed = play_message_case(case, Target(url, limits=Limits(missing=0.01, settle=0.01, grace=0.01)))
    assert observed["replies"] == ['{"type":"pong","payload":1}']
    assert observed["answers_ping_after"]


def test_a_server_that_starts_no_channel():
    case = MESSAGES["sub-block_updates"]
    observed = observed_with(lambda text: None if '"block_update"' in text else text, case)
    assert observed["updates_started"] == []


def test_an_update_before_its_confirmation_is_a_fault():
    def script(connection):
        for kind in ("connection_established", "tps_update", "block_update"):
            connection.send(json.dumps({"type": kind}))
        for _ in connection:
            connection.send('{"type":"pong"}')
    with serving(script) as url:
        observed = play_message_case(MESSAGES["type-missing"], Target(url))
    assert observed["faults"] == ["block_update came before its subscription was confirmed"]
    assert any(difference.where == "faults" for difference in differences(MESSAGES["type-missing"], observed))


def test_a_reply_that_a_later_pong_overtook_is_a_fault():
    def answers_late(connection):
        welcomes(connection)
        connection.recv()
        connection.recv()
        connection.send('{"type":"pong"}')
        connection.send('{"type":"error"}')
        connection.recv()

    with serving(answers_late) as url:
        observed = play_message_case(MESSAGES["sub-none"], Target(url))
    assert observed["replies"] == ['{"type":"error"}']
    assert observed["faults"] == ["a reply came after the pong of a later ping"]


# --- servers that misbehave: a sentence, in time


@contextmanager
def mute_listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"


def never_speaks(connection):
    for _ in connection:
        pass


def welcomes(connection):
    connection.send('{"type":"connection_established"}')
    connection.send('{"type":"tps_update"}')


def drops_at_once(connection):
    welcomes(connection)
    connection.socket.shutdown(socket.SHUT_RDWR)


def drops_when_asked(connection):
    welcomes(connection)
    connection.recv()
    connection.socket.shutdown(socket.SHUT_RDWR)


def floods(connection):
    welcomes(connection)
    for _ in itertools.count():
        connection.send("flood")


def test_nobody_there():
    with mute_listener() as url:
        pass
    with pytest.raises(NoAnswer, match=f"Could not connect to {url}"):
        play_message_case(MESSAGES["ping"], Target(url, limits=SHORT))


@pytest.mark.parametrize("play, case", [
    (play_message_case, MESSAGES["ping"]),
    (play_handshake_case, HANDSHAKES["plain"]),
    (play_http_case, load_cases("http.jsonl")[0]),
    (play_silence_case, SHIPPED["ping"]),
], ids=["message", "handshake", "http", "silence"])
def test_a_server_that_accepts_and_says_nothing(play, case):
    with mute_listener() as url, pytest.raises(WireError) as caught:
        play(case, Target(url, limits=SHORT))
    assert url in str(caught.value)


def test_a_server_that_never_sends_a_message():
    with serving(never_speaks) as url, pytest.raises(NoAnswer, match=f"{url} sent no welcome and first"):
        play_message_case(MESSAGES["ping"], Target(url, limits=SHORT))


def test_a_server_that_drops_at_once():
    with serving(lambda connection: connection.socket.shutdown(socket.SHUT_RDWR)) as url:
        with pytest.raises(NoAnswer, match=f"{url} ended the connection before the welcome"):
            play_message_case(MESSAGES["ping"], Target(url, limits=SHORT))


@pytest.mark.parametrize("handler", [drops_at_once, drops_when_asked])
def test_a_server_that_drops_in_the_middle(handler):
    with serving(handler) as url:
        observed = play_message_case(MESSAGES["ping"], Target(url))
    assert observed["connection_ended"]
    assert (observed["close"], observed["answers_ping_after"]) == (None, None)


def test_a_server_that_floods():
    with serving(floods) as url:
        with pytest.raises(NoAnswer, match=f"{url} sent more than 20000 messages in one case"):
            play_message_case(MESSAGES["ping"], Target(url, limits=Limits(answer=30.0)))


def test_a_flood_that_the_limits_end_first():
    with serving(floods) as url:
        observed = play_message_case(MESSAGES["ping"], Target(url, limits=Limits(0.05, 0.05, 0.05, 0.05)))
    assert observed["answers_ping_after"] is False
    assert set(observed["replies"]) == {"flood"}


def test_a_server_that_waits_for_our_close_gets_it():
    closed = threading.Event()

    def closes(connection):
        welcomes(connection)
        connection.recv()
        # With its own close_timeout this server would wait ten seconds for the answer.
        connection.close(1001)
        closed.set()

    with serving(closes) as url:
        observed = play_message_case(MESSAGES["ping"], Target(url, limits=Limits(settle=0.05)))
        assert closed.wait(5)
    assert (observed["close"], observed["connection_ended"]) == ({"code": 1001, "reason": ""}, True)


def test_a_session_whose_server_goes_away():
    with serving(drops_at_once) as url:
        played = play_session(load_session("tps-only"), Target(url))
    assert [step.event for step in played.steps][-1] == "eof"


def test_one_bad_server_does_not_stop_the_others_cases():
    with mute_listener() as url:
        outcomes = play_all(SAME_EVERYWHERE[:3], Target(url, limits=SHORT), parallel=3)
    assert [outcome.observed for outcome in outcomes] == [None] * 3
    assert all(url in outcome.error for outcome in outcomes)


def test_playing_can_be_stopped():
    with mute_listener() as url:
        outcomes = play_each(SAME_EVERYWHERE * 20, Target(url, limits=SHORT), parallel=2)
        assert next(outcomes).observed is None
        outcomes.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("play")] == []


def test_a_server_that_answers_nothing_is_not_asked_everything():
    case = MESSAGES["ping"]
    with mute_listener() as url:
        outcomes = play_all([case] * 200, Target(url, limits=SHORT), parallel=4)
    unplayed = [outcome for outcome in outcomes if outcome.error.startswith("Not played: 12 cases before it")]
    assert len(outcomes) == 200
    assert 200 - 12 - 4 <= len(unplayed) <= 200 - 12


def test_never_more_connections_than_asked():
    lock, now, most = threading.Lock(), [0], [0]

    def counts(connection):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        welcomes(connection)
        for _ in connection:
            connection.send('{"type":"pong"}')
        with lock:
            now[0] -= 1

    with serving(counts) as url:
        play_all([MESSAGES["type-missing"]] * 12, Target(url), parallel=3)
    assert 1 <= most[0] <= 4  # The server may notice the end of one a moment after the next has begun.


# --- silence and HTTP


def test_silence_cases_list_every_frame():
    with serving(never_speaks) as url:
        target = Target(url, limits=Limits(silence=0.5))
        names = ("nothing sent", "ping", "control ping", "close 1000", "unmasked")
        for outcome in play_all([SHIPPED[name] for name in names], target):
            assert differences(outcome.case, outcome.observed) == []


def test_a_message_breaks_the_silence():
    with serving(welcomes) as url:
        observed = play_silence_case(SHIPPED["ping"], Target(url, limits=SHORT))
    assert observed["frames"][0] == ["TEXT", '{"type":"connection_established"}']


def test_http_cases_have_the_corpus_shape():
    case = Case("x", "http", {}, request={"method": "GET", "path": "/a%2Fb", "headers": {"Origin": "o"}})
    seen = []

    def respond(connection, request):
        seen.append((request.path, dict(request.headers.raw_items())))
        return connection.respond(404, "no")

    with serving(never_speaks, process_request=respond) as url:
        # The websockets server takes no plain request, so it gets the headers of a handshake.
        upgrade = (
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        )
        observed = play_http_case(case, Target(url, headers=upgrade))
    assert observed == {
        "status": 404, "content_type": "text/plain; charset=utf-8", "allow": None,
        "access_control_allow_origin": None, "body": "no",
    }
    [(path, headers)] = seen
    assert path == "/a%2Fb"
    assert headers.keys() - dict(upgrade).keys() == {"Host", "Accept-Encoding", "Origin"}


def test_extra_headers_go_with_every_handshake():
    def respond(connection, request):
        return None if request.headers.get("Authorization") == "me" else connection.respond(401, "")

    with serving(welcomes, process_request=respond) as url:
        assert play_handshake_case(HANDSHAKES["plain"], Target(url))["status"] == 401
        assert play_handshake_case(
            HANDSHAKES["plain"], Target(url, headers=(("Authorization", "me"),)))["stream_opens"]
        with pytest.raises(NoAnswer, match="status 401"):
            play_message_case(MESSAGES["ping"], Target(url))


def test_of_a_handshake_only_what_the_protocol_negotiates_is_compared():
    """A container adds headers of its own, and the recordings of the original's leave them out."""
    def respond(connection, request, response):
        response.headers["Sec-WebSocket-Location"] = "ws://somewhere"
        response.headers["Sec-WebSocket-Protocol"] = "chat"
        return response

    with serving(welcomes, process_response=respond) as url:
        headers = play_handshake_case(HANDSHAKES["plain"], Target(url))["headers"]
    recorded = HANDSHAKES["plain"].observed["headers"]
    assert headers == {**recorded, "sec-websocket-protocol": "chat"}
