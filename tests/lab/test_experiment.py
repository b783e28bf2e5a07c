"""Steps with a server each, and a run that keeps what is finished whatever comes."""

from contextlib import contextmanager

import psutil
import pytest

from livestream.contract import VALIDATORS_PATH
from livestream.lab import experiment
from livestream.lab.experiment import (
    LINGERING, PREPARING, Planned, Setup, Watcher, expected_seconds, run_experiment,
)
from livestream.lab.limits import Shortage
from livestream.lab.load import Load, LoadError
from livestream.lab.probe import ProbeError
from livestream.lab.results import Results, Step
from livestream.lab.server import Server, ServerError, own_server, running_server
from livestream.wire.handshake import WireError
from tests.lab import child
from tests.lab.fakes import RESULT, FakeLoad

#: Nobody listens there.
NOWHERE = "ws://127.0.0.1:1/"
LOAD = Load("", 0, 20.0, 50.0, 0.1)


def silent(event, record):
    """For events that the test doesn't look at."""


class Servers:
    """Opens servers that are no more than a URL and a process."""

    def __init__(self, pid=None):
        self.opened = []
        self.open = 0
        self._pid = pid

    @contextmanager
    def __call__(self, options=()):
        self.opened.append(tuple(options))
        self.open += 1
        yield Server(NOWHERE, self._pid)
        self.open -= 1


@pytest.fixture
def worker():
    with child() as running:
        assert running.do("threads", 3) == 4
        yield running


@pytest.fixture
def counted(monkeypatch):
    """The calls of what is slow, in place of it."""
    calls = []
    monkeypatch.setattr(experiment, "transport_threads", lambda *asked: calls.append(asked) or 1)
    monkeypatch.setattr(
        experiment, "wait_for_threads", lambda probe, *asked: calls.append((probe.pid, *asked)) or True)
    return calls


def setup(servers, load, own=True, **more):
    return Setup(servers, own, LOAD, (10, 100), run_load=load, **more)


# --- one step


def test_a_step_is_a_load_on_a_server_with_these_options():
    servers, load = Servers(), FakeLoad()
    step = setup(servers, load, options=("--time-scale", "0.1")).step(
        100, silent, condition="pool", options=("--broadcaster", "pool"), says_goodbye=True, churn=3.0)
    # One to count transport threads on, and one that is measured.
    assert servers.opened == [("--time-scale", "0.1", "--broadcaster", "pool")] * 2
    assert load.asked == [Load(NOWHERE, 100, 20.0, 50.0, 0.1, churn=3.0, says_goodbye=True)]
    assert (step.condition, step.clients, step.figures["updates"]) == ("pool", 100, RESULT["updates"])
    assert servers.open == 0


def test_the_load_runs_while_the_server_is_open():
    servers, opened = Servers(), []
    setup(servers, FakeLoad(window=lambda: opened.append(servers.open))).step(10, silent)
    assert opened == [1]


def test_a_server_that_can_t_be_seen_costs_no_preparations(counted):
    setup(Servers(), FakeLoad(), own=False).step(10, silent)
    assert counted == []


def test_transport_threads_are_counted_once_for_the_same_options(worker, counted):
    made = setup(Servers(worker.pid), FakeLoad())
    for options in ((), ("--broadcaster", "pool"), (), ("--broadcaster", "pool")):
        step = made.step(100, silent, options=options)
        assert step.figures["transport_threads"] == 100
    assert counted == [(NOWHERE, worker.pid, None)] * 2


def test_what_starts_with_its_first_use_is_used_before_threads_are_counted(worker, monkeypatch):
    """Each server's, so for every step; a login is shown to it."""
    calls = []
    monkeypatch.setattr(experiment, "http_request", lambda *asked, **more: calls.append((asked, more)))
    monkeypatch.setattr(experiment, "transport_threads", lambda *asked: calls.append("threads") or 1)
    made = setup(Servers(worker.pid), FakeLoad(window=lambda: calls.append("load")))
    for _ in range(2):
        made.step(10, silent)
    used = ((NOWHERE, "GET", VALIDATORS_PATH), {"headers": (), "ssl_context": None})
    assert calls == ["threads", used, "load", used, "load"]


def test_after_a_step_a_server_that_goes_on_is_left_as_it_was(worker, counted):
    """Its threads are waited for, as many as before the load: five seconds at the scale, and fifteen more."""
    servers = running_server(NOWHERE, worker.pid)
    made = setup(servers, FakeLoad(up=lambda: worker.do("threads", 50)), own=False)
    made.step(10, silent)
    assert counted[1:] == [(worker.pid, 4, 0.5 + LINGERING)]
    made.step(10, silent)
    assert counted[2:] == [(worker.pid, 54, 0.5 + LINGERING)]


def test_a_server_of_our_own_is_just_stopped(worker, counted):
    setup(Servers(worker.pid), FakeLoad()).step(10, silent)
    assert len(counted) == 1


