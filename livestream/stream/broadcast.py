"""What a subscription does, and one daemon thread for each: how the original broadcasts.

Source: SPEC, "Messages" (first update at once, then the interval) and DESIGN,
"Threads" (names). `shared` serves the same subscriptions with fewer threads.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Generic, Protocol, TypeVar

from livestream.stream.channels import Channel, Unavailable
from livestream.stream.messages import Clock, envelope
from livestream.stream.registry import Connection
from livestream.stream.sleeping import SignalSleeper, Sleeper

log = logging.getLogger(__name__)

#: Is told how late an update begins, in seconds against the moment that it was due.
ObserveLateness = Callable[[float], None]


class Joinable(Protocol):
    """What may still be sending after a stop: a thread, or a subscription that others serve."""

    def join(self, timeout: float) -> None:
        """Waits until it sends no more, `timeout` seconds at most."""


class Broadcaster(Protocol):
    """What the endpoint and the server ask of a broadcaster."""

    def start(self, connection: Connection, channel: Channel) -> None:
        """Starts sending updates, the first at once.

        Raises RuntimeError when the system refuses a thread; nothing is left behind then.
        """

    def count(self, connection: Connection, channel_name: str | None = None) -> int:
        """How many subscriptions of this client run, in all or of one channel; stopped ones don't count."""

    def stop(self, connection: Connection, channel_name: str | None = None) -> Sequence[Joinable]:
        """Ends the client's subscriptions, in all or of one channel; never waits for a send.

        Returns what may still be sending, for joining.
        """

    def stop_everything(self) -> list[threading.Thread]:
        """Ends every subscription of every client; returns the threads, for joining."""

    def subscriptions(self) -> Sequence["Subscription"]:
        """All that run, a snapshot: for whoever watches."""

    def workers(self) -> Sequence[threading.Thread]:
        """The threads that serve all clients together; none where each subscription has its own."""


class Subscription:
    """One channel of one client while it runs: what it sends, and when."""

    __slots__ = (
        "connection", "channel", "thread", "started", "sends", "stopped", "_clock", "_fixed_delay", "_due",
        "_observe_lateness",
    )

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        clock: Clock,
        fixed_delay: bool,
        observe_lateness: ObserveLateness | None = None,
    ) -> None:
        """`observe_lateness` is told of every update but the first, which is never due before."""
        self.connection = connection
        self.channel = channel
        #: The thread that sends for it alone, if there is one.
        self.thread: threading.Thread | None = None
        #: When it began, by the clock's `monotonic`.
        self.started = clock.monotonic()
        #: How many updates it has sent; only whoever sends counts.
        self.sends = 0
        #: It sends no update any more, but for one that it is just sending.
        self.stopped = False
        self._clock = clock
        self._fixed_delay = fixed_delay
        self._due = self.started
        self._observe_lateness = observe_lateness

    def send_update(self) -> bool:
        """Sends one update, or none if it is unavailable; False when session or connection is over.

        Raises what else the source raises. A lost connection is the handler thread's to report.
        """
        session = self.connection.session
        if not session.is_open:
            return False
        if self._observe_lateness is not None and self.sends:
            self._observe_lateness(self._clock.monotonic() - self._due)
        channel = self.channel
        try:
            payload = channel.payload()
        except Unavailable:
            return True
        update = envelope(channel.message_type, payload, self._clock.now_ms())
        try:
            session.send_text(update)
        except OSError:
            return False
        self.sends += 1
        return True

    def delay(self, now: float) -> float:
        """Seconds from `now` until the next update; called once after each.

        A fixed delay lets lateness add up, as the original does. A fixed rate
        keeps to the grid of the first update and skips ticks that are past.
        """
        interval = self.channel.interval
        if self._fixed_delay:
            self._due = now + interval
            return interval
        self._due += interval
        if self._due < now:
            self._due += ceil((now - self._due) / interval) * interval
        return self._due - now


class Broadcast(Subscription):
    """A subscription with a thread of its own."""

    __slots__ = ("number", "_sleeper")

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        number: int,
        clock: Clock,
        fixed_delay: bool,
        sleeper: Sleeper,
        observe_lateness: ObserveLateness | None = None,
    ) -> None:
        super().__init__(connection, channel, clock, fixed_delay, observe_lateness)
        self.number = number
        self._sleeper = sleeper

    @property
    def name(self) -> str:
        """As DESIGN names threads: `stream-3f2a9c1e-tps_updates-1`."""
        return f"{self.connection.thread_name}-{self.channel.name}-{self.number}"

    def run(self) -> None:
        """Sends an update at once and then one per interval, until one can't be sent or `stop`."""
        monotonic = self._clock.monotonic
        self._due = monotonic()
        with self._sleeper:
            while self.send_update():
                if self._sleeper.sleep(self.delay(monotonic())):
                    return

    def stop(self) -> None:
        """Ends the sleep, and with it the thread."""
        self.stopped = True
        self._sleeper.wake()


