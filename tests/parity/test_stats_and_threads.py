"""What is not on the stream, read off real servers: statistics and threads of a process; when to read."""

import os
import subprocess
import threading
from itertools import chain

import pytest

from livestream import contract
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.deviations import load_deviations
from livestream.parity.judging.expectations import PROFILES, expected_cases
from livestream.parity.playing import waiting
from livestream.parity.playing.stats import ENDINGS, play_statistics_case, read_statistics
from livestream.parity.playing.target import NoAnswer, Target
from livestream.parity.playing.threads import (
    STAGES, THREAD_CLIENTS, Stage, change_in, count_threads, play_thread_cases)
from livestream.parity.playing.waiting import PAUSE, WATCH, settled
from livestream.wire.client import WireError
from tests.parity.independent_server import independent_server, serving
from tests.support import Command, wait_until


def cases_of(profile, kind):
    return [case for case in expected_cases(PROFILES[profile]) if case.kind == kind]


@pytest.fixture(scope="module", params=["original", "corrected"])
def server(request):
    """A server of ours in a process of its own: its profile, its target and its process."""
    command = Command("--profile", request.param)
    try:
        yield request.param, Target(command.url), command.process.pid
        code, _, err = command.stop()
        assert code == 0, err
    finally:
        command.kill()


# --- statistics


@pytest.mark.parametrize("ending", [ending.name for ending in ENDINGS])
def test_each_ending_counts_as_spec_says(server, ending):
    profile, target, _ = server
    [case] = [case for case in cases_of(profile, "statistics") if case.name == ending]
    assert differences(case, play_statistics_case(case, target)) == []


def test_what_is_expected_sets_the_pace_and_never_the_result(server):
    """Asked with the other profile's expectations, it is the same server."""
    profile, target, _ = server
    other = {"original": "corrected", "corrected": "original"}[profile]
    [wrong] = [case for case in cases_of(other, "statistics") if case.name == "reset"]
    [right] = [case for case in cases_of(profile, "statistics") if case.name == "reset"]
    observed = play_statistics_case(wrong, target)
    assert differences(right, observed) == []
    assert differences(wrong, observed) != []


def test_a_server_without_statistics_gives_no_answer():
    with independent_server() as url:
        assert read_statistics(Target(url)) is None
        with pytest.raises(NoAnswer) as caught:
            play_statistics_case(cases_of("original", "statistics")[0], Target(url))
    assert str(caught.value) == f"{url} has no statistics at {contract.WEBSOCKET_STATS_PATH}."


def answering(status, body):
    """A server that answers every request so."""
    return serving(lambda connection: None,
                   process_request=lambda connection, request: connection.respond(status, body))


@pytest.mark.parametrize("status, body, numbers", [
    (200, '{"a":1,"b":true,"c":"2","d":null,"e":1.5,"f":-3}', {"a": 1, "f": -3}),
    (200, "{}", {}), (200, "[1]", None), (200, "<html>", None), (200, "", None),
    (404, '{"a":1}', None), (500, '{"a":1}', None),
])
def test_statistics_are_the_whole_numbers_of_an_object(status, body, numbers):
    with answering(status, body) as url:
        assert read_statistics(Target(url)) == numbers


def test_statistics_of_a_server_that_is_gone_are_an_error():
    with answering(200, "{}") as url:
        pass
    with pytest.raises(WireError):
        play_statistics_case(cases_of("original", "statistics")[0], Target(url))


# --- threads


def test_each_stage_costs_the_threads_that_spec_says(server):
    profile, target, pid = server
    cases = cases_of(profile, "threads")
    observed = play_thread_cases(cases, target, pid)
    assert list(observed) == [stage.name for stage in STAGES]
    assert {case.name for case in cases if differences(case, dict(observed[case.name]))} == {"connect"}
    [connect] = [case for case in cases if case.name == "connect"]
    excused = load_deviations().excuse(connect, dict(observed["connect"]))
    assert excused is not None and excused.name == "a transport thread per connection"


def dead_pid():
    """The number of a process that was there and is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_process_that_does_not_exist_gives_no_answer(server):
    _, target, pid = server
    gone = dead_pid()
    with pytest.raises(NoAnswer, match=f"There is no process {gone} to count threads of."):
        count_threads(gone)
    with pytest.raises(NoAnswer, match=f"There is no process {gone} "):
        play_thread_cases([], target, gone)
    assert count_threads(pid) >= 1


def test_threads_are_those_of_the_process():
    """A process that starts three threads and waits for its standard input to end."""
    code = ("import sys, threading; go = threading.Event()\n"
            "threads = [threading.Thread(target=go.wait) for _ in range(3)]\n"
            "[thread.start() for thread in threads]; sys.stdin.read(); go.set()")
    process = subprocess.Popen(["python3", "-c", code], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: count_threads(process.pid) == 4)
    finally:
        process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("grows, change, rounds", [
    ([0, 1, 1], 0, 1), ([1, 0, 1], 0, 2), ([1, 1, 0], 0, 3), ([1, 2, 1], 1, 3)])
def test_what_a_pool_keeps_once_is_no_leak(grows, change, rounds):
    """Threads of this process, which are there until the test ends."""
    end, started = threading.Event(), []

    def grow(group):
        threads = [threading.Thread(target=end.wait) for _ in range(grows[len(started)] * THREAD_CLIENTS)]
        started.append(threads)
        for thread in threads:
            thread.start()

    try:
        stage = Stage("a reset", grow, seconds=0, rounds=3)
        assert change_in(stage, None, os.getpid(), 0, None) == {"threads": change}
    finally:
        end.set()
        for thread in chain(*started):
            thread.join()
    assert len(started) == rounds


# --- when to read


class Clock:
    """Stands for the time module: sleeping is free, and moves the time."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def test_what_is_as_expected_at_once_is_watched_a_while(clock):
    assert settled(lambda: 5, 5, 60) == 5
    assert clock.now == pytest.approx(100 + WATCH)


def test_a_change_that_comes_in_time_is_waited_for(clock):
    assert settled(lambda: "new" if clock.now >= 107 else "old", "new", 60) == "new"
    assert 107 + WATCH <= clock.now <= 107 + WATCH + 2 * PAUSE


def test_a_change_that_does_not_come_ends_the_waiting(clock):
    assert settled(lambda: "old", "new", 60) == "old"
    assert 160 + WATCH <= clock.now <= 160 + WATCH + 2 * PAUSE


def test_another_change_is_the_result(clock):
    assert settled(lambda: "third" if clock.now >= 107 else "old", "new", 60) == "third"


def test_what_goes_on_changing_is_seen(clock):
    """As expected for a moment: it is not what it stayed."""
    assert settled(lambda: 1 if clock.now < 100 + WATCH / 2 else 2, 1, 60) == 2


def test_without_time_it_is_only_watched(clock):
    assert settled(lambda: "old", "new", 0) == "old"
    assert clock.now == pytest.approx(100 + WATCH)
    assert settled(lambda: "old", None, 0) == "old"


def test_the_pauses_are_real_without_a_clock_of_ones_own():
    looks = iter(range(1000))
    assert settled(lambda: next(looks), 3, 60) == 4
