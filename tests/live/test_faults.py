"""Faulty and hostile clients and the whole service: one log line, nobody else notices, nothing is left."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from livestream.contract import CHANNELS, MAX_FRAME_BYTES, MAX_MESSAGE_BYTES, MAX_THREADS_PER_CONNECTION
from livestream.stream.profiles import CORRECTED, ORIGINAL
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_close, encode_frame
from livestream.wire.handshake import handshake_request
from tests.hostile import complaints, descriptors
from tests.support import PATIENCE, SUBSCRIBE, next_text, wait_until

#: A `tps_update` every 100 ms, and all channels asleep for half a second at most.
TIME_SCALE = 0.1
#: The longest pause that the client beside a fault may see, in seconds.
LONGEST_PAUSE = 1.0
PROFILES = (ORIGINAL, CORRECTED)
REQUEST = handshake_request("x")
PING = '{"type":"ping"}'
GARBAGE = bytes(range(255, 0, -1)) * 8


class Witness:
    """A well-behaved client that reads on a thread of its own and remembers the longest pause."""

    def __init__(self, served):
        self.longest = 0.0
        self._client = served.connect()
        next_text(self._client, "tps_update")
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        last = time.monotonic()
        while not self._leaving.is_set():
            next_text(self._client, "tps_update")
            now = time.monotonic()
            self.longest = max(self.longest, now - last)
            last = now

    def leave(self):
        """Returns the longest pause."""
        self._leaving.set()
        self._thread.join(PATIENCE)
        self._client.close()
        assert self._client.faults == []
        return self.longest


# Before the handshake. Each fault gets a client whose TCP connection is open and leaves it ended.

def sends(data, then):
    def fault(client):
        client.send_raw(data)
        then(client)
    return fault


def leave(client):
    client.release()


def reset(client):
    client.abort()


def read_on(client):
    """Until the server ends the connection."""
    while client.socket.recv(65_536):
        pass
    client.release()


BEFORE = {
    "nothing, then FIN": sends(b"", leave),
    "nothing, then reset": sends(b"", reset),
    "garbage": sends(GARBAGE + b"\r\n\r\n", read_on),
    "garbage, then reset": sends(GARBAGE, reset),
    "half a request, then FIN": sends(REQUEST[:-9], leave),
    "half a request, then reset": sends(REQUEST[:-9], reset),
    "a head without end": sends(REQUEST[:-2] + b"X: " + b"y" * 30_000, read_on),
    "too large a body": sends(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000), read_on
    ),
}


# After it. Each gets a connected client and leaves it ended.

def until_end(client):
    client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), PATIENCE)
    client.release()


def subscribe_to_all(client):
    for channel in CHANNELS:
        client.send_text(SUBSCRIBE % channel.name)


def resets_while_channels_send(client):
    subscribe_to_all(client)
    next_text(client, "validator_update")
    client.abort()


def says_goodbye_and_resets(client):
    client.send_raw(encode_frame(Opcode.CLOSE, encode_close(1000)))
    client.abort()


def says_goodbye_and_goes_on(client):
    client.send_raw(encode_frame(Opcode.CLOSE, encode_close(1000)) + GARBAGE)
    until_end(client)


def never_reads(client):
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    pings = encode_frame(Opcode.PING, b"x" * 125) * 1_000
    client.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):  # when the server is stuck in its pongs
        while True:
            client.socket.sendall(pings)
    client.abort()


def answers_a_ping(client):
    client.send_text(PING)
    next_text(client, "pong")


def floods_with_subscribes(client):
    frames = b"".join(encode_frame(Opcode.TEXT, (SUBSCRIBE % "tps_updates").encode()) for _ in range(10_000))
    client.send_raw(frames, read_meanwhile=True)
    answers_a_ping(client)
    client.close(timeout=PATIENCE)


def floods_with(frame, number=10_000, first=b"", last=b""):
    def fault(client):
        client.send_raw(first + frame * number + last, read_meanwhile=True)
        answers_a_ping(client)
        client.close(timeout=PATIENCE)
    return fault


def sends_message(unit, size=MAX_MESSAGE_BYTES, answer="error"):
    """A message of this size in the largest frames, which the server must answer or refuse."""
    def fault(client):
        piece = (unit * MAX_FRAME_BYTES)[:MAX_FRAME_BYTES]
        client.send_frame(Opcode.TEXT, b"", fin=False)
        left = size
        while left > 0:
            client.send_raw(encode_frame(Opcode.CONTINUATION, piece[:left], fin=False), read_meanwhile=True)
            left -= len(piece)
        client.send_raw(encode_frame(Opcode.CONTINUATION, b""), read_meanwhile=True)
        if answer == "error":
            next_text(client, "error")
            answers_a_ping(client)
            client.close(timeout=PATIENCE)
        else:
            events = client.receive_until(lambda event: event.kind is Kind.CLOSE, PATIENCE)
            assert events[-1].code == answer
            until_end(client)
    return fault


HALF = encode_frame(Opcode.TEXT, PING.encode())[:-5]
FRAGMENT = encode_frame(Opcode.TEXT, b'{"type', fin=False)
AFTER = {
    "reset right after the 101": reset,
    "FIN right after the 101": leave,
    "garbage": sends(GARBAGE, until_end),
    "half a frame, then FIN": sends(HALF, leave),
    "half a frame, then half-close": sends(HALF, lambda client: (client.half_close(), until_end(client))),
    "half a frame, then reset": sends(HALF, reset),
    "reset inside a message": sends(FRAGMENT, reset),
    "reset while channels send": resets_while_channels_send,
    "reset after Close": says_goodbye_and_resets,
    "garbage after Close": says_goodbye_and_goes_on,
    "a client that never reads": never_reads,
    "a flood of subscribes": floods_with_subscribes,
    "a flood of empty messages": floods_with(encode_frame(Opcode.TEXT, b"")),
    "a flood of pings": floods_with(encode_frame(Opcode.PING, b"")),
    "a flood of pongs": floods_with(encode_frame(Opcode.PONG, b"")),
    "a flood of empty fragments": floods_with(
        encode_frame(Opcode.CONTINUATION, b"", fin=False),
        first=encode_frame(Opcode.BINARY, b"", fin=False),
        last=encode_frame(Opcode.CONTINUATION, b""),
    ),
    "a compressed frame": sends(encode_frame(Opcode.TEXT, b"\xec\xc1\x01" * 9, rsv=4), until_end),
    "16 MiB of brackets": sends_message(b"["),
    "16 MiB of digits": sends_message(b"1"),
    "16 MiB of an open string": sends_message(b'{"type":"'),
    "16 MiB and one byte": sends_message(b" ", MAX_MESSAGE_BYTES + 1, 1009),
}


def check_nothing_is_left(served, before, connections):
    """All of the fault's threads and descriptors are gone; entries are as the profile demands."""
    wait_until(lambda: not served.threads("stream-") and not served.threads("rest-"))
    wait_until(lambda: descriptors() <= before)
    parts = served.server.parts
    keeps = served.server.settings.profile.keeps_registry_entries
    assert parts.registry.total_connections == (connections if keeps else 0)
    assert parts.broadcaster._running == {}


