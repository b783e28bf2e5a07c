"""What a connection may do, and how it says that it is over.

Source: SPEC, "Frames" and "Life of a connection", 8.
"""

from collections.abc import Callable
from typing import NamedTuple

import simple_websocket

from livestream.contract import MAX_FRAME_BYTES, MAX_MESSAGE_BYTES


class SessionClosed(simple_websocket.ConnectionClosed, OSError):  # type: ignore[misc]
    """Raised by `send` and `receive` when the connection is over; it carries the close code."""


class SessionError(Exception):
    """What jakarta's `onError` is told about: a reset, a frame too big, an illegal Close."""


class Limits(NamedTuple):
    """What one connection may send, in bytes, and how long it may read nothing; 0 lifts a limit."""

    frame: int = MAX_FRAME_BYTES
    message: int = MAX_MESSAGE_BYTES
    send_seconds: float = 0


class NoThread:
    """Stands where simple-websocket would start its reader thread."""

    name = ""

    def __init__(self, target: Callable[[], None]) -> None:
        pass

    def start(self) -> None:
        """Nothing: reading is the handler thread's."""
