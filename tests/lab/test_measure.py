"""One measurement: what is looked at when, and that it is what the kernel and the process itself count."""

import os
import threading
from pathlib import Path

import pytest

from livestream.contract import CHANNELS, VALIDATORS_PATH
from livestream.lab import measure as measure_module
from livestream.lab.figures import client_figures
from livestream.lab.load import Load, LoadError
from livestream.lab.measure import Marks, measure, tls_for
from livestream.lab.probe import Probe, ProbeError
from livestream.lab.results import FIGURES
from livestream.lab.server import Server, own_server
from livestream.lab.settling import settled_threads
from livestream.lab.timeline import Timeline
from livestream.wire.handshake import http_request
from tests.lab import QUICK, child
from tests.lab.fakes import RESULT, FakeLoad
from tests.support import wait_until

LOAD = Load("ws://there", 100, 10.0)
EVENTS = ["connecting", "up", "settled", "window", *["slice"] * 5, "measured"]


@pytest.fixture
def worker():
    with child() as running:
        assert running.do("threads", 3) == 4
        yield running


@pytest.fixture
def timelines(monkeypatch):
    """Those of the measurements, as they are made."""
    made = []

    class Kept(Timeline):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(measure_module, "Timeline", Kept)
    return made


def silent(event, record):
    """For events that the test doesn't look at."""


def measured(worker, run, *, on_event=silent, transport_threads=1, **options):
    server = Server("ws://there", None if worker is None else worker.pid)
    return measure(server, LOAD, transport_threads, on_event, run=run, **options)


def recording():
    """There may be none when a measurement is over."""
    return [thread for thread in threading.enumerate() if thread.name == "lab-timeline"]


# --- looks


def test_it_looks_at_each_part_of_the_window_and_takes_samples_only_outside_it(worker, monkeypatch):
    """A sample disturbs a server of many threads; whoever shows progress is told last."""
    seen = []

    class Logged(Probe):
        def cpu_seconds(self):
            seen.append("look")
            return super().cpu_seconds()

        def sample(self, *arguments):
            seen.append("sample")
            return super().sample(*arguments)

    def machine():
        seen.append("machine")
        return measure_module.Machine(0.0, 0.0)

    monkeypatch.setattr(measure_module, "Probe", Logged)
    monkeypatch.setattr(measure_module, "_machine", machine)
    measured(worker, FakeLoad(), on_event=lambda event, record: seen.append(event))
    assert seen == [
        "sample", "connecting", "up", "sample", "settled",
        "look", "machine", "window", *["look", "machine", "slice"] * 5,
        "sample", "measured", "closing", "closed"]


def test_every_event_is_handed_on_with_what_it_says(worker):
    told = []
    measured(worker, FakeLoad(), on_event=lambda event, record: told.append((event, record)))
    assert told[0] == ("connecting", {"up": 50})
    assert [record["messages"] for event, record in told if event in ("window", "slice")] == [
        0, 2_400, 4_800, 7_200, 9_600, 12_000]


def test_what_the_process_used_is_what_it_says_itself(worker):
    """Threads and descriptors after the window; processor time of the window alone."""
    used = []
    load = FakeLoad(
        connecting=lambda: (worker.do("burn", 300), worker.do("memory", 20_000_000)),
        up=lambda: worker.do("threads", 450),
        settled=lambda: worker.do("burn", 300),
        window=lambda: worker.do("burn", 300),
        slice=lambda: (used.append(worker.do("burn", 50)), worker.do("threads", 10)),
        measured=lambda: (worker.do("burn", 300), worker.do("descriptors", 13)),
        closing=lambda: (worker.do("burn", 300), worker.do("threads", 5)))
    step = measured(worker, load)
    figures = step.figures
    assert figures["threads"] == 504
    assert figures["transport_threads"] == 100
    assert figures["channel_threads"] == 400
    assert figures["channel_threads_per_client"] == 4.0
    assert figures["descriptors"] == len(os.listdir(f"/proc/{worker.pid}/fd"))
    assert figures["cpu_per_message_us"] == pytest.approx(sum(used) / 12_000 * 1e6, abs=5)
    assert figures["rss_mb"] * 1e6 == pytest.approx(Probe(worker.pid).brief().rss_bytes, abs=1e6)
    assert figures["rss_per_client_kb"] >= 200
    assert 400 < figures["memory_maps"] <= len(Path(f"/proc/{worker.pid}/maps").read_text().splitlines())
    assert figures.keys() <= FIGURES.keys()


