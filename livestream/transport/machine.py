"""What the machine allows: descriptors, threads, memory maps, and how this process uses them.

Source: DESIGN, "What we already know about this stack"; proc(5), getrlimit(2), cgroups(7).
"""

import ctypes
import gc
import mmap
import os
import resource
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

#: Beside the threads of its channels.
HANDLER_THREADS: Final = 1
#: Stack, guard page and the interpreter's data stack.
MAPS_PER_THREAD: Final = 3
#: Kept free for the process itself: libraries, listener, log, REST clients.
RESERVED_MAPS: Final = 1_000
RESERVED_DESCRIPTORS: Final = 64
RESERVED_THREADS: Final = 64
#: In bytes: for all that isn't a stack, when memory is limited (`ulimit -v`).
RESERVED_MEMORY: Final = 16 * 1024 * 1024
#: Virtual size; what counts is what a thread touches, but a large stack may be given huge pages.
THREAD_STACK_BYTES: Final = 256 * 1024

MAX_MAP_COUNT: Final = "/proc/sys/vm/max_map_count"
PROCESSES: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_CONTROL_GROUP: Final = Path("/proc/self/cgroup")
#: For `gc.set_threshold`. A full pass of the cyclic collector stops every thread while it looks at every
#: object, half a second with 4,000 clients, and they come late together. Hardly anything of a connection is
#: cyclic, so full passes can be rare.
COLLECTOR_THRESHOLDS: Final = (10_000, 5, 1_000)


#: How long a thread waits for Python's lock before it asks for it: at least this, in seconds, …
LEAST_SWITCH_INTERVAL: Final = 0.3
#: … and so much for each thread. When a stall has made all of them wait, each wakes once in that time, in
#: vain: many more than 4,000 wake-ups a second would eat the processor, and the stall would never end.
SWITCH_INTERVAL_PER_THREAD: Final = 0.000_25
#: So many slots has the table in which Linux looks up who waits for a lock (futex(2)). Since 6.16 each
#: process has its own, of 16 slots on two processors: a wake-up then searches among thousands that wait
#: for something else.
FUTEX_SLOTS: Final = 16_384
#: For prctl(2), which Python doesn't have.
_LIBC: Final = ctypes.CDLL(None)
#: For mallopt(3). One heap for all threads: Python lets one of them work at a time anyway, and what ended
#: connections leave free lies together, where it can be given back.
_M_ARENA_MAX: Final = -8
#: Other C libraries have neither mallopt(3) nor malloc_trim(3).
_IS_GLIBC: Final = hasattr(_LIBC, "malloc_trim")
_PR_FUTEX_HASH: Final = 78
_PR_FUTEX_HASH_SET_SLOTS: Final = 1
#: Set when `prepare_process` was asked for a switch interval that grows with the threads.
_switch_interval_grows: Final = threading.Event()


class Ceiling(NamedTuple):
    """How many clients with all four channels one limit of the machine allows."""

    clients: int
    limit: str


def client_ceiling(channel_threads: int) -> Ceiling:
    """The lowest of the machine's limits, as clients that have so many channel threads each."""
    return min(_ceilings(HANDLER_THREADS + channel_threads), default=Ceiling(sys.maxsize, "any number"))


def make_room_for_a_thread() -> None:
    """Makes this process fit for one more thread, if `prepare_process` was told to see to that.

    Raises RuntimeError, as `Thread.start` does, while there are still memory maps and memory for one
    more. At the very limit the system gives a thread its stack and the interpreter
    then finds no memory for it: CPython 3.11 waits for such a thread for ever,
    or the C library ends the process, or the client is dropped without a word.
    """
    threads = threading.active_count()
    if threads >= _most_threads():
        raise RuntimeError("can't start new thread: memory maps are running out (vm.max_map_count)")
    _require_memory()
    if _switch_interval_grows.is_set():
        sys.setswitchinterval(max(LEAST_SWITCH_INTERVAL, threads * SWITCH_INTERVAL_PER_THREAD))


def _require_memory() -> None:
    """Asks for a stack and the reserve, and gives both back at once."""
    try:
        mmap.mmap(-1, THREAD_STACK_BYTES + RESERVED_MEMORY, flags=mmap.MAP_PRIVATE).close()
    except OSError as error:
        raise RuntimeError("can't start new thread: memory is running out") from error


