"""`StreamClient`: the portal's connection manager in Python, to script with.

    with StreamClient("ws://localhost:9003") as client:
        client.subscribe("block_updates")
        for message in client:
            print(message.type, message.payload)

It does what the report says of the portal's (SPEC, "The portal client") and
repeats none of its three faults: the channel stands beside the type and not
inside `payload`, where the server would answer "Channel not specified"; a
client that was closed stays closed; an update is a call of a handler and never
a new connection.
"""

import itertools
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Final, Self

from livestream.client.handlers import ALL, Backlog, Handlers
from livestream.client.life import Life, State
from livestream.client.messages import Message
from livestream.client.opening import Door, Header, Stop
from livestream.client.resuming import subscribe_options
from livestream.client.session import Session
from livestream.client.settings import ClientSettings, Clock, StreamError, SystemClock
from livestream.client.waiting import wait_until

log = logging.getLogger(__name__)

#: `close` waits so long for the server's Close frame, and so long in all, in seconds.
CLOSING_TIME: Final = 0.5
STOPPING_TIME: Final = 0.9

_numbers = itertools.count(1)


class StreamClient:
    """One client of the live stream, whatever becomes of its connection.

    Any thread may call every method. Handlers run one at a time in the
    client's own thread, in the order of the messages; one that takes long
    holds up the rest, and one that raises is logged. A `with` block connects
    and closes.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Iterable[Header] = (),
        ssl_context: ssl.SSLContext | None = None,
        settings: ClientSettings = ClientSettings(),
        clock: Clock = SystemClock(),
    ) -> None:
        """`url` with ws, wss, http or https; without a path it means the stream's. Doesn't connect yet.

        `headers`, pairs of name and value, go with the handshake and with every
        poll; `ssl_context` says whom to trust, by default whom the system does.
        StreamError when the URL or a header can't be.
        """
        self.url = url
        #: Messages that were not of the stream's form and were passed over.
        self.unreadable = 0
        self._settings = settings
        self._handlers: Handlers[Message] = Handlers()
        self._state_handlers: Handlers[State] = Handlers()
        self._backlog: Backlog[Message] = Backlog(settings.queue_size)
        self._stop = Stop()
        self._session = Session()
        self._problem = ""
        self._state = State.CLOSED
        # Guards the state and the thread, and wakes whoever waits for a state.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._name = f"client-{next(_numbers)}"
        door = Door.to(url, headers, ssl_context)
        self._life = Life(door, settings, clock, self._session, self._stop, _Audience(self), self._name)

    # Life.

    def connect(self) -> Self:
        """Starts connecting and returns at once; see `wait_for`. Nothing more happens when called again.

        StreamError after `close`, or when the system has no thread left.
        """
        with self._changed:
            self._require_not_closed()
            if self._thread is None:
                self._thread = self._started()
                # Its own first word waits for the lock that is held here.
                self._state = State.CONNECTING
        return self

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._life.run, name=f"{self._name}-stream", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            raise StreamError("The system has no thread left for a client.") from error
        return thread

    def close(self) -> None:
        """Ends the connection with Close 1000 and every thread within 1 s, and never reconnects.

        From a handler it returns at once, and the thread ends with the
        handler. May be called again. (A look-up of the host's name that hangs
        can't be called off: its thread ends with it.)
        """
        self._stop.set()
        self._backlog.end()
        with self._changed:
            thread = self._thread
            self._changed.notify_all()
        if thread is None:
            return
        end = time.monotonic() + STOPPING_TIME
        connection = self._session.connection
        if connection is not None:
            connection.close()
        if thread is threading.current_thread():
            return
        thread.join(max(0, min(CLOSING_TIME if connection else STOPPING_TIME, end - time.monotonic())))
        if thread.is_alive() and connection is not None:
            connection.abort()
        thread.join(max(0, end - time.monotonic()))
        if thread.is_alive():
            log.warning("%s: its thread still runs: a handler or a name look-up takes long", self.url)

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        self.close()

    # State.

    @property
    def state(self) -> State:
        """What the client is doing; CLOSED before `connect` too."""
        return State.CLOSED if self._stop.is_set() else self._state

    @property
    def problem(self) -> str:
        """Why there is no WebSocket, one sentence; empty while there is one, or nothing was tried."""
        return self._problem

    def on_state(self, handler: Callable[[State], object]) -> Callable[[], None]:
        """Calls `handler` with every new state, in order; returns what removes it.

        TypeError when `handler` can't be called.
        """
        return self._state_handlers.add(ALL, handler)

    def wait_for(self, state: State, timeout: float | None = None) -> bool:
        """Waits for this state, `timeout` seconds at most; False when it doesn't come, or `close` does."""
        with self._changed:
            wait_until(self._changed, lambda: self._stop.is_set() or self._state is state, timeout)
            return self.state is state

    # Messages.

    def on(self, message_type: str, handler: Callable[[Message], object]) -> Callable[[], None]:
        """Calls `handler` with every message of this type; returns what removes it.

        With `livestream.client.ALL` ("*") for the type, with every message. A type may
        have several handlers; they are called in the order in which they were added,
        those for ALL last. A handler that is removed is not called any more, but for a
        call that has begun. TypeError when `handler` can't be called.
        """
        return self._handlers.add(message_type, handler)

    def __iter__(self) -> Iterator[Message]:
        """The messages from `connect` on, each once; ends when the client is closed, whatever still waits.

        `ClientSettings.queue_size` of them wait at most, then the oldest are
        dropped (see `dropped`). StreamError before `connect`.
        """
        if self._thread is None and not self._stop.is_set():
            raise StreamError("There is nothing to iterate over before connect().")
        self._backlog.want()
        return _Messages(self._backlog)

    @property
    def dropped(self) -> int:
        """How many messages were dropped because nobody took them out of the iteration in time."""
        return self._backlog.dropped

    # What the client says.

    def subscribe(
        self, channel: str, *, validators: Iterable[str] | None = None, interval_ms: int | None = None,
    ) -> None:
        """Asks for a channel, now or as soon as there is a connection, and once on each later connection.

        Every call sends one `subscribe`; what that starts is the server's
        affair (SPEC, "Life of a connection", 2). `validators` (ids) and
        `interval_ms` ask for what only a server with these `extensions`
        gives; others ignore it. Of the extension `since` a later connection
        makes use by itself, so that updates that were missed come first,
        marked `replayed`. StreamError after `close`, or when the channel is no text
        or an option can't be.
        """
        self._require_not_closed()
        self._session.subscribe(_checked(channel), subscribe_options(validators, interval_ms))

    def unsubscribe(self, channel: str) -> None:
        """Sends `unsubscribe` if there is a connection, and doesn't restore the channel any more.

        StreamError after `close`.
        """
        self._require_not_closed()
        self._session.unsubscribe(_checked(channel))

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The channels that are restored on every new connection, in the order of their first `subscribe`."""
        return self._session.channels

    @property
    def extensions(self) -> tuple[str, ...]:
        """What the server offers beyond the original, by its last welcome; most offer nothing."""
        return self._session.extensions

    def ping(self, timeout: float | None = None) -> float:
        """Sends a `ping` message and waits for its `pong`: the round trip in seconds.

        StreamError when there is no open connection, when no pong comes in
        `timeout` seconds (ClientSettings.pong_timeout), or in a handler, which
        keeps the pong from being read.
        """
        self._require_not_closed()
        if threading.current_thread() is self._thread:
            raise StreamError("ping() waits for an answer, which can't come while a handler runs.")
        patience = self._settings.pong_timeout if timeout is None else timeout
        if not patience > 0:  # NaN too
            raise StreamError(f"ping() can't wait {patience} s for its pong.")
        return self._session.ping(patience, self._why_not_open)

    def _why_not_open(self) -> str:
        return f"There is no open connection: the client is {self.state}."

    def _require_not_closed(self) -> None:
        if self._stop.is_set():
            raise StreamError("This client is closed; a new one can connect again.")


def _checked(channel: str) -> str:
    if not isinstance(channel, str):
        raise StreamError(f"A channel is named by text, not by {channel!r}.")
    return channel


class _Messages(Iterator[Message]):
    """One iteration; several share the messages."""

    def __init__(self, backlog: Backlog[Message]) -> None:
        self._backlog = backlog

    def __next__(self) -> Message:
        return self._backlog.get()


class _Audience:
    """Hears of the client's life, for the client; only ever in its thread."""

    def __init__(self, client: StreamClient) -> None:
        self._client = client

    def on_state(self, state: State) -> None:
        """Told to whoever waits and to the handlers; CLOSED is told although the client is to end."""
        client = self._client
        with client._changed:
            client._state = state
            client._changed.notify_all()
        if state is State.CLOSED:
            client._stop.set()
            client._backlog.end()
        client._state_handlers.call((ALL,), state, lambda: state is client.state)

    def on_message(self, message: Message) -> None:
        """To the iteration first, which never waits, then to the handlers."""
        client = self._client
        client._backlog.put(message)
        # A server may call a type "*" too.
        keys = tuple(dict.fromkeys((message.type, ALL)))
        client._handlers.call(keys, message, lambda: not client._stop.is_set())

    def on_unreadable(self, data: str | bytes) -> None:
        """Counted; the first is logged."""
        client = self._client
        client.unreadable += 1
        if client.unreadable == 1:
            log.warning("%s sent what is no message of the stream: %.100r", client.url, data)

    def on_problem(self, problem: str) -> None:
        """Kept, for `problem`."""
        self._client._problem = problem
