"""The time line: looks at an even rate, until it is left or the process ends."""

import threading

import pytest

from livestream.lab.probe import Brief, Probe, ProbeError
from livestream.lab.timeline import Point, Timeline
from tests.lab import child
from tests.support import wait_until

MEGABYTE = 1024 * 1024


@pytest.fixture
def worker():
    with child() as running:
        assert running.do("threads", 0) == 1
        yield running


class Watched:
    """A process that a time line looks at: one more thread at each look, gone after the last."""

    def __init__(self, looks):
        self.looks = looks
        self.seen = 0

    def brief(self):
        if self.seen == self.looks:
            raise ProbeError("Process 7 has ended.")
        self.seen += 1
        return Brief(self.seen, 1000 * self.seen, 10 * self.seen)


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
    assert timeline.points == [
        Point(100.0, 1, 1000, 10), Point(100.5, 2, 2000, 20), Point(101.0, 3, 3000, 30)]
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
    assert time.waits == [0.5, 0.5, 0.5, 0.5]


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
        worker.do("descriptors", 7)
        wait_until(lambda: timeline.points[-1].threads == 13)
        wait_until(lambda: timeline.points[-1].descriptors == timeline.points[0].descriptors + 7)
        worker.end()
        wait_until(lambda: timeline.ended)
    assert timeline.points[0].threads == 1
    assert timeline.points[0].rss_bytes > MEGABYTE
    assert timeline.ended == f"Process {worker.pid} has ended."
    assert [point.at for point in timeline.points] == sorted(point.at for point in timeline.points)


def test_an_error_inside_passes_and_ends_it():
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Timeline(Watched(5), 3600.0):
        raise KeyboardInterrupt
    assert threading.active_count() == before
