"""How the exercises' tests talk to a server."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from livestream.app import LiveServer
from livestream.settings import Settings
from livestream.wire.client import WireClient

#: How long anything may take that should take no time, in seconds.
PATIENCE = 15.0
#: How long what happens by itself may take, in seconds.
SOON = 3.0


def serve(**settings: Any) -> LiveServer:
    """A server of its own for a `with` statement; in the profile `original` unless told otherwise."""
    return LiveServer(Settings(host="127.0.0.1", port=0, **settings))


def connect(server: LiveServer) -> WireClient:
    return WireClient.connect(server.url(), timeout=PATIENCE)


def receive(client: WireClient, message_type: str) -> list[dict[str, Any]]:
    """All messages up to the first of this type; fails when it doesn't come."""
    start = f'{{"type":"{message_type}"'
    events = client.receive_until(lambda event: event.text.startswith(start), PATIENCE)
    messages = [json.loads(event.text) for event in events if event.text]
    assert messages and messages[-1]["type"] == message_type, f"no {message_type} came within {PATIENCE} s"
    return messages


def ask(client: WireClient, **message: object) -> list[dict[str, Any]]:
    """Sends a message, and returns what came until everything is answered.

    Messages are answered in their order, so what comes before the pong of a ping is all there is.
    """
    client.send_text(json.dumps(message))
    client.send_text('{"type":"ping"}')
    return receive(client, "pong")[:-1]


def payloads(messages: list[dict[str, Any]], message_type: str) -> list[dict[str, Any]]:
    return [message["payload"] for message in messages if message["type"] == message_type]


def wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    """Waits until it is so, and fails with `otherwise` when it doesn't become so."""
    pause = threading.Event()
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, otherwise
        pause.wait(0.01)
