"""Servers that the load meets: one that keeps its own account, and ones that answer anything."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

from websockets.sync.server import ServerConnection

from livestream.contract import STREAM_PATH
from tests.parity.independent_server import Change, Conversation, serving

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Sent(NamedTuple):
    """A message that has been sent."""

    at: float
    connection: int
    type: str


class Seen:
    """An independent server's own account: what it sent, and when connections ended, and with which code."""

    def __init__(self, time_scale: float, change: Change = lambda text: text) -> None:
        self.sent: list[Sent] = []
        self.ended: list[tuple[float, int]] = []
        #: How many there were.
        self.connections = 0
        self._time_scale = time_scale
        self._change = change

    def handle(self, connection: ServerConnection) -> None:
        self.connections += 1
        Conversation(connection, partial(self._note, self.connections), self._time_scale).run()
        self.ended.append((time.monotonic(), connection.close_code))

    @property
    def codes(self) -> list[int]:
        return [code for _, code in self.ended]

    def _note(self, connection: int, text: str) -> str | None:
        changed = self._change(text)
        if changed is not None:
            self.sent.append(Sent(time.monotonic(), connection, json.loads(text)["type"]))
        return changed

    @contextmanager
    def serving(self, **options) -> Iterator[str]:
        with serving(self.handle, **options) as url:
            yield url + STREAM_PATH


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """A server that says this to whoever connects, and nothing more; None for one that hangs up."""
    connections = []

    def run():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                connection.recv(65_536)
                if answer is None:
                    connection.close()
                else:
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()
