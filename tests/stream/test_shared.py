"""The pool and the ticker: the same updates at the same moments as with a thread each."""

import json
import logging
import threading
from types import SimpleNamespace

import pytest

from livestream.stream import shared
from livestream.stream.broadcast import ThreadBroadcaster
from livestream.stream.channels import live_channels
from livestream.stream.registry import CLOSED_SESSION, Connection
from livestream.stream.shared import BROADCASTERS, POOL_SIZE, PoolBroadcaster, TickerBroadcaster
from tests.stream.fakes import START_MS, FakeClock, FakeCondition, FakeSession, FakeSource, HandThread
from tests.support import PATIENCE, wait_until

CONNECTION_ID = "3f2a9c1e-0000-4000-8000-000000000000"
NAMES = ("tps_updates", "block_updates", "network_status", "validator_metrics")
BOTH = pytest.mark.parametrize("fixed_delay", [True, False], ids=["fixed delay", "fixed rate"])


def connect(session=None, connection_id=CONNECTION_ID):
    return Connection(connection_id, 0, session or FakeSession())


class Stage:
    """A shared broadcaster whose workers never run by themselves: `play` does their work."""

    def __init__(self, kind, fixed_delay=True, observe_lateness=None):
        self.clock = FakeClock()
        self.source = FakeSource()
        self.channels = live_channels(self.source)
        self.refuses = False
        self.conditions = []
        self.broadcaster = kind(
            self.clock, fixed_delay, self._new_condition, self._require_room, observe_lateness)
        self.connection = connect()

    def _new_condition(self):
        self.conditions.append(FakeCondition(self.clock))
        return self.conditions[-1]

    def _require_room(self):
        if self.refuses:
            raise RuntimeError("no room")

    def start(self, name="tps_updates", connection=None):
        self.broadcaster.start(connection or self.connection, self.channels[name])

    def count(self, *args):
        return self.broadcaster.count(self.connection, *args)

    def play(self, seconds, step=0.125):
        """Lets time go by in steps, and after each sends what is due."""
        self.broadcaster.run_due()
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.broadcaster.run_due()

    def sent(self, connection=None):
        """What a client got, as (type, second)."""
        messages = map(json.loads, (connection or self.connection).session.sent)
        return [(one["type"], (one["timestamp"] - START_MS) / 1000) for one in messages]

    def moments(self, connection=None):
        return [second for _, second in self.sent(connection)]

    @property
    def waiting(self):
        """How many entries the queues hold."""
        return sum(len(queue._heap) for queue in self.broadcaster._queues.values())


@pytest.fixture(params=[PoolBroadcaster, TickerBroadcaster], ids=["pool", "ticker"])
def kind(request, monkeypatch):
    monkeypatch.setattr(HandThread, "started", [])
    monkeypatch.setattr(HandThread, "refusals", 0)
    monkeypatch.setattr(HandThread, "is_alive", lambda self: self in HandThread.started, raising=False)
    fakes = SimpleNamespace(Thread=hand_thread, Lock=threading.Lock)
    monkeypatch.setattr(shared, "threading", fakes)
    return request.param


def hand_thread(target, name, daemon):
    return HandThread(target, (), name, daemon)


def started():
    return [thread.name for thread in HandThread.started]


# When it sends.


@BOTH
def test_lateness_is_told_of_every_update_but_the_first(kind, fixed_delay):
    late = []
    stage = Stage(kind, fixed_delay, late.append)
    stage.start()
    stage.play(2.25, step=0.75)
    # The second came at 1.5; a fixed delay is due at 2.5 then, a fixed rate at 2.
    assert late == ([0.5] if fixed_delay else [0.5, 0.25])


@BOTH
def test_the_first_update_is_due_at_once_and_the_others_an_interval_apart(kind, fixed_delay):
    stage = Stage(kind, fixed_delay)
    stage.start()
    stage.play(3)
    assert stage.sent() == [("tps_update", second) for second in (0, 1, 2, 3)]


@BOTH
def test_each_channel_keeps_its_own_interval(kind, fixed_delay):
    stage = Stage(kind, fixed_delay)
    for name in NAMES:
        stage.start(name)
    stage.play(10)
    kinds = [message_type for message_type, _ in stage.sent()]
    assert {one: kinds.count(one) for one in kinds} == {
        "tps_update": 11, "block_update": 6, "network_update": 4, "validator_update": 3,
    }


