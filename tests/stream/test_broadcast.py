"""One thread per channel per client: when it sends, what ends it, and what it is called."""

import json
import logging
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.stream import broadcast
from livestream.stream.broadcast import Broadcast, ThreadBroadcaster
from livestream.stream.channels import live_channels
from livestream.stream.registry import CLOSED_SESSION, Connection
from livestream.stream.sleeping import SignalSleeper
from tests.stream.fakes import START_MS, FakeClock, FakeSession, FakeSleeper, FakeSource, HandThread
from tests.support import PATIENCE, wait_until

CONNECTION_ID = "3f2a9c1e-0000-4000-8000-000000000000"


def connect(session=None, connection_id=CONNECTION_ID):
    return Connection(connection_id, 0, session or FakeSession())


class Stage:
    """One broadcast of one channel, run on the test's own thread; `work` is what each send takes."""

    def __init__(self, fixed_delay, interval=1.0, work=(), observe_lateness=None, **sleeper):
        self.clock = FakeClock()
        self.source = FakeSource()
        self.moments = []
        self.sleeper = FakeSleeper(self.clock, **sleeper)
        self.session = FakeSession()
        work = dict(enumerate(work))
        send = self.session.send_text

        def send_and_work(text):
            self.moments.append(round(self.clock.seconds - 1000, 6))
            send(text)
            self.clock.advance(work.get(len(self.moments) - 1, 0))

        self.session.send_text = send_and_work
        channel = live_channels(self.source, interval)["tps_updates"]
        self.broadcast = Broadcast(
            connect(self.session), channel, 1, self.clock, fixed_delay, self.sleeper, observe_lateness)

    def run(self):
        self.broadcast.run()
        return self.moments


BOTH = pytest.mark.parametrize("fixed_delay", [True, False], ids=["fixed delay", "fixed rate"])


# When it sends.


@BOTH
def test_the_first_update_goes_out_at_once_and_the_others_an_interval_apart(fixed_delay):
    stage = Stage(fixed_delay, sleeps=4)
    assert stage.run() == [0, 1, 2, 3]
    assert stage.session.sent == [
        f'{{"type":"tps_update","payload":{{"number":{n}}},"timestamp":{START_MS + 1000 * (n - 1)}}}'
        for n in (1, 2, 3, 4)
    ]


@BOTH
def test_every_update_that_went_out_is_counted_and_one_that_failed_is_not(fixed_delay):
    stage = Stage(fixed_delay, sleeps=5)
    stage.session.lose_after(3)
    stage.run()
    assert (stage.broadcast.sends, len(stage.session.sent)) == (3, 3)


@BOTH
def test_lateness_is_told_of_every_update_but_the_first(fixed_delay):
    late = []
    Stage(fixed_delay, work=[0.5], late=[0.25, 0, 0.125], observe_lateness=late.append, sleeps=4).run()
    assert late == pytest.approx([0.25, 0, 0.125])


def test_a_fixed_delay_adds_work_and_lateness_to_every_interval():
    stage = Stage(True, work=[0.25, 0.5], late=[0, 0.125], sleeps=4)
    assert stage.run() == [0, 1.25, 2.875, 3.875]
    assert stage.sleeper.asked == [1, 1, 1, 1]


def test_a_fixed_rate_takes_work_and_lateness_out_of_the_next_interval():
    stage = Stage(False, work=[0.25, 0.5], late=[0, 0.125], sleeps=5)
    assert stage.run() == [0, 1, 2.125, 3, 4]
    assert stage.sleeper.asked == [0.75, 0.5, 0.875, 1, 1]


@pytest.mark.parametrize("work, moments", [
    (0.999, [0, 1, 2, 3]), (1.0, [0, 1, 2, 3]), (1.001, [0, 2, 3, 4]), (2.0, [0, 2, 3, 4]),
    (2.5, [0, 3, 4, 5]), (100.25, [0, 101, 102, 103]),
])
def test_a_fixed_rate_skips_the_ticks_that_are_past_when_a_send_takes_long(work, moments):
    assert Stage(False, work=[work], sleeps=4).run() == moments


