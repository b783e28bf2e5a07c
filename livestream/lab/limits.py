"""Limits of this machine that so many clients would meet, told before the machine breaks.

Sources: getrlimit(2), proc(5), cgroups(7); DESIGN, "What we already know about this stack". The room kept
free is that of the port, which refuses clients before a limit is reached.
"""

import os
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from livestream.lab.probe import ProbeError

#: Of a Python thread: stack, guard page, the interpreter's data stack. For another runtime an estimate.
MAPS_PER_THREAD: Final = 3
#: Kept free for the process itself: libraries, listener, log.
SPARE_MAPS: Final = 1_000
SPARE_DESCRIPTORS: Final = 64
SPARE_THREADS: Final = 64

_LAST_PORT: Final = 65_535
_KERNEL: Final = Path("/proc/sys/kernel")
#: Where the control groups are that may limit tasks, by the controllers in a line of /proc/PID/cgroup: none
#: in version 2.
_CONTROL_GROUPS: Final[Mapping[str, Path]] = {
    "": Path("/sys/fs/cgroup"),
    "pids": Path("/sys/fs/cgroup/pids"),
}


class Room(NamedTuple):
    """A limit, and how much of it is taken already."""

    limit: int
    used: int = 0


#: Given the server's pid, or None for a server that will be started from here.
#: Answers None where there is no limit or none to see.
Reader = Callable[[int | None], Room | None]


@dataclass(frozen=True)
class Shortage:
    """One limit that is too low for the clients asked for."""

    #: What there are too few of.
    what: str
    limit: int
    #: The limit that would do.
    needed: int
    #: What sets it, in a shell; some of it for root only.
    command: str


def told(shortage: Shortage) -> str:
    """A shortage as one line."""
    return f"{shortage.what}: {shortage.limit}, needed are {shortage.needed}: {shortage.command}"


def shortages(
    clients: int,
    threads_per_client: int,
    server_pid: int | None = None,
    readers: Mapping[str, Reader] | None = None,
) -> list[Shortage]:
    """Every limit that is too low for so many clients of a server that starts so many threads for each.

    `readers` by the names of READERS; a name that is missing is no limit. ProbeError when there is a
    `server_pid` and no such process, or it belongs to somebody else.
    """
    readers = READERS if readers is None else readers
    found = []
    for name, need in NEEDS.items():
        room = readers[name](server_pid) if name in readers else None
        if room is None:
            continue
        needed = room.used + need.asked(clients, clients * threads_per_client)
        if needed > room.limit:
            found.append(Shortage(need.what, room.limit, needed, need.command(needed, server_pid)))
    return found


class Need(NamedTuple):
    """What clients need of one limit."""

    what: str
    #: Given clients and their threads.
    asked: Callable[[int, int], int]
    #: Given the new limit and the server's pid.
    command: Callable[[int, int | None], str]


def _descriptors(clients: int, threads: int) -> int:
    return clients + SPARE_DESCRIPTORS


def _threads(clients: int, threads: int) -> int:
    return threads + SPARE_THREADS


def _maps(clients: int, threads: int) -> int:
    return threads * MAPS_PER_THREAD + SPARE_MAPS


def _ports(clients: int, threads: int) -> int:
    return clients


def _widen_ports(needed: int, pid: int | None) -> str:
    return f'sysctl -w net.ipv4.ip_local_port_range="{max(1_024, _LAST_PORT - needed)} {_LAST_PORT}"'


def _ulimit(option: str) -> Callable[[int, int | None], str]:
    return lambda needed, pid: f"ulimit -{option} {needed}"


def _prlimit(option: str, name: str) -> Callable[[int, int | None], str]:
    """For a server that runs already ulimit comes too late."""
    return lambda needed, pid: (
        f"ulimit -{option} {needed}" if pid is None else f"prlimit --pid {pid} --{name}={needed}:{needed}"
    )


def _sysctl(name: str) -> Callable[[int, int | None], str]:
    return lambda needed, pid: f"sysctl -w {name}={needed}"


def _echo_to_group(needed: int, pid: int | None) -> str:
    folder = min(_limiting_groups(pid), default=(0, 0, Path("/sys/fs/cgroup")))[2]
    return f"echo {needed} > {folder}/pids.max"


