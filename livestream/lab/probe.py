"""What one process of this machine uses: threads, CPU, memory, descriptors, context switches.

Any process of one's own will do, a Python port or a JVM: all is the kernel's accounting (proc(5)), by
way of psutil where it has it. A `Sample` is for both sides of a measured window, a `Brief` for time lines.
On two processors a sample of 16,001 threads took 0.3 s, most of it the context switches, of which the kernel
keeps one file per thread; a brief took 2.5 ms. So a sample reads clock, CPU and memory first: what it
costs is then outside the window that it ends, and the same lag on both ends of the switches' window.
"""

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import psutil

#: Gives seconds that never run backwards.
Clock = Callable[[], float]

#: For clock_getcpuclockid(3), which Python doesn't have.
_LIBC: Final = ctypes.CDLL(None)
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
    descriptors: int


@dataclass(frozen=True)
class Sample:
    """One look at a process."""

    #: Seconds of the monotonic clock.
    at: float
    #: User and system, of all threads, ended ones too.
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
        """What is cheap: 2.5 ms at 16,001 threads, and 0.3 ms for each 1,000 descriptors."""
        with self._looking():
            return Brief(
                self._process.num_threads(), self._process.memory_info().rss, self._process.num_fds())

    def sample(self, clock: Clock = time.monotonic) -> Sample:
        """Everything; see the module's text for what it costs."""
        with self._looking():
            at = clock()
            return Sample(
                at=at,
                cpu_seconds=self._cpu_seconds(),
                rss_bytes=self._process.memory_info().rss,
                threads=self._process.num_threads(),
                descriptors=self._process.num_fds(),
                memory_maps=_count_lines(self._folder / "maps"),
                context_switches=_switches(self._folder / "task"),
            )

    def cpu_seconds(self) -> float:
        """User and system time of all threads, to the nanosecond: /proc counts in steps of 0.01 s."""
        with self._looking():
            return self._cpu_seconds()

    def _cpu_seconds(self) -> float:
        clock_id = ctypes.c_int()
        error = _LIBC.clock_getcpuclockid(self.pid, ctypes.byref(clock_id))
        if error:
            raise self._ended()
        try:
            return time.clock_gettime(clock_id.value)
        except OSError as ended:
            raise self._ended() from ended

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
