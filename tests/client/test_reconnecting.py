"""SPEC, "The portal client": five attempts after 3, 6, 12, 24, 48 s, then polling until it is back."""

import json
import logging
import socket
import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from livestream.client import ClientSettings, State, StreamClient
from livestream.wire.frames import Opcode, encode_close, encode_frame
from tests.client.support import (
    QUICK, STATISTICS, QuickClock, accept, answer, close_in_time, converse, is_poll, leaving_nothing, message,
    scripted, seen_by, statistics,
)
from tests.hostile import reset
from tests.support import PATIENCE, wait_until

AS_REPORTED = ClientSettings(connect_timeout=PATIENCE)
WELCOME = message("connection_established", connectionId="x", timestamp=1)


class Switchable:
    """A stream that can be switched off while REST goes on: then it refuses with a status."""

    def __init__(self, open_at_first=True, status=503):
        self.open = open_at_first
        self.status = status
        self.rest = True
        self.subscribed = []
        self._connections = []

    def __call__(self, connection, head):
        if is_poll(head):
            if self.rest:
                statistics(connection)
        elif not self.open:
            answer(connection, self.status)
        else:
            heard = []
            self.subscribed.append(heard)
            self._connections.append(connection)
            accept(connection, head, WELCOME)
            converse(connection, lambda said: heard.append(said.get("channel")))

    def switch_off(self):
        self.open = False
        self.drop()

    def drop(self):
        for connection in self._connections:
            with suppress(OSError):
                connection.sendall(encode_frame(Opcode.CLOSE, encode_close(1001, "gone"), mask=None))


def test_exactly_the_reports_delays_and_polling_only_after_the_fifth_attempt():
    clock, stream = QuickClock(), Switchable()
    with leaving_nothing(), scripted(stream) as server:
        client = StreamClient(server.url, settings=AS_REPORTED, clock=clock)
        states, messages = seen_by(client)
        attempts_at, polled_in = [], set()
        client.on_state(lambda state: attempts_at.append((state, server.count())))
        client.on("tps_update", lambda update: polled_in.add((client.state, update.polled)))
        client.connect()
        assert client.wait_for(State.OPEN, PATIENCE)
        assert clock.waits == []
        stream.switch_off()
        assert client.wait_for(State.POLLING, PATIENCE)
        wait_until(lambda: [heard for heard in messages if heard.polled])
        assert [seconds for role, seconds in clock.waits if role == "stream"][:5] == [3, 6, 12, 24, 48]
        assert (State.POLLING, 6) in attempts_at
        assert "status 503" in client.problem
        wait_until(lambda: [seconds for role, seconds in clock.waits if role == "stream"][5:8] == [1, 1, 1])
        assert ("retry", 48) in clock.waits
        stream.open = True
        assert client.wait_for(State.OPEN, PATIENCE)
        assert client.problem == ""
        close_in_time(client)
        assert states == ["connecting", "open", "reconnecting", "polling", "open", "closed"]
        assert polled_in == {(State.POLLING, True)}
        assert server.count("/blockchain/stats") == len([heard for heard in messages if heard.polled])
        assert [heard.type for heard in messages if not heard.polled] == ["connection_established"] * 2


def test_a_polled_message_is_shaped_like_an_update_and_marked():
    with leaving_nothing(), scripted(Switchable(open_at_first=False)) as server:
        client = StreamClient(server.url, settings=QUICK)
        got = threading.Event()
        updates = []
        client.on("tps_update", lambda update: (updates.append(update), got.set()))
        with client:
            assert got.wait(PATIENCE)
    assert updates[0].polled
    assert updates[0].payload == {**STATISTICS["transactionStats"], "latency": 42.3}
    assert updates[0].timestamp == STATISTICS["timestamp"]


def test_the_attempts_begin_anew_after_each_success():
    clock, stream = QuickClock(), Switchable()
    with leaving_nothing(), scripted(stream) as server:
        client = StreamClient(server.url, settings=AS_REPORTED, clock=clock)
        states, _ = seen_by(client)
        with client:
            for outages in range(1, 8):
                wait_until(lambda: states.count("open") == outages)
                stream.drop()
            wait_until(lambda: states.count("open") == 8)
    assert clock.waits == [("stream", 3)] * 7
    assert states == ["connecting", *["open", "reconnecting"] * 7, "open", "closed"]


