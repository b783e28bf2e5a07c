"""The connection itself against a server that breaks RFC 6455, floods, trickles, or falls silent."""

import json
import logging
import os
import resource
import threading
from dataclasses import replace

import pytest

from livestream.client import ALL, ClientSettings, State, StreamClient, StreamError
from livestream.wire.frames import FrameReader, Opcode, encode_close, encode_frame
from tests.client.support import (
    QUICK, accept, answer, converse, leaving_nothing, message, scripted, seen_by, text,
)
from tests.hostile import IMPOSSIBLE_STACK, all_descriptors_taken, no_thread_left
from tests.support import PATIENCE, wait_until

SMALL = ClientSettings(max_message_size=1_000, connect_timeout=PATIENCE)


def frame(opcode, payload=b"", **options):
    return encode_frame(opcode, payload, **{"mask": None} | options)


BAD_FRAMES = {
    "text that is not UTF-8": (text(b"\xff"), 1007),
    "UTF-8 cut short": (text(b"\xc3"), 1007),
    "masked": (frame(Opcode.TEXT, b"{}", mask=b"abcd"), 1002),
    "RSV set": (frame(Opcode.TEXT, b"{}", rsv=4), 1002),
    "reserved opcode": (frame(3, b"{}"), 1002),
    "fragmented ping": (frame(Opcode.PING, b"x", fin=False), 1002),
    "long ping": (frame(Opcode.PING, b"x" * 126), 1002),
    "continuation of nothing": (frame(Opcode.CONTINUATION, b"x"), 1002),
    "text in a text": (frame(Opcode.TEXT, b"x", fin=False) + text("y"), 1002),
    "Close with one byte": (frame(Opcode.CLOSE, b"\x03"), 1002),
    "Close with code 1005": (frame(Opcode.CLOSE, encode_close(1005)), 1002),
    "random bytes": (b"\xff" * 100, 1002),
    "a message too big": (text("x" * 1_001), 1009),
    "a header that announces 2**62 bytes": (b"\x81\x7f" + (2**62).to_bytes(8, "big") + b"x" * 5_000, 1009),
    "fragments that are too big together": (
        frame(Opcode.TEXT, b"x" * 600, fin=False) + frame(Opcode.CONTINUATION, b"x" * 600), 1009),
    "big in bytes, small in letters": (text("€" * 400), 1009),
    "a plain Close": (frame(Opcode.CLOSE, encode_close(1001, "bye")), 1001),
    "an empty Close": (frame(Opcode.CLOSE), 1000),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_what_ends_a_connection_is_answered_with_a_close_frame(name):
    data, code = BAD_FRAMES[name]
    closed = []

    def script(connection, head):
        accept(connection, head, message("tps_update") + data)
        reader = FrameReader()
        while received := connection.recv(65_536):
            closed.extend(frame for frame in reader.feed(received) if frame.opcode == Opcode.CLOSE)

    with leaving_nothing(), scripted(script) as server:
        client = StreamClient(server.url, settings=replace(SMALL, reconnect_delay=60))
        states, messages = seen_by(client)
        with client:
            assert client.wait_for(State.RECONNECTING, PATIENCE)
            wait_until(lambda: closed)
            assert client.problem.startswith(server.url) and client.problem.endswith(".")
        assert [int.from_bytes(frame.payload[:2], "big") for frame in closed] == [code]
        assert [heard.type for heard in messages] == ["tps_update"]
    assert states == ["connecting", "open", "reconnecting", "closed"]


def test_frames_in_the_packet_of_the_handshakes_answer_are_not_kept_waiting():
    def script(connection, head):
        accept(connection, head, message("connection_established"))
        connection.recv(1)

    with leaving_nothing(), scripted(script) as server, StreamClient(server.url) as client:
        assert next(iter(client)).type == "connection_established"


def test_a_message_may_come_byte_by_byte_and_in_fragments():
    whole = b'{"type":"tps_update","payload":{"x":"\xe2\x82\xac"},"timestamp":1}'
    pieces = [whole[start:start + 1] for start in range(len(whole))]
    data = frame(Opcode.TEXT, pieces[0], fin=False) + b"".join(
        frame(Opcode.CONTINUATION, piece, fin=False) + frame(Opcode.PING, b"between") for piece in pieces[1:])
    data += frame(Opcode.CONTINUATION, b"")
    pongs = []

    def script(connection, head):
        accept(connection, head)
        for byte in data:
            connection.send(bytes([byte]))
        reader = FrameReader()
        while received := connection.recv(65_536):
            pongs.extend(frame.payload for frame in reader.feed(received) if frame.opcode == Opcode.PONG)

    with leaving_nothing(), scripted(script) as server, StreamClient(server.url) as client:
        assert next(iter(client)).payload == {"x": "€"}
        wait_until(lambda: len(pongs) == len(pieces) - 1)
        assert set(pongs) == {b"between"}


def test_a_flood_is_bounded_in_memory():
    """Ten thousand messages of ten thousand bytes, and nobody iterates: 100 MB pass through."""
    one = message("tps_update", filler="x" * 10_000)

    def script(connection, head):
        accept(connection, head)
        for _ in range(1_000):
            connection.sendall(one * 10)
        converse(connection)

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    with leaving_nothing(), scripted(script) as server:
        client = StreamClient(server.url, settings=ClientSettings(queue_size=100))
        counted = [0]

        def count(_):
            counted[0] += 1

        client.on(ALL, count)
        before = resident()
        with client:
            wait_until(lambda: counted[0] == 10_000, 60)
            assert resident() - before < 30_000_000


def test_a_flood_of_pings_gets_its_pongs_while_messages_are_sent():
    pongs, said = [], []

    def script(connection, head):
        accept(connection, head)
        reader, sent = FrameReader(), 0
        while len(pongs) < 2_000 or len(said) < 200:
            if sent < 2_000:
                connection.sendall(b"".join(frame(Opcode.PING, b"%d" % (sent + n)) for n in range(100)))
                sent += 100
            for got in reader.feed(connection.recv(65_536)):
                (pongs if got.opcode == Opcode.PONG else said).append(got.payload)
        converse(connection)

    with leaving_nothing(), scripted(script) as server, StreamClient(server.url) as client:
        assert client.wait_for(State.OPEN, PATIENCE)
        threads = [threading.Thread(target=lambda: [client.subscribe("x" * 300) for _ in range(50)])
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: len(pongs) >= 2_000 and len(said) >= 200)
    assert pongs == [b"%d" % number for number in range(2_000)]
    assert set(said) == {b'{"type":"subscribe","channel":"%s"}' % (b"x" * 300)}


def test_a_half_open_connection_is_noticed_by_a_ping():
    """TCP lives, and the server answers nothing: as it is when a cable is pulled."""
    frames = []

    def script(connection, head):
        accept(connection, head)
        reader = FrameReader()
        while received := connection.recv(65_536):
            frames.extend(reader.feed(received))

    settings = replace(QUICK, reconnect_delay=60, ping_interval=0.05, ping_timeout=0.1)
    with leaving_nothing(), scripted(script) as server, StreamClient(server.url, settings=settings) as client:
        assert client.wait_for(State.RECONNECTING, PATIENCE)
        assert client.problem == f"{server.url} does not answer a Ping frame."
    assert [got.opcode for got in frames] == [Opcode.PING]


def test_a_silent_server_that_answers_pings_is_kept():
    pings = []

    def script(connection, head):
        accept(connection, head)
        reader = FrameReader()
        while received := connection.recv(65_536):
            for got in reader.feed(received):
                if got.opcode == Opcode.PING:
                    pings.append(got)
                    connection.sendall(frame(Opcode.PONG, got.payload))
                if got.opcode == Opcode.CLOSE:
                    return

    settings = replace(QUICK, ping_interval=0.02, ping_timeout=PATIENCE)
    with leaving_nothing(), scripted(script) as server, StreamClient(server.url, settings=settings) as client:
        wait_until(lambda: len(pings) >= 10)
        assert client.state is State.OPEN
    assert server.count() == 1


def test_a_server_that_takes_nothing_is_given_up():
    def script(connection, head):
        accept(connection, head)
        hold.wait(PATIENCE)

    hold = threading.Event()
    settings = replace(QUICK, reconnect_delay=60, send_timeout=0.2)
    with leaving_nothing(), scripted(script) as server:
        with StreamClient(server.url, settings=settings) as client:
            assert client.wait_for(State.OPEN, PATIENCE)
            client.subscribe("x" * 20_000_000)
            assert client.wait_for(State.RECONNECTING, PATIENCE)
            assert client.problem == f"{server.url} takes nothing any more."
        hold.set()


def test_random_frames_never_break_the_client():
    def script(connection, head):
        accept(connection, head, os.urandom(200))
        connection.recv(65_536)

    with leaving_nothing(), scripted(script) as server:
        settings = replace(QUICK, reconnect_attempts=10_000, reconnect_delay=0)
        with StreamClient(server.url, settings=settings) as client:
            wait_until(lambda: server.count() > 150)
            assert client.state is not State.CLOSED


@pytest.mark.parametrize("name", ["reconnect_delay", "poll_interval", "retry_interval", "ping_interval",
                                  "ping_timeout", "connect_timeout", "poll_timeout", "send_timeout"])
def test_the_longest_waits_are_taken(serve, name):
    served = serve()
    settings = ClientSettings(**{name: 1_000_000})
    with leaving_nothing(), StreamClient(served.url, settings=settings) as client:
        assert client.wait_for(State.OPEN, PATIENCE)
        assert client.ping(PATIENCE) > 0


def test_without_a_descriptor_it_says_so_and_goes_on(serve):
    served = serve()
    with leaving_nothing():
        client = StreamClient(served.url, settings=QUICK)
        with all_descriptors_taken() as taken:
            client.connect()
            wait_until(lambda: "Too many open files" in client.problem)
            for _ in range(len(taken)):
                os.close(taken.pop())
            assert client.wait_for(State.OPEN, PATIENCE)
        client.close()


def test_without_a_thread_connect_is_refused_and_may_be_tried_again(serve):
    served = serve()
    with leaving_nothing():
        client = StreamClient(served.url)
        with no_thread_left(), pytest.raises(StreamError, match="^The system has no thread left"):
            client.connect()
        assert client.state is State.CLOSED
        with client:
            assert client.wait_for(State.OPEN, PATIENCE)


def test_without_a_thread_to_try_in_the_background_it_goes_on_trying(caplog):
    caplog.set_level(logging.INFO)
    with leaving_nothing(), scripted(lambda connection, head: answer(connection, 503)) as server:
        client = StreamClient(server.url, settings=QUICK)

        def use_up(state):
            if state is State.POLLING and server.count() < 10:
                threading.stack_size(IMPOSSIBLE_STACK)
            if state is State.RECONNECTING:
                threading.stack_size(0)

        client.on_state(use_up)
        try:
            with client:
                wait_until(lambda: server.count() > 11)
        finally:
            threading.stack_size(0)
    assert "The system has no thread left to try in the background." in caplog.messages


def test_a_write_that_goes_out_in_parts_is_whole():
    """A message that is larger than any socket's buffer, to a server that begins to read when it is stuck."""
    got = []

    def script(connection, head):
        accept(connection, head)
        reader = FrameReader()
        stuck.wait(PATIENCE)
        while not got:
            for frame in reader.feed(connection.recv(65_536)):
                got.append(json.loads(frame.payload)["channel"])
        converse(connection)

    stuck = threading.Event()
    settings = replace(QUICK, send_timeout=60)
    with leaving_nothing(), scripted(script) as server, StreamClient(server.url, settings=settings) as client:
        assert client.wait_for(State.OPEN, PATIENCE)
        sender = threading.Thread(target=client.subscribe, args=("x" * 12_000_000,))
        sender.start()
        wait_until(lambda: client._session.connection._lock.locked())
        stuck.set()
        sender.join()
        wait_until(lambda: got, 30)
    assert got == ["x" * 12_000_000]


def test_who_speaks_while_the_client_closes_gets_an_answer_and_no_protocol_error():
    def script(connection, head):
        accept(connection, head)
        converse(connection)

    errors = []

    def speak(client):
        while True:
            try:
                client.subscribe("x")
                client.ping(PATIENCE)
            except StreamError:
                return
            except BaseException as error:
                errors.append(error)
                return

    with leaving_nothing(), scripted(script) as server:
        for _ in range(30):
            client = StreamClient(server.url).connect()
            assert client.wait_for(State.OPEN, PATIENCE)
            threads = [threading.Thread(target=speak, args=(client,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            client.close()
            for thread in threads:
                thread.join(PATIENCE)
    assert errors == []
