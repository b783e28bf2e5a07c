"""The envelope and the clock (SPEC, "Messages")."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream import contract
from livestream.stream.channels import SimulatedSource, live_channels
from livestream.stream.messages import SystemClock, envelope, type_of
from tests.stream.fakes import START_MS, ConstantRandom, FakeTotals

#: SPEC's table, its updates: type, and the keys of the payload in their order.
UPDATES = {
    "tps_update": ["currentTPS", "peakTPS", "averageTPS", "latency"],
    "block_update": ["blockHeight", "blockTime", "transactions", "producer"],
    "network_update": ["activeNodes", "totalNodes", "networkHealth", "avgLatency"],
    "validator_update": ["totalValidators", "activeValidators", "inactiveValidators", "jailedValidators"],
}


def test_an_envelope_is_compact_and_in_order():
    text = envelope("pong", {"timestamp": START_MS}, START_MS + 1)
    assert text == f'{{"type":"pong","payload":{{"timestamp":{START_MS}}},"timestamp":{START_MS + 1}}}'


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers()), st.integers(0, 2**53))
def test_every_envelope_reads_back_with_its_keys_in_order(message_type, payload, timestamp):
    message = json.loads(envelope(message_type, payload, timestamp), object_pairs_hook=list)
    assert message == [("type", message_type), ("payload", list(payload.items())), ("timestamp", timestamp)]


@pytest.mark.parametrize("message_type", UPDATES)
def test_an_updates_payload_has_the_keys_of_the_table_in_order(message_type):
    channels = live_channels(SimulatedSource(FakeTotals(), ConstantRandom(0.5))).values()
    payload, = (channel.payload() for channel in channels if channel.message_type == message_type)
    assert list(payload) == UPDATES[message_type]
    assert list(json.loads(envelope(message_type, payload, 0))["payload"]) == UPDATES[message_type]


def test_the_message_types_and_words_of_the_table():
    assert contract.UPDATE_TYPES == set(UPDATES)
    assert (contract.SUBSCRIBE, contract.UNSUBSCRIBE, contract.PING) == ("subscribe", "unsubscribe", "ping")
    assert contract.CONNECTION_ESTABLISHED == "connection_established"
    assert contract.SUBSCRIPTION_CONFIRMED == "subscription_confirmed"
    assert contract.UNSUBSCRIPTION_CONFIRMED == "unsubscription_confirmed"
    assert (contract.PONG, contract.ERROR) == ("pong", "error")
    assert (contract.STATUS_SUBSCRIBED, contract.STATUS_UNSUBSCRIBED) == ("subscribed", "unsubscribed")
    assert contract.INVALID_MESSAGE_FORMAT == "Invalid message format"
    assert contract.CHANNEL_NOT_SPECIFIED == "Channel not specified"
    assert contract.UNKNOWN_CHANNEL == "Unknown channel: "


def test_the_texts_of_the_ports_own_errors():
    assert contract.TOO_MANY_CHANNEL_THREADS == "Too many channel threads"
    assert contract.NO_THREAD_LEFT == "The server cannot start another thread"


def test_the_system_clock_gives_whole_milliseconds_since_1970():
    before = time.time()
    now = SystemClock().now_ms()
    assert isinstance(now, int)
    assert before * 1000 - 1 <= now <= time.time() * 1000 + 1


def test_the_system_clock_never_runs_backwards():
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)
    assert readings[0] <= time.monotonic()


@pytest.mark.parametrize("name", [*sorted(contract.UPDATE_TYPES), contract.ERROR, contract.PONG])
def test_the_type_can_be_told_from_the_message(name):
    assert type_of(envelope(name, {"type": "another"}, START_MS)) == name
