"""A server that is not the port: the `websockets` package's threaded one, with enough of SPEC's `original`.

It knows SPEC and contract.py and shares no other code with the port, so what holds against it holds for
more than one implementation. Python's JSON reader is not the original's, and it shows: that is wanted.
"""

import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from livestream import contract

Handler = Callable[[ServerConnection], None]
#: Changes a message on its way out, or drops it with None.
Change = Callable[[str], str | None]

_SILENT = logging.getLogger("independent_server")
_SILENT.disabled = True


@contextmanager
def serving(handler: Handler, **options: Any) -> Iterator[str]:
    """Serves `handler` on a free port; gives the URL. On leaving, every connection is closed."""
    quiet = {"logger": _SILENT, "compression": None, "ping_interval": None}
    with serve(handler, "127.0.0.1", 0, **quiet, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def independent_server(change: Change = lambda text: text, time_scale: float = 1.0) -> Iterator[str]:
    """Serves the stream; gives its URL. `change` can spoil any message, `time_scale` multiplies intervals."""
    def handler(connection: ServerConnection) -> None:
        Conversation(connection, change, time_scale).run()
    with serving(handler, process_request=_not_found_elsewhere, max_size=2**24) as url:
        yield url


def _not_found_elsewhere(connection: ServerConnection, request: Request) -> Response | None:
    if request.path.partition("?")[0] == contract.STREAM_PATH:
        return None
    return connection.respond(404, "")


def _now() -> int:
    return time.time_ns() // 1_000_000


def _payload(message_type: str) -> dict[str, Any]:
    return {
        "tps_update": {
            "currentTPS": 776_000 + random.randrange(50_000), "peakTPS": 800_000, "averageTPS": 750_000,
            "latency": 40 + random.randrange(20),
        },
        "block_update": {
            "blockHeight": 12_345, "blockTime": 1_000, "transactions": 500, "producer": "validator-1",
        },
        "network_update": {
            "activeNodes": 64, "totalNodes": 100, "networkHealth": "healthy", "avgLatency": 42,
        },
        "validator_update": {
            "totalValidators": 20, "activeValidators": 15, "inactiveValidators": 3, "jailedValidators": 2,
        },
    }[message_type]


class Conversation:
    """One connection, from welcome to close."""

    def __init__(self, connection: ServerConnection, change: Change, time_scale: float) -> None:
        self._connection = connection
        self._change = change
        self._time_scale = time_scale
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        try:
            self._send("connection_established", {"connectionId": str(uuid.uuid4()), "timestamp": _now()})
            self._start(contract.INITIAL_CHANNEL)
            for message in self._connection:
                self._answer(message)
        except ConnectionClosed:
            pass
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def _send(self, message_type: str, payload: dict[str, Any]) -> None:
        message = {"type": message_type, "payload": payload, "timestamp": _now()}
        text = self._change(json.dumps(message, separators=(",", ":"), ensure_ascii=False))
        if text is not None:
            self._connection.send(text)

    def _answer(self, message: str | bytes) -> None:
        if isinstance(message, bytes) or not message.strip(" \t\r\n"):
            return
        try:
            record = json.loads(message)
        except (ValueError, RecursionError):
            self._send("error", {"error": "Invalid message format"})
            return
        if not isinstance(record, dict):
            return
        if record.get("type") == "ping":
            self._send("pong", {"timestamp": _now()})
        elif record.get("type") == "subscribe":
            self._subscribe(record)

    def _subscribe(self, record: dict[str, Any]) -> None:
        if "channel" not in record:
            self._send("error", {"error": "Channel not specified"})
            return
        name = record["channel"]
        self._send("subscription_confirmed", {"channel": name, "status": "subscribed"})
        for channel in contract.CHANNELS:
            if channel.name == name:
                self._start(channel)

    def _start(self, channel: contract.ChannelContract) -> None:
        thread = threading.Thread(target=self._broadcast, args=(channel,))
        self._threads.append(thread)
        thread.start()

    def _broadcast(self, channel: contract.ChannelContract) -> None:
        try:
            while not self._over.is_set():
                self._send(channel.message_type, _payload(channel.message_type))
                self._over.wait(channel.interval_ms / 1000 * self._time_scale)
        except ConnectionClosed:
            pass
