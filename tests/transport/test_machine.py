"""What the machine allows, from readings that the tests invent."""

import errno
import os
import resource
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from livestream.transport import machine

UNLIMITED = resource.RLIM_INFINITY


class Machine:
    """Limits as a test wishes them; what is not set is unlimited."""

    def __init__(self, monkeypatch, tmp_path):
        self.limits = {}
        self.files = {}
        self.cgroups = tmp_path
        self.own_group = tmp_path / "cgroup"
        self.user = 1000
        monkeypatch.setattr(machine, "CGROUPS", tmp_path / "groups")
        monkeypatch.setattr(machine, "OWN_CONTROL_GROUP", self.own_group)
        monkeypatch.setattr(machine, "_read", lambda path: self.files.get(path) or _group_file(path))
        monkeypatch.setattr(resource, "getrlimit", lambda which: (self.limits.get(which, UNLIMITED),) * 2)
        monkeypatch.setattr(os, "geteuid", lambda: self.user)
        machine._most_threads.cache_clear()

    def put_in_group(self, group, **limits):
        """Own control group, and `pids.max` of groups by name ("" is the root)."""
        self.own_group.write_text(f"12:pids:/old\n0::{group}\n")
        for name, value in limits.items():
            folder = self.cgroups / "groups" / name.replace("__", "/").strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "pids.max").write_text(f"{value}\n")


def _group_file(path):
    return real_read(path) if "groups" in path else None


real_read = machine._read


@pytest.fixture
def fake(monkeypatch, tmp_path):
    yield Machine(monkeypatch, tmp_path)
    machine._most_threads.cache_clear()


def test_without_any_limit_there_is_room_for_any_number(fake):
    assert machine.client_ceiling(4) == (sys.maxsize, "any number")
    machine.make_room_for_a_thread()


def test_descriptors(fake):
    fake.limits[resource.RLIMIT_NOFILE] = 1024
    assert machine.client_ceiling(4) == (1024 - machine.RESERVED_DESCRIPTORS, "1024 open files (ulimit -n)")


def test_memory_maps(fake):
    fake.files[machine.MAX_MAP_COUNT] = 65_530
    clients, limit = machine.client_ceiling(4)
    assert clients == (65_530 - machine.RESERVED_MAPS) // 15
    assert limit == "65530 memory maps (vm.max_map_count)"


@pytest.mark.parametrize("file, name", [
    ("/proc/sys/kernel/pid_max", "kernel.pid_max"),
    ("/proc/sys/kernel/threads-max", "kernel.threads-max"),
])
def test_threads_of_the_machine(fake, file, name):
    fake.files[file] = 32_768
    assert machine.client_ceiling(4) == ((32_768 - machine.RESERVED_THREADS) // 5, f"32768 threads ({name})")


def test_threads_of_the_user_unless_it_is_root(fake):
    fake.limits[resource.RLIMIT_NPROC] = 564
    assert machine.client_ceiling(4) == (100, "564 threads (ulimit -u)")
    fake.user = 0
    assert machine.client_ceiling(4).clients == sys.maxsize


GROUPS = [
    ("/", {"": 564}, 100),
    ("/a/b", {"a__b": 564}, 100),
    ("/a/b", {"a": 564, "a__b": 1064}, 100),
    ("/a/b", {"a": 1064, "a__b": "max"}, 200),
    ("/a/b", {"other": 564}, sys.maxsize),
]


@pytest.mark.parametrize("group, limits, clients", GROUPS)
def test_threads_of_the_control_group_and_of_those_above_it(fake, group, limits, clients):
    fake.put_in_group(group, **limits)
    ceiling = machine.client_ceiling(4)
    assert ceiling.clients == clients
    assert clients == sys.maxsize or "pids.max of the control group" in ceiling.limit


def test_without_channel_threads_of_its_own_a_client_has_one(fake):
    fake.files[machine.MAX_MAP_COUNT] = machine.RESERVED_MAPS + 300
    assert [machine.client_ceiling(threads).clients for threads in (0, 4)] == [100, 20]


def test_the_lowest_limit_counts(fake):
    fake.limits[resource.RLIMIT_NOFILE] = 20_000
    fake.files[machine.MAX_MAP_COUNT] = 65_530
    fake.files["/proc/sys/kernel/pid_max"] = 1_000
    assert machine.client_ceiling(4).limit == "1000 threads (kernel.pid_max)"


def test_no_ceiling_is_below_zero(fake):
    fake.limits[resource.RLIMIT_NOFILE] = 10
    assert machine.client_ceiling(4).clients == 0


def test_a_thread_is_refused_while_there_are_still_maps_for_it(fake):
    running = threading.active_count()
    fake.files[machine.MAX_MAP_COUNT] = machine.RESERVED_MAPS + (running + 1) * machine.MAPS_PER_THREAD
    machine.make_room_for_a_thread()
    machine._most_threads.cache_clear()
    fake.files[machine.MAX_MAP_COUNT] = machine.RESERVED_MAPS + running * machine.MAPS_PER_THREAD
    with pytest.raises(RuntimeError, match="vm.max_map_count"):
        machine.make_room_for_a_thread()


def test_a_thread_is_refused_while_there_is_still_memory_for_it():
    """In a process of its own, whose memory is limited."""
    program = (
        "import resource; from livestream.transport import machine\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "need = machine.THREAD_STACK_BYTES + machine.RESERVED_MEMORY\n"
        "def limit(room): resource.setrlimit(resource.RLIMIT_AS, (size + room, -1))\n"
        "limit(need + 2_000_000); machine.make_room_for_a_thread(); print('room')\n"
        "limit(need - 2_000_000)\n"
        "try: machine.make_room_for_a_thread()\n"
        "except RuntimeError as error: print(error)\n")
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert said == "room\ncan't start new thread: memory is running out\n"


def test_a_file_without_a_number_is_no_limit(tmp_path):
    (tmp_path / "pids.max").write_text("max\n")
    assert machine._read(str(tmp_path / "pids.max")) is None
    assert machine._read(str(tmp_path / "missing")) is None


def test_this_machine_s_own_ceiling_can_be_told():
    clients, limit = machine.client_ceiling(4)
    assert clients > 0 and limit


@pytest.fixture
def process(monkeypatch):
    """What `prepare_process` asks of the system, which must not happen to the tests."""
    asked = []
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: asked.append(("switch", seconds)))
    monkeypatch.setattr(threading, "stack_size", lambda size: asked.append(("stack", size)))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append((which, limits)))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: asked.append(("cpus", cpus)))
    libc = SimpleNamespace(
        prctl=lambda *words: asked.append(("prctl", words)),
        mallopt=lambda *words: asked.append(("mallopt", words)))
    monkeypatch.setattr(machine, "_LIBC", libc)
    return asked


