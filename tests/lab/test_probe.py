"""The probe against processes that say themselves what they did."""

import os
from pathlib import Path

import psutil
import pytest

from livestream.lab.probe import Difference, Probe, ProbeError, Sample, Switches, difference
from tests.lab import child
from tests.support import wait_until

MEGABYTE = 1024 * 1024
#: Every way to look at a process.
LOOKS = [Probe.threads, Probe.brief, Probe.sample, Probe.cpu_seconds]


@pytest.fixture
def worker():
    with child() as running:
        assert running.do("threads", 0) == 1
        yield running


def test_it_counts_the_threads_that_the_process_counts_itself(worker):
    probe = Probe(worker.pid)
    told = worker.do("threads", 37)
    assert told == 38
    assert (probe.threads(), probe.brief().threads, probe.sample().threads) == (told, told, told)
    assert told == len(os.listdir(f"/proc/{worker.pid}/task"))


def test_it_counts_descriptors_and_maps_as_the_kernel_lists_them(worker):
    probe = Probe(worker.pid)
    before = probe.sample()
    worker.do("descriptors", 23)
    worker.do("threads", 10)
    after = probe.sample()
    folder = Path("/proc") / str(worker.pid)
    assert difference(before, after).descriptors == 23
    assert after.descriptors == probe.brief().descriptors == len(list((folder / "fd").iterdir()))
    assert after.memory_maps == len((folder / "maps").read_text().splitlines())
    assert difference(before, after).memory_maps >= 20, "a stack and its guard for each thread"


def test_it_sees_memory_in_bytes(worker):
    probe = Probe(worker.pid)
    before = probe.sample()
    worker.do("memory", 64 * MEGABYTE)
    after = probe.sample()
    assert difference(before, after).rss_bytes == pytest.approx(64 * MEGABYTE, abs=4 * MEGABYTE)
    assert probe.brief().rss_bytes == after.rss_bytes


def test_it_sees_the_cpu_time_that_the_process_used(worker):
    probe = Probe(worker.pid)
    before = probe.sample()
    used = worker.do("burn", 400)
    spent = difference(before, probe.sample())
    assert spent.cpu_seconds == pytest.approx(used, abs=0.05)
    assert spent.seconds >= used


def test_the_cpu_time_is_finer_than_the_kernel_s_tick(worker):
    probe = Probe(worker.pid)
    before = probe.cpu_seconds()
    assert probe.cpu_seconds() == before, "a process that waits uses none"
    used = worker.do("burn", 3)
    spent = probe.cpu_seconds() - before
    assert spent == pytest.approx(used, abs=0.004)
    assert spent * 100 % 1, "not a whole number of ticks"
    user, system, *_ = psutil.Process(worker.pid).cpu_times()
    assert probe.cpu_seconds() == pytest.approx(user + system, abs=0.03)


def test_the_cpu_time_of_threads_that_ended_stays(worker):
    probe = Probe(worker.pid)
    worker.do("naps", 200)
    before = probe.cpu_seconds()
    worker.do("end_threads")
    wait_until(lambda: probe.threads() == 1)
    assert probe.cpu_seconds() >= before > 0


def test_context_switches_are_those_of_all_threads(worker):
    probe = Probe(worker.pid)
    before = probe.sample()
    voluntary, involuntary = worker.do("naps", 200)
    after = probe.sample()
    assert after.context_switches.voluntary == pytest.approx(voluntary, abs=50)
    assert after.context_switches.involuntary == pytest.approx(involuntary, abs=50)
    assert difference(before, after).context_switches.voluntary >= 4 * 200


def test_the_clock_of_a_sample_can_be_given(worker):
    assert Probe(worker.pid).sample(clock=lambda: 12.5).at == 12.5


def test_a_difference_is_after_less_before():
    before = Sample(10.0, 1.0, 100, 5, Switches(20, 3), 9, 50)
    after = Sample(12.0, 1.5, 90, 8, Switches(120, 4), 10, 59)
    assert difference(before, after) == Difference(2.0, 0.5, -10, 3, Switches(100, 1), 1, 9)


@pytest.mark.parametrize("look", LOOKS)
def test_a_process_that_ended_is_an_error(worker, look):
    probe = Probe(worker.pid)
    worker.end()
    with pytest.raises(ProbeError, match=f"^Process {worker.pid} has ended.$"):
        look(probe)


@pytest.mark.parametrize("look", LOOKS)
def test_a_process_that_nobody_has_waited_for_has_ended_too(worker, look):
    probe = Probe(worker.pid)
    worker.process.stdin.close()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProbeError, match="has ended"):
        look(probe)


@pytest.mark.parametrize("pid", [-1, 2 ** 40])
def test_there_must_be_such_a_process(pid):
    with pytest.raises(ProbeError, match=f"^There is no process {pid}.$"):
        Probe(pid)


def test_a_process_of_root_is_not_for_others_to_look_at():
    """From a process that gives up being root, if it is root at all: process 1 is root's."""
    code = (
        "import os, json, sys\n"
        "from livestream.lab.probe import Probe, ProbeError\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: told = str(Probe(1).sample())\n"
        "except ProbeError as error: told = str(error)\n"
        "print(json.dumps(told), flush=True)\n"
    )
    with child(code) as stranger:
        assert stranger.read() == "Process 1 belongs to somebody else."
