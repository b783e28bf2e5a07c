"""What every thread of the stream does now: the data of the page's thread theatre.

Nothing is measured in advance: a request looks at where each thread's Python
code stands (`sys._current_frames`). Names and states only; nothing that a
client sent, and no address, is in the answer. Source: SPEC, "Names of the
original"; DESIGN, "Threads".
"""

import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from pathlib import PurePath
from types import FrameType
from typing import Any, Final, Protocol

from livestream import contract

#: Connections in one answer, and threads of one connection; more are only counted.
MAX_LANES: Final = 48
MAX_CELLS: Final = 64
#: How deep a stack is looked at; ours are shallower.
MAX_DEPTH: Final = 24
#: SPEC, "Figures": what the original costs per client.
ORIGINAL_THREADS_PER_CLIENT: Final = len(contract.CHANNELS)

RUNNING: Final = "running"
SLEEPING: Final = "sleeping"
SENDING: Final = "sending"
WAITING: Final = "waiting"
READING: Final = "reading"
#: A subscription that a shared thread serves.
SHARED: Final = "shared"

Function = tuple[str, str]
#: What a thread does whose code stands in this function of this module, or in what it calls.
STATES: Final[Mapping[Function, str]] = {
    ("livestream.stream.sleeping", "SignalSleeper.sleep"): SLEEPING,
    ("livestream.stream.shared", "DueQueue._wait_until_due"): SLEEPING,
    ("livestream.transport.websocket", "WebSocket._write"): SENDING,
    ("livestream.transport.websocket", "WebSocket._read"): READING,
}
#: A thread stands in this one, and in nothing that it calls, only while it waits for the lock there.
LOCKED: Final[Function] = ("livestream.transport.websocket", "WebSocket.send_text")

#: What each kind of thread runs, and the method of the original that it mirrors.
HANDLER: Final[Function] = ("livestream.transport.lifecycle", "run_endpoint")
CHANNEL: Final[Function] = ("livestream.stream.broadcast", "Broadcast.run")
WORKER: Final[Function] = ("livestream.stream.shared", "DueQueue._work")
HANDLER_MIRRORS: Final = "onOpen, onMessage, onClose, onError"
CHANNEL_MIRRORS: Final[Mapping[str, str]] = {
    contract.TPS_UPDATES.name: "broadcastTPSUpdates",
    contract.BLOCK_UPDATES.name: "broadcastBlockUpdates",
    contract.NETWORK_STATUS.name: "broadcastNetworkStatus",
    contract.VALIDATOR_METRICS.name: "broadcastValidatorMetrics",
}
_PACKAGE: Final = __name__.partition(".")[0]

Json = dict[str, Any]
#: By name.
Threads = Mapping[str, threading.Thread]


class Session(Protocol):
    """What is asked of a connection's session."""

    @property
    def is_open(self) -> bool:
        """False once it is over."""


class Connection(Protocol):
    """What is asked of a connection."""

    @property
    def connection_id(self) -> str:
        """Its UUID."""

    @property
    def short_id(self) -> str:
        """What log lines and thread names call it."""

    @property
    def thread_name(self) -> str:
        """The name of its handler thread."""

    @property
    def connected_at(self) -> int:
        """Milliseconds since 1970."""

    @property
    def session(self) -> Session:
        """Its session."""


class Channel(Protocol):
    """What is asked of a channel."""

    @property
    def name(self) -> str:
        """As in the contract."""


class Subscription(Protocol):
    """What is asked of a subscription that runs."""

    @property
    def connection(self) -> Connection:
        """Whose it is."""

    @property
    def channel(self) -> Channel:
        """What it sends."""

    @property
    def thread(self) -> threading.Thread | None:
        """Its own thread, if it has one."""

    @property
    def started(self) -> float:
        """When, by the monotonic clock."""

    @property
    def sends(self) -> int:
        """Updates sent."""


