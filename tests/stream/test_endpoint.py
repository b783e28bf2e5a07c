"""The endpoint: SPEC, "Life of a connection, as written", "As shipped" and "As reported", by example."""

import json
import logging
import threading
import uuid
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest

from livestream.stream import broadcast
from livestream.stream.broadcast import ThreadBroadcaster
from livestream.stream.endpoint import LiveStreamWebSocket
from livestream.stream.profiles import CORRECTED, ORIGINAL, PROFILES, SHIPPED
from livestream.stream.registry import Registry
from tests.stream.fakes import START_MS, FakeBroadcaster, FakeClock, FakeSession, HandThread, fake_channels

CHANNELS = ["tps_updates", "block_updates", "network_status", "validator_metrics"]


def subscribe(channel):
    return json.dumps({"type": "subscribe", "channel": channel})


def unsubscribe(channel):
    return json.dumps({"type": "unsubscribe", "channel": channel})


class House:
    """An endpoint among fakes, and one open connection."""

    def __init__(self, profile=ORIGINAL, opened=True, **options):
        self.events = []
        self.clock = FakeClock()
        self.registry = Registry()
        self.broadcaster = FakeBroadcaster(self.events)
        self.endpoint = LiveStreamWebSocket(
            profile, self.registry, self.broadcaster, fake_channels(), self.clock, Random(1), **options
        )
        if opened:
            self.session, self.connection = self.open()

    def open(self, session=None):
        session = session or FakeSession(self.events)
        return session, self.endpoint.on_open(session)

    def ask(self, text):
        """One message; returns what was sent for it, as (type, payload)."""
        before = len(self.session.sent)
        self.endpoint.on_message(self.connection, text)
        return [pair(reply) for reply in self.session.sent[before:]]

    @property
    def running(self):
        return self.broadcaster.names(self.connection)

    @property
    def stats(self):
        return tuple(self.endpoint.get_connection_stats().values())


def pair(text):
    message = json.loads(text)
    assert list(message) == ["type", "payload", "timestamp"]
    return message["type"], message["payload"]


def confirmed(channel):
    return "subscription_confirmed", {"channel": channel, "status": "subscribed"}


def ended(channel):
    return "unsubscription_confirmed", {"channel": channel, "status": "unsubscribed"}


def error(text):
    return "error", {"error": text}


# 1. Opening.


def test_1_opening_counts_keeps_welcomes_and_starts_tps_updates():
    house = House()
    connection_id = house.connection.connection_id
    assert uuid.UUID(connection_id).version == 4 and str(uuid.UUID(connection_id)) == connection_id
    assert [pair(text) for text in house.session.sent] == [
        ("connection_established", {"connectionId": connection_id, "timestamp": START_MS})
    ]
    assert list(json.loads(house.session.sent[0])["payload"]) == ["connectionId", "timestamp"]
    assert house.connection.connected_at == START_MS
    assert house.stats == (1, 1)
    assert [event[:2] for event in house.events[1:]] == [("started", "tps_updates")]


def test_1_every_connection_has_its_own_id():
    house = House()
    ids = {house.open()[1].connection_id for _ in range(50)}
    assert len(ids) == 50 and house.stats == (51, 51)


def test_1_the_entry_and_the_count_are_there_when_the_welcome_goes_out():
    house = House(opened=False)
    seen = []
    session = FakeSession()
    session.send_text = lambda text: seen.append(house.stats)
    house.open(session)
    assert seen == [(1, 1)]


def test_1_a_client_that_is_gone_before_its_welcome_gets_no_thread():
    house = House(opened=False)
    session = FakeSession()
    session.lose_after(0)
    _, connection = house.open(session)
    assert house.broadcaster.names(connection) == [] and house.stats == (1, 1)


# 2. Subscribe.


def test_2_subscribe_is_confirmed_and_five_make_six_threads():
    house = House()
    for _ in range(5):
        assert house.ask(subscribe("tps_updates")) == [confirmed("tps_updates")]
    assert house.running == ["tps_updates"] * 6


