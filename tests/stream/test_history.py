"""What a channel said lately: which updates are kept, and how far back they go."""

import json

import pytest

from livestream.stream.channels import live_channels
from livestream.stream.history import RECORDER, History, Ring
from livestream.stream.messages import envelope
from livestream.stream.shared import SharedSubscription
from tests.stream.fakes import START_MS, FakeBroadcaster, FakeClock, FakeSource


def filled(moments, size=4, began=1_000):
    ring = Ring(began, size)
    for moment in moments:
        ring.send_text(envelope("tps_update", {"number": moment, "text": '":1}'}, moment))
    return ring


def numbers(missed):
    return [json.loads(text)["payload"]["number"] for text in missed.texts]


@pytest.mark.parametrize("since, expected, complete", [
    (999, [1_100, 1_200], False), (1_000, [1_100, 1_200], True), (1_100, [1_200], True),
    (1_150, [1_200], True), (1_200, [], True), (5_000, [], True), (5_001, [], False),
    (0, [1_100, 1_200], False),
])
def test_what_is_later_than_a_moment_comes_oldest_first(since, expected, complete):
    missed = filled([1_100, 1_200]).after(since, now=5_000)
    assert (numbers(missed), missed.complete) == (expected, complete)


@pytest.mark.parametrize("since, complete", [(1_199, False), (1_200, True)])
def test_the_oldest_make_room_and_then_the_history_is_shorter(since, complete):
    missed = filled(range(1_100, 1_700, 100)).after(since, now=5_000)
    assert (numbers(missed), missed.complete) == ([1_300, 1_400, 1_500, 1_600], complete)


@pytest.mark.parametrize("since, expected, complete", [
    (1_000, [1_050, 1_060], False), (1_050, [1_060], True), (1_060, [], True), (1_200, [], False)])
def test_a_clock_that_is_put_back_begins_the_history_anew(since, expected, complete):
    missed = filled([1_100, 1_200, 1_050, 1_060]).after(since, now=1_070)
    assert (numbers(missed), missed.complete) == (expected, complete)


def test_a_replayed_update_says_so_at_its_end():
    (text,) = filled([1_100]).after(0, now=5_000).texts
    assert text == (
        '{"type":"tps_update","payload":{"number":1100,"text":"\\":1}"},"timestamp":1100,"replayed":true}')


class Stage:
    def __init__(self):
        self.clock, self.broadcaster = FakeClock(), FakeBroadcaster()
        self.channels = live_channels(FakeSource())
        self.history = History(self.broadcaster, self.channels, self.clock)

    @property
    def recorded(self):
        return sorted(name for event, name in self.broadcaster.events)


def test_each_channel_is_recorded_once():
    stage = Stage()
    assert not stage.history.after("tps_updates", 0).complete
    for _ in range(3):
        stage.history.record()
    assert stage.recorded == sorted(stage.channels)
    (name,) = {connection.short_id for connection in stage.broadcaster.running}
    assert name == RECORDER
    assert stage.history.after("tps_updates", START_MS).complete
    assert not stage.history.after("no_such_channel", START_MS).complete


def test_a_recorder_that_gets_no_thread_is_tried_again(caplog):
    stage = Stage()
    stage.broadcaster.refuses = True
    stage.history.record()
    assert sorted(caplog.messages) == [
        f"no history of {name}: can't start new thread" for name in sorted(stage.channels)]
    stage.broadcaster.refuses = False
    stage.history.record()
    assert stage.recorded == sorted(stage.channels)


def test_a_recorder_that_has_ended_begins_anew():
    stage = Stage()
    stage.history.record()
    for connection in stage.broadcaster.running:
        stage.broadcaster.stop(connection, "tps_updates")
    stage.clock.advance(60)
    stage.history.record()
    assert sum(map(len, stage.broadcaster.running.values())) == len(stage.channels)
    assert not stage.history.after("tps_updates", START_MS + 59_999).complete
    assert stage.history.after("block_updates", START_MS + 59_999).complete


def test_a_recorder_is_a_client_of_the_broadcaster():
    stage = Stage()
    stage.history.record()
    connection, (channel,) = next(iter(stage.broadcaster.running.items()))
    recorder = SharedSubscription(connection, channel, stage.clock, True)
    for _ in range(3):
        stage.clock.advance(1)
        assert recorder.send_update()
    missed = stage.history.after(channel.name, START_MS + 1_000)
    assert [json.loads(text)["timestamp"] - START_MS for text in missed.texts] == [2_000, 3_000]