def test_what_is_done_afterwards_is_handed_on(worker, counted):
    step = setup(Servers(worker.pid), FakeLoad()).step(
        10, silent, afterwards=lambda probe, idle, marks: {"threads_left": idle.threads})
    assert step.figures["threads_left"] == 4


def test_a_server_whose_process_has_ended_is_an_error(worker):
    worker.end()
    with pytest.raises(ProbeError):
        setup(Servers(worker.pid), FakeLoad()).step(10, silent)


def test_the_port_has_four_channel_threads_and_one_that_reads_for_each_client():
    """From the first server to the last figure, with nothing made up; nothing of it may stay."""
    before = psutil.Process().children()
    made = Setup(own_server, True, Load("", 0, 0.5, 200.0, 0.02), (7,), ("--time-scale", "0.02"))
    step = made.step(7, silent)
    names = ("up", "transport_threads", "channel_threads")
    assert [step.figures[name] for name in names] == [7, 7, 28]
    assert step.figures["channel_threads_per_client"] == 4.0
    assert psutil.Process().children() == before


def test_what_is_planned_says_how_long_it_takes_and_runs_nothing():
    """100 clients at 50 a second, half a second until all is steady, and the window."""
    servers = Servers()
    own, other = setup(servers, FakeLoad()), setup(servers, FakeLoad(), own=False)
    plans = own.planned("pool", 100, silent), other.planned("", 100, silent, seconds=60.0)
    assert [planned.expected_seconds for planned in plans] == [22.5 + PREPARING, 62.5 + 0.5]
    assert (plans[0].condition, plans[0].clients, plans[0].run) == ("pool", 100, silent)
    assert expected_seconds(plans) == 22.5 + PREPARING + 63
    assert servers.opened == []


def test_limits_are_asked_for_the_most_clients_and_the_server_that_runs(monkeypatch):
    asked, found = [], [Shortage("threads", 1, 2, "more")]
    monkeypatch.setattr(experiment, "shortages", lambda *seen: asked.append(seen) or found)
    assert setup(Servers(), FakeLoad(), pid=77).shortages() == found
    setup(Servers(), FakeLoad()).shortages(1)
    assert asked == [(100, 5, 77), (100, 1, None)]


# --- a run of steps


class Log(Watcher):
    """All that a run tells, in turn."""

    def __init__(self):
        self.lines = []

    def begin(self, planned):
        self.lines.append(("begin", planned.clients))

    def event(self, event, record):
        self.lines.append((event, record))

    def end(self, step):
        self.lines.append(("end", step.clients))

    def keep(self, results):
        self.lines.append(("keep", len(results.steps)))


def results():
    return Results("sweep", "livestream scale", "2024-01-01T00:00:00+00:00", 0)


def planned(clients, act=None):
    def run(on_event):
        on_event("up", {"up": clients})
        if act is not None:
            raise act
        return Step("x", clients, {"up": float(clients)})

    return Planned("x", clients, 1.0, run)


def test_steps_are_run_in_turn_and_kept_one_by_one():
    log, found = Log(), results()
    run_experiment(found, [planned(1), planned(2)], log, log.keep)
    assert log.lines == [
        ("begin", 1), ("up", {"up": 1}), ("keep", 1), ("end", 1),
        ("begin", 2), ("up", {"up": 2}), ("keep", 2), ("end", 2)]
    assert [step.figures for step in found.steps] == [{"up": 1.0}, {"up": 2.0}]
    assert (found.planned, found.finished) == (2, True)


@pytest.mark.parametrize("error", [ServerError, ProbeError, LoadError, WireError])
def test_a_step_that_fails_is_kept_with_the_reason_and_the_next_is_tried(error):
    log, found = Log(), results()
    run_experiment(found, [planned(1), planned(2, error("It broke.")), planned(3)], log, log.keep)
    assert found.steps[1] == Step("x", 2, {}, invalid=("It broke.",))
    assert [step.valid for step in found.steps] == [True, False, True]
    assert [line for line in log.lines if line[0] in ("keep", "end")] == [
        ("keep", 1), ("end", 1), ("keep", 2), ("end", 2), ("keep", 3), ("end", 3)]
    assert found.finished


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_ctrl_c_and_mistakes_pass_and_what_is_finished_stays(error):
    log, found = Log(), results()
    with pytest.raises(error):
        run_experiment(found, [planned(1), planned(2, error()), planned(3)], log, log.keep)
    assert log.lines[-2:] == [("begin", 2), ("up", {"up": 2})]
    assert [step.clients for step in found.steps] == [1]
    assert (found.planned, found.finished) == (3, False)


def test_a_watcher_may_look_away():
    found = results()
    run_experiment(found, [planned(1)], Watcher(), lambda kept: None)
    assert found.finished
