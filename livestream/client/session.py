"""What is said on the connection that is open: subscriptions, and pings that wait for their pong.

Source: SPEC, "Messages" and "The portal client".
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from livestream import contract
from livestream.client.connection import Connection
from livestream.client.messages import PING_TEXT, Message, subscribe_text, unsubscribe_text
from livestream.client.opening import Lost
from livestream.client.resuming import Options, Resuming
from livestream.client.settings import StreamError
from livestream.client.waiting import wait_for


class _Ping:
    """One ping under way."""

    __slots__ = ("answered", "sent", "round_trip")

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.sent = time.monotonic()
        #: Seconds; None while there is no pong.
        self.round_trip: float | None = None


class Session:
    """The subscriptions, whatever connection there is, and the connection, while there is one."""

    def __init__(self) -> None:
        # Guards all fields and the order of what is sent: a subscription goes out once per connection.
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        #: The channels in the order in which they were first asked for, and what else was asked.
        self._channels: dict[str, Options] = {}
        self._resuming = Resuming()
        #: In the order in which they were sent: pongs carry no name, and come in order (SPEC, "Life of a
        #: connection", 5).
        self._pings: deque[_Ping] = deque()

    @property
    def connection(self) -> Connection | None:
        """The connection that is open."""
        return self._connection

    @property
    def channels(self) -> tuple[str, ...]:
        """What is restored on every new connection."""
        with self._lock:
            return tuple(self._channels)

    def begin(self, connection: Connection) -> None:
        """A connection is open: every subscription goes out on it, once. Lost when it can't be written."""
        with self._lock:
            self._connection = connection
            for channel, options in self._channels.items():
                connection.send(subscribe_text(channel, {**options, **self._resuming.since(channel)}))

    def end(self) -> None:
        """The connection is over, and so is the wait for its pongs."""
        with self._lock:
            self._connection = None
            pings, self._pings = self._pings, deque()
        for ping in pings:
            ping.answered.set()

    @property
    def extensions(self) -> tuple[str, ...]:
        """What the last welcome announced."""
        return self._resuming.extensions

    def subscribe(self, channel: str, options: Options) -> None:
        """Keeps the channel and asks for it, now or as soon as there is a connection."""
        with self._lock:
            self._channels[channel] = options
            self._send(subscribe_text(channel, options))

    def unsubscribe(self, channel: str) -> None:
        """Forgets the channel, and says so if there is a connection."""
        with self._lock:
            self._channels.pop(channel, None)
            self._resuming.forget(channel)
            self._send(unsubscribe_text(channel))

    def ping(self, timeout: float, why_not: Callable[[], str]) -> float:
        """Sends a ping and waits `timeout` seconds for its pong; the round trip in seconds.

        StreamError when there is no connection (`why_not` says why), or no pong comes.
        """
        with self._lock:
            if self._connection is None:
                raise StreamError(why_not())
            ping = _Ping()
            self._pings.append(ping)
            self._connection.send(PING_TEXT)
        if not wait_for(ping.answered, timeout):
            # It stays in the queue: its pong may still come, and must not be taken for the next one's.
            raise StreamError(f"No pong came within {timeout:g} s.")
        if ping.round_trip is None:
            raise StreamError("The connection was lost before the pong came.")
        return ping.round_trip

    def on_message(self, message: Message) -> None:
        """A message came on the connection."""
        if message.type == contract.PONG:
            self.on_pong()
            return
        with self._lock:
            self._resuming.on_message(message)

    def on_pong(self) -> None:
        """A pong came: it answers the oldest ping; one that nobody waits for means nothing."""
        with self._lock:
            ping = self._pings.popleft() if self._pings else None
        if ping is not None:
            ping.round_trip = time.monotonic() - ping.sent
            ping.answered.set()

    def _send(self, text: str) -> None:
        """Sends if there is a connection; one that is just lost will be followed by another."""
        if self._connection is not None:
            with suppress(Lost):
                self._connection.send(text)
