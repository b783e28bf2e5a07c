"""The load process as whoever measures sees it: events, a result or a reason, and no process that stays."""

import json
import os
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import fields, replace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.lab.load import Load, LoadError, load_from_json, load_json, run_load
from livestream.lab.swarm import RECOVERY
from tests.lab import QUICK
from tests.lab.servers import UPGRADED, Seen, answering
from tests.support import PATIENCE, wait_until

NUMBERS = st.floats(0.001, 1e6)
HEADERS = st.lists(st.tuples(st.text(), st.text()), max_size=3).map(tuple)
LOADS = st.builds(
    Load, st.text(), st.integers(1, 10**6), NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.booleans(), HEADERS,
    st.none() | st.text())


@pytest.fixture(scope="module")
def server():
    """An independent server, with its URL."""
    seen = Seen(0.02)
    with seen.serving() as seen.url:
        yield seen


@pytest.fixture
def load(server):
    return Load(server.url, **QUICK)


class Events:
    """Keeps what it is told, and does something at one event."""

    def __init__(self, at="", act=lambda: None):
        self.told = []
        self._at, self._act = at, act

    def __call__(self, event, record):
        self.told.append((event, record))
        if event == self._at:
            self._act()

    @property
    def names(self):
        return [event for event, _ in self.told]


def load_processes():
    """Those that this process has started and that still live."""
    return [one for one in psutil.Process().children(recursive=True)
            if one.status() != psutil.STATUS_ZOMBIE and "livestream.lab.swarm" in one.cmdline()]


def pipes_and_files():
    """That this process has open; its sockets are those of the server."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(link for link in links if not link.startswith(("socket:", "/proc/")))


def kill():
    """Ends the load by force, and waits until it is over."""
    (process,) = load_processes()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


@given(LOADS)
def test_a_load_survives_json(load):
    text = load_json(load)
    assert "\n" not in text
    assert load_from_json(text) == load
    assert hash(load_from_json(text)) == hash(load)


def test_a_load_s_json_has_all_of_it():
    assert json.loads(load_json(Load("ws://x"))).keys() == {field.name for field in fields(Load)}


def test_how_long_a_load_takes():
    """100 clients at 50 a second, the slowest channel's interval, and the window."""
    load = Load("ws://x", 100, 20.0, 50.0)
    assert (load.warm_up, load.expected_seconds) == (5.0, 27.0)
    scaled = replace(load, time_scale=0.1)
    assert (scaled.warm_up, scaled.expected_seconds) == (0.5, 22.5)


def test_it_tells_events_and_returns_the_result(load):
    events = Events()
    result = run_load(replace(load, says_goodbye=True), events)
    assert [name for name in events.names if name != "connecting"] == [
        "up", "settled", "window", *["slice"] * 5, "measured", "closing", "closed"]
    told = dict(events.told)
    assert (told["settled"], told["slice"], told["measured"]) == ({}, {"messages": result["messages"]}, {})
    assert dict(events.told)["closed"] == {"open": 0}
    assert (result["up"], result["clients"], "event" in result) == (3, 3, False)
    assert load_processes() == []


def test_all_of_the_load_is_asked_for(server, load):
    """Each field has something to show for it."""
    begun, ended = server.connections, len(server.ended)
    result = run_load(replace(load, clients=4, seconds=0.5, churn=30.0, says_goodbye=True), Events())
    assert (result["clients"], result["up"]) == (4, 4)
    assert result["seconds"] == pytest.approx(0.5, abs=0.4)
    assert result["channels"]["tps_updates"]["updates"] > 4 * 5, "the time scale"
    wait_until(lambda: len(server.ended) == server.connections)
    assert server.connections - begun >= 4 + result["closed_connections"] > 4
    assert set(server.codes[ended:]) == {1000}


def test_the_clients_stay_until_measured_has_been_handled(server, load):
    """Whoever looks at the server then sees it with all of them."""
    def look():
        sent = len(server.sent)
        wait_until(lambda: len(server.sent) > sent + 50)
        lively.append(len(server.ended) - ended)

    lively, ended = [], len(server.ended)
    run_load(load, Events("measured", look))
    assert lively == [0]
    wait_until(lambda: len(server.ended) == ended + 3)


def test_the_window_does_not_open_before_settled_has_been_handled(server, load):
    """Nor at once then: the look may have disturbed the server. What comes meanwhile is not counted."""
    def look():
        sent = len(server.sent)
        wait_until(lambda: len(server.sent) > sent + 300)
        handled.extend((time.monotonic(), len(server.sent)))

    def note(event, record):
        events(event, record)
        times[event] = time.monotonic()

    handled, times, events = [], {}, Events("settled", look)
    result = run_load(load, note)
    at, sent = handled
    assert times["window"] - at >= RECOVERY
    assert times["measured"] - at >= RECOVERY + load.seconds
    assert 0 < result["messages"] < 300
    assert result["messages"] <= len(server.sent) - sent
    assert result["seconds"] < times["measured"] - at


def test_it_runs_in_a_session_of_its_own(load):
    def look():
        (process,) = load_processes()
        sessions.append((os.getsid(process.pid), process.pid))

    sessions = []
    run_load(load, Events("window", look))
    ((session, pid),) = sessions
    assert session == pid != os.getsid(0)


@pytest.mark.parametrize("event", ["settled", "window", "measured"])
def test_a_load_that_is_killed_is_an_error(load, event):
    with pytest.raises(LoadError, match=r"^The load ended without a result: it gave no reason\.$"):
        run_load(load, Events(event, kill))
    assert load_processes() == []


@pytest.mark.parametrize(("changes", "reason"), [
    ({"authority": "/no/such/file"}, "No such file or directory"),
    ({"url": "nonsense"}, "'nonsense' is not a URL that begins with ws://, wss://, http:// or https://"),
])
def test_what_a_load_says_last_is_the_reason(load, changes, reason):
    secure = {"url": load.url.replace("ws:", "wss:")} if "authority" in changes else {}
    with pytest.raises(LoadError) as error:
        run_load(replace(load, **secure | changes), Events())
    assert str(error.value).startswith("The load ended without a result: ")
    assert str(error.value).endswith(f"{reason}.")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("program", ["true", "false"])
def test_a_load_that_never_begins_is_an_error(load, program, monkeypatch):
    """Whether or not it still takes what it is told."""
    monkeypatch.setattr(sys, "executable", shutil.which(program))
    load = replace(load, headers=(("X", "x" * 1_000_000),))
    with pytest.raises(LoadError, match="it gave no reason"):
        run_load(load, Events())


@pytest.mark.parametrize(("event", "error"), [
    ("up", KeyboardInterrupt), ("settled", KeyboardInterrupt), ("window", RuntimeError),
    ("measured", KeyboardInterrupt),
    # Of whoever listens, who may be printing; the load's own would be a LoadError.
    ("measured", BrokenPipeError),
])
def test_it_does_not_outlive_whoever_stops_listening(load, event, error):
    def stop():
        running.extend(load_processes())
        raise error

    running = []
    with pytest.raises(error):
        run_load(load, Events(event, stop))
    assert len(running) == 1 and not running[0].is_running()
    assert load_processes() == []


def test_its_clients_are_gone_with_it(server, load):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_load(load, Events("window", stop))
    wait_until(lambda: len(server.ended) == server.connections, PATIENCE)


def test_no_pipe_and_no_file_stays(load):
    with answering(UPGRADED) as url:
        load = replace(load, url=url)
        before = pipes_and_files()
        run_load(load, Events())
        with pytest.raises(LoadError):
            run_load(load, Events("measured", kill))
        assert pipes_and_files() == before
