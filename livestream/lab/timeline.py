"""A process over time: its threads, memory and descriptors, again and again."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from livestream.lab.probe import Brief, Clock, ProbeError

#: Waits for an event at most so many seconds; True when the event is set.
Wait = Callable[[threading.Event, float], bool]


class Point(NamedTuple):
    """One entry of a time line."""

    #: Seconds of the monotonic clock.
    at: float
    threads: int
    rss_bytes: int
    descriptors: int


class Briefed(Protocol):
    """What a time line asks of a `Probe`."""

    def brief(self) -> Brief:
        """Threads, memory and descriptors now."""


class Timeline:
    """Records threads and memory at once and then every `interval` seconds, until left or the process ends.

    In a thread of its own. A look that comes late delays the next ones; none is made up for.
    """

    def __init__(
        self,
        probe: Briefed,
        interval: float,
        *,
        clock: Clock = time.monotonic,
        wait: Wait = threading.Event.wait,
    ) -> None:
        #: What was seen so far, oldest first.
        self.points: list[Point] = []
        #: Why it stopped before it was left, in one sentence; empty as long as it did not.
        self.ended = ""
        self._probe = probe
        self._interval = interval
        self._clock = clock
        self._wait = wait
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._record, name="lab-timeline", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()

    def _record(self) -> None:
        due = self._clock()
        while True:
            now = self._clock()
            try:
                brief = self._probe.brief()
            except ProbeError as error:
                self.ended = str(error)
                return
            self.points.append(Point(now, *brief))
            due += self._interval
            if due <= now:
                due = now + self._interval
            if self._wait(self._left, max(0.0, due - self._clock())):
                return