@pytest.mark.parametrize("channel", CHANNELS)
def test_2_each_channel_starts_its_own(channel):
    house = House()
    assert house.ask(subscribe(channel)) == [confirmed(channel)]
    assert house.running == ["tps_updates", channel]


def test_2_the_confirmations_keys_are_in_order():
    house = House()
    house.ask(subscribe("nope"))
    assert list(json.loads(house.session.sent[-1])["payload"]) == ["channel", "status"]


@pytest.mark.parametrize("channel", ["nope", "", "tps_update", " tps_updates ", "TPS_UPDATES"])
def test_2_an_unknown_channel_is_confirmed_and_starts_nothing(channel):
    house = House()
    assert house.ask(subscribe(channel)) == [confirmed(channel)]
    assert house.running == ["tps_updates"]


#: SPEC, "Value to text".
ODD_VALUES = {
    "null": "null", "true": "true", "false": "false", "-0": "0", "7": "7", "1.50": "1.5", "1e3": "1000.0",
    "1e7": "1.0E7", "0.0001": "1.0E-4", "-0.0": "-0.0", "1e400": "Infinity", '["tps_updates"]': "",
    '{"channel":"tps_updates"}': "", "123456789012345678901234567890": "123456789012345678901234567890",
    r'"block\u005fupdates"': "block_updates",
}


@pytest.mark.parametrize("value", ODD_VALUES)
def test_2_any_json_value_may_name_a_channel(value):
    house = House()
    assert house.ask(f'{{"type":"subscribe","channel":{value}}}') == [confirmed(ODD_VALUES[value])]


@pytest.mark.parametrize("profile", [ORIGINAL, CORRECTED], ids=lambda profile: profile.name)
@pytest.mark.parametrize("text", [
    '{"type":"subscribe"}', '{"type":"subscribe","payload":{"channel":"tps_updates"}}',
    '{"type":"subscribe","Channel":"tps_updates"}',
])
def test_2_without_a_channel_it_is_an_error(profile, text):
    house = House(profile)
    assert house.ask(text) == [error("Channel not specified")]
    assert house.running == ["tps_updates"]


# 3. Unsubscribe.


@pytest.mark.parametrize("text", [
    unsubscribe("tps_updates"), unsubscribe("nope"), '{"type":"unsubscribe"}',
    '{"type":"unsubscribe","channel":null}',
])
def test_3_unsubscribe_is_silent_and_stops_nothing(text):
    house = House()
    assert house.ask(text) == []
    assert house.running == ["tps_updates"]


# 4. Everything else.

SILENT = [
    "", " \t\r\n", "{}", "[]", "42", "null", "null,", '"ping"', '[{"type":"ping"}]', '{"type":"hello"}',
    '{"type":"PING"}', '{"type":" ping"}', '{"type":null}', '{"type":7}', '{"type":["ping"]}',
    '{"type":{"type":"ping"}}', '{"channel":"tps_updates"}', '{"payload":{"type":"ping"}}',
    '{"type":"ping","type":"hello"}', '{"type":"connection_established"}', '{"type":""}',
]
GARBAGE = [
    "{", "}", "{'type':'ping'}", '{"type":"ping"', '{"type":"ping",}', "nullx", "42,", "ping", "\x00\x01\x02",
    "\ufeff{}", "\u00a0", "\ufffd\ufffd", "\udc00", '{"type":"subscribe","channel":tps_updates}', "NaN",
]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("text", SILENT)
def test_4_other_types_and_other_values_are_met_with_silence(profile, text):
    house = House(profile)
    running = house.running
    assert house.ask(text) == []
    assert house.running == running


@pytest.mark.parametrize("profile", [ORIGINAL, CORRECTED], ids=lambda profile: profile.name)
@pytest.mark.parametrize("text", GARBAGE)
def test_4_text_that_is_not_json_is_an_error_and_the_connection_goes_on(profile, text):
    house = House(profile)
    assert house.ask(text) == [error("Invalid message format")]
    assert house.ask('{"type":"ping"}') == [("pong", {"timestamp": START_MS})]
    assert house.running == ["tps_updates"]


