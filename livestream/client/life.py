"""The life of a client, in one thread: connect, listen, reconnect, poll, until it is closed.

Source: SPEC, "The portal client": five attempts after 3, 6, 12, 24 and 48 s, then
polling. While REST is polled, a second thread tries to get the WebSocket back.
"""

import logging
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from livestream.client.connection import Connection
from livestream.client.messages import Message, read_message
from livestream.client.opening import CalledOff, Door, Lost, Stop
from livestream.client.polling import poll_statistics
from livestream.client.session import Session
from livestream.client.settings import ClientSettings, Clock

log = logging.getLogger(__name__)


class State(StrEnum):
    """What a client is doing; each member is its value as text: State.OPEN == "open"."""

    CONNECTING = "connecting"
    OPEN = "open"
    RECONNECTING = "reconnecting"
    POLLING = "polling"
    CLOSED = "closed"


class Audience(Protocol):
    """Who is told: by the client's one thread, and of problems also by the one in the background."""

    def on_state(self, state: State) -> None:
        """The state is another one now."""

    def on_message(self, message: Message) -> None:
        """A message came, or was made from a poll."""

    def on_unreadable(self, data: str | bytes) -> None:
        """Something came that is no message of the stream."""

    def on_problem(self, problem: str) -> None:
        """Why there is no WebSocket, one sentence; empty when there is one."""


class Life:
    """What the client's thread does; `run` returns when `stop` is set."""

    def __init__(
        self,
        door: Door,
        settings: ClientSettings,
        clock: Clock,
        session: Session,
        stop: Stop,
        audience: Audience,
        name: str,
    ) -> None:
        self._door = door
        self._settings = settings
        self._clock = clock
        self._session = session
        self._stop = stop
        self._audience = audience
        self._name = name

    def run(self) -> None:
        """From the first attempt to the end; the last thing told is State.CLOSED."""
        try:
            self._audience.on_state(State.CONNECTING)
            connection = self._attempt()
            while not self._stop.is_set():
                connection = connection or self._reconnect() or self._poll()
                if connection is not None:
                    self._listen(connection)
                connection = None
            if connection is not None:
                connection.release()
        finally:
            self._audience.on_state(State.CLOSED)

    def _attempt(self) -> Connection | None:
        try:
            connection = Connection(self._door, self._settings, self._stop)
        except CalledOff:
            return None
        except Lost as error:
            self._tell(str(error))
            return None
        return connection

    def _tell(self, problem: str) -> None:
        log.info("%s", problem)
        self._audience.on_problem(problem)

    def _listen(self, connection: Connection) -> None:
        """One connection, from its first message to its end."""
        try:
            self._session.begin(connection)
            self._audience.on_problem("")
            self._audience.on_state(State.OPEN)
            if self._stop.is_set():
                # Whoever closed the client may have looked before there was a connection to close.
                connection.close()
            while True:
                self._take(connection.receive())
        except Lost as error:
            if not self._stop.is_set():
                self._tell(str(error))
        finally:
            self._session.end()
            connection.release()

    def _take(self, data: str | bytes | None) -> None:
        if data is None or self._stop.is_set():
            return
        message = read_message(data, self._clock.now_ms()) if isinstance(data, str) else None
        if message is None:
            self._audience.on_unreadable(data)
            return
        self._session.on_message(message)
        self._audience.on_message(message)

    def _reconnect(self) -> Connection | None:
        """The attempts that the settings allow; None when none succeeds, or at the end."""
        self._audience.on_state(State.RECONNECTING)
        for delay in self._settings.delays():
            if self._clock.wait(self._stop.event, delay):
                break
            connection = self._attempt()
            if connection is not None:
                return connection
        return None

    def _poll(self) -> Connection | None:
        """Polls until the WebSocket is back; None at the end."""
        if self._stop.is_set():
            return None
        self._audience.on_state(State.POLLING)
        retrying = _Retrying(self._attempt, self._pause, f"{self._name}-retry")
        try:
            retrying.start()
        except (RuntimeError, MemoryError):
            self._tell("The system has no thread left to try in the background.")
            return None
        try:
            due = self._clock.monotonic()
            while not retrying.over.is_set():
                self._poll_once()
                now = self._clock.monotonic()
                due = max(due + self._settings.poll_interval, now)
                self._clock.wait(retrying.over, due - now)
        finally:
            retrying.join()
        return retrying.connection

    def _poll_once(self) -> None:
        try:
            message = poll_statistics(self._door, self._settings, self._clock, self._stop)
        except CalledOff:
            return
        except Lost as error:
            self._tell(str(error))
            return
        self._audience.on_message(message)

    def _pause(self) -> bool:
        """The pause before one more attempt in the background; False when there is to be none."""
        return not self._clock.wait(self._stop.event, self._settings.retry_interval)


class _Retrying(threading.Thread):
    """Tries to get the WebSocket back while its client polls."""

    def __init__(
        self, attempt: Callable[[], Connection | None], pause: Callable[[], bool], name: str,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.connection: Connection | None = None
        #: Set when there is a connection, or nothing more to try.
        self.over = threading.Event()
        self._attempt = attempt
        self._pause = pause

    def run(self) -> None:
        """Attempts and pauses, until one succeeds or the client is closed."""
        try:
            while self.connection is None and self._pause():
                self.connection = self._attempt()
        finally:
            self.over.set()
