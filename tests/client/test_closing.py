"""`close` from anywhere and at any time: within a second, for good, and nothing is left."""

import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from livestream.client import ALL, ClientSettings, State, StreamClient, StreamError
from livestream.client.connection import Connection
from livestream.client.opening import Door, Lost, Stop
from livestream.wire.frames import FrameReader, Opcode
from tests.client.support import (
    CLOSE_LIMIT, QUICK, accept, answer, close_in_time, converse, is_poll, leaving_nothing, message,
    own_threads, scripted, seen_by, statistics,
)
from tests.support import PATIENCE, wait_until

#: Waits so long that only `close` can end it.
LONG = ClientSettings(connect_timeout=60, reconnect_delay=60, poll_timeout=60, send_timeout=60)
UPDATE = message("tps_update", currentTPS=1)


def polite(connection, head):
    accept(connection, head, UPDATE * 3)
    converse(connection)


def silent(connection, head):
    """Takes the request, and the Close frame, and says nothing."""
    connection.recv(1)


def no_close_frame(connection, head):
    """Reads on after the client's Close frame, and doesn't answer it."""
    accept(connection, head, UPDATE)
    while connection.recv(65_536):
        pass


def test_the_server_gets_close_1000_and_nothing_after_it():
    frames = []

    def script(connection, head):
        accept(connection, head, UPDATE)
        reader = FrameReader()
        while data := connection.recv(65_536):
            for frame in reader.feed(data):
                frames.append(frame)
                if frame.opcode == Opcode.CLOSE:
                    connection.sendall(bytes([0x88, len(frame.payload)]) + frame.payload)

    with leaving_nothing(), scripted(script) as server:
        client = StreamClient(server.url, settings=QUICK).connect()
        assert client.wait_for(State.OPEN, PATIENCE)
        close_in_time(client)
        wait_until(lambda: frames)
    assert [(frame.opcode, frame.payload) for frame in frames] == [(Opcode.CLOSE, b"\x03\xe8")]
    assert server.count() == 1


def in_state(stack, script, settings, state):
    server = stack.enter_context(scripted(script))
    client = StreamClient(server.url, settings=settings)
    client.connect()
    assert client.wait_for(state, PATIENCE)
    return server, client


def rest_stalls(connection, head):
    connection.recv(1) if is_poll(head) else answer(connection, 503)


def only_rest(connection, head):
    statistics(connection) if is_poll(head) else answer(connection, 503)


def back_later(connection, head):
    """The first attempts fail at once, the one in the background stalls."""
    if is_poll(head):
        statistics(connection)
    else:
        seen.append(head)
        answer(connection, 503) if len(seen) <= 6 else connection.recv(1)


seen: list[bytes] = []