@pytest.mark.parametrize("text", [
    '{"type":"ping"}', '{"type":"ping","channel":[1]} garbage', ' {"\\u0074ype":"p\\u0069ng"}',
    '{"type":"subscribe","type":"ping"}',
])
def test_ping_is_answered_by_pong_with_the_time(text):
    house = House()
    house.clock.advance(1.5)
    assert house.ask(text) == [("pong", {"timestamp": START_MS + 1500})]
    assert json.loads(house.session.sent[-1])["timestamp"] == START_MS + 1500


# 5. Order.


@pytest.mark.parametrize("profile", [ORIGINAL, CORRECTED], ids=lambda profile: profile.name)
def test_5_every_reply_precedes_the_thread_that_it_starts(profile):
    house = House(profile)
    for channel in CHANNELS[1:]:
        house.ask(subscribe(channel))
    order = [pair(event[1])[1]["channel"] if event[0] == "sent" else f"start {event[1]}"
             for event in house.events[2:]]
    assert order == [step for channel in CHANNELS[1:] for step in (channel, f"start {channel}")]


# 6. A client that does not read: see test_broadcast.


# 7. Closing.


def test_7_closing_counts_down_keeps_the_entry_and_wakes_nobody():
    house = House()
    house.ask(subscribe("block_updates"))
    house.endpoint.on_close(house.connection)
    assert house.stats == (0, 1)
    assert ("stopped", None) not in house.events
    assert house.running == ["tps_updates", "block_updates"]
    house.broadcaster.tick(house.connection)
    assert house.running == []


def test_7_the_entry_that_stays_keeps_no_session():
    house = House()
    house.endpoint.on_close(house.connection)
    kept, = house.registry.connections()
    assert kept is house.connection and kept.session is not house.session
    assert not kept.session.is_open and kept.subscribed_channels == frozenset()


# 8. Errors.


def test_8_an_error_takes_one_off_and_the_close_one_more(caplog):
    house = House()
    house.endpoint.on_error(house.connection, ConnectionResetError("reset by peer"))
    assert house.stats == (0, 1)
    house.endpoint.on_close(house.connection)
    assert house.stats == (-1, 1)
    line, = caplog.messages
    assert line == f"connection {house.connection.connection_id[:8]}: reset by peer"


# 9. Statistics.


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_9_the_statistics_are_the_counter_and_the_registrys_size(profile):
    house = House(profile)
    house.open()
    assert house.endpoint.get_connection_stats() == {"active_connections": 2, "total_connections": 2}


# A failed send is caught: it ends the step and nothing else.


def test_a_lost_connection_raises_nothing_and_starts_nothing(caplog):
    house = House()
    house.session.lose_after(0)
    for text in [*map(subscribe, CHANNELS), '{"type":"ping"}', "{", '{"type":"subscribe"}']:
        assert house.ask(text) == []
    assert house.running == ["tps_updates"]
    assert caplog.messages == []


def test_a_connection_lost_after_the_confirmation_is_told_nothing_more():
    house = House()
    house.broadcaster.refuses = True
    house.session.lose_after(1)
    assert house.ask(subscribe("block_updates")) == [confirmed("block_updates")]


def test_an_error_that_is_no_failed_send_reaches_the_container():
    house = House()
    house.broadcaster.start = None
    with pytest.raises(TypeError):
        house.ask(subscribe("block_updates"))


# As shipped.


def test_shipped_sends_nothing_starts_nothing_and_still_counts(caplog):
    house = House(SHIPPED)
    texts = [*map(subscribe, CHANNELS), '{"type":"subscribe"}', '{"type":"ping"}', "{", unsubscribe("nope")]
    with caplog.at_level(logging.WARNING):
        for text in texts:
            assert house.ask(text) == []
    assert (house.session.sent, house.running, house.stats) == ([], [], (1, 1))
    # One line for the welcome, and one for each message but the unsubscribe, which sends nothing anyway.
    assert len(caplog.messages) == len(texts)
    assert {line.partition(": ")[2] for line in caplog.messages} == {
        "a blocking send is refused on an I/O thread"
    }
    house.endpoint.on_error(house.connection, OSError("x"))
    house.endpoint.on_close(house.connection)
    assert house.stats == (-1, 1)


