"""Coverage-guided bad inputs for one target: `python -m tests.faults.guided TARGET FOLDER -runs=N`.

libFuzzer, by atheris, looks for inputs that reach code which none reached before; what a target
raises ends the run. FOLDER has the inputs to begin with, and gets those that led further.
"""

import json
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from random import Random

import atheris

with atheris.instrument_imports(include=["livestream.stream", "livestream.transport", "wsproto"]):
    from livestream.stream.channels import live_channels
    from livestream.stream.endpoint import LiveStreamWebSocket
    from livestream.stream.profiles import ORIGINAL
    from livestream.stream.registry import Registry
    from livestream.transport.websocket import SessionClosed, WebSocket

from tests.stream.fakes import FakeBroadcaster, FakeClock, FakeSession, FakeSource

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def _endpoint() -> Callable[[bytes], None]:
    """A text message to the endpoint: it must answer nothing, or with a message of its own form."""
    endpoint = LiveStreamWebSocket(
        ORIGINAL, Registry(), FakeBroadcaster(), live_channels(FakeSource()), FakeClock(), Random(0))
    session = FakeSession()
    connection = endpoint.on_open(session)

    def one(data: bytes) -> None:
        session.sent.clear()
        endpoint.on_message(connection, data.decode("utf-8", "replace"))
        for text in session.sent:
            assert json.loads(text)["type"] in ("error", "pong", "subscription_confirmed"), text

    return one


def _frames() -> Callable[[bytes], None]:
    """Bytes after the handshake: the connection must end, whatever they are, and leave no buffer."""

    def one(data: bytes) -> None:
        ours, theirs = socket.socketpair()
        with closing(ours), closing(theirs):
            theirs.setblocking(False)
            session = WebSocket({"werkzeug.socket": ours, "HTTP_SEC_WEBSOCKET_KEY": KEY})
            theirs.send(data)
            theirs.shutdown(socket.SHUT_WR)
            try:
                while True:
                    session.receive()
            except SessionClosed:
                pass
            session.finish()
            assert not session.is_open

    return one


def _raising() -> Callable[[bytes], None]:
    """Fails sooner or later, to show that a run notices."""

    def one(data: bytes) -> None:
        if data.startswith(b"x"):
            raise ValueError("an x")

    return one


TARGETS: dict[str, Callable[[], Callable[[bytes], None]]] = {
    "endpoint": _endpoint, "frames": _frames, "raising": _raising,
}


if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
