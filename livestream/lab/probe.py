"""What one process of this machine uses: threads, CPU, memory, descriptors, context switches.

Any process of one's own will do, a Python port or a JVM: all is the kernel's accounting (proc(5)), by
way of psutil where it has it. A `Sample` is for the ends of a measured window, a `Brief` for time lines.
On two processors a sample of 16,001 threads took 0.3 s, most of it the context switches, of which the kernel
keeps one file per thread; a brief took 2.5 ms. So a sample reads clock, CPU and memory first: what it
costs is then outside the window that it ends, and the same lag on both ends of the switches' window.
"""

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

import psutil

from livestream.wire.client import WireClient

Clock = Callable[[], float]
#: Waits for an event at most so many seconds; True when the event is set.
Wait = Callable[[threading.Event, float], bool]

#: Idle connections that `transport_threads` counts the threads of.
IDLE_CONNECTIONS: Final = 8
#: Held open before those: an event-loop server starts up to two loops per processor as connections come.
WARM_UP_CONNECTIONS: Final = 8 + 2 * (os.cpu_count() or 1)
#: A thread count that has stayed the same for so many seconds has settled.
QUIET: Final = 0.4
#: How long at most until it has, in seconds.
PATIENCE: Final = 5.0
_POLL: Final = 0.02
_CHUNK: Final = 65_536
#: Longer than any /proc/PID/task/TID/status.
_STATUS_BYTES: Final = 16_384


class ProbeError(Exception):
    """The process is gone or isn't ours; says so in one sentence."""


class Switches(NamedTuple):
    """Context switches: waited for something, or was made to give way."""

    voluntary: int
    involuntary: int


class Brief(NamedTuple):
    """What a time line records of a process."""

    threads: int
    rss_bytes: int


@dataclass(frozen=True)
class Sample:
    """One look at a process."""

    #: Seconds of the monotonic clock.
    at: float
    #: User and system, of all threads, ended ones too; the kernel counts in steps of 0.01 s.
    cpu_seconds: float
    rss_bytes: int
    threads: int
    #: Of all threads that live now; what an ended thread had counted is lost.
    context_switches: Switches
    descriptors: int
    #: Lines of /proc/PID/maps, which `vm.max_map_count` limits.
    memory_maps: int


@dataclass(frozen=True)
class Difference:
    """What a process used and how much it grew between two samples; growth may be negative.

    So may the context switches, when threads ended between the samples.
    """

    seconds: float
    cpu_seconds: float
    rss_bytes: int
    threads: int
    context_switches: Switches
    descriptors: int
    memory_maps: int


def difference(before: Sample, after: Sample) -> Difference:
    """`after` less `before`, of the same process."""
    return Difference(
        seconds=after.at - before.at,
        cpu_seconds=after.cpu_seconds - before.cpu_seconds,
        rss_bytes=after.rss_bytes - before.rss_bytes,
        threads=after.threads - before.threads,
        context_switches=Switches(
            after.context_switches.voluntary - before.context_switches.voluntary,
            after.context_switches.involuntary - before.context_switches.involuntary,
        ),
        descriptors=after.descriptors - before.descriptors,
        memory_maps=after.memory_maps - before.memory_maps,
    )