NEEDS: Final[Mapping[str, Need]] = {
    "server descriptors": Need("descriptors for the server", _descriptors, _prlimit("n", "nofile")),
    "load descriptors": Need("descriptors for the load", _descriptors, _ulimit("n")),
    "kernel.threads-max": Need("threads (kernel.threads-max)", _threads, _sysctl("kernel.threads-max")),
    "kernel.pid_max": Need("threads (kernel.pid_max)", _threads, _sysctl("kernel.pid_max")),
    "pids.max": Need("threads (pids.max of the control group)", _threads, _echo_to_group),
    "processes of the user": Need("threads (ulimit -u)", _threads, _prlimit("u", "nproc")),
    "ports": Need("ports for the load (net.ipv4.ip_local_port_range)", _ports, _widen_ports),
    "vm.max_map_count": Need("memory maps (vm.max_map_count)", _maps, _sysctl("vm.max_map_count")),
}


def _read_server_descriptors(pid: int | None) -> Room | None:
    soft, hard = _rlimit(pid, resource.RLIMIT_NOFILE)
    # A server that is started from here raises the one to the other, ours does and so does a JVM.
    return _limited(hard if pid is None else soft)


def _read_load_descriptors(pid: int | None) -> Room | None:
    # The load raises its own.
    return _limited(_rlimit(None, resource.RLIMIT_NOFILE)[1])


def _read_user_processes(pid: int | None) -> Room | None:
    """Root is not held to it (getrlimit(2), RLIMIT_NPROC)."""
    soft, _ = _rlimit(pid, resource.RLIMIT_NPROC)
    user = psutil.Process(pid).uids().real
    return None if user == 0 else _limited(soft, _threads_of(user))


def _read_group(pid: int | None) -> Room | None:
    return next((Room(limit, limit - left) for left, limit, _ in sorted(_limiting_groups(pid))), None)


def _of_all_threads(path: Path) -> Reader:
    """A limit on the threads of the whole machine."""

    def read(pid: int | None) -> Room | None:
        limit = _number(path)
        return None if limit is None else Room(limit, _threads_of_the_machine())

    return read


def _read_maps(pid: int | None) -> Room | None:
    limit = _number(Path("/proc/sys/vm/max_map_count"))
    return None if limit is None else Room(limit)


def _read_ports(pid: int | None) -> Room | None:
    """Each connection to one address needs a port of its own (ip(7))."""
    try:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        return None
    return Room(last - first + 1)


#: How each limit is read on this machine; by the names of NEEDS.
READERS: Final[Mapping[str, Reader]] = {
    "server descriptors": _read_server_descriptors,
    "load descriptors": _read_load_descriptors,
    "kernel.threads-max": _of_all_threads(_KERNEL / "threads-max"),
    "kernel.pid_max": _of_all_threads(_KERNEL / "pid_max"),
    "pids.max": _read_group,
    "processes of the user": _read_user_processes,
    "ports": _read_ports,
    "vm.max_map_count": _read_maps,
}


def _rlimit(pid: int | None, which: int) -> tuple[int, int]:
    try:
        return resource.prlimit(pid or 0, which)
    except ProcessLookupError as error:
        raise ProbeError(f"There is no process {pid}.") from error
    except PermissionError as error:
        raise ProbeError(f"Process {pid} belongs to somebody else.") from error


def _limited(value: int, used: int = 0) -> Room | None:
    return None if value == resource.RLIM_INFINITY else Room(value, used)


def _limiting_groups(pid: int | None) -> Iterator[tuple[int, int, Path]]:
    """Its control group and those above, where they limit tasks: what is left, the limit, the folder."""
    try:
        lines = Path(f"/proc/{pid or os.getpid()}/cgroup").read_text().splitlines()
    except OSError:
        return
    for folder in _group_folders(lines):
        limit, used = _number(folder / "pids.max"), _number(folder / "pids.current")
        if limit is not None:
            yield limit - (used or 0), limit, folder


def _group_folders(lines: Iterable[str]) -> Iterator[Path]:
    for line in lines:
        _, controllers, group = line.split(":", 2)
        root = _CONTROL_GROUPS.get(controllers)
        if root is not None:
            folder = root / group.lstrip("/")
            yield from (each for each in (folder, *folder.parents) if each.is_relative_to(root))


def _threads_of_the_machine() -> int:
    """The second number of "running/all" in /proc/loadavg."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def _threads_of(user: int) -> int:
    processes = psutil.process_iter(["uids", "num_threads"])
    return sum(
        process.info["num_threads"] or 0
        for process in processes
        if process.info["uids"] and process.info["uids"].real == user
    )


def _number(path: Path) -> int | None:
    """A number from a file of the kernel; None for "max", or where there is no such file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
