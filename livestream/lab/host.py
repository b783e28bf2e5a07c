"""The machine that a figure was measured on, as text for a report. No host name, user or path is told."""

import os
import platform
import resource
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil

from livestream.lab.probe import ProbeError

UNKNOWN: Final = "unknown"
#: Whose versions are told: what the port's speed hangs on.
PACKAGES: Final = ("livestream", "simple-websocket", "wsproto", "Flask", "h11")

Fact = Callable[[Path], str]


def host_facts(root: Path = Path("/")) -> dict[str, str]:
    """Facts by name, in the order of a report; "unknown" for what this machine doesn't tell.

    Limits are those of this process, which a server started from here inherits. `root` is where /proc, /sys
    and /etc are.
    """
    return {name: _told(fact, root) for name, fact in FACTS.items()}


def program_facts() -> dict[str, str]:
    """The interpreter of this process and its packages: a server's that is started from here too."""
    versions = {package: _told(_version(package), Path("/")) for package in PACKAGES}
    return {"python": f"{platform.python_implementation()} {platform.python_version()}"} | versions


def process_facts(pid: int) -> dict[str, str]:
    """Of one process of ours: "executable", its base name, and "processors", how many it may run on.

    ProbeError when it is gone or belongs to somebody else.
    """
    try:
        process = psutil.Process(pid)
        executable = os.path.basename(process.exe())
        processors = len(process.cpu_affinity() or ())
    except (psutil.NoSuchProcess, ValueError) as error:
        raise ProbeError(f"There is no process {pid}.") from error
    except psutil.AccessDenied as error:
        raise ProbeError(f"Process {pid} belongs to somebody else.") from error
    return {"executable": executable or UNKNOWN, "processors": str(processors or UNKNOWN)}


def _told(fact: Fact, root: Path) -> str:
    try:
        return fact(root) or UNKNOWN
    except (OSError, ValueError, LookupError, PackageNotFoundError):
        return UNKNOWN


def _file(path: str) -> Fact:
    """The one line of a file."""
    return lambda root: (root / path).read_text().strip()


def _entry(path: str, key: str, separator: str) -> Fact:
    """The first line of a file that gives the key a value; LookupError when none does."""

    def fact(root: Path) -> str:
        for line in (root / path).read_text().splitlines():
            name, _, value = line.partition(separator)
            if name.strip() == key:
                return value.strip().strip('"')
        raise LookupError(key)

    return fact


def _memory(root: Path) -> str:
    kilobytes = _entry("proc/meminfo", "MemTotal", ":")(root).split()[0]
    return f"{int(kilobytes) / 1024 ** 2:.1f} GiB"


def _cores(root: Path) -> str:
    return f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}"


def _open_files(root: Path) -> str:
    return "soft {}, hard {}".format(*map(_limit, resource.getrlimit(resource.RLIMIT_NOFILE)))


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def _load(root: Path) -> str:
    """Over the last 1, 5 and 15 minutes."""
    return " ".join((root / "proc/loadavg").read_text().split()[:3])


def _version(package: str) -> Fact:
    return lambda root: version(package)


FACTS: Final[Mapping[str, Fact]] = {
    "kernel": lambda root: f"{platform.system()} {platform.release()}",
    "distribution": _entry("etc/os-release", "PRETTY_NAME", "="),
    "processor": _entry("proc/cpuinfo", "model name", ":"),
    "cores": _cores,
    "memory": _memory,
    "open files": _open_files,
    "vm.max_map_count": _file("proc/sys/vm/max_map_count"),
    "kernel.pid_max": _file("proc/sys/kernel/pid_max"),
    "kernel.threads-max": _file("proc/sys/kernel/threads-max"),
    "load average": _load,
    "clock source": _file("sys/devices/system/clocksource/clocksource0/current_clocksource"),
}