S = TypeVar("S", bound=Subscription)


class Subscriptions(Generic[S]):
    """Which subscriptions run, by connection: what every broadcaster keeps."""

    def __init__(self) -> None:
        # Guards the dict and the lists in it.
        self._lock = threading.Lock()
        self._running: dict[str, list[S]] = {}

    def count(self, connection: Connection, channel_name: str | None = None) -> int:
        """How many of this client run, in all or for one channel; those told to stop don't count."""
        return sum(not one.stopped for one in self._select(connection, channel_name))

    def subscriptions(self) -> list[S]:
        """All that run, of all clients."""
        with self._lock:
            return [one for some in self._running.values() for one in some]

    def _forget(self, subscription: S) -> None:
        """Once more does no harm: a stop may come while it ends by itself."""
        connection_id = subscription.connection.connection_id
        with self._lock:
            running = self._running.get(connection_id, [])
            if subscription in running:
                running.remove(subscription)
            if not running:
                self._running.pop(connection_id, None)

    def _select(self, connection: Connection, channel_name: str | None) -> list[S]:
        with self._lock:
            running = self._running.get(connection.connection_id, ())
            return [one for one in running if channel_name in (None, one.channel.name)]


class ThreadBroadcaster(Subscriptions[Broadcast]):
    """Starts, counts and ends the channel threads of every client."""

    threads_per_subscription = 1

    def __init__(
        self,
        clock: Clock,
        fixed_delay: bool,
        new_sleeper: Callable[[], Sleeper] = SignalSleeper,
        require_room: Callable[[], None] = lambda: None,
        observe_lateness: ObserveLateness | None = None,
    ) -> None:
        """`require_room` raises RuntimeError when the machine has no room for one more thread."""
        super().__init__()
        self._observe_lateness = observe_lateness
        self._clock = clock
        self._fixed_delay = fixed_delay
        self._new_sleeper = new_sleeper
        self._require_room = require_room

    def start(self, connection: Connection, channel: Channel) -> None:
        """Starts one more thread for this channel of this client.

        Raises RuntimeError when the system refuses a thread; nothing is left behind then.
        """
        broadcast = self._register(connection, channel)
        thread = threading.Thread(target=self._run, args=(broadcast,), name=broadcast.name, daemon=True)
        broadcast.thread = thread
        try:
            start_thread(thread, self._require_room)
        except RuntimeError:
            self._forget(broadcast)
            raise

    def stop(self, connection: Connection, channel_name: str | None = None) -> list[threading.Thread]:
        """Ends the threads of a client, in all or of one channel; returns them for joining."""
        return _stop_all(self._select(connection, channel_name))

    def stop_everything(self) -> list[threading.Thread]:
        """Ends every thread of every client; returns them for joining."""
        return _stop_all(self.subscriptions())

    def workers(self) -> list[threading.Thread]:
        """None: every subscription has a thread of its own."""
        return []

    def _register(self, connection: Connection, channel: Channel) -> Broadcast:
        with self._lock:
            running = self._running.setdefault(connection.connection_id, [])
            taken = [other.number for other in running if other.channel.name == channel.name]
            number = max(taken, default=0) + 1
            broadcast = Broadcast(
                connection, channel, number, self._clock, self._fixed_delay, self._new_sleeper(),
                self._observe_lateness,
            )
            running.append(broadcast)
            return broadcast

    def _run(self, broadcast: Broadcast) -> None:
        try:
            broadcast.run()
        except Exception as error:
            log_failure(broadcast, error)
        finally:
            self._forget(broadcast)


def start_thread(thread: threading.Thread, require_room: Callable[[], None]) -> None:
    """Starts it. Raises RuntimeError when the system refuses a thread, for whatever reason."""
    try:
        require_room()
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise RuntimeError(str(error) or "no memory for a thread") from error


def log_failure(subscription: Subscription, error: Exception) -> None:
    """One line for a source that raised, which ends its subscription and no other."""
    log.error("connection %s: channel %s ended: %r",
              subscription.connection.short_id, subscription.channel.name, error)


def _stop_all(broadcasts: Iterable[Broadcast]) -> list[threading.Thread]:
    stopped = list(broadcasts)
    for broadcast in stopped:
        broadcast.stop()
    return [broadcast.thread for broadcast in stopped if broadcast.thread is not None]