def test_subscriptions_are_restored_once_each_and_those_given_up_are_not():
    stream = Switchable()
    with leaving_nothing(), scripted(stream) as server:
        client = StreamClient(server.url, settings=QUICK)
        client.subscribe("early")
        with client:
            assert client.wait_for(State.OPEN, PATIENCE)
            for channel in ("block_updates", "block_updates", "network_status", "given up"):
                client.subscribe(channel)
            client.unsubscribe("given up")
            assert client.subscriptions == ("early", "block_updates", "network_status")
            wait_until(lambda: len(stream.subscribed[0]) == 6)
            for number in range(1, 4):
                stream.switch_off()
                wait_until(lambda: client.state is not State.OPEN)
                if number == 2:
                    client.subscribe("late")
                stream.open = True
                wait_until(lambda: len(stream.subscribed) > number)
                assert client.wait_for(State.OPEN, PATIENCE)
    kept = ["early", "block_updates", "network_status"]
    first, *later = stream.subscribed
    assert first == ["early", "block_updates", "block_updates", "network_status", "given up", "given up"]
    assert later == [kept, [*kept, "late"], [*kept, "late"]]


def test_a_restart_on_the_same_port_is_survived():
    stream = Switchable()
    with leaving_nothing(), scripted(stream) as server:
        client = StreamClient(server.url, settings=QUICK)
        states, _ = seen_by(client)
        client.subscribe("block_updates")
        with client:
            for number in range(1, 4):
                wait_until(lambda: len(stream.subscribed) == number)
                assert client.wait_for(State.OPEN, PATIENCE)
                server.stop()
                wait_until(lambda: client.state is not State.OPEN)
                server.start()
            assert client.wait_for(State.OPEN, PATIENCE)
            wait_until(lambda: stream.subscribed == [["block_updates"]] * 4)
    assert states.count("open") == 4


def nothing_at_all(connection, head):
    """Closes without an answer."""


def drop_after_the_welcome(connection, head):
    accept(connection, head, WELCOME)


def reset_at_once(connection, head):
    reset(connection)


def reset_after_the_welcome(connection, head):
    accept(connection, head, WELCOME)
    reset(connection)


def not_http(connection, head):
    connection.sendall(b"\x00\xff nonsense\r\n\r\n")


def endless_head(connection, head):
    while True:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000)


