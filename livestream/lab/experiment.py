"""What the experiments have in common: a server for each step, and a run that keeps what is finished."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from livestream.contract import CHANNELS, MAX_CONNECTIONS, VALIDATORS_PATH
from livestream.lab.limits import Shortage, shortages
from livestream.lab.load import Load, LoadError, OnEvent, RunLoad, run_load
from livestream.lab.measure import Afterwards, measure, tls_for
from livestream.lab.probe import Probe, ProbeError
from livestream.lab.results import Results, Step
from livestream.lab.server import OpenServer, Server, ServerError
from livestream.lab.settling import settled_threads, transport_threads, wait_for_threads
from livestream.wire.handshake import WireError, http_request

#: How long the threads of clients that have gone may stay, in seconds beyond the slowest channel's interval.
LINGERING: Final = 15.0
#: Starting and stopping a server of ours, and counting its transport threads, take about so long, in seconds.
PREPARING: Final = 5.0
#: A thread per channel, and one that reads.
THREADS_PER_CLIENT: Final = len(CHANNELS) + 1


class Planned(NamedTuple):
    """A step that is still to be made."""

    condition: str
    clients: int
    #: How long it takes when nothing is slow.
    expected_seconds: float
    run: Callable[[OnEvent], Step]


@dataclass(frozen=True)
class Setup:
    """What is measured, and with which load."""

    open_server: OpenServer
    #: Whether each step starts a server of ours; else there is one, which somebody else started.
    own: bool
    #: For each step; `url` and `clients` are filled in.
    load: Load
    clients: tuple[int, ...]
    #: For `livestream serve`.
    options: tuple[str, ...] = ()
    #: Of the server that runs already, None where it can't be seen.
    pid: int | None = None
    run_load: RunLoad = run_load
    #: How many threads a connection has before its handshake, by the server's options: counted once.
    _transport: dict[tuple[str, ...], int] = field(default_factory=dict)

    def step(
        self,
        clients: int,
        on_event: OnEvent,
        *,
        condition: str = "",
        options: Sequence[str] = (),
        afterwards: Afterwards | None = None,
        **changes: Any,
    ) -> Step:
        """Measures one step. `options` for a server of ours, `changes` of the load.

        ServerError, ProbeError, LoadError or WireError when that fails.
        """
        options = (*_room_for(clients), *self.options, *options)
        transport = self._transport_threads(options)
        with self.open_server(options) as server:
            load = replace(self.load, url=server.url, clients=clients, **changes)
            _start_what_starts_late(server, load)
            before = _threads(server)
            step = measure(server, load, transport, on_event, condition, afterwards, self.run_load)
            if not self.own and server.pid is not None:
                # The next step begins as this one did.
                wait_for_threads(Probe(server.pid), before, self.patience)
            return step

    def planned(
        self, condition: str, clients: int, run: Callable[[OnEvent], Step], **changes: Any
    ) -> Planned:
        """A step with an idea of how long it will take; `changes` of the load."""
        load = replace(self.load, clients=clients, **changes)
        preparing = PREPARING if self.own else load.warm_up
        return Planned(condition, clients, load.expected_seconds + preparing, run)

    @property
    def patience(self) -> float:
        """How long the threads of clients that have gone may stay, in seconds."""
        return self.load.warm_up + LINGERING

    def shortages(self, threads_per_client: int = THREADS_PER_CLIENT) -> list[Shortage]:
        """Limits of this machine that are too low for the most clients.

        ProbeError when the server's process is gone or somebody else's.
        """
        return shortages(max(self.clients), threads_per_client, self.pid)

    def _transport_threads(self, options: tuple[str, ...]) -> int:
        """Counted once, on a server of its own if it is ours: the connections leave their marks on memory."""
        if options not in self._transport:
            with self.open_server(options) as server:
                self._transport[options] = 0 if server.pid is None else transport_threads(
                    server.url, server.pid, tls_for(self.load))
        return self._transport[options]


def _start_what_starts_late(server: Server, load: Load) -> None:
    """What starts with its first use only would count as a channel's thread."""
    if server.pid is None:
        return
    with suppress(WireError):
        http_request(server.url, "GET", VALIDATORS_PATH, headers=load.headers, ssl_context=tls_for(load))
    # Whoever answered has a thread for a moment still.
    settled_threads(Probe(server.pid))


def _room_for(clients: int) -> tuple[str, ...]:
    """What a server of ours must be told to take so many."""
    return ("--max-connections", str(clients)) if clients > MAX_CONNECTIONS else ()


def _threads(server: Server) -> int:
    return 0 if server.pid is None else Probe(server.pid).threads()


class Watcher:
    """Sees an experiment run. This one looks away; whoever shows progress overrides what it shows."""

    def begin(self, planned: Planned) -> None:
        """A step begins."""

    def event(self, event: str, record: dict[str, Any]) -> None:
        """The load of the step under way says something."""

    def end(self, step: Step) -> None:
        """A step is finished, and in the results."""


def run_experiment(
    results: Results, plan: Sequence[Planned], watcher: Watcher, keep: Callable[[Results], None]
) -> None:
    """Runs the steps in turn and adds each to the results, which `keep` is given after each.

    A step that fails is kept as invalid, with the reason, and the next one is tried. KeyboardInterrupt
    passes: the step under way is lost, the finished ones are not.
    """
    results.planned = len(plan)
    for planned in plan:
        watcher.begin(planned)
        try:
            step = planned.run(watcher.event)
        except (ServerError, ProbeError, LoadError, WireError) as error:
            step = Step(planned.condition, planned.clients, {}, invalid=(str(error),))
        results.steps.append(step)
        keep(results)
        watcher.end(step)


def expected_seconds(plan: Sequence[Planned]) -> float:
    """How long all of it takes when nothing is slow."""
    return sum(planned.expected_seconds for planned in plan)