def test_a_step_has_the_clients_figures_and_what_was_asked_for(worker):
    load = FakeLoad(slice=lambda: worker.do("burn", 5))
    step = measured(worker, load, condition="pool")
    assert load.asked == [LOAD]
    assert (step.condition, step.clients, step.invalid, step.valid) == ("pool", 100, (), True)
    assert client_figures(RESULT).items() <= step.figures.items()


def test_the_reasons_of_an_invalid_load_are_the_step_s(worker):
    said = RESULT | {"doubts": ["The load used 99% of a processor."]}
    step = measured(worker, FakeLoad(said))
    # The watched process has done nothing: whoever sent those messages was another.
    assert step.invalid == (
        "The load used 99% of a processor.",
        "The process did nothing while 12,000 messages came: is it the server's?")
    assert step.figures["updates"] == 11_000, "they are kept, and don't count"


def test_the_warnings_are_those_of_clients_server_and_machine(worker, monkeypatch):
    machine = iter([*[measure_module.Machine(0.0, 0.0)] * 5, measure_module.Machine(1e6, 0.0)])
    monkeypatch.setattr(measure_module, "_machine", lambda: next(machine))
    costs = iter([20, 20, 20, 20, 60])
    load = FakeLoad(RESULT | {"up": 90}, slice=lambda: worker.do("burn", next(costs)))
    first, second, third, fourth = measured(worker, load).warnings
    assert first.startswith("10 of 100 clients never came up")
    assert second.startswith("Processor time per message was not steady")
    assert third.startswith("The server was looked at for 0.")
    assert fourth.startswith("Other programs used ")


def test_the_machine_s_time_is_that_of_all_programs(worker):
    before = measure_module._machine()
    used = worker.do("burn", 300)
    assert measure_module._machine().used - before.used >= used - 0.05


# --- time


def test_marks_are_the_events_that_happen_once(worker):
    marks = measured(worker, FakeLoad()).marks
    assert list(marks) == ["up", "settled", "window", "measured", "closing", "closed"]
    assert list(marks.values()) == sorted(marks.values())
    assert 0 <= marks["up"]


def test_of_a_mark_the_first_time_counts():
    marks = Marks()
    marks.set("gone")
    first = marks["gone"]
    wait_until(lambda: marks.began + first < measure_module.time.monotonic())
    marks.set("gone")
    assert marks == {"gone": first}


def test_the_time_line_begins_before_the_load_and_ends_after_what_comes_then(worker, timelines):
    """Afterwards is told what the process was, and may add figures and marks."""
    def before():
        wait_until(lambda: timelines[0].points)
        worker.do("threads", 10)

    def afterwards(probe, idle, marks):
        assert (probe.pid, idle.threads) == (worker.pid, 4)
        assert list(marks)[-1] == "closed"
        worker.do("threads", 20)
        wait_until(lambda: timelines[0].points[-1].threads == 34)
        marks.set("threads gone")
        return {"threads_left": 30.0, "up": 1.0}

    step = measured(worker, FakeLoad(connecting=before), afterwards=afterwards)
    assert [moment.threads for moment in step.timeline][::len(step.timeline) - 1] == [4, 34]
    seconds = [moment.seconds for moment in step.timeline]
    assert seconds == sorted(seconds) and 0 <= seconds[0] <= seconds[-1]
    assert step.timeline[-1].descriptors == len(os.listdir(f"/proc/{worker.pid}/fd"))
    assert step.timeline[-1].rss_mb == pytest.approx(step.figures["rss_mb"], abs=2)
    assert (step.figures["threads_left"], step.figures["up"]) == (30.0, 1.0)
    assert step.marks["threads gone"] >= step.marks["closed"]
    assert recording() == []


