"""The thread list: what is in it, in which order, how much of it, and what each state means."""

import gc
import importlib
import json
import threading
import time
import weakref
from operator import attrgetter
from types import SimpleNamespace

import pytest

from livestream import contract
from livestream.stream.sleeping import SignalSleeper
from livestream.stream.jackson import to_json
from livestream.web import threads
from livestream.web.threads import MAX_CELLS, MAX_LANES, STATES, ThreadList, where
from tests.support import PATIENCE, wait_until

FACTS = {"profile": "original", "broadcaster": "threads", "time_scale": 1.0}


def connection(number=1, is_open=True, connected_at=None):
    short = f"{number:08x}"
    at = time.time_ns() // 1_000_000 if connected_at is None else connected_at
    return SimpleNamespace(
        connection_id=f"{short}-0000-4000-8000-000000000000", short_id=short, thread_name=f"stream-{short}",
        connected_at=at, session=SimpleNamespace(is_open=is_open), secret="what the client sent")


def subscription(owner, channel="tps_updates", thread=None, sends=0, age=0.0):
    return SimpleNamespace(
        connection=owner, channel=SimpleNamespace(name=channel), thread=thread, sends=sends,
        started=time.monotonic() - age)


def listing(connections=(), subscriptions=(), workers=()):
    return ThreadList(lambda: connections, lambda: subscriptions, lambda: workers, FACTS)


