"""What is too little for so many clients, by limits that the test sets."""

import os
import resource
from pathlib import Path

import pytest

from livestream.lab import limits
from livestream.lab.limits import NEEDS, READERS, Room, Shortage, shortages, told
from livestream.lab.load import Load
from livestream.lab.probe import ProbeError
from livestream.lab.server import own_server
from tests.lab import QUICK, child, loading
from tests.lab.servers import UPGRADED, answering

#: By limit: what 1,000 clients of 5 threads need of it beyond what is in use, and the command for a server
#: that is not started yet.
WANTED = {
    "server descriptors": (1_064, "ulimit -n {}"),
    "load descriptors": (1_064, "ulimit -n {}"),
    "kernel.threads-max": (5_064, "sysctl -w kernel.threads-max={}"),
    "kernel.pid_max": (5_064, "sysctl -w kernel.pid_max={}"),
    "pids.max": (5_064, "echo {} > /sys/fs/cgroup/pids.max"),
    "processes of the user": (5_064, "ulimit -u {}"),
    "ports": (1_000, 'sysctl -w net.ipv4.ip_local_port_range="64535 65535"'),
    "vm.max_map_count": (16_000, "sysctl -w vm.max_map_count={}"),
}


@pytest.fixture(autouse=True)
def no_control_group(monkeypatch):
    monkeypatch.setattr(limits, "_CONTROL_GROUPS", {})


def test_every_limit_can_be_read_and_every_one_is_tested():
    assert NEEDS.keys() == READERS.keys() == WANTED.keys()


@pytest.mark.parametrize("name", WANTED)
def test_a_limit_one_too_low_is_a_shortage_and_one_that_does_is_none(name):
    needed, command = WANTED[name]
    low, right = Room(needed - 1), Room(needed)
    assert shortages(1_000, 5, None, {name: lambda pid: right}) == []
    assert shortages(1_000, 5, None, {name: lambda pid: low}) == [
        Shortage(NEEDS[name].what, needed - 1, needed, command.format(needed))
    ]


@pytest.mark.parametrize("name", WANTED)
def test_what_is_in_use_comes_on_top(name):
    needed = WANTED[name][0]
    found = shortages(1_000, 5, None, {name: lambda pid: Room(needed, 200)})
    assert [(shortage.limit, shortage.needed) for shortage in found] == [(needed, needed + 200)]


def test_more_limits_than_one_are_told_in_the_order_of_the_table():
    found = shortages(2_000, 5, None, {name: lambda pid: Room(1_000) for name in reversed(WANTED)})
    assert [shortage.what for shortage in found] == [need.what for need in NEEDS.values()]


def test_no_limit_is_no_shortage():
    assert shortages(10 ** 9, 5, None, {name: lambda pid: None for name in WANTED}) == []


def test_the_limits_of_a_running_server_are_set_from_outside():
    readers = {name: lambda pid: Room(pid) for name in ("server descriptors", "processes of the user")}
    commands = [shortage.command for shortage in shortages(1_000, 5, 77, readers)]
    assert commands == ["prlimit --pid 77 --nofile=1064:1064", "prlimit --pid 77 --nproc=5064:5064"]


def test_a_shortage_is_one_line():
    shortage = Shortage("descriptors for the load", 1_024, 5_064, "ulimit -n 5064")
    assert told(shortage) == "descriptors for the load: 1024, needed are 5064: ulimit -n 5064"


def test_a_running_server_s_own_limit_counts_and_the_load_s_is_ours():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with child() as server:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (123, 321))
        found = {shortage.what: shortage.limit for shortage in shortages(hard, 0, server.pid)}
    assert found["descriptors for the server"] == 123
    assert found["descriptors for the load"] == hard


def test_a_server_and_a_load_that_are_started_from_here_may_use_the_hard_limit():
    """Both raise their own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, hard))
    try:
        assert READERS["server descriptors"](None) == Room(hard)
        assert READERS["load descriptors"](None) == Room(hard)
        with answering(UPGRADED) as url, loading(Load(url, **QUICK)) as running:
            running.until("window")
            assert resource.prlimit(running.pid, resource.RLIMIT_NOFILE) == (hard, hard)
        with own_server() as server:
            assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_kernel_s_limits_are_read_with_the_threads_that_there_are():
    with child() as process:
        threads = process.do("threads", 1_000)
        room = READERS["kernel.pid_max"](None)
    assert room.limit == int(Path("/proc/sys/kernel/pid_max").read_text())
    assert room.used > threads


def test_the_ports_are_those_that_the_kernel_gives_out():
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert READERS["ports"](None) == Room(int(last) - int(first) + 1)


def test_no_port_below_1024_is_asked_for():
    (found,) = shortages(70_000, 5, None, {"ports": lambda pid: Room(28_232)})
    assert found.command == 'sysctl -w net.ipv4.ip_local_port_range="1024 65535"'


def test_the_threads_of_a_user_are_counted():
    with child() as process:
        threads = process.do("threads", 1_000)
        assert limits._threads_of(os.getuid()) > threads
    assert limits._threads_of(2 ** 31 - 5) == 0


def test_the_control_group_with_the_least_left_counts(tmp_path, monkeypatch):
    """Of a process's own group and all above it, where they have a limit."""
    monkeypatch.setattr(limits, "_CONTROL_GROUPS", {"": tmp_path})
    monkeypatch.setattr(limits, "_group_folders", lambda lines: [tmp_path / "a/b", tmp_path / "a", tmp_path])
    for name, limit, used in (("a/b", "5000", "5"), ("a", "900", "850"), ("", "max", "860")):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "pids.max").write_text(limit + "\n")
        (tmp_path / name / "pids.current").write_text(used + "\n")
    assert READERS["pids.max"](None) == Room(900, 850)
    (found,) = shortages(100, 5, None, {"pids.max": READERS["pids.max"]})
    assert found.command == f"echo 1414 > {tmp_path}/a/pids.max"


def test_the_groups_of_a_process_are_its_own_and_those_above(monkeypatch):
    """In both versions of control groups; what limits no tasks is passed over."""
    monkeypatch.setattr(limits, "_CONTROL_GROUPS", {"": Path("/two"), "pids": Path("/one")})
    folders = limits._group_folders(["8:pids:/a:b/c", "4:memory:/m", "0::/d"])
    assert list(map(str, folders)) == ["/one/a:b/c", "/one/a:b", "/one", "/two/d", "/two"]


def test_a_server_that_ended_is_an_error():
    with child() as server:
        server.end()
        with pytest.raises(ProbeError, match=f"^There is no process {server.pid}.$"):
            shortages(10, 5, server.pid)