@pytest.mark.parametrize("late, moments", [
    (0.9, [0, 1.9, 2, 3]), (1.0, [0, 2, 2, 3]), (1.2, [0, 2.2, 3, 4]), (3.5, [0, 4.5, 5, 6]),
])
def test_a_fixed_rate_sends_no_burst_when_a_thread_wakes_late(late, moments):
    assert Stage(False, late=[late], sleeps=4).run() == moments


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1, max_size=20),
    st.sampled_from([1, 2, 5, 1000]),
)
def test_a_fixed_rate_stays_on_its_grid_whatever_happens(delays, interval_ms):
    """A tick late by less than an interval is still sent; there are never two for one tick."""
    interval = interval_ms / 1000
    works = [work / 1000 for work, _ in delays]
    lates = [late / 1000 for _, late in delays]
    stage = Stage(False, interval, works, late=lates, sleeps=len(delays) + 1)
    moments = stage.run()
    ticks, now = [0.0], 1000.0
    for asked, work, late in zip(stage.sleeper.asked, works, lates):
        now += work
        assert -1e-6 <= asked <= interval + 1e-6
        due = (now + asked - 1000) / interval
        assert due == pytest.approx(round(due), abs=1e-3)
        ticks.append(round(due))
        now += max(asked, 0) + late
    assert len(set(ticks)) == len(ticks) == len(moments)


@given(st.lists(st.integers(0, 900), min_size=1, max_size=30))
def test_a_fixed_rate_does_not_drift(works):
    stage = Stage(False, work=[work / 1000 for work in works], sleeps=len(works) + 1)
    assert stage.run() == [float(tick) for tick in range(len(works) + 1)]


@pytest.mark.parametrize("name, interval", [
    ("tps_updates", 1), ("block_updates", 2), ("network_status", 3), ("validator_metrics", 5),
])
@BOTH
def test_each_channel_keeps_its_own_interval(name, interval, fixed_delay):
    clock = FakeClock()
    sleeper = FakeSleeper(clock, sleeps=3)
    channel = live_channels(FakeSource())[name]
    Broadcast(connect(), channel, 1, clock, fixed_delay, sleeper).run()
    assert sleeper.asked == [interval] * 3


# What ends it.


@BOTH
def test_a_wake_ends_it_without_another_update(fixed_delay):
    stage = Stage(fixed_delay)
    stage.sleeper._meanwhile = {1: stage.broadcast.stop}
    assert stage.run() == [0, 1]
    assert stage.sleeper.wakes == 1


@BOTH
def test_a_session_that_closes_ends_it_at_its_next_wake_up(fixed_delay):
    stage = Stage(fixed_delay)
    stage.sleeper._meanwhile = {1: lambda: setattr(stage.session, "is_open", False)}
    assert stage.run() == [0, 1]
    assert len(stage.sleeper.asked) == 2
    assert stage.source.asked["tps_update"] == 2


@BOTH
def test_a_session_closed_before_the_start_gets_nothing(fixed_delay):
    stage = Stage(fixed_delay)
    stage.broadcast.connection.session = CLOSED_SESSION
    assert stage.run() == []
    assert (stage.source.asked.total(), stage.sleeper.asked) == (0, [])


@BOTH
def test_a_failing_send_ends_it(fixed_delay):
    stage = Stage(fixed_delay)
    stage.session.lose_after(2)
    stage.run()
    assert len(stage.session.sent) == len(stage.sleeper.asked) == 2


@BOTH
def test_a_failing_send_ends_it_even_if_the_session_says_that_it_is_open(fixed_delay):
    stage = Stage(fixed_delay, sleeps=9)
    stage.broadcast.connection.session = SimpleNamespace(is_open=True, send_text=CLOSED_SESSION.send_text)
    assert stage.run() == []
    assert stage.sleeper.asked == []


# The threads.


class Threads:
    """A broadcaster whose threads are run by hand."""

    def __init__(self, fixed_delay=True):
        self.clock = FakeClock()
        self.source = FakeSource()
        self.channels = live_channels(self.source)
        self.sleepers = []
        self.broadcaster = ThreadBroadcaster(self.clock, fixed_delay, self.new_sleeper)
        self.connection = connect()

    def new_sleeper(self):
        self.sleepers.append(FakeSleeper(self.clock, sleeps=3))
        return self.sleepers[-1]

    def start(self, name="tps_updates", connection=None):
        self.broadcaster.start(connection or self.connection, self.channels[name])

    def count(self, *args):
        return self.broadcaster.count(self.connection, *args)

    @property
    def started(self):
        return [thread.name for thread in HandThread.started]