def wrong_accept(connection, head):
    accept(connection, head.replace(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: A"))


def unasked_extension(connection, head):
    accept(connection, head, header=b"Sec-WebSocket-Extensions: permessage-deflate\r\n")


def goodbye(connection, head):
    accept(connection, head, encode_frame(Opcode.CLOSE, encode_close(1013, "try \x1b later"), mask=None))
    connection.recv(100)


FAILURES = {
    "refuses with 503": (lambda connection, head: answer(connection, 503), "with status 503, not 101."),
    "refuses with 404": (lambda connection, head: answer(connection, 404), "with status 404, not 101."),
    "answers 200": (lambda connection, head: answer(connection, 200, b"{}"), "with status 200, not 101."),
    "hangs up": (nothing_at_all, "broke the handshake off: it closed the connection."),
    "resets": (reset_at_once, "broke the handshake off: Connection reset by peer."),
    "is no HTTP": (not_http, "did not answer the handshake as a WebSocket: "),
    "sends an endless head": (endless_head, "did not answer the handshake as a WebSocket: "),
    "doesn't know the key": (wrong_accept, "as a WebSocket: Bad accept token."),
    "adds an extension": (unasked_extension, "as a WebSocket: unrecognized extension permessage-deflate."),
    "drops": (drop_after_the_welcome, "ended the connection without a Close frame."),
    "resets later": (reset_after_the_welcome, "broke the connection: Connection reset by peer."),
    "closes": (goodbye, r"closed the connection with 1013 ('try \x1b later')."),
}


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_is_one_line_and_is_followed_by_polling_or_another_attempt(name, caplog):
    caplog.set_level(logging.INFO)
    script, told = FAILURES[name]

    def failing(connection, head):
        statistics(connection) if is_poll(head) else script(connection, head)

    with leaving_nothing(), scripted(failing) as server:
        client = StreamClient(server.url, settings=QUICK)
        with client:
            wait_until(lambda: server.count() >= 6)
            assert client.state in (State.RECONNECTING, State.POLLING, State.OPEN)
        lines = {record.getMessage() for record in caplog.records}
    assert all(line.startswith(server.url) and "\n" not in line for line in lines), lines
    assert any(told in line for line in lines), lines


def test_nobody_listens():
    with leaving_nothing(), scripted(nothing_at_all) as server:
        server.stop()
        client = StreamClient(server.url, settings=QUICK)
        states, _ = seen_by(client)
        with client:
            assert client.wait_for(State.POLLING, PATIENCE)
            wait_until(lambda: "Connection refused" in client.problem)
        server.start()
    assert states == ["connecting", "reconnecting", "polling", "closed"]


def test_a_handshake_that_stalls_ends_in_time():
    with leaving_nothing(), scripted(lambda connection, head: connection.recv(1)) as server:
        with StreamClient(server.url, settings=replace(QUICK, connect_timeout=0.05)) as client:
            wait_until(lambda: "did not answer the handshake in time" in client.problem)


def test_a_handshake_that_trickles_ends_in_time():
    over = threading.Event()

    def trickle(connection, head):
        for byte in b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 10_000:
            connection.sendall(bytes([byte]))
            if over.wait(0.005):
                return

    with leaving_nothing(), scripted(trickle) as server:
        with StreamClient(server.url, settings=replace(QUICK, connect_timeout=0.2)) as client:
            wait_until(lambda: "did not answer the handshake in time" in client.problem)
        over.set()


def trickling_poll(connection):
    """No pause is long, and the whole would take a minute."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(12_000):
        connection.sendall(b"x")
        threading.Event().wait(0.005)


POLLS = {
    "status 500": (lambda connection: answer(connection, 500), "was answered with status 500."),
    "not JSON": (lambda connection: answer(connection, 200, b"\xff\x00"), "was answered with no statistics."),
    "no figures": (lambda connection: answer(connection, 200, b"{}"), "was answered with no statistics."),
    "too much": (lambda connection: answer(connection, 200, b"x" * 3_000), "it has more than 2000 bytes."),
    "nothing": (lambda connection: None, "got no answer: "),
    "not HTTP": (lambda connection: connection.sendall(b"nonsense\r\n\r\n"), "got no answer: nonsense."),
    "stalls": (lambda connection: connection.recv(1), "got no answer: timed out."),
    "trickles": (trickling_poll, "got no answer: "),
}


SLOW_POLLS = ("stalls", "trickles")


@pytest.mark.parametrize("name", POLLS)
def test_a_poll_that_fails_is_followed_by_the_next_one(name):
    bad_poll, told = POLLS[name]
    problems, polls = set(), []

    def script(connection, head):
        if not is_poll(head):
            answer(connection, 404)
            return
        polls.append(head)
        bad_poll(connection) if len(polls) == 1 else statistics(connection)

    patience = 0.3 if name in SLOW_POLLS else PATIENCE
    settings = replace(QUICK, max_message_size=2_000, poll_timeout=patience, retry_interval=60)
    with leaving_nothing(), scripted(script) as server:
        client = StreamClient(server.url, settings=settings)
        got = threading.Event()
        client.on("tps_update", lambda update: (problems.add(client.problem), got.set()))
        with client:
            assert got.wait(PATIENCE)
    assert any(told in problem for problem in problems), problems


def test_headers_go_with_the_handshake_and_with_every_poll():
    with leaving_nothing(), scripted(Switchable(open_at_first=False)) as server:
        client = StreamClient(server.url, settings=QUICK, headers=[("Authorization", "Bearer wört")])
        with client:
            wait_until(lambda: server.count("/blockchain/stats") > 1)
    host = server.url.removeprefix("ws://").encode()
    for head in server.requests:
        assert "\r\nAuthorization: Bearer wört\r\n".encode("latin-1") in head
        assert b"\r\nHost: " + host + b"\r\n" in head


def test_every_address_of_a_name_is_tried(monkeypatch):
    """`localhost` is often ::1 first, where a server for IPv4 doesn't listen."""
    with leaving_nothing(), scripted(Switchable()) as server, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        addresses = [unused.getsockname(), ("127.0.0.1", int(server.url.rpartition(":")[2]))]
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
        with StreamClient("ws://two.test", settings=AS_REPORTED) as client:
            assert client.wait_for(State.OPEN, PATIENCE)


def test_a_name_without_an_address_is_said():
    with leaving_nothing(), StreamClient("ws://no.such.host.invalid", settings=QUICK) as client:
        assert wait_until(lambda: client.problem).startswith("Could not find 'no.such.host.invalid': ")


def test_a_lost_connection_is_never_followed_by_a_second_one_beside_it():
    """The portal's chart opens one with every update."""
    stream = Switchable()
    with leaving_nothing(), scripted(stream) as server:
        with StreamClient(server.url, settings=QUICK) as client:
            assert client.wait_for(State.OPEN, PATIENCE)
            for number in range(20):
                client.subscribe(f"channel {number}")
            wait_until(lambda: len(stream.subscribed[0]) == 20)
    assert server.count() == 1
    assert json.dumps(stream.subscribed[0][:2]) == '["channel 0", "channel 1"]'
