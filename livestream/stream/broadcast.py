"""One daemon thread per channel per client: how the original broadcasts.

Source: SPEC, "Messages" (first update at once, then the interval) and DESIGN,
"Threads" (names).
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterable
from math import ceil
from typing import Protocol

from livestream.stream.channels import Channel
from livestream.stream.messages import Clock, envelope
from livestream.stream.registry import Connection

log = logging.getLogger(__name__)

#: What ends a channel thread's sleep.
WAKE_SIGNALS = (signal.SIGURG,)


class Sleeper(Protocol):
    """A sleep that another thread can end."""

    def sleep(self, seconds: float) -> bool:
        """Sleeps for `seconds`; True as soon as somebody has called `wake`."""

    def wake(self) -> None:
        """Ends the sleep, and all later ones; may be called more than once."""


class SignalSleeper:
    """Sleeps in `sigtimedwait`, woken by a signal sent to this one thread.

    `threading.Event` would do for a few threads. But its wait is a futex, and
    a wake-up from one costs more the more threads of the process wait in
    others: with 15,000 asleep (Linux 6.18) the stream collapses. The
    signal is SIGURG, which is ignored wherever it isn't waited for.
    """

    __slots__ = ("_lock", "_awake", "_asleep", "_masked")

    def __init__(self) -> None:
        # Guards both fields: a thread that is signalled has not ended.
        self._lock = threading.Lock()
        self._awake = False
        #: Which thread sleeps, if one does.
        self._asleep: int | None = None
        #: Whether the one thread that sleeps here keeps the signal waiting until it asks for it.
        self._masked = False

    def sleep(self, seconds: float) -> bool:
        """Sleeps for `seconds`; True as soon as somebody has called `wake`."""
        if not self._masked:
            signal.pthread_sigmask(signal.SIG_BLOCK, WAKE_SIGNALS)
            self._masked = True
        with self._lock:
            if self._awake:
                return True
            self._asleep = threading.get_ident()
        signal.sigtimedwait(WAKE_SIGNALS, max(seconds, 0))
        with self._lock:
            self._asleep = None
            return self._awake

    def wake(self) -> None:
        """Ends the sleep, and all later ones."""
        with self._lock:
            self._awake = True
            if self._asleep is not None:
                signal.pthread_kill(self._asleep, signal.SIGURG)


class Broadcast:
    """One channel of one client while it runs."""

    __slots__ = (
        "connection", "channel", "number", "thread", "stopped", "_clock", "_fixed_delay", "_sleeper", "_due",
    )

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        number: int,
        clock: Clock,
        fixed_delay: bool,
        sleeper: Sleeper,
    ) -> None:
        self.connection = connection
        self.channel = channel
        self.number = number
        self.thread: threading.Thread | None = None
        #: It sends no update any more, but for one that it is just sending.
        self.stopped = False
        self._clock = clock
        self._fixed_delay = fixed_delay
        self._sleeper = sleeper
        self._due = 0.0

    @property
    def name(self) -> str:
        """As DESIGN names threads: `stream-3f2a9c1e-tps_updates-1`."""
        return f"{self.connection.thread_name}-{self.channel.name}-{self.number}"

    def run(self) -> None:
        """Sends an update at once and then one per interval, until the session is closed or `stop`.

        Raises what the source raises. A failed send just ends it: the handler
        thread reports the lost connection.
        """
        session = self.connection.session
        self._due = self._clock.monotonic()
        while session.is_open:
            update = self._next_update()
            try:
                session.send_text(update)
            except OSError:
                return
            if self._sleeper.sleep(self._delay()):
                return

    def stop(self) -> None:
        """Ends the sleep, and with it the thread."""
        self.stopped = True
        self._sleeper.wake()

    def _next_update(self) -> str:
        channel = self.channel
        return envelope(channel.message_type, channel.payload(), self._clock.now_ms())

    def _delay(self) -> float:
        """Seconds until the next update.

        A fixed delay lets lateness add up, as the original does. A fixed rate
        keeps to the grid of the first update and skips ticks that are past.
        """
        interval = self.channel.interval
        if self._fixed_delay:
            return interval
        now = self._clock.monotonic()
        self._due += interval
        if self._due < now:
            self._due += ceil((now - self._due) / interval) * interval
        return self._due - now


class ThreadBroadcaster:
    """Starts, counts and ends the channel threads of every client."""

    def __init__(
        self,
        clock: Clock,
        fixed_delay: bool,
        new_sleeper: Callable[[], Sleeper] = SignalSleeper,
        require_room: Callable[[], None] = lambda: None,
    ) -> None:
        """`require_room` raises RuntimeError when the machine has no room for one more thread."""
        self._clock = clock
        self._fixed_delay = fixed_delay
        self._new_sleeper = new_sleeper
        self._require_room = require_room
        # Guards the dict and the lists in it.
        self._lock = threading.Lock()
        self._running: dict[str, list[Broadcast]] = {}

    def start(self, connection: Connection, channel: Channel) -> None:
        """Starts one more thread for this channel of this client.

        Raises RuntimeError when the system refuses a thread; nothing is left behind then.
        """
        broadcast = self._register(connection, channel)
        thread = threading.Thread(target=self._run, args=(broadcast,), name=broadcast.name, daemon=True)
        broadcast.thread = thread
        try:
            self._require_room()
            thread.start()
        except (RuntimeError, MemoryError) as error:
            self._forget(broadcast)
            raise RuntimeError(str(error) or "no memory for a thread") from error

    def count(self, connection: Connection, channel_name: str | None = None) -> int:
        """How many threads this client has, in all or for one channel; those told to stop don't count."""
        return sum(not one.stopped for one in self._select(connection, channel_name))

    def stop(self, connection: Connection, channel_name: str | None = None) -> list[threading.Thread]:
        """Ends the threads of a client, in all or of one channel; returns them for joining."""
        return _stop_all(self._select(connection, channel_name))

    def stop_everything(self) -> list[threading.Thread]:
        """Ends every thread of every client; returns them for joining."""
        with self._lock:
            running = [broadcast for some in self._running.values() for broadcast in some]
        return _stop_all(running)

    def _register(self, connection: Connection, channel: Channel) -> Broadcast:
        with self._lock:
            running = self._running.setdefault(connection.connection_id, [])
            taken = [other.number for other in running if other.channel.name == channel.name]
            number = max(taken, default=0) + 1
            broadcast = Broadcast(
                connection, channel, number, self._clock, self._fixed_delay, self._new_sleeper()
            )
            running.append(broadcast)
            return broadcast

    def _forget(self, broadcast: Broadcast) -> None:
        connection_id = broadcast.connection.connection_id
        with self._lock:
            running = self._running[connection_id]
            running.remove(broadcast)
            if not running:
                del self._running[connection_id]

    def _select(self, connection: Connection, channel_name: str | None) -> list[Broadcast]:
        with self._lock:
            running = self._running.get(connection.connection_id, ())
            return [one for one in running if channel_name in (None, one.channel.name)]

    def _run(self, broadcast: Broadcast) -> None:
        try:
            broadcast.run()
        except Exception as error:
            log.error("connection %s: channel %s ended: %r",
                      broadcast.connection.short_id, broadcast.channel.name, error)
        finally:
            self._forget(broadcast)


def _stop_all(broadcasts: Iterable[Broadcast]) -> list[threading.Thread]:
    threads = []
    for broadcast in broadcasts:
        broadcast.stop()
        if broadcast.thread is not None:
            threads.append(broadcast.thread)
    return threads
