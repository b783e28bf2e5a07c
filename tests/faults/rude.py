"""Clients that end in every rude way, so many a second: `python -m tests.faults.rude URL SECONDS RATE`.

A process of its own, with a thread for each act: what it does may take long, and must not slow the others.
Prints as JSON how often each act was played, and how often the server ended it otherwise than by itself.
"""

import itertools
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from livestream.contract import CHANNELS
from livestream.wire.client import WireClient, WireError, handshake_request, parse_url
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_frame
from tests.support import SUBSCRIBE

#: How long an act that does nothing goes on, in seconds.
LONG = 8.0
#: Between the bytes of a handshake that takes for ever, in seconds.
DRIP = 0.25
#: A receive buffer, in bytes; what is asked about, in characters; and how often at most.
LITTLE = 4_096
LENGTHY = 30_000
MOST_QUESTIONS = 1_000
#: For anything that the server must do, in seconds.
PATIENCE = 10.0

ENDS = (Kind.CLOSE, Kind.EOF, Kind.RESET)

Act = Callable[[str, threading.Event], None]


def _greeted(url: str) -> WireClient:
    client = WireClient.connect(url, timeout=PATIENCE)
    if client.receive(PATIENCE) is None:
        client.abort()
        raise WireError("no welcome came")
    return client


def reset(url: str, ended: threading.Event) -> None:
    """A TCP reset in the middle of the stream."""
    with _greeted(url) as client:
        client.abort()


def half_close(url: str, ended: threading.Event) -> None:
    """Says that it will send no more, and reads on."""
    with _greeted(url) as client:
        client.half_close()
        events = client.receive_until(lambda event: event.kind in ENDS, PATIENCE)
        if not events or events[-1].kind not in ENDS:
            raise WireError("it did not end")


def mid_frame(url: str, ended: threading.Event) -> None:
    """Goes after half a frame."""
    with _greeted(url) as client:
        frame = encode_frame(Opcode.TEXT, b'{"type":"ping"}', mask=bytes(4))
        client.send_raw(frame[: len(frame) // 2])


def mid_handshake(url: str, ended: threading.Event) -> None:
    """Goes after half a request."""
    request = _request(url)
    with WireClient.open(url, timeout=PATIENCE) as client:
        client.send_raw(request[: len(request) // 2])


def never_reading(url: str, ended: threading.Event) -> None:
    """Subscribes to everything, asks until the server is stuck in its answers, and resets in the end."""
    with _greeted(url) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
        for channel in CHANNELS:
            client.send_text(SUBSCRIBE % channel.name)
        if not _is_stuck(client):
            raise WireError("it went on answering")
        ended.wait(LONG)
        client.abort()


def _is_stuck(client: WireClient) -> bool:
    """Whether the server takes no more questions, each of which has a long answer."""
    question = encode_frame(Opcode.TEXT, (SUBSCRIBE % ("x" * LENGTHY)).encode(), mask=bytes(4))
    client.socket.settimeout(1.0)
    try:
        for _ in range(MOST_QUESTIONS):
            client.socket.sendall(question)
    except TimeoutError:
        return True
    return False


def slow_loris(url: str, ended: threading.Event) -> None:
    """A handshake, byte by byte."""
    until = time.monotonic() + LONG
    with WireClient.open(url, timeout=PATIENCE) as client:
        for byte in _request(url):
            if time.monotonic() > until or ended.wait(DRIP):
                return
            client.send_raw(bytes((byte,)))


ACTS: dict[str, Act] = {
    act.__name__: act for act in (reset, half_close, mid_frame, mid_handshake, never_reading, slow_loris)
}


def _request(url: str) -> bytes:
    address = parse_url(url)
    return handshake_request(address.host_header, path=address.target)


def play(url: str, seconds: float, rate: float) -> dict[str, dict[str, int]]:
    """All acts in turn; returns when the last one has ended."""
    played: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    ended, threads = threading.Event(), []

    def one(name: str) -> None:
        try:
            ACTS[name](url, ended)
        except (WireError, OSError):
            failed[name] += 1

    began = time.monotonic()
    for number, name in enumerate(itertools.cycle(ACTS)):
        due = began + number / rate
        if due - began > seconds:
            break
        ended.wait(max(0.0, due - time.monotonic()))
        played[name] += 1
        threads.append(threading.Thread(target=one, args=(name,), daemon=True))
        threads[-1].start()
    ended.set()
    for thread in threads:
        thread.join(2 * PATIENCE)
    return {"played": dict(played), "failed": dict(failed)}


if __name__ == "__main__":
    socket.setdefaulttimeout(PATIENCE)
    with suppress(KeyboardInterrupt):
        print(json.dumps(play(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))))