SITUATIONS = {
    "open": (polite, LONG, State.OPEN),
    "open, no answer to the Close frame": (no_close_frame, LONG, State.OPEN),
    "in the handshake": (silent, LONG, State.CONNECTING),
    "waiting to reconnect": (lambda *_: None, LONG, State.RECONNECTING),
    "polling": (only_rest, replace(QUICK, retry_interval=60), State.POLLING),
    "polling, REST stalls": (rest_stalls, replace(QUICK, retry_interval=60, poll_timeout=60), State.POLLING),
    "polling, the WebSocket stalls": (back_later, replace(QUICK, connect_timeout=60), State.POLLING),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_close_in_every_situation(name):
    script, settings, state = SITUATIONS[name]
    seen.clear()
    with leaving_nothing(), ExitStack() as stack:
        server, client = in_state(stack, script, settings, state)
        wait_until(lambda: server.requests)
        if "stalls" in name:
            wait_until(lambda: server.count() > (6 if "WebSocket" in name else 5) and
                       server.count("/blockchain/stats"))
        close_in_time(client)
        with pytest.raises(StreamError, match="closed"):
            client.connect()


def test_close_while_tcp_connects():
    """A listener whose queue is full leaves the client in SYN-SENT."""
    with leaving_nothing(), ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        client = StreamClient("ws://%s:%d" % listener.getsockname(), settings=LONG).connect()
        wait_until(lambda: client._stop._sockets)
        close_in_time(client)


def test_close_while_a_send_is_stuck():
    hold = threading.Event()

    def deaf(connection, head):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        accept(connection, head)
        hold.wait(PATIENCE)

    with leaving_nothing(), scripted(deaf) as server:
        client = StreamClient(server.url, settings=LONG).connect()
        assert client.wait_for(State.OPEN, PATIENCE)
        sender = threading.Thread(target=client.subscribe, args=("x" * 20_000_000,))
        sender.start()
        wait_until(lambda: client._session.connection._lock.locked())
        close_in_time(client)
        sender.join(PATIENCE)
        assert not sender.is_alive()
        hold.set()


@pytest.mark.parametrize("how", ["message", "all", "state"])
def test_close_from_a_handler(how):
    heard = []
    with leaving_nothing(), scripted(polite) as server:
        client = StreamClient(server.url, settings=LONG)
        states, _ = seen_by(client)

        def close(_):
            heard.append(1)
            began = time.monotonic()
            client.close()
            assert time.monotonic() - began < CLOSE_LIMIT

        {"message": lambda: client.on("tps_update", close), "all": lambda: client.on(ALL, close),
         "state": lambda: client.on_state(lambda state: state == "open" and close(state))}[how]()
        client.connect()
        wait_until(lambda: heard)
        assert client.state is State.CLOSED
        wait_until(lambda: not own_threads(), CLOSE_LIMIT)
        assert len(heard) == 1
        assert states[-1] == "closed" and states.count("closed") == 1
        assert server.count() == 1


def test_close_from_a_handler_when_the_server_doesnt_answer_the_close_frame():
    with leaving_nothing(), scripted(no_close_frame) as server:
        client = StreamClient(server.url, settings=LONG)
        client.on("tps_update", lambda update: client.close())
        client.connect()
        wait_until(lambda: client.state is State.CLOSED)
        wait_until(lambda: not own_threads(), CLOSE_LIMIT)


def test_close_from_several_threads_at_once():
    with leaving_nothing(), scripted(polite) as server:
        client = StreamClient(server.url, settings=LONG).connect()
        assert client.wait_for(State.OPEN, PATIENCE)
        threads = [threading.Thread(target=client.close) for _ in range(5)]
        for thread in threads:
            thread.start()
        close_in_time(client)
        for thread in threads:
            thread.join()


def test_close_before_connect_and_twice():
    with leaving_nothing():
        client = StreamClient("ws://127.0.0.1:9")
        assert client.state is State.CLOSED
        client.close()
        client.close()
        assert list(client) == []
        for refused in (
            client.connect, client.ping, lambda: client.subscribe("x"), lambda: client.unsubscribe("x"),
        ):
            with pytest.raises(StreamError, match="^This client is closed; a new one can connect again.$"):
                refused()


def test_close_beside_a_handler_that_hangs_says_so_and_returns(caplog):
    hold = threading.Event()
    with leaving_nothing(), scripted(polite) as server:
        client = StreamClient(server.url, settings=LONG)
        began = threading.Event()
        client.on("tps_update", lambda update: (began.set(), hold.wait(PATIENCE)))
        client.connect()
        assert began.wait(PATIENCE)
        start = time.monotonic()
        client.close()
        assert time.monotonic() - start < CLOSE_LIMIT
        assert [record.getMessage() for record in caplog.records] == [
            f"{server.url}: its thread still runs: a handler or a name look-up takes long"]
        hold.set()
        wait_until(lambda: not own_threads())


def test_the_iteration_ends_at_close():
    with leaving_nothing(), scripted(polite) as server:
        client = StreamClient(server.url, settings=LONG).connect()
        assert next(iter(client)).type == "tps_update"
        ended = threading.Event()
        thread = threading.Thread(target=lambda: (list(client), ended.set()))
        thread.start()
        assert client.wait_for(State.OPEN, PATIENCE)
        close_in_time(client)
        assert ended.wait(PATIENCE)
        thread.join()
        assert list(client) == []


def test_the_iteration_ends_for_the_loop_that_closes():
    with leaving_nothing(), scripted(polite) as server:
        seen = 0
        with StreamClient(server.url, settings=LONG) as client:
            for _ in client:
                seen += 1
                client.close()
    assert seen == 1


def test_a_with_block_closes_when_an_error_leaves_it():
    with leaving_nothing(), scripted(polite) as server:
        with pytest.raises(ZeroDivisionError):
            with StreamClient(server.url, settings=LONG) as client:
                assert client.wait_for(State.OPEN, PATIENCE)
                1 / 0
        assert client.state is State.CLOSED


def test_twenty_rounds_leave_nothing():
    with scripted(polite) as server, leaving_nothing():
        for number in range(20):
            client = StreamClient(server.url, settings=LONG).connect()
            if number % 2:
                assert client.wait_for(State.OPEN, PATIENCE)
            close_in_time(client)


def test_an_attempt_that_fails_leaves_no_descriptor():
    """The library itself leaves the socket to the garbage collector."""
    with scripted(lambda connection, head: answer(connection, 503)) as server, leaving_nothing():
        for _ in range(5):
            with pytest.raises(Lost):
                Connection(Door.to(server.url, (), None), QUICK, Stop())