class Standing:
    """A thread of a given name that waits until the test is over."""

    def __init__(self, name, wait=None):
        self.over = threading.Event()
        self.thread = threading.Thread(target=wait or self.over.wait, name=name, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self.thread

    def __exit__(self, *error):
        self.over.set()
        self.thread.join(PATIENCE)


def test_without_anybody_it_is_empty_and_says_how_the_server_runs():
    assert listing().snapshot() == {
        **FACTS, "clients": 0, "formula": 0, "channel_threads": 0, "handler_threads": 0, "shared_threads": 0,
        "subscriptions": 0, "workers": [], "lanes": [], "more_lanes": 0,
    }


def test_a_lane_has_the_handler_and_the_channel_threads():
    owner = connection(7)
    with Standing("stream-00000007"), Standing("stream-00000007-tps_updates-1") as thread:
        answer = listing([owner], [subscription(owner, thread=thread, sends=3, age=2.5)]).snapshot()
    assert (answer["clients"], answer["formula"]) == (1, 4)
    assert (answer["channel_threads"], answer["handler_threads"], answer["subscriptions"]) == (1, 1, 1)
    [lane] = answer["lanes"]
    assert (lane["connection"], lane["open"], lane["more_threads"]) == ("00000007", True, 0)
    handler, channel = lane["threads"]
    assert (handler["name"], handler["role"], handler["channel"]) == ("stream-00000007", "handler", None)
    assert (handler["sends"], handler["mirrors"]) == (None, "onOpen, onMessage, onClose, onError")
    assert (channel["name"], channel["role"]) == ("stream-00000007-tps_updates-1", "channel")
    assert (channel["channel"], channel["sends"]) == ("tps_updates", 3)
    assert channel["mirrors"] == "broadcastTPSUpdates"
    assert 2_500 <= channel["age_ms"] < 60_000


def test_a_closed_connection_has_a_lane_only_while_it_has_threads():
    gone, lingering = connection(1, is_open=False), connection(2, is_open=False)
    with Standing("stream-00000002-tps_updates-1") as thread:
        answer = listing([gone, lingering], [subscription(lingering, thread=thread)]).snapshot()
    assert [(lane["connection"], lane["open"]) for lane in answer["lanes"]] == [("00000002", False)]
    assert (answer["clients"], answer["formula"], answer["channel_threads"]) == (0, 0, 1)


def test_a_connection_that_left_the_registry_is_found_by_its_threads():
    owner = connection(3, is_open=False)
    answer = listing([], [subscription(owner)]).snapshot()
    assert [lane["connection"] for lane in answer["lanes"]] == ["00000003"]


def test_a_subscription_without_a_thread_is_served_by_a_worker():
    owner = connection(4)
    with Standing("ticker-tps_updates") as worker:
        answer = listing([owner], [subscription(owner, sends=9)], [worker]).snapshot()
    [cell] = answer["lanes"][0]["threads"]
    assert (cell["name"], cell["state"], cell["at"], cell["sends"]) == (None, "shared", None, 9)
    [shared] = answer["workers"]
    assert (shared["name"], shared["role"], shared["mirrors"]) == ("ticker-tps_updates", "worker", None)
    assert (answer["shared_threads"], answer["channel_threads"], answer["subscriptions"]) == (1, 0, 1)


def test_the_list_is_bounded_the_newest_come_first_and_those_asked_for_before_all_others():
    owners = [connection(number, connected_at=number) for number in range(5_000)]
    subscriptions = [subscription(owner) for owner in owners]
    answer = listing(owners, subscriptions).snapshot({"00000003", "00000001"})
    shown = [int(lane["connection"], 16) for lane in answer["lanes"]]
    assert shown == [3, 1, *range(4_999, 4_999 - (MAX_LANES - 2), -1)]
    assert answer["more_lanes"] == 5_000 - MAX_LANES
    assert (answer["clients"], answer["formula"], answer["subscriptions"]) == (5_000, 20_000, 5_000)


def test_a_lane_is_bounded():
    owner = connection()
    [lane] = listing([owner], [subscription(owner) for _ in range(MAX_CELLS + 5)]).snapshot()["lanes"]
    assert (len(lane["threads"]), lane["more_threads"]) == (MAX_CELLS, 5)


def test_names_and_states_only():
    """Nothing that a client sent, no address, and of its UUID the part that thread names bear."""
    owner = connection(5)
    text = to_json(listing([owner], [subscription(owner)]).snapshot())
    assert "secret" not in text and "what the client sent" not in text and owner.connection_id not in text
    assert set(json.loads(text)["lanes"][0]) == {"connection", "open", "age_ms", "threads", "more_threads"}


def test_the_frames_that_were_looked_at_are_let_go_at_once(monkeypatch):
    """Without waiting for the collector: they hold what every thread has in its hands."""
    looks = []

    class Look(threads._Look):
        def __init__(self):
            super().__init__()
            looks.append(weakref.ref(self))

    monkeypatch.setattr(threads, "_Look", Look)
    gc.disable()
    try:
        listing([connection()]).snapshot()
        assert [look() for look in looks] == [None]
    finally:
        gc.enable()


def test_ages_are_never_negative_when_the_clock_was_set_back():
    owner = connection(connected_at=time.time_ns() // 1_000_000 + 60_000)
    with Standing("stream-00000001"):
        [lane] = listing([owner]).snapshot()["lanes"]
    assert (lane["age_ms"], lane["threads"][0]["age_ms"]) == (0, 0)


def test_open_connections_are_those_whose_session_is_open():
    some = [connection(1), connection(2, is_open=False), connection(3)]
    assert listing(some).open_connections() == 2


# What a thread does.


def frame(*functions, line=42):
    """Frames as if the last of these functions had been called by the one before it, and so on."""
    under = None
    for module, name in functions:
        file = f"/somewhere/{module.rpartition('.')[2]}.py"
        under = SimpleNamespace(
            f_globals={"__name__": module}, f_code=SimpleNamespace(co_qualname=name, co_filename=file),
            f_lineno=line, f_back=under)
    return under


RUN = ("livestream.stream.broadcast", "Broadcast.run")
SLEEP = ("livestream.stream.sleeping", "SignalSleeper.sleep")
SEND = ("livestream.transport.websocket", "WebSocket.send_text")
WRITE = ("livestream.transport.websocket", "WebSocket._write")
READ = ("livestream.transport.websocket", "WebSocket._read")
DUE = ("livestream.stream.shared", "DueQueue._wait_until_due")
FRAME = ("livestream.transport.frames", "text_frame")
STDLIB = ("threading", "Condition.wait")


@pytest.mark.parametrize(("stack", "state", "at"), [
    ([RUN], "running", "Broadcast.run, broadcast.py:42"),
    ([RUN, SLEEP], "sleeping", "SignalSleeper.sleep, sleeping.py:42"),
    ([RUN, SEND, WRITE], "sending", "WebSocket._write, websocket.py:42"),
    ([RUN, SEND], "waiting", "WebSocket.send_text, websocket.py:42"),
    ([RUN, SEND, FRAME], "running", "text_frame, frames.py:42"),
    ([READ], "reading", "WebSocket._read, websocket.py:42"),
    ([DUE, STDLIB], "sleeping", "DueQueue._wait_until_due, shared.py:42"),
    ([RUN, STDLIB], "running", "Broadcast.run, broadcast.py:42"),
    ([STDLIB], "running", None),
    ([], "running", None),
    ([RUN, SLEEP, *[STDLIB] * 100], "running", None),
], ids=str)
def test_what_a_thread_does_is_read_off_its_stack(stack, state, at):
    assert where(frame(*stack)) == (state, at)


@pytest.mark.parametrize(
    "function", [*STATES, threads.LOCKED, threads.HANDLER, threads.CHANNEL, threads.WORKER], ids=".".join)
def test_every_function_that_is_named_exists(function):
    module, name = function
    assert callable(attrgetter(name)(importlib.import_module(module)))


def test_every_channel_mirrors_a_method_of_the_original():
    assert set(threads.CHANNEL_MIRRORS) == {channel.name for channel in contract.CHANNELS}


def test_a_real_thread_that_sleeps_is_said_to_sleep():
    owner = connection(6)
    sleeper = SignalSleeper()

    def sleep():
        with sleeper:
            sleeper.sleep(PATIENCE)

    with Standing("stream-00000006-tps_updates-1", sleep) as thread:
        look = listing([owner], [subscription(owner, thread=thread)])
        wait_until(lambda: look.snapshot()["lanes"][0]["threads"][0]["state"] == "sleeping")
        sleeper.wake()
