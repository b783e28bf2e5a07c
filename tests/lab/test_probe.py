"""The probe against processes that say themselves what they did."""

import os
import threading
from pathlib import Path

import pytest

from livestream.lab.probe import (
    Brief, Difference, Point, Probe, ProbeError, Sample, Switches, Timeline, difference, transport_threads,
)
from livestream.wire.client import WireError
from tests.lab import child
from tests.support import PATIENCE, Command, wait_until

MEGABYTE = 1024 * 1024
#: An event-loop server that prints its port.
EVENT_LOOP = """
import asyncio
from websockets.asyncio.server import serve

async def main():
    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

asyncio.run(main())
"""
#: A server without a thread per connection, too, but its pool of 8 threads starts one with each of the first.
LAZY_POOL = """
import concurrent.futures, socket, threading
pool = concurrent.futures.ThreadPoolExecutor(8)
gate = threading.Event()
server = socket.create_server(("127.0.0.1", 0), backlog=100)
print(server.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(server.accept())
    pool.submit(gate.wait)
"""
#: A thread for each connection, which goes on for a while after the connection has ended.
SLOW_TO_END = """
import socket, threading
def handle(connection):
    connection.recv(1)
    threading.Event().wait(0.25)
server = socket.create_server(("127.0.0.1", 0), backlog=100)
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    threading.Thread(target=handle, args=(connection,), daemon=True).start()
"""


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


def test_it_counts_descriptors_and_maps_as_the_kernel_lists_them(worker):
    probe = Probe(worker.pid)
    before = probe.sample()
    worker.do("descriptors", 23)
    worker.do("threads", 10)
    after = probe.sample()
    folder = Path("/proc") / str(worker.pid)
    assert difference(before, after).descriptors == 23
    assert after.descriptors == len(list((folder / "fd").iterdir()))
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


@pytest.mark.parametrize("look", [Probe.threads, Probe.brief, Probe.sample])
def test_a_process_that_ended_is_an_error(worker, look):
    probe = Probe(worker.pid)
    worker.end()
    with pytest.raises(ProbeError, match=f"^Process {worker.pid} has ended.$"):
        look(probe)


@pytest.mark.parametrize("look", [Probe.threads, Probe.brief, Probe.sample])
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


class Watched:
    """A process that a time line looks at: one more thread at each look, gone after the last."""

    def __init__(self, looks):
        self.looks = looks
        self.seen = 0

    def brief(self):
        if self.seen == self.looks:
            raise ProbeError("Process 7 has ended.")
        self.seen += 1
        return Brief(self.seen, 1000 * self.seen)


class Time:
    """A clock that only waiting moves on, by as long as was asked for and what the next look takes."""

    def __init__(self, *looks_take):
        self.now = 100.0
        self.looks_take = list(looks_take)
        self.waits = []

    def clock(self):
        return self.now

    def wait(self, left, seconds):
        self.waits.append(seconds)
        self.now += seconds + (self.looks_take.pop(0) if self.looks_take else 0.0)
        return left.is_set()


def test_a_time_line_looks_at_once_and_then_at_every_interval_until_the_process_ends():
    time = Time()
    with Timeline(Watched(3), 0.5, clock=time.clock, wait=time.wait) as timeline:
        wait_until(lambda: timeline.ended)
    assert timeline.points == [Point(100.0, 1, 1000), Point(100.5, 2, 2000), Point(101.0, 3, 3000)]
    assert timeline.ended == "Process 7 has ended."
    assert time.waits == [0.5, 0.5, 0.5]


def test_a_time_line_that_is_a_little_late_keeps_its_rate():
    time = Time(0.125, 0.125)
    with Timeline(Watched(3), 0.5, clock=time.clock, wait=time.wait) as timeline:
        wait_until(lambda: timeline.ended)
    assert time.waits == [0.5, 0.375, 0.375]


def test_a_time_line_that_is_very_late_makes_up_for_nothing():
    time = Time(2.0)
    with Timeline(Watched(4), 0.5, clock=time.clock, wait=time.wait) as timeline:
        wait_until(lambda: timeline.ended)
    assert time.waits == [0.5, 0.0, 0.5, 0.5]


def test_leaving_a_time_line_ends_it_though_its_next_look_is_an_hour_away():
    before = threading.active_count()
    with Timeline(Watched(5), 3600.0) as timeline:
        wait_until(lambda: timeline.points)
    assert threading.active_count() == before
    assert (len(timeline.points), timeline.ended) == (1, "")


def test_a_time_line_of_a_real_process_sees_its_threads_come_and_its_end(worker):
    with Timeline(Probe(worker.pid), 0.01) as timeline:
        wait_until(lambda: timeline.points)
        worker.do("threads", 12)
        wait_until(lambda: timeline.points[-1].threads == 13)
        worker.end()
        wait_until(lambda: timeline.ended)
    assert timeline.points[0].threads == 1
    assert timeline.points[0].rss_bytes > MEGABYTE
    assert timeline.ended == f"Process {worker.pid} has ended."
    assert [point.at for point in timeline.points] == sorted(point.at for point in timeline.points)


def test_an_idle_connection_costs_our_server_one_thread_and_nothing_is_left_of_it():
    command = Command()
    try:
        probe = Probe(command.process.pid)
        before, own = probe.sample(), len(os.listdir("/proc/self/fd"))
        assert transport_threads(command.url, command.process.pid) == 1
        assert len(os.listdir("/proc/self/fd")) == own
        after = probe.sample()
        assert (after.threads, after.descriptors) == (before.threads, before.descriptors)
        command.stop()
    finally:
        command.kill()


@pytest.mark.parametrize("server", [EVENT_LOOP, LAZY_POOL], ids=["event loop", "lazy pool"])
def test_an_idle_connection_costs_an_event_loop_no_thread(server):
    """Nor does one whose pool has as many threads as connections are counted, and grows with the first."""
    with child(server) as running:
        assert transport_threads(f"ws://127.0.0.1:{running.read()}/", running.pid) == 0


def test_the_threads_of_its_connections_have_ended_when_it_returns():
    with child(SLOW_TO_END) as running:
        assert transport_threads(f"ws://127.0.0.1:{running.read()}/", running.pid) == 1
        assert Probe(running.pid).threads() == 1


def test_a_server_that_is_not_there_is_an_error(worker):
    with pytest.raises(WireError):
        transport_threads("ws://127.0.0.1:1/", worker.pid)


def test_a_server_whose_process_ended_is_an_error(worker):
    worker.end()
    with pytest.raises(ProbeError):
        transport_threads("ws://127.0.0.1:1/", worker.pid)
    assert worker.process.wait(PATIENCE) != 0