class Probe:
    """Looks at one process; every look raises ProbeError once the process is gone or when it isn't ours.

    A process that got the same pid later isn't mistaken for it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._process = psutil.Process(pid)
        except (psutil.NoSuchProcess, ValueError) as error:
            raise ProbeError(f"There is no process {pid}.") from error
        except psutil.AccessDenied as error:
            raise self._denied() from error
        self._folder = Path("/proc") / str(pid)

    def threads(self) -> int:
        """How many threads it has now."""
        return self.brief().threads

    def brief(self) -> Brief:
        """Threads and memory only, 2.5 ms at 16,001 threads."""
        with self._looking():
            return Brief(self._process.num_threads(), self._process.memory_info().rss)

    def sample(self, clock: Clock = time.monotonic) -> Sample:
        """Everything; see the module's text for what it costs."""
        with self._looking():
            at = clock()
            times = self._process.cpu_times()
            return Sample(
                at=at,
                cpu_seconds=times.user + times.system,
                rss_bytes=self._process.memory_info().rss,
                threads=self._process.num_threads(),
                descriptors=self._process.num_fds(),
                memory_maps=_count_lines(self._folder / "maps"),
                context_switches=_switches(self._folder / "task"),
            )

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """What was read inside counts only if the process still lives afterwards."""
        try:
            yield
            denied: Exception | None = None
        except (psutil.AccessDenied, PermissionError) as error:
            denied = error  # Of a zombie much is denied as well.
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError) as error:
            raise self._ended() from error
        if not self._lives():
            raise self._ended()
        if denied is not None:
            raise self._denied() from denied

    def _lives(self) -> bool:
        try:
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _ended(self) -> ProbeError:
        return ProbeError(f"Process {self.pid} has ended.")

    def _denied(self) -> ProbeError:
        return ProbeError(f"Process {self.pid} belongs to somebody else.")


def _count_lines(path: Path) -> int:
    with open(path, "rb", buffering=0) as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))


def _switches(folder: Path) -> Switches:
    """The sum over a folder /proc/PID/task; /proc/PID/status, which psutil reads, has the main thread's."""
    voluntary = involuntary = 0
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for thread in os.listdir(folder_fd):
            own = _thread_switches(folder_fd, thread)
            voluntary += own.voluntary
            involuntary += own.involuntary
    finally:
        os.close(folder_fd)
    return Switches(voluntary, involuntary)


def _thread_switches(folder_fd: int, thread: str) -> Switches:
    # Plain descriptors relative to the folder take half the time of `open` with whole paths.
    try:
        fd = os.open(f"{thread}/status", os.O_RDONLY, dir_fd=folder_fd)
    except (FileNotFoundError, ProcessLookupError):
        return Switches(0, 0)  # It has just ended.
    try:
        status = os.read(fd, _STATUS_BYTES)
    except ProcessLookupError:
        return Switches(0, 0)
    finally:
        os.close(fd)
    # The last two lines: "voluntary_ctxt_switches:" and "nonvoluntary_ctxt_switches:", each with its number.
    _, _, counts = status.partition(b"\nvoluntary_ctxt_switches:")
    words = counts.split()
    return Switches(int(words[0]), int(words[2])) if len(words) > 2 else Switches(0, 0)


class Point(NamedTuple):
    """One entry of a time line."""

    #: Seconds of the monotonic clock.
    at: float
    threads: int
    rss_bytes: int


class Briefed(Protocol):
    """What a time line asks of a `Probe`."""

    def brief(self) -> Brief: ...


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
            due = max(due + self._interval, now)
            if self._wait(self._left, max(0.0, due - self._clock())):
                return


def transport_threads(url: str, pid: int, ssl_context: ssl.SSLContext | None = None) -> int:
    """How many threads a connection costs the server before its handshake: 0 for an event loop, 1 for ours.

    Counts what IDLE_CONNECTIONS add to a server whose own pools other idle connections have filled. Takes two
    to three seconds, during which nobody else may come or go; all its connections are closed when it returns,
    and the server has had time to end their threads. ProbeError, or WireError when it can't connect.
    """
    probe = Probe(pid)
    with ExitStack() as stack:
        stack.callback(_settled_threads, probe)

        def connect(connections: int) -> int:
            for _ in range(connections):
                stack.callback(WireClient.open(url, ssl_context=ssl_context).release)
            return _settled_threads(probe)

        before = connect(WARM_UP_CONNECTIONS)
        return max(0, round((connect(IDLE_CONNECTIONS) - before) / IDLE_CONNECTIONS))


def _settled_threads(probe: Probe) -> int:
    """How many threads there are once they have stayed as many for QUIET seconds, PATIENCE at the most."""
    threads = probe.threads()
    began = since = time.monotonic()
    while time.monotonic() - since < QUIET and time.monotonic() - began < PATIENCE:
        time.sleep(_POLL)
        now = probe.threads()
        if now != threads:
            threads, since = now, time.monotonic()
    return threads