@BOTH
def test_every_subscription_keeps_its_own_phase(kind, fixed_delay):
    stage = Stage(kind, fixed_delay)
    other = connect(connection_id="ffffffff")
    stage.start()
    stage.play(0.25)
    stage.start(connection=other)
    stage.play(2)
    assert (stage.moments(), stage.moments(other)) == ([0, 1, 2], [0.25, 1.25, 2.25])


def test_every_subscription_counts_its_own_sends(kind):
    stage = Stage(kind)
    stage.start()
    stage.start("block_updates")
    stage.play(0.5)
    stage.start()
    stage.play(3.5)
    stage.connection.session.lose_after(0)
    counted = {(one.channel.name, one.sends): one.thread for one in stage.broadcaster.subscriptions()}
    assert counted == {("tps_updates", 5): None, ("block_updates", 3): None, ("tps_updates", 4): None}
    [first, *_] = stage.broadcaster.subscriptions()
    stage.play(2)
    assert first.sends == 5 and stage.broadcaster.subscriptions() == []


def test_five_subscribes_to_a_channel_that_runs_make_six_updates_a_second(kind):
    stage = Stage(kind)
    for _ in range(6):
        stage.start()
    stage.play(2)
    assert (stage.count(), stage.moments()) == (6, [0] * 6 + [1] * 6 + [2] * 6)


def test_what_is_due_goes_out_in_the_order_in_which_it_is_due(kind):
    stage = Stage(kind)
    order = []
    for number in range(5):
        session = FakeSession()
        session.send_text = lambda text, number=number: order.append(number)
        stage.start(connection=connect(session, f"{number}"))
        stage.clock.advance(-0.125)
    stage.clock.advance(1)
    stage.broadcaster.run_due()
    assert order == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("fixed_delay, moments", [
    (True, [0, 1.25, 2.5, 3.75]),
    (False, [0, 1, 2, 3, 4]),
])
def test_the_work_of_a_send_adds_up_with_a_fixed_delay_only(kind, fixed_delay, moments):
    stage = Stage(kind, fixed_delay)
    send = stage.connection.session.send_text
    stage.connection.session.send_text = lambda text: (send(text), stage.clock.advance(0.25))
    stage.start()
    while stage.clock.seconds < 1004.5:
        stage.broadcaster.run_due()
        stage.clock.advance(0.125)
    assert stage.moments() == moments


def test_a_fixed_rate_sends_no_burst_after_a_pause(kind):
    stage = Stage(kind, fixed_delay=False)
    stage.start()
    stage.play(0)
    stage.play(3.5, step=3.5)
    stage.play(1.5)
    assert stage.moments() == [0, 3.5, 4, 5]


# The worker's loop.


def test_a_worker_sleeps_until_the_next_update_is_due_and_sends_it(kind):
    stage = Stage(kind)
    stage.start()
    condition, = stage.conditions
    condition.until = 1003.0
    condition.at_the_end = stage.broadcaster.stop_everything
    worker = HandThread.started[0]
    worker.run()
    assert stage.moments() == [0, 1, 2, 3]
    assert condition.asked == [1, 1, 1, 1]


def test_a_worker_with_nothing_to_send_waits_without_a_limit(kind):
    stage = Stage(kind)
    stage.start()
    stage.broadcaster.stop(stage.connection)
    condition, = stage.conditions
    condition.at_the_end = stage.broadcaster.stop_everything
    HandThread.started[0].run()
    assert (condition.asked, stage.sent()) == ([None], [])


def test_who_watches_is_notified_of_an_earlier_update_and_of_no_later_one(kind):
    stage = Stage(kind)
    stage.start("block_updates")
    condition = stage.conditions[0]
    assert condition.notified == 1
    stage.play(0)
    assert condition.notified == 2
    stage.start("block_updates")
    assert condition.notified == 3
    stage.play(0)
    assert condition.notified == 3
    stage.broadcaster.stop_everything()
    assert condition.notified == 4


# What ends it.


def test_stop_ends_one_channel_or_all_at_once(kind):
    stage = Stage(kind)
    for name in ("tps_updates", "block_updates", "tps_updates"):
        stage.start(name)
    stage.play(0)
    assert [one.channel.name for one in stage.broadcaster.stop(stage.connection, "tps_updates")] == [
        "tps_updates", "tps_updates",
    ]
    assert (stage.count(), stage.count("tps_updates"), stage.count("block_updates")) == (1, 0, 1)
    stage.play(2)
    assert stage.sent()[3:] == [("block_update", 2)]
    assert len(stage.broadcaster.stop(stage.connection)) == 1
    assert stage.broadcaster.stop(connect(connection_id="nobody")) == []
    assert (stage.count(), stage.broadcaster._running) == (0, {})
    stage.play(4)
    assert len(stage.sent()) == 4 and stage.waiting == 0