@pytest.fixture
def threads(monkeypatch):
    monkeypatch.setattr(HandThread, "started", [])
    monkeypatch.setattr(HandThread, "refusals", 0)
    monkeypatch.setattr(broadcast, "threading", SimpleNamespace(Thread=HandThread, Lock=threading.Lock))
    return Threads()


def test_threads_are_daemons_named_by_connection_channel_and_number(threads):
    for name in ("tps_updates", "block_updates", "tps_updates", "tps_updates"):
        threads.start(name)
    assert threads.started == [
        "stream-3f2a9c1e-tps_updates-1", "stream-3f2a9c1e-block_updates-1",
        "stream-3f2a9c1e-tps_updates-2", "stream-3f2a9c1e-tps_updates-3",
    ]
    assert all(thread.daemon is True for thread in HandThread.started)


def test_every_connection_counts_for_itself(threads):
    other = connect(connection_id="ffffffff" + CONNECTION_ID[8:])
    threads.start()
    threads.start(connection=other)
    assert threads.started[1] == "stream-ffffffff-tps_updates-1"
    assert threads.count() == threads.broadcaster.count(other) == 1


def test_a_number_is_never_taken_twice_at_once_and_starts_over_when_all_have_ended(threads):
    for _ in range(3):
        threads.start()
    HandThread.started[0].run()
    threads.start()
    assert threads.started[-1] == "stream-3f2a9c1e-tps_updates-4"
    HandThread.started[-1].run()
    threads.start()
    assert threads.started[-1] == "stream-3f2a9c1e-tps_updates-4"
    while HandThread.started:
        HandThread.started[0].run()
    threads.start()
    assert threads.started == ["stream-3f2a9c1e-tps_updates-1"]


def test_counting_in_all_and_by_channel(threads):
    for name in ("tps_updates", "block_updates", "tps_updates"):
        threads.start(name)
    assert (threads.count(), threads.count("tps_updates"), threads.count("network_status")) == (3, 2, 0)
    assert threads.broadcaster.count(connect(connection_id="nobody")) == 0


def test_whoever_watches_sees_every_subscription_its_thread_and_its_beginning(threads):
    threads.start()
    threads.clock.advance(2)
    threads.start("block_updates", connection=connect(connection_id="ffffffff" + CONNECTION_ID[8:]))
    seen = threads.broadcaster.subscriptions()
    assert [one.channel.name for one in seen] == ["tps_updates", "block_updates"]
    assert [one.thread for one in seen] == HandThread.started
    assert seen[1].started - seen[0].started == 2
    assert threads.broadcaster.workers() == []
    seen.clear()
    assert len(threads.broadcaster.subscriptions()) == 2


def test_a_thread_that_ends_is_forgotten(threads):
    threads.start()
    threads.start()
    HandThread.started[0].run()
    assert (threads.count(), list(threads.broadcaster._running)) == (1, [CONNECTION_ID])
    HandThread.started[0].run()
    assert (threads.count(), threads.broadcaster._running) == (0, {})


@pytest.mark.parametrize("fixed_delay, second", [(True, 1.25), (False, 1.0)])
def test_the_broadcaster_hands_on_which_kind_of_interval(threads, fixed_delay, second):
    threads = Threads(fixed_delay)
    send = threads.connection.session.send_text
    threads.connection.session.send_text = lambda text: (send(text), threads.clock.advance(0.25))
    threads.start()
    HandThread.started[0].run()
    stamps = [json.loads(text)["timestamp"] - START_MS for text in threads.connection.session.sent]
    assert stamps[:2] == [0, second * 1000]


def test_a_refused_start_raises_and_leaves_nothing_behind(threads):
    HandThread.refusals = 1
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threads.start()
    assert (threads.count(), threads.broadcaster._running) == (0, {})
    assert threads.broadcaster.stop_everything() == []
    threads.start()
    assert threads.started == ["stream-3f2a9c1e-tps_updates-1"]