@pytest.mark.parametrize(("load", "interval"), [
    # Some 400 points, but not more than 20 a second.
    (Load("ws://x", 100, 93.0, 50.0), 0.25), (Load("ws://x", 1, 0.1, 100.0), 0.05),
])
def test_a_time_line_has_so_many_points(worker, timelines, load, interval):
    measure(Server("ws://there", worker.pid), load, 0, silent, run=FakeLoad())
    assert timelines[0]._interval == interval


# --- what can't be seen, and what ends


def test_of_a_server_elsewhere_there_is_what_the_clients_saw():
    step = measured(None, FakeLoad(), afterwards=lambda *seen: pytest.fail("there is no process"))
    assert step.figures == client_figures(RESULT)
    assert (step.timeline, step.warnings, step.valid) == ((), (), True)
    assert list(step.marks) == ["up", "settled", "window", "measured", "closing", "closed"]


@pytest.mark.parametrize("event", ["connecting", "settled", "window", "slice", "measured"])
@pytest.mark.parametrize("reaped", [True, False])
def test_a_process_that_ends_is_an_error_at_the_next_look(worker, event, reaped):
    def end():
        worker.process.kill()
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        if reaped:
            worker.end()

    told = []
    with pytest.raises(ProbeError, match=f"^Process {worker.pid} has ended.$"):
        measured(worker, FakeLoad(**{event: end}), on_event=lambda event, record: told.append(event))
    assert told == EVENTS[:max(2, EVENTS.index(event))]
    assert recording() == []


def test_a_process_that_is_not_there_is_an_error(worker):
    worker.end()
    load = FakeLoad()
    with pytest.raises(ProbeError):
        measured(worker, load)
    assert load.asked == []


@pytest.mark.parametrize("error", [LoadError("It ended."), KeyboardInterrupt()])
def test_what_ends_the_load_ends_the_measurement(worker, error):
    def fail(load, on_event):
        raise error

    with pytest.raises(type(error)):
        measured(worker, fail)
    assert recording() == []


def test_connections_beside_the_load_trust_what_it_trusts(tmp_path):
    assert tls_for(LOAD) is None
    with pytest.raises(OSError):
        tls_for(Load("wss://there", authority=str(tmp_path / "missing.pem")))


# --- for real


def test_the_port_s_threads_are_those_that_the_kernel_lists():
    """Four channel threads and a transport thread for each client, exactly."""
    counts = {}

    def look(event, record):
        folder = f"/proc/{server.pid}"
        counts[event] = len(os.listdir(f"{folder}/task")), len(os.listdir(f"{folder}/fd"))

    with own_server(["--time-scale", "0.02"]) as server:
        # Starts what only starts with its first use.
        assert http_request(server.url, "GET", VALIDATORS_PATH).status == 200
        idle = settled_threads(Probe(server.pid))
        load = Load(server.url, **QUICK | {"clients": 7, "seconds": 0.5})
        step = measure(server, load, 1, look)
    assert (step.figures["threads"], step.figures["descriptors"]) == counts["measured"]
    assert step.figures["threads"] == idle + 7 * (len(CHANNELS) + 1)
    assert step.figures["channel_threads"] == 7 * len(CHANNELS)
    assert step.figures["channel_threads_per_client"] == 4.0
    assert max(moment.threads for moment in step.timeline) == step.figures["threads"]
    assert step.figures["updates"] > 7 * 20
    assert step.figures["delivered"] > 50
    assert 0 < step.figures["cpu_per_message_us"] < 100_000
    # Each update's thread has waited for its turn.
    assert step.figures["voluntary_switches_per_message"] > 0.5


def test_a_server_that_dies_under_load_ends_the_load_too():
    def kill(event, record):
        if event == "window":
            os.kill(server.pid, 9)
            os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)

    with own_server(["--time-scale", "0.02"]) as server:
        with pytest.raises(ProbeError, match="has ended"):
            measure(server, Load(server.url, **QUICK | {"seconds": 1.0}), 1, kill)
