"""Few threads for all clients: a pool, or a ticker per channel. For experiments; `broadcast` is the original.

What is sent, and when, is the same. The price of sharing: a client that doesn't
read blocks its sender, so in the pool it occupies a worker, and in the ticker
it holds up its channel for everybody.

With no thread of its own to notice, a closed session's subscription is dropped
when its next update is due.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Final, Protocol

from livestream.stream.broadcast import (
    Broadcaster, ObserveLateness, Subscription, Subscriptions, ThreadBroadcaster, log_failure, start_thread,
)
from livestream.stream.channels import Channel
from livestream.stream.messages import Clock
from livestream.stream.registry import Connection

#: How many threads the pool has at most.
POOL_SIZE: Final = 32
POOL_WORKERS: Final = tuple(f"pool-{number}" for number in range(1, POOL_SIZE + 1))

NewCondition = Callable[[], threading.Condition]


class SharedSubscription(Subscription):
    """A subscription that some worker sends for."""

    __slots__ = ("_sending",)

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        clock: Clock,
        fixed_delay: bool,
        observe_lateness: ObserveLateness | None = None,
    ) -> None:
        super().__init__(connection, channel, clock, fixed_delay, observe_lateness)
        # Guards the step from "not stopped" to "sent".
        self._sending = threading.Lock()

    def send_unless_stopped(self) -> bool:
        """Sends one update; False when there is none to follow. A failing source is logged."""
        with self._sending:
            try:
                return not self.stopped and self.send_update()
            except Exception as error:
                log_failure(self, error)
                return False

    def join(self, timeout: float) -> None:
        """After a stop: waits for the update that is just being sent, `timeout` seconds at most."""
        if self._sending.acquire(timeout=timeout):
            self._sending.release()


class DueQueue:
    """Subscriptions in the order in which their updates are due, and the workers that send them.

    Of the workers that have nothing to send one watches for the next update,
    so that no update wakes more than one of them.
    """

    def __init__(
        self,
        worker_names: tuple[str, ...],
        clock: Clock,
        ended: Callable[[SharedSubscription], None],
        require_room: Callable[[], None],
        new_condition: NewCondition,
    ) -> None:
        """`ended` is told of each subscription that ends by itself."""
        self._worker_names = worker_names
        self._clock = clock
        self._ended = ended
        self._require_room = require_room
        # Guards all fields below; notified when the earliest update changes, and at the end.
        self._changed = new_condition()
        #: (due, tie-breaker, subscription). What was stopped stays until it is due: a search would cost more.
        self._heap: list[tuple[float, int, SharedSubscription]] = []
        self._order = count()
        self._workers: list[threading.Thread] = []
        self._closed = False
        # Held by the one worker that watches.
        self._watching = threading.Lock()

    def start(self, subscription: SharedSubscription) -> None:
        """Its first update is due at once. Raises RuntimeError when there is no thread to send it."""
        with self._changed:
            if not self._closed and len(self._workers) < len(self._worker_names):
                self._start_worker()
        self._put(subscription, self._clock.monotonic())

    def run_due(self) -> None:
        """Sends every update that is due, on the caller's thread."""
        while (subscription := self._take_due()) is not None:
            if subscription.send_unless_stopped():
                now = self._clock.monotonic()
                self._put(subscription, now + subscription.delay(now))
            else:
                self._ended(subscription)

    def close(self) -> list[threading.Thread]:
        """Sends nothing more and ends the workers; returns them for joining. May be called again."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()
            return list(self._workers)

    def workers(self) -> list[threading.Thread]:
        """The threads that send, as many as have been needed."""
        with self._changed:
            return list(self._workers)

    def _work(self) -> None:
        while self._wait_until_due():
            self.run_due()

    def _wait_until_due(self) -> bool:
        """False when there is nothing more to wait for."""
        with self._watching, self._changed:
            while not self._closed:
                wait = self._heap[0][0] - self._clock.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    break
                self._changed.wait(wait)
            return not self._closed

    def _take_due(self) -> SharedSubscription | None:
        with self._changed:
            if self._heap and self._heap[0][0] <= self._clock.monotonic():
                return heappop(self._heap)[2]
            return None

    def _put(self, subscription: SharedSubscription, due: float) -> None:
        with self._changed:
            if self._closed:
                return
            heappush(self._heap, (due, next(self._order), subscription))
            if self._heap[0][2] is subscription:
                self._changed.notify()

    def _start_worker(self) -> None:
        name = self._worker_names[len(self._workers)]
        worker = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            start_thread(worker, self._require_room)
        except RuntimeError:
            # Those that run will do.
            if not self._workers:
                raise
        else:
            self._workers.append(worker)


class SharedBroadcaster(Subscriptions[SharedSubscription], ABC):
    """Starts, counts and ends the subscriptions of every client; `_workers_of` says who sends them."""

    threads_per_subscription = 0

    def __init__(
        self,
        clock: Clock,
        fixed_delay: bool,
        new_condition: NewCondition = threading.Condition,
        require_room: Callable[[], None] = lambda: None,
        observe_lateness: ObserveLateness | None = None,
    ) -> None:
        """`require_room` raises RuntimeError when the machine has no room for one more thread."""
        super().__init__()
        self._observe_lateness = observe_lateness
        self._clock = clock
        self._fixed_delay = fixed_delay
        self._new_condition = new_condition
        self._require_room = require_room
        # By the names of their workers; guarded by the lock of the subscriptions, as `_stopped` is.
        self._queues: dict[tuple[str, ...], DueQueue] = {}
        self._stopped = False

    @abstractmethod
    def _workers_of(self, channel: Channel) -> tuple[str, ...]:
        """Names of the threads that send this channel's updates."""

    def start(self, connection: Connection, channel: Channel) -> None:
        """One more subscription of this client to this channel.

        Raises RuntimeError when there is no thread to serve it, and after
        `stop_everything`; nothing is left behind then.
        """
        subscription = SharedSubscription(
            connection, channel, self._clock, self._fixed_delay, self._observe_lateness
        )
        with self._lock:
            if self._stopped:
                raise RuntimeError("the broadcaster has been stopped")
            self._running.setdefault(connection.connection_id, []).append(subscription)
            queue = self._queue_of(channel)
        try:
            queue.start(subscription)
        except RuntimeError:
            self._forget(subscription)
            raise

    def stop(self, connection: Connection, channel_name: str | None = None) -> list[SharedSubscription]:
        """Ends the client's subscriptions, in all or of one channel; returns them for joining."""
        return self._stop_all(self._select(connection, channel_name))

    def stop_everything(self) -> list[threading.Thread]:
        """Ends all subscriptions and all workers, for good; returns the workers for joining."""
        with self._lock:
            self._stopped = True
            queues = list(self._queues.values())
        self._stop_all(self.subscriptions())
        return [worker for queue in queues for worker in queue.close() if worker.is_alive()]

    def workers(self) -> list[threading.Thread]:
        """The threads that send for all clients."""
        with self._lock:
            queues = list(self._queues.values())
        return [worker for queue in queues for worker in queue.workers()]

    def run_due(self) -> None:
        """Sends every update that is due, on the caller's thread: the workers' step, for tests."""
        for queue in list(self._queues.values()):
            queue.run_due()

    def _stop_all(self, subscriptions: list[SharedSubscription]) -> list[SharedSubscription]:
        for subscription in subscriptions:
            subscription.stopped = True
            self._forget(subscription)
        return subscriptions

    def _queue_of(self, channel: Channel) -> DueQueue:
        names = self._workers_of(channel)
        if names not in self._queues:
            self._queues[names] = DueQueue(
                names, self._clock, self._forget, self._require_room, self._new_condition
            )
        return self._queues[names]


class PoolBroadcaster(SharedBroadcaster):
    """The same few workers for all clients and channels: `pool-1` to `pool-32`."""

    def _workers_of(self, channel: Channel) -> tuple[str, ...]:
        return POOL_WORKERS


class TickerBroadcaster(SharedBroadcaster):
    """One worker per channel, for all its subscribers: `ticker-tps_updates`."""

    def _workers_of(self, channel: Channel) -> tuple[str, ...]:
        return (f"ticker-{channel.name}",)


class NewBroadcaster(Protocol):
    """How a broadcaster is made, whichever it is."""

    @property
    def threads_per_subscription(self) -> int:
        """How many threads a subscription adds to those that serve all."""

    def __call__(
        self,
        clock: Clock,
        fixed_delay: bool,
        *,
        require_room: Callable[[], None],
        observe_lateness: ObserveLateness | None,
    ) -> Broadcaster:
        """`require_room` raises RuntimeError when the machine has no room for one more thread."""


#: The choices of `--broadcaster`.
BROADCASTERS: Final[dict[str, NewBroadcaster]] = {
    "threads": ThreadBroadcaster,
    "pool": PoolBroadcaster,
    "ticker": TickerBroadcaster,
}