def test_a_thread_without_memory_is_a_refused_one(threads):
    def no_memory():
        raise MemoryError

    threads.broadcaster._require_room = no_memory
    with pytest.raises(RuntimeError, match="no memory for a thread"):
        threads.start()
    assert (threads.started, threads.broadcaster._running) == ([], {})


def test_a_refused_start_leaves_the_others_alone(threads):
    threads.start()
    HandThread.refusals = 1
    with pytest.raises(RuntimeError):
        threads.start()
    assert threads.count() == 1


def test_a_lost_connection_ends_its_thread_without_a_word(threads, caplog):
    threads.connection.session.lose_after(1)
    threads.start()
    with caplog.at_level(logging.DEBUG):
        HandThread.started[0].run()
    assert (threads.count(), caplog.messages) == (0, [])


@pytest.mark.parametrize("error", [KeyError("height"), ConnectionRefusedError("no database"), ValueError()])
def test_a_source_that_raises_ends_only_its_own_thread_with_one_line(threads, caplog, error):
    """An OSError too: it's the source that lost its connection, not the client."""
    threads.start("block_updates")
    threads.start()
    threads.source.fails_with = error
    HandThread.started[0].run()
    line, = caplog.messages
    assert line == f"connection 3f2a9c1e: channel block_updates ended: {error!r}"
    assert (threads.count(), threads.count("tps_updates")) == (1, 1)
    threads.source.fails_with = None
    HandThread.started[0].run()
    assert len(threads.connection.session.sent) == 3


def test_a_payload_that_is_no_json_ends_its_thread_with_one_line(threads, caplog):
    threads.source.tps_update = lambda: {"when": object()}
    threads.channels = live_channels(threads.source)
    threads.start()
    HandThread.started[0].run()
    assert len(caplog.messages) == 1 and threads.count() == 0


def test_stop_wakes_one_channel_or_all_and_returns_the_threads(threads):
    for name in ("tps_updates", "block_updates", "tps_updates"):
        threads.start(name)
    first, second, third = HandThread.started
    assert threads.broadcaster.stop(threads.connection, "tps_updates") == [first, third]
    assert [sleeper.wakes for sleeper in threads.sleepers] == [1, 0, 1]
    assert threads.broadcaster.stop(threads.connection) == [first, second, third]
    assert threads.broadcaster.stop(threads.connection, "network_status") == []
    assert threads.broadcaster.stop(connect(connection_id="nobody")) == []


def test_what_was_told_to_stop_counts_no_more_but_keeps_its_number(threads):
    threads.start()
    threads.broadcaster.stop(threads.connection)
    assert (threads.count(), threads.count("tps_updates")) == (0, 0)
    threads.start()
    assert threads.started[-1] == "stream-3f2a9c1e-tps_updates-2"
    assert threads.count() == 1


def test_stop_everything_wakes_every_thread_of_every_client(threads):
    other = connect(connection_id="ffffffff")
    threads.start()
    threads.start("block_updates", other)
    threads.broadcaster.stop(threads.connection)
    assert threads.broadcaster.stop_everything() == HandThread.started
    assert [sleeper.wakes for sleeper in threads.sleepers] == [2, 1]


def test_a_broadcast_that_has_no_thread_yet_is_stopped_all_the_same(threads):
    one = threads.broadcaster._register(threads.connection, threads.channels["tps_updates"])
    assert threads.broadcaster.stop_everything() == []
    assert one.stopped and threads.sleepers[0].wakes == 1


# Real threads: nothing is waited for but their end.


def living(prefix="stream-3f2a9c1e"):
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def test_real_threads_run_are_stopped_while_asleep_and_joined():
    session = FakeSession()
    connection = connect(session)
    broadcaster = ThreadBroadcaster(FakeClock(), True)
    channels = live_channels(FakeSource(), 1000)
    for _ in range(3):
        for channel in channels.values():
            broadcaster.start(connection, channel)
    wait_until(lambda: len(session.sent) == 12)
    assert broadcaster.count(connection) == len(living()) == 12
    stopped = broadcaster.stop(connection, "tps_updates")
    stopped += broadcaster.stop_everything()
    for thread in stopped:
        thread.join(PATIENCE)
    assert living() == [] and len(session.sent) == 12
    assert broadcaster.stop_everything() == []