def test_a_subscribe_after_a_stop_starts_again(kind):
    stage = Stage(kind)
    stage.start()
    stage.play(0.5)
    stage.broadcaster.stop(stage.connection)
    stage.start()
    stage.play(2)
    assert stage.moments() == [0, 0.5, 1.5, 2.5]


def test_a_closed_session_is_dropped_when_its_next_update_is_due(kind):
    stage = Stage(kind)
    stage.start()
    stage.play(0.5)
    stage.connection.session = CLOSED_SESSION
    stage.play(0.375)
    assert (stage.count(), stage.waiting) == (1, 1)
    stage.play(0.125)
    assert (stage.count(), stage.waiting, stage.broadcaster._running) == (0, 0, {})
    assert stage.source.asked["tps_update"] == 1


def test_a_lost_connection_ends_only_its_own_subscription_without_a_word(kind, caplog):
    stage = Stage(kind)
    other = connect(connection_id="ffffffff")
    stage.connection.session.lose_after(1)
    stage.start()
    stage.start(connection=other)
    with caplog.at_level(logging.DEBUG):
        stage.play(2)
    assert (stage.moments(), stage.moments(other), caplog.messages) == ([0], [0, 1, 2], [])
    assert (stage.count(), list(stage.broadcaster._running)) == (0, ["ffffffff"])


@pytest.mark.parametrize("error", [KeyError("height"), ConnectionRefusedError("no database")])
def test_a_source_that_raises_ends_only_its_own_subscription_with_one_line(kind, caplog, error):
    stage = Stage(kind)
    stage.start("block_updates")
    stage.start()
    stage.play(1.5)
    stage.source.fails_with = error
    stage.play(0.5)
    # Both were due at 2: each has its own line.
    assert sorted(caplog.messages) == [
        f"connection 3f2a9c1e: channel {name} ended: {error!r}" for name in ("block_updates", "tps_updates")
    ]
    assert (stage.count(), stage.waiting) == (0, 0)
    stage.source.fails_with = None
    stage.start()
    stage.play(1)
    assert stage.moments()[-2:] == [2, 3]


def test_stop_everything_ends_all_for_good(kind):
    stage = Stage(kind)
    stage.start()
    stage.start("block_updates", connect(connection_id="ffffffff"))
    stage.play(0)
    workers = list(HandThread.started)
    assert stage.broadcaster.stop_everything() == stage.broadcaster.stop_everything() == workers
    assert (stage.count(), stage.waiting) == (0, 0)
    for worker in workers:
        worker.run()
    assert stage.broadcaster.stop_everything() == []
    stage.play(3)
    assert (stage.moments(), stage.broadcaster._running) == ([0], {})
    with pytest.raises(RuntimeError, match="stopped"):
        stage.start()
    assert (started(), stage.broadcaster._running) == ([], {})


# The workers.


def test_the_workers_are_daemons_named_by_their_role(kind):
    stage = Stage(kind)
    for name in NAMES[:3]:
        stage.start(name)
    stage.start(connection=connect(connection_id="ffffffff"))
    assert started() == {
        PoolBroadcaster: ["pool-1", "pool-2", "pool-3", "pool-4"],
        TickerBroadcaster: ["ticker-tps_updates", "ticker-block_updates", "ticker-network_status"],
    }[kind]
    assert all(thread.daemon is True for thread in HandThread.started)
    assert stage.broadcaster.workers() == HandThread.started


def test_the_pool_never_grows_beyond_its_size(kind):
    stage = Stage(kind)
    for _ in range(POOL_SIZE + 10):
        stage.start()
    assert len(started()) == {PoolBroadcaster: POOL_SIZE, TickerBroadcaster: 1}[kind]


def test_without_any_worker_a_start_raises_and_leaves_nothing_behind(kind):
    stage = Stage(kind)
    stage.refuses = True
    with pytest.raises(RuntimeError, match="no room"):
        stage.start()
    assert (stage.count(), stage.waiting, stage.broadcaster._running) == (0, 0, {})
    stage.refuses = False
    stage.start()
    stage.play(1)
    assert stage.moments() == [0, 1]


def test_when_the_system_refuses_one_more_the_workers_there_are_will_do(kind):
    stage = Stage(kind)
    stage.start()
    HandThread.refusals = 1
    stage.start()
    assert (stage.count(), len(started())) == (2, 1)