def test_a_process_is_prepared(process):
    machine.prepare_process(0.3, "none")
    assert process == [
        ("switch", 0.3), ("prctl", (78, 1, machine.FUTEX_SLOTS, 0, 0)), ("mallopt", (-8, 1)),
        ("stack", machine.THREAD_STACK_BYTES), (resource.RLIMIT_NOFILE, (4096, 4096)),
    ]


def test_the_kernel_s_table_of_waiting_threads_is_enlarged_where_a_process_has_its_own():
    """In a process of its own: there is no way back to the table's old size."""
    program = (
        "import ctypes; from livestream.transport.machine import prepare_process\n"
        "slots = lambda: ctypes.CDLL(None).prctl(78, 2, 0, 0, 0)\n"
        "before = slots(); prepare_process(0, 'none'); print(before, slots())")
    before, after = map(int, subprocess.check_output([sys.executable, "-c", program]).split())
    # Kernels before 6.16 know of no such table.
    assert after == (machine.FUTEX_SLOTS if before >= 0 else -1)


def test_memory_that_threads_left_free_is_given_back():
    """In a process of its own, whose memory nothing else changes."""
    program = (
        "import threading; from livestream.transport import machine\n"
        "def rss(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "machine.prepare_process(0, 'none')\n"
        "def fill(): kept.append([bytes(20_000 if i % 4 else 600) for i in range(2_000)])\n"
        "kept = []\n"
        "threads = [threading.Thread(target=fill) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "full = rss()\n"
        # Every small one stays, so that no heap can shrink at its end.
        "for blocks in kept: blocks[:] = [b for b in blocks if len(b) == 600]\n"
        "free = rss(); machine.give_memory_back(); print(full, free, rss())\n")
    full, free, trimmed = map(int, subprocess.check_output([sys.executable, "-c", program]).split())
    assert full - free < 20e6, "it went back by itself"
    assert full - trimmed > 80e6


@pytest.mark.parametrize("threads, seconds", [(1, 0.3), (1_200, 0.3), (5_003, 1.25), (20_003, 5.0)])
def test_the_switch_interval_grows_with_the_threads(process, monkeypatch, threads, seconds):
    monkeypatch.setattr(machine, "_switch_interval_grows", threading.Event())
    monkeypatch.setattr(machine, "_most_threads", lambda: 100_000)
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    machine.prepare_process(0, "none")
    assert process[0] == ("switch", 0.3)
    machine.make_room_for_a_thread()
    assert process[-1] == ("switch", pytest.approx(seconds, rel=1e-3))


def test_a_switch_interval_that_was_asked_for_stays(process, monkeypatch):
    monkeypatch.setattr(machine, "_switch_interval_grows", threading.Event())
    machine.prepare_process(0.05, "none")
    before = list(process)
    machine.make_room_for_a_thread()
    assert process == before


PROCESSORS = {
    "nothing is bound": ({}, {0, 1, 2}, 2),
    "one other server": ({11: {2}}, {0, 1, 2}, 1),
    "a processor twice": ({11: {2}, 12: {1}, 13: {0}, 14: {2}, 15: {1}}, {0, 1, 2}, 0),
    "others that may use several": ({11: {1, 2}, 12: {0, 1, 2}}, {0, 1, 2}, 2),
    "the kernel's own thread": ({-11: {2}}, {0, 1, 2}, 2),
    "a process that has just ended": ({11: None, 12: {2}}, {0, 1, 2}, 1),
    "bound elsewhere": ({11: {3}}, {0, 1}, 1),
    "only one allowed": ({11: {1}}, {1}, 1),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_processor_that_the_fewest_are_bound_to(name, process, monkeypatch, tmp_path):
    others, own, chosen = PROCESSORS[name]
    for number in others:
        (tmp_path / str(abs(number))).mkdir()
        (tmp_path / str(abs(number)) / "cmdline").write_text("" if number < 0 else "python\0")
    (tmp_path / "self").mkdir()

    def affinity(pid):
        allowed = others.get(pid, others.get(-pid)) if pid else own
        if allowed is None:
            raise ProcessLookupError
        return allowed

    monkeypatch.setattr(machine, "PROCESSES", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", affinity)
    machine.prepare_process(0.3, "auto")
    assert process[0] == ("cpus", {chosen})


def test_a_process_is_pinned_when_asked(process, monkeypatch):
    machine.prepare_process(0.3, "0")
    assert process[0] == ("cpus", {0})

    def refuse(pid, cpus):
        raise OSError(errno.EINVAL, "no such processor")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with pytest.raises(OSError):
        machine.prepare_process(0.3, "4000")