def test_starting_and_stopping_from_many_threads_leaves_none():
    broadcaster = ThreadBroadcaster(FakeClock(), False)
    channel = live_channels(FakeSource(), 1000)["tps_updates"]
    joined = []

    def client(number):
        for turn in range(10):
            connection = connect(connection_id=f"3f2a9c1e-{number}-{turn}")
            broadcaster.start(connection, channel)
            broadcaster.start(connection, channel)
            joined.extend(broadcaster.stop(connection))

    clients = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(6)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(PATIENCE)
    for thread in joined:
        thread.join(PATIENCE)
    wait_until(lambda: not living())
    assert broadcaster.count(connect()) == 0 and broadcaster._running == {}


def test_a_client_that_does_not_read_holds_up_nobody_else():
    """SPEC, "Life of a connection", 6."""
    reads_again = threading.Event()
    in_send = threading.Event()
    stuck, other = FakeSession(), FakeSession()

    def send_for_ever(text):
        in_send.set()
        assert reads_again.wait(PATIENCE)
        raise ConnectionResetError

    stuck.send_text = send_for_ever
    broadcaster = ThreadBroadcaster(FakeClock(), True)
    channels = live_channels(FakeSource(), 1000)
    try:
        broadcaster.start(connect(stuck), channels["tps_updates"])
        assert in_send.wait(PATIENCE)
        broadcaster.start(connect(other, "ffffffff"), channels["tps_updates"])
        wait_until(lambda: len(other.sent) == 1)
        assert len(living()) == 1
    finally:
        reads_again.set()
        for thread in broadcaster.stop_everything():
            thread.join(PATIENCE)
    assert broadcaster._running == {}


# The sleeper.


def sleep_once(sleeper):
    with sleeper:
        sleeper.sleep(0)


def test_a_wake_before_the_sleep_ends_it_at_once():
    sleeper = SignalSleeper()
    sleeper.wake()
    assert sleeper.sleep(PATIENCE * 100) is True


def test_once_woken_it_sleeps_no_more_however_often_it_was():
    sleeper = SignalSleeper()
    sleeper.wake()
    sleeper.wake()
    assert [sleeper.sleep(PATIENCE * 100), sleeper.sleep(PATIENCE * 100)] == [True, True]


def test_a_signal_from_elsewhere_is_no_wake():
    with SignalSleeper() as sleeper:  # from now on this thread keeps the signal waiting
        signal.pthread_kill(threading.get_ident(), signal.SIGURG)
        assert sleeper.sleep(PATIENCE * 100) is False


def test_waking_a_thread_that_has_ended_does_nothing():
    sleeper = SignalSleeper()
    thread = threading.Thread(target=sleep_once, args=(sleeper,))
    thread.start()
    thread.join(PATIENCE)
    sleeper.wake()
    assert sleeper.sleep(PATIENCE * 100) is True


def test_a_wake_while_the_thread_is_busy_ends_its_next_sleep():
    """The signal comes between the look at the flag and the sleep, and waits there."""
    with SignalSleeper() as sleeper:
        sleeper.wake()
        sleeper._awake = False  # as the thread saw it
        before = time.monotonic()
        sleeper.sleep(PATIENCE * 100)
        assert time.monotonic() - before < PATIENCE


def test_a_wake_from_another_thread_ends_the_sleep():
    with SignalSleeper() as sleeper:
        waker = threading.Thread(target=sleeper.wake, daemon=True)
        waker.start()
        assert sleeper.sleep(PATIENCE * 100) is True
        waker.join(PATIENCE)


def test_an_undisturbed_sleep_lasts_at_least_as_long_as_asked():
    sleeper = SignalSleeper()
    before = time.monotonic()
    assert [sleeper.sleep(0.004), sleeper.sleep(0.004)] == [False, False]
    assert time.monotonic() - before >= 0.008 - 0.001


@pytest.mark.parametrize("seconds", [0, -0.0, -0.25, -1, -1000])
def test_a_sleep_into_the_past_is_over_at_once(seconds):
    assert SignalSleeper().sleep(seconds) is False