class ThreadList:
    """Answers, for the page, which threads there are and what each does now.

    `connections`, `subscriptions` and `workers` (threads that serve all
    clients) are asked anew each time, and so are `more_facts`; `facts` go into every answer.
    """

    def __init__(
        self,
        connections: Callable[[], Iterable[Connection]],
        subscriptions: Callable[[], Iterable[Subscription]],
        workers: Callable[[], Iterable[threading.Thread]],
        facts: Mapping[str, object],
        more_facts: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self._connections = connections
        self._subscriptions = subscriptions
        self._workers = workers
        self._facts = facts
        self._more_facts = more_facts

    def open_connections(self) -> int:
        """The true number: connections that are open now."""
        return sum(connection.session.is_open for connection in self._connections())

    def snapshot(self, first: Collection[str] = ()) -> Json:
        """The body of `GET /lab/threads`; the connections whose short ids are in `first` come first.

        - `profile`, `broadcaster`, `time_scale`: how the server runs.
        - `clients`: open connections. `formula`: 4 × clients, the original's threads.
        - `channel_threads`, `handler_threads`, `shared_threads`: how many there are, of all connections.
        - `subscriptions`: how many channels are being sent, of all connections.
        - `workers`: the threads that serve all clients (`--broadcaster pool` or `ticker`), as cells.
        - `lanes`: a connection each, the newest first: `connection` (short id), `open`, `age_ms`,
          `threads` (cells, the handler first), `more_threads`. A lane that is not open has threads left over.
        - `more_lanes`: connections beyond those listed.
        - `source`, only with `--source`: by channel its `errors`, the kind of the `last_error` or null, its
          calls `under_way` and `longest_ms`, the age of the oldest of them.

        A cell: `name` of the thread (null for a subscription without one), `role` (handler, channel,
        worker), `channel` (null but for a channel's), `state` (running, sleeping, sending, waiting: for the
        session's lock, reading: from the socket, shared: a worker sends for it), `age_ms` (null for a
        worker), `sends` (updates; null but for a channel's), `runs` (the Python function), `at` (where its
        code stands, or null), `mirrors` (the original's method, or null).
        """
        groups: dict[str, list[Subscription]] = {}
        owners: dict[str, Connection] = {}
        for subscription in self._subscriptions():
            owner = subscription.connection
            groups.setdefault(owner.connection_id, []).append(subscription)
            owners[owner.connection_id] = owner
        clients = 0
        for connection in self._connections():
            if connection.session.is_open:
                clients += 1
                owners[connection.connection_id] = connection
        threads = {thread.name: thread for thread in threading.enumerate()}
        listed = nlargest(
            MAX_LANES, owners.values(), key=lambda owner: (owner.short_id in first, owner.connected_at))
        workers = list(self._workers())
        look = _Look()
        subscriptions = [one for group in groups.values() for one in group]
        return {
            **self._facts,
            "clients": clients,
            "formula": ORIGINAL_THREADS_PER_CLIENT * clients,
            "channel_threads": sum(one.thread is not None for one in subscriptions),
            "handler_threads": sum(owner.thread_name in threads for owner in owners.values()),
            "shared_threads": len(workers),
            "subscriptions": len(subscriptions),
            "workers": [look.worker(worker) for worker in workers],
            "lanes": [look.lane(one, groups.get(one.connection_id, ()), threads) for one in listed],
            "more_lanes": len(owners) - len(listed),
            **self._more_facts(),
        }


class _Look:
    """One look at all threads at once."""

    def __init__(self) -> None:
        self._now = time.monotonic()
        self._now_ms = time.time_ns() // 1_000_000
        self._frames = sys._current_frames()
        # Its own would hold this object, and with it every frame there is, until the garbage is collected.
        del self._frames[threading.get_ident()]

    def lane(self, owner: Connection, subscriptions: Sequence[Subscription], threads: Threads) -> Json:
        """A connection and its threads."""
        cells = list(self._cells(owner, subscriptions[:MAX_CELLS], threads))
        return {
            "connection": owner.short_id,
            "open": owner.session.is_open,
            "age_ms": max(0, self._now_ms - owner.connected_at),
            "threads": cells,
            "more_threads": max(0, len(subscriptions) - MAX_CELLS),
        }

    def worker(self, thread: threading.Thread) -> Json:
        """A thread that serves all clients."""
        return self._cell(thread, "worker", None, None, None, WORKER, None)

    def _cells(
        self, owner: Connection, subscriptions: Iterable[Subscription], threads: Threads
    ) -> Iterator[Json]:
        handler = threads.get(owner.thread_name)
        if handler is not None:
            age = max(0, self._now_ms - owner.connected_at)
            yield self._cell(handler, "handler", None, age, None, HANDLER, HANDLER_MIRRORS)
        for one in subscriptions:
            name = one.channel.name
            age = max(0, round((self._now - one.started) * 1000))
            runs = WORKER if one.thread is None else CHANNEL
            mirrors = CHANNEL_MIRRORS.get(name)
            yield self._cell(one.thread, "channel", name, age, one.sends, runs, mirrors)

    def _cell(
        self,
        thread: threading.Thread | None,
        role: str,
        channel: str | None,
        age_ms: int | None,
        sends: int | None,
        runs: Function,
        mirrors: str | None,
    ) -> Json:
        state, at = (SHARED, None) if thread is None else where(self._frames.get(thread.ident or 0))
        return {
            "name": thread and thread.name,
            "role": role,
            "channel": channel,
            "state": state,
            "age_ms": age_ms,
            "sends": sends,
            "runs": ".".join(runs),
            "at": at,
            "mirrors": mirrors,
        }


def where(frame: FrameType | None) -> tuple[str, str | None]:
    """What a thread does whose innermost frame this is, and its innermost line in our own code."""
    at = None
    innermost = True
    for _ in range(MAX_DEPTH):
        if frame is None:
            break
        function = (frame.f_globals.get("__name__", ""), frame.f_code.co_qualname)
        if at is None and function[0].partition(".")[0] == _PACKAGE:
            at = f"{function[1]}, {PurePath(frame.f_code.co_filename).name}:{frame.f_lineno}"
        if innermost and function == LOCKED:
            return WAITING, at
        if function in STATES:
            return STATES[function], at
        innermost = False
        frame = frame.f_back
    return RUNNING, at