def test_shipped_can_still_close_and_tell_whether_it_is_open():
    house = House(SHIPPED)
    kept = house.connection.session
    assert kept.is_open
    assert kept.close(1001, "bye", 0.5) is True
    assert house.session.closings == [(1001, "bye", 0.5)]
    assert not kept.is_open


# As reported: each flag of `corrected`.


def test_corrected_subscribing_twice_keeps_one_thread_and_confirms_again():
    house = House(CORRECTED)
    for channel in CHANNELS * 2:
        assert house.ask(subscribe(channel)) == [confirmed(channel)]
    assert house.running == CHANNELS


def test_corrected_a_channel_whose_thread_has_ended_starts_again():
    house = House(CORRECTED)
    house.broadcaster.stop(house.connection, "tps_updates")
    assert house.ask(subscribe("tps_updates")) == [confirmed("tps_updates")]
    assert house.running == ["tps_updates"]


@pytest.mark.parametrize("value, name", [('"nope"', "nope"), ("[1]", ""), ("null", "null"), ('"\\""', '"')])
def test_corrected_an_unknown_channel_is_an_error_with_its_name(value, name):
    house = House(CORRECTED)
    assert house.ask(f'{{"type":"subscribe","channel":{value}}}') == [error(f"Unknown channel: {name}")]
    assert house.running == ["tps_updates"]


def test_corrected_unsubscribe_ends_the_thread_first_and_answers_then():
    house = House(CORRECTED)
    house.ask(subscribe("block_updates"))
    del house.events[:]
    assert house.ask(unsubscribe("tps_updates")) == [ended("tps_updates")]
    assert list(json.loads(house.session.sent[-1])["payload"]) == ["channel", "status"]
    assert house.running == ["block_updates"]
    assert [event[0] for event in house.events] == ["stopped", "joined", "sent"]
    assert 0 < house.events[1][2] <= 5


@pytest.mark.parametrize("text, answer", [
    (unsubscribe("block_updates"), [ended("block_updates")]), (unsubscribe("nope"), [ended("nope")]),
    ('{"type":"unsubscribe","channel":null}', [ended("null")]), ('{"type":"unsubscribe"}', []),
])
def test_corrected_unsubscribing_from_nothing_is_no_error(text, answer):
    house = House(CORRECTED)
    assert house.ask(text) == answer
    assert house.running == ["tps_updates"]


def test_corrected_unsubscribe_leaves_other_clients_alone():
    house = House(CORRECTED)
    _, other = house.open()
    house.ask(unsubscribe("tps_updates"))
    assert house.broadcaster.names(other) == ["tps_updates"]


def test_corrected_unsubscribe_ends_every_thread_of_the_channel():
    house = House(replace(CORRECTED, starts_a_thread_per_subscribe=True))
    house.ask(subscribe("tps_updates"))
    assert house.running == ["tps_updates"] * 2
    assert house.ask(unsubscribe("tps_updates")) == [ended("tps_updates")]
    assert house.running == []


def test_corrected_closing_ends_every_thread_at_once():
    house = House(CORRECTED)
    _, other = house.open()
    house.ask(subscribe("block_updates"))
    house.endpoint.on_close(house.connection)
    assert house.running == []
    assert house.broadcaster.names(other) == ["tps_updates"]


def test_corrected_closing_removes_the_entry():
    house = House(CORRECTED)
    house.open()
    house.endpoint.on_close(house.connection)
    assert house.stats == (1, 1)
    assert house.connection not in house.registry.connections()


def test_corrected_an_error_is_logged_and_counted_once(caplog):
    house = House(CORRECTED)
    house.endpoint.on_error(house.connection, OSError("reset by peer"))
    assert house.stats == (1, 1) and len(caplog.messages) == 1
    house.endpoint.on_close(house.connection)
    assert house.stats == (0, 0)