# Real threads: nothing is waited for but their end.


class Stuck(FakeSession):
    """A client that doesn't read until it is let go."""

    def __init__(self):
        super().__init__()
        self.in_send = threading.Event()
        self.reads_again = threading.Event()

    def send_text(self, text):
        self.in_send.set()
        assert self.reads_again.wait(PATIENCE)
        super().send_text(text)


REAL = pytest.mark.parametrize("kind", [PoolBroadcaster, TickerBroadcaster], ids=["pool", "ticker"])


def join(threads):
    for thread in threads:
        thread.join(PATIENCE)
    assert [thread for thread in threads if thread.is_alive()] == []


@REAL
def test_real_workers_send_the_first_updates_at_once_and_end_when_stopped(kind):
    broadcaster = kind(FakeClock(), True)
    channels = live_channels(FakeSource(), 1000)
    sessions = [FakeSession() for _ in range(20)]
    for number, session in enumerate(sessions):
        for name in NAMES:
            broadcaster.start(connect(session, f"{number}"), channels[name])
    wait_until(lambda: [len(session.sent) for session in sessions] == [4] * 20)
    join(broadcaster.stop_everything())
    assert broadcaster.stop_everything() == []
    assert [len(session.sent) for session in sessions] == [4] * 20


@pytest.mark.parametrize("kind, others", [(PoolBroadcaster, 1), (TickerBroadcaster, 0)])
def test_who_waits_for_a_client_that_does_not_read(kind, others):
    """In the pool one worker, in the ticker the whole channel; the other channels never."""
    broadcaster = kind(FakeClock(), True)
    channels = live_channels(FakeSource(), 1000)
    stuck, other, same_channel = Stuck(), FakeSession(), FakeSession()
    connection = connect(stuck)
    broadcaster.start(connection, channels["tps_updates"])
    assert stuck.in_send.wait(PATIENCE)
    broadcaster.start(connect(same_channel, "same"), channels["tps_updates"])
    broadcaster.start(connect(other, "other"), channels["block_updates"])
    wait_until(lambda: len(other.sent) == 1 and len(same_channel.sent) == others)
    # Nothing of this waits for the client.
    subscription, = broadcaster.stop(connection)
    assert broadcaster.count(connection) == 0
    subscription.join(0)
    workers = broadcaster.stop_everything()
    assert len(workers) == {PoolBroadcaster: 3, TickerBroadcaster: 2}[kind]
    assert (stuck.sent, len(same_channel.sent)) == ([], others)
    stuck.reads_again.set()
    join(workers)
    assert (broadcaster._running, len(same_channel.sent)) == ({}, others)
    assert [queue._heap for queue in broadcaster._queues.values() if queue._heap] == []


@REAL
def test_joining_what_was_stopped_waits_for_the_update_that_is_being_sent(kind):
    broadcaster = kind(FakeClock(), True)
    stuck = Stuck()
    connection = connect(stuck)
    broadcaster.start(connection, live_channels(FakeSource(), 1000)["tps_updates"])
    assert stuck.in_send.wait(PATIENCE)
    subscription, = broadcaster.stop(connection)
    sent = []
    waiter = threading.Thread(target=lambda: (subscription.join(PATIENCE), sent.extend(stuck.sent)))
    waiter.start()
    stuck.reads_again.set()
    join([waiter])
    assert len(sent) == 1
    join(broadcaster.stop_everything())


@REAL
def test_starting_and_stopping_from_many_threads_leaves_nothing(kind):
    broadcaster = kind(FakeClock(), False)
    channels = live_channels(FakeSource(), 1000)

    def client(number):
        for turn in range(10):
            connection = connect(connection_id=f"{number}-{turn}")
            for name in NAMES:
                broadcaster.start(connection, channels[name])
            for subscription in broadcaster.stop(connection):
                subscription.join(PATIENCE)
            sent = len(connection.session.sent)
            assert sent <= len(NAMES)
            sums.append((connection, sent))

    sums = []
    clients = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(6)]
    for thread in clients:
        thread.start()
    join(clients)
    join(broadcaster.stop_everything())
    assert broadcaster._running == {}
    # Nothing came after the join.
    assert len(sums) == 60
    assert all(len(connection.session.sent) == sent for connection, sent in sums)


def test_the_choices_and_the_original_is_the_first():
    assert BROADCASTERS == {
        "threads": ThreadBroadcaster, "pool": PoolBroadcaster, "ticker": TickerBroadcaster,
    }