def run(serve, profile, caplog, begin, fault, connections):
    served = serve(profile=profile, time_scale=TIME_SCALE)
    before = descriptors()
    witness = Witness(served)
    fault(begin(served))
    # The fault is over when only the witness's handler and channel run.
    wait_until(lambda: len(served.threads("stream-")) == 2 and not served.threads("rest-"))
    assert witness.leave() < LONGEST_PAUSE
    assert len(complaints(caplog)) <= 1
    check_nothing_is_left(served, before, connections)
    if not profile.counts_errors_twice:
        assert served.stats()["active_connections"] == 0


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_the_handshake(serve, profile, fault, caplog):
    def begin(served):
        return WireClient.open(served.url, timeout=PATIENCE)

    run(serve, profile, caplog, begin, BEFORE[fault], connections=1)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_reset_instead_of_reading_the_answer(serve, profile, caplog):
    def fault(served):
        for _ in range(20):
            client = WireClient.open(served.url, timeout=PATIENCE)
            client.send_raw(REQUEST)
            client.abort()

    served = serve(profile=profile, time_scale=TIME_SCALE)
    before = descriptors()
    witness = Witness(served)
    fault(served)
    wait_until(lambda: len(served.threads("stream-")) == 2 and not served.threads("rest-"))
    assert witness.leave() < LONGEST_PAUSE
    assert len(complaints(caplog)) <= 20
    wait_until(lambda: not served.threads("stream-") and not served.threads("rest-"))
    wait_until(lambda: descriptors() <= before)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@pytest.mark.parametrize("fault", AFTER)
def test_a_fault_after_the_handshake(serve, profile, fault, caplog):
    run(serve, profile, caplog, lambda served: served.connect(), AFTER[fault], connections=2)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_flood_of_subscribes_starts_no_more_threads_than_it_may(serve, profile):
    served = serve(profile=profile, time_scale=TIME_SCALE)
    flood = b"".join(encode_frame(Opcode.TEXT, (SUBSCRIBE % "tps_updates").encode()) for _ in range(500))
    with served.connect() as client:
        client.send_raw(flood, read_meanwhile=True)
        answers_a_ping(client)
        channels = len(served.threads()) - 1
        assert channels == (MAX_THREADS_PER_CONNECTION if profile is ORIGINAL else 1)


def test_every_fault_at_once(serve):
    served = serve(profile=CORRECTED, time_scale=TIME_SCALE)
    before = descriptors()
    witness = Witness(served)
    with ThreadPoolExecutor(len(AFTER)) as pool:
        for done in [pool.submit(fault, served.connect()) for fault in AFTER.values()]:
            done.result(PATIENCE)
    wait_until(lambda: len(served.threads("stream-")) == 2)
    witness.leave()
    check_nothing_is_left(served, before, len(AFTER) + 1)