# The port's own errors.


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_beyond_the_thread_limit_a_subscribe_is_refused_and_starts_nothing(limit):
    house = House(max_threads_per_connection=limit)
    for _ in range(limit - 1):
        assert house.ask(subscribe("tps_updates")) == [confirmed("tps_updates")]
    for channel in ("tps_updates", "block_updates"):
        assert house.ask(subscribe(channel)) == [error("Too many channel threads")]
    assert house.ask(subscribe("nope")) == [confirmed("nope")]
    assert house.running == ["tps_updates"] * limit


def test_the_limit_is_64_unless_set_and_each_connection_has_its_own():
    house = House()
    for _ in range(63):
        assert house.ask(subscribe("tps_updates")) == [confirmed("tps_updates")]
    assert house.ask(subscribe("tps_updates")) == [error("Too many channel threads")]
    house.session, house.connection = house.open()
    assert house.ask(subscribe("tps_updates")) == [confirmed("tps_updates")]


def test_zero_lifts_the_limit():
    house = House(max_threads_per_connection=0)
    for _ in range(99):
        assert house.ask(subscribe("tps_updates")) == [confirmed("tps_updates")]
    assert len(house.running) == 100


def test_at_the_limit_a_channel_that_runs_is_confirmed_again_because_it_starts_nothing():
    house = House(CORRECTED, max_threads_per_connection=1)
    assert house.ask(subscribe("tps_updates")) == [confirmed("tps_updates")]
    assert house.ask(subscribe("block_updates")) == [error("Too many channel threads")]
    house.ask(unsubscribe("tps_updates"))
    assert house.ask(subscribe("block_updates")) == [confirmed("block_updates")]


@pytest.mark.parametrize("profile", [ORIGINAL, CORRECTED], ids=lambda profile: profile.name)
def test_when_the_system_refuses_a_thread_the_client_is_told_and_lives_on(profile, caplog):
    house = House(profile)
    house.broadcaster.refuses = True
    assert house.ask(subscribe("block_updates")) == [
        confirmed("block_updates"), error("The server cannot start another thread"),
    ]
    line, = caplog.messages
    assert line.startswith(f"connection {house.connection.short_id}: ")
    assert "block_updates" in line and "can't start new thread" in line
    house.broadcaster.refuses = False
    assert house.ask(subscribe("block_updates")) == [confirmed("block_updates")]
    assert house.running == ["tps_updates", "block_updates"]


def test_when_the_system_refuses_the_first_thread_the_welcome_comes_first():
    house = House(opened=False)
    house.broadcaster.refuses = True
    session, connection = house.open()
    assert [pair(text)[0] for text in session.sent] == ["connection_established", "error"]
    assert pair(session.sent[1]) == error("The server cannot start another thread")
    assert house.stats == (1, 1)


# The endpoint and the real broadcaster, its threads run by hand.


def test_a_thread_that_is_slow_to_end_does_not_count_as_running(monkeypatch):
    """A client that stopped reading: the unsubscribe gave up waiting, and a new subscribe must start."""
    monkeypatch.setattr(broadcast, "threading", SimpleNamespace(Thread=HandThread, Lock=threading.Lock))
    monkeypatch.setattr(HandThread, "started", [])
    monkeypatch.setattr(HandThread, "join", lambda thread, timeout: None, raising=False)
    clock, session = FakeClock(), FakeSession()
    broadcaster = ThreadBroadcaster(clock, False)
    endpoint = LiveStreamWebSocket(CORRECTED, Registry(), broadcaster, fake_channels(), clock, Random(1))
    connection = endpoint.on_open(session)
    endpoint.on_message(connection, unsubscribe("tps_updates"))
    endpoint.on_message(connection, subscribe("tps_updates"))
    first, second = HandThread.started
    endpoint.on_message(connection, subscribe("tps_updates"))
    assert len(HandThread.started) == 2
    assert first.name != second.name
