"""The connections: a dict behind a lock, and the counter beside it.

Source: SPEC, "Life of a connection", 1, 7, 8, 9, and "Names of the original":
a concurrent map of connections and an atomic counter, both static there.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


class Session(Protocol):
    """One WebSocket connection as the port sees it: the part of jakarta's `Session` it needs."""

    @property
    def is_open(self) -> bool:
        """False from the moment a Close frame is sent or received, or the connection is lost."""

    def send_text(self, text: str) -> None:
        """Sends one text message and blocks until it is written.

        Raises OSError when the session is closed or the connection lost.
        """

    def close(self, code: int, reason: str, timeout: float) -> bool:
        """Sends a Close frame (RFC 6455, section 5.5.1); does nothing when closed already.

        False when it could not be sent within `timeout` seconds.
        """


class _ClosedSession:
    """What a connection holds once it is over, so that its registry entry stays small."""

    is_open = False

    def send_text(self, text: str) -> None:
        raise OSError("the session is closed")

    def close(self, code: int, reason: str, timeout: float) -> bool:
        return True


CLOSED_SESSION: Session = _ClosedSession()


def every_channel(channel_name: str) -> bool:
    """What a client may subscribe to unless whoever let it in says otherwise: all, as in the original."""
    return True


@dataclass(eq=False, slots=True)
class Connection:
    """One client, the original's `WebSocketConnection`.

    `connected_at` is in milliseconds since 1970. `subscribed_channels` stays
    empty, as in the original: nothing ever writes to it.
    """

    connection_id: str
    connected_at: int
    session: Session
    subscribed_channels: frozenset[str] = field(default=frozenset())
    may_subscribe: Callable[[str], bool] = every_channel
    #: Whether the log knows that it has all its threads: a flood of subscribes is one line.
    has_all_threads: bool = False

    @property
    def short_id(self) -> str:
        """The first eight characters of the UUID: how log lines name the connection."""
        return self.connection_id[:8]

    @property
    def thread_name(self) -> str:
        """`stream-3f2a9c1e`: the handler thread; channel threads add theirs to it."""
        return f"stream-{self.short_id}"


class Registry:
    """Every connection by its id, and the counter of active ones.

    They are two separate things, as in the original, and so they can disagree.
    """

    def __init__(self) -> None:
        # Guards both the dict and the counter.
        self._lock = threading.Lock()
        self._connections: dict[str, Connection] = {}
        self._active = 0

    def add(self, connection: Connection) -> None:
        """Counts a connection and keeps its entry."""
        with self._lock:
            self._active += 1
            self._connections[connection.connection_id] = connection

    def remove(self, connection: Connection) -> None:
        """Drops the entry; the counter is another matter."""
        with self._lock:
            self._connections.pop(connection.connection_id, None)

    def count_down(self) -> None:
        """Takes one off the counter, below zero if need be: the original does."""
        with self._lock:
            self._active -= 1

    def connections(self) -> list[Connection]:
        """A snapshot of the entries."""
        with self._lock:
            return list(self._connections.values())

    @property
    def active_connections(self) -> int:
        """The counter."""
        with self._lock:
            return self._active

    @property
    def total_connections(self) -> int:
        """The number of entries."""
        with self._lock:
            return len(self._connections)
