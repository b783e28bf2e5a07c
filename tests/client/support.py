"""What the client's tests need: a clock that doesn't wait, scripted servers, and a look at what is left."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from livestream.client import ALL, ClientSettings, State, StreamClient
from livestream.contract import BLOCKCHAIN_STATS_PATH
from livestream.wire.frames import FrameReader, Opcode, encode_close, encode_frame
from livestream.wire.handshake import accept_value
from tests.support import PATIENCE, wait_until

#: What `close` promises, 1 s, and a busy machine's share.
CLOSE_LIMIT = 1.5
#: How long a pause of the fake clock really takes, in seconds.
BLINK = 0.002
#: Connects and polls quickly, or not at all.
QUICK = ClientSettings(
    connect_timeout=PATIENCE, reconnect_delay=0.002, poll_interval=0.01, retry_interval=0.02)
STATISTICS = {
    "transactionStats": {"currentTPS": 1_808_267, "peakTPS": 2_156_789, "averageTPS": 1_450_234},
    "performance": {"averageLatency": 42.3}, "timestamp": 1_795_422_292_531,
}

Script = Callable[[socket.socket, bytes], None]


class QuickClock:
    """Remembers every wait and hardly waits; its time moves by what was waited."""

    def __init__(self) -> None:
        self.waits: list[tuple[str, float]] = []
        self._now = 1_000.0

    def monotonic(self) -> float:
        return self._now

    def now_ms(self) -> int:
        return 1_700_000_000_000

    def wait(self, event: threading.Event, seconds: float) -> bool:
        role = threading.current_thread().name.split("-", 2)[2]
        self.waits.append((role, seconds))
        if role == "stream":
            self._now += seconds
        return event.wait(BLINK)


class Scripted:
    """Runs `script` on every connection, each in its own thread; can stop, and start again on its port."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=100)
        self._port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="scripted")]
        self._threads[0].start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def count(self, path: str = "/api/v11/live/stream") -> int:
        """How many requests for this path have come."""
        return sum(path.encode() in head.split(b"\r\n")[0] for head in list(self.requests))

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._run, args=(connection,), name="scripted")
            self._connections.append(connection)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(PATIENCE)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                data = connection.recv(1)
                if not data:
                    return
                head += data
            self.requests.append(head)
            self.script(connection, head)


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    server = Scripted(script)
    try:
        yield server
    finally:
        server.stop()


def accept(connection: socket.socket, head: bytes, then: bytes = b"", header: bytes = b"") -> None:
    """Answers the handshake, and sends more in the same packet."""
    key = next(line[19:] for line in head.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_value(key).encode() + b"\r\n" + header + b"\r\n" + then)


def answer(connection: socket.socket, status: int, body: bytes = b"") -> None:
    connection.sendall(
        f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def statistics(connection: socket.socket) -> None:
    answer(connection, 200, json.dumps(STATISTICS).encode())


def text(content: str | bytes, **options) -> bytes:
    """A server's text frame."""
    data = content.encode() if isinstance(content, str) else content
    return encode_frame(Opcode.TEXT, data, mask=None, **options)


def message(message_type: str, **payload) -> bytes:
    return text(json.dumps({"type": message_type, "payload": payload, "timestamp": 1}))


def converse(connection: socket.socket, on_text: Callable[[dict], None] = lambda message: None) -> None:
    """Reads the client's messages until it closes; answers pings and the Close frame."""
    reader = FrameReader()
    while data := connection.recv(65_536):
        for frame in reader.feed(data):
            if frame.opcode == Opcode.TEXT:
                on_text(json.loads(frame.payload))
            if frame.opcode == Opcode.PING:
                connection.sendall(encode_frame(Opcode.PONG, frame.payload, mask=None))
            if frame.opcode == Opcode.CLOSE:
                connection.sendall(encode_frame(Opcode.CLOSE, encode_close(1000), mask=None))
                return


def is_poll(head: bytes) -> bool:
    return BLOCKCHAIN_STATS_PATH.encode() in head.split(b"\r\n")[0]


def seen_by(client: StreamClient) -> tuple[list, list]:
    """Lists of the states and messages that the client tells, growing."""
    states, messages = [], []
    client.on_state(states.append)
    client.on(ALL, messages.append)
    return states, messages


def own_threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("client-"))


@contextmanager
def leaving_nothing() -> Iterator[None]:
    """Fails when a client's thread, or a descriptor, is left afterwards."""
    before = descriptors()
    yield
    assert own_threads() == []
    wait_until(lambda: descriptors() <= before)


def descriptors() -> int:
    """How many are open; a selector of another server's may live until it is collected, a client has none."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sum("eventpoll" not in link for link in links)


def close_in_time(client: StreamClient) -> None:
    """Closes; it must take no longer than promised, and no thread of a client may be left."""
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < CLOSE_LIMIT
    assert own_threads() == []
    assert client.state is State.CLOSED
