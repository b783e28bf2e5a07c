"""One connection's life: its events, in order and one at a time, for whoever handles them.

Source: SPEC, "Life of a connection"; jakarta.websocket's `Endpoint`.
"""

import logging
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from simple_websocket import ConnectionClosed

from livestream.contract import CLOSE_INTERNAL_ERROR, CLOSE_POLICY_VIOLATION
from livestream.transport.observed import Session, unobserved
from livestream.transport.websocket import WebSocket

log = logging.getLogger(__name__)


class Connection(Protocol):
    """What the container knows of the endpoint's connections."""

    @property
    def short_id(self) -> str:
        """What log lines call it."""

    @property
    def thread_name(self) -> str:
        """The name of the thread that handles it."""


C = TypeVar("C", bound=Connection)


class Endpoint(Protocol[C]):
    """The four callbacks of a jakarta endpoint; `C` is what it calls a connection."""

    def on_open(self, session: Session, may_subscribe: Callable[[str], bool]) -> C:
        """The handshake is done; `may_subscribe` says which channels the client may have."""

    def on_message(self, connection: C, text: str) -> None:
        """One text message; binary ones have no handler and are ignored."""

    def send_error_message(self, connection: C, error: str) -> None:
        """A message came that is not passed on; the client is told. Raises nothing for one that is gone."""

    def on_error(self, connection: C, error: Exception) -> None:
        """Something went wrong that was no protocol error; a close follows."""

    def on_close(self, connection: C) -> None:
        """The connection is over, however it ended."""


class Excess(Protocol):
    """Why a message is not passed on."""

    @property
    def error(self) -> str:
        """What the client is told."""

    @property
    def closes(self) -> bool:
        """Whether it is told by a Close frame: it was told often enough."""


class Guest(Protocol):
    """What a client may do, by whoever let it in."""

    def may_subscribe(self, channel: str) -> bool:
        """Whether it may have this channel."""

    def excess(self) -> Excess | None:
        """Asked at each of its messages, text or binary: None passes it on."""


def run_endpoint(
    endpoint: Endpoint[C],
    session: WebSocket,
    guest: Guest,
    observed: Callable[[Session], Session] = unobserved,
) -> None:
    """Serves one connection on the calling thread, from `on_open` to `on_close`.

    `observed` makes of the session what the endpoint sends by.
    """
    connection = endpoint.on_open(observed(session), guest.may_subscribe)
    threading.current_thread().name = connection.thread_name
    try:
        _pass_messages_on(endpoint, connection, session, guest)
    except ConnectionClosed:
        if session.error is not None:
            endpoint.on_error(connection, session.error)
        elif session.complaint is not None:
            log.info("connection %s: %s", connection.short_id, session.complaint)
    except Exception as error:
        session.close(CLOSE_INTERNAL_ERROR, "internal error")
        endpoint.on_error(connection, error)
    finally:
        endpoint.on_close(connection)


def _pass_messages_on(endpoint: Endpoint[C], connection: C, session: WebSocket, guest: Guest) -> None:
    while True:
        message = session.receive()
        excess = guest.excess()
        if excess is None:
            if isinstance(message, str):
                endpoint.on_message(connection, message)
        elif not excess.closes:
            endpoint.send_error_message(connection, excess.error)
        else:
            log.info("connection %s: closed: %s", connection.short_id, excess.error)
            if not session.close(CLOSE_POLICY_VIOLATION, excess.error):
                session.abort()
