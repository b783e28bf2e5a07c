"""One measurement: a load against a server, its process watched from before the first client to the end."""

import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psutil

from livestream.lab import figures
from livestream.lab.figures import Look, Machine, Seen
from livestream.lab.load import PAUSES, Load, OnEvent, RunLoad, run_load
from livestream.lab.probe import Probe, Sample
from livestream.lab.results import Moment, Step
from livestream.lab.server import Server
from livestream.lab.timeline import Point, Timeline

#: A time line has about so many points, however long it is.
POINTS = 400
#: But no more than one in so many seconds.
LEAST_INTERVAL = 0.05

#: What is done once the load has ended, the process still being watched: given the probe, what it was before
#: the load, and the marks so far, which it may add to; returns figures.
Afterwards = Callable[[Probe, Sample, "Marks"], dict[str, float]]


class Marks(dict[str, float]):
    """What happened when, in seconds since the measurement began."""

    def __init__(self) -> None:
        super().__init__()
        #: Of the monotonic clock.
        self.began = time.monotonic()

    def set(self, name: str) -> None:
        """Now; the first time counts."""
        self.setdefault(name, time.monotonic() - self.began)


class _Watching:
    """Looks at the process, if there is one to see, whenever the load says that something happened."""

    def __init__(self, probe: Probe | None, on_event: OnEvent) -> None:
        self.marks = Marks()
        self.looks: list[Look] = []
        self.samples: dict[str, Sample] = {}
        self.machine: list[Machine] = []
        self._probe = probe
        self._on_event = on_event

    def __call__(self, event: str, record: dict[str, Any]) -> None:
        if event in ("window", "slice"):
            self.look(record["messages"])
        if event in PAUSES:
            self.sample(event)
        if event not in ("slice", "connecting"):
            self.marks.set(event)
        self._on_event(event, record)

    def look(self, messages: int) -> None:
        if self._probe is not None:
            self.looks.append(Look(time.monotonic(), messages, self._probe.cpu_seconds()))
            self.machine.append(_machine())

    def sample(self, name: str) -> None:
        if self._probe is not None:
            self.samples[name] = self._probe.sample()

    def seen(self, transport_threads: int) -> Seen:
        before, after = (self.samples[event] for event in PAUSES)
        return Seen(self.samples["idle"], before, after, self.looks, transport_threads)


def measure(
    server: Server,
    load: Load,
    transport_threads: int,
    on_event: OnEvent,
    condition: str = "",
    afterwards: Afterwards | None = None,
    run: RunLoad = run_load,
) -> Step:
    """Runs the load against the server and returns what was found.

    Of a server without a pid only what the clients saw. ProbeError when its process ends, LoadError.
    """
    probe = None if server.pid is None else Probe(server.pid)
    watching = _Watching(probe, on_event)
    watching.sample("idle")
    more: dict[str, float] = {}
    with _timeline(probe, load) as timeline:
        result = run(load, watching)
        if probe is not None and afterwards is not None:
            more = afterwards(probe, watching.samples["idle"], watching.marks)
    found = figures.client_figures(result)
    doubts, invalid = figures.warnings(result), figures.invalid(result)
    if probe is not None:
        seen = watching.seen(transport_threads)
        invalid += figures.server_invalid(result, seen.looks)
        found |= figures.server_figures(result, seen)
        doubts += figures.server_warnings(seen.looks) + figures.window_warnings(result, seen.looks)
        doubts += _machine_warnings(result, seen, watching.machine)
    points = [] if timeline is None else timeline.points
    return Step(
        condition, load.clients, found | more, invalid, tuple(doubts),
        tuple(_moment(point, watching.marks.began) for point in points), dict(watching.marks))


def tls_for(load: Load) -> ssl.SSLContext | None:
    """What connections of ours beside the load trust: as it does. OSError when that file can't be read."""
    return ssl.create_default_context(cafile=load.authority) if load.authority else None


def _timeline(probe: Probe | None, load: Load) -> AbstractContextManager[Timeline | None]:
    if probe is None:
        return nullcontext()
    return Timeline(probe, max(LEAST_INTERVAL, load.expected_seconds / POINTS))


def _moment(point: Point, began: float) -> Moment:
    return Moment(round(point.at - began, 3), point.threads, point.rss_bytes / 1e6, point.descriptors)


def _machine() -> Machine:
    times = psutil.cpu_times()
    return Machine(times.user + times.nice + times.system, getattr(times, "steal", 0.0))


def _machine_warnings(result: dict[str, Any], seen: Seen, machine: Sequence[Machine]) -> list[str]:
    first, last = seen.looks[0], seen.looks[-1]
    ours = last.cpu_seconds - first.cpu_seconds + result["own_cpu"] * result["seconds"]
    return figures.machine_warnings(last.at - first.at, ours, machine[0], machine[-1])