def prepare_process(switch_interval: float, pin_cpu: str) -> None:
    """Makes this process fit for thousands of threads; before the first of them starts.

    `switch_interval` in seconds, 0 for one that grows with the threads;
    `pin_cpu` a processor's number, "auto" or "none". Raises OSError when there
    is no such processor.
    """
    if pin_cpu != "none":
        os.sched_setaffinity(0, {least_bound_processor() if pin_cpu == "auto" else int(pin_cpu)})
    sys.setswitchinterval(switch_interval or LEAST_SWITCH_INTERVAL)
    if not switch_interval:
        _switch_interval_grows.set()
    # An older kernel refuses: it has one large table for all processes.
    _LIBC.prctl(_PR_FUTEX_HASH, _PR_FUTEX_HASH_SET_SLOTS, FUTEX_SLOTS, 0, 0)
    if _IS_GLIBC:
        _LIBC.mallopt(_M_ARENA_MAX, 1)
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    threading.stack_size(THREAD_STACK_BYTES)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def give_memory_back() -> None:
    """Gives the system what ended connections left free between the memory of others.

    Half a millisecond with 1,000 clients; every thread that wants memory waits for it.
    """
    if _IS_GLIBC:
        _LIBC.malloc_trim(0)


def least_bound_processor() -> int:
    """The processor, of those this process may use, that the fewest other processes are bound to.

    So several servers of ours take a processor each, as long as there are enough.
    """
    bound = Counter(_bound_processors())
    return min(os.sched_getaffinity(0), key=lambda processor: (bound[processor], -processor))


def _bound_processors() -> Iterator[int]:
    """Of each process that may use one processor only; the kernel's own threads have no command line."""
    for folder in PROCESSES.glob("[1-9]*"):
        try:
            allowed = os.sched_getaffinity(int(folder.name))
            if len(allowed) == 1 and (folder / "cmdline").read_bytes():
                yield from allowed
        except OSError:  # it has ended
            continue


@cache
def _most_threads() -> int:
    maps = _read(MAX_MAP_COUNT)
    return sys.maxsize if maps is None else (maps - RESERVED_MAPS) // MAPS_PER_THREAD


def _ceilings(threads_per_client: int) -> Iterator[Ceiling]:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors != resource.RLIM_INFINITY:
        yield Ceiling(max(0, descriptors - RESERVED_DESCRIPTORS), f"{descriptors} open files (ulimit -n)")
    maps = _read(MAX_MAP_COUNT)
    if maps is not None:
        clients = (maps - RESERVED_MAPS) // (MAPS_PER_THREAD * threads_per_client)
        yield Ceiling(max(0, clients), f"{maps} memory maps (vm.max_map_count)")
    for threads, name in _thread_limits():
        clients = (threads - RESERVED_THREADS) // threads_per_client
        yield Ceiling(max(0, clients), f"{threads} threads ({name})")


def _thread_limits() -> Iterator[tuple[int, str]]:
    for path, name in (
        ("/proc/sys/kernel/pid_max", "kernel.pid_max"),
        ("/proc/sys/kernel/threads-max", "kernel.threads-max"),
        *((str(folder / "pids.max"), "pids.max of the control group") for folder in _control_groups()),
    ):
        value = _read(path)
        if value is not None:
            yield value, name
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if processes != resource.RLIM_INFINITY and os.geteuid() != 0:
        yield processes, "ulimit -u"


def _control_groups() -> Iterator[Path]:
    """The folders of this process's control group (version 2) and of all above it: each may set limits."""
    group = CGROUPS / _own_control_group().lstrip("/")
    yield group
    yield from (folder for folder in group.parents if folder.is_relative_to(CGROUPS))


def _own_control_group() -> str:
    try:
        for line in OWN_CONTROL_GROUP.read_text().splitlines():
            if line.startswith("0::"):
                return line.removeprefix("0::")
    except OSError:
        pass
    return ""


def _read(path: str) -> int | None:
    """A number from a file of the kernel; None for "max", or where there is no such file."""
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
