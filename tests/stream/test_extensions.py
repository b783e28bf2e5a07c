"""The extensions at the endpoint: what is announced, taken and refused, and that off means off."""

import json
from random import Random

import pytest

from livestream import contract
from livestream.stream.channels import live_channels
from livestream.stream.endpoint import LiveStreamWebSocket
from livestream.stream.extensions import OfferedExtensions
from livestream.stream.history import History
from livestream.stream.messages import envelope
from livestream.stream.profiles import CORRECTED, ORIGINAL
from livestream.stream.registry import Registry
from tests.stream.fakes import START_MS, FakeBroadcaster, FakeClock, FakeSession, FakeSource

BOTH = pytest.mark.parametrize("profile", [ORIGINAL, CORRECTED], ids=lambda profile: profile.name)
SUBSCRIBED = "subscription_confirmed"
FOUND = {one: {"validatorId": one, "stake": 1} for one in ("validator_001", "x")}


class House:
    """An endpoint with extensions among fakes, one open connection, and a history of two updates."""

    def __init__(self, profile=ORIGINAL, find=FOUND.get, offered=True):
        self.clock, self.broadcaster = FakeClock(), FakeBroadcaster()
        self.channels = live_channels(FakeSource())
        history = History(self.broadcaster, self.channels, self.clock)
        options = {"extensions": OfferedExtensions(history, find, 0.5)} if offered else {}
        self.endpoint = LiveStreamWebSocket(
            profile, Registry(), self.broadcaster, self.channels, self.clock, Random(1), **options)
        self.session = FakeSession()
        self.connection = self.endpoint.on_open(self.session)
        self.welcome = json.loads(self.session.sent[0])["payload"]
        for connection, channels in self.broadcaster.running.items():
            for moment in (1_000, 2_000):
                if connection is not self.connection:
                    update = envelope(channels[0].message_type, {}, START_MS + moment)
                    connection.session.send_text(update)
        self.clock.advance(2)

    def ask(self, channel="validator_metrics", **options):
        """A subscribe; returns what was sent for it, as (type, payload), and the replays as they are."""
        before = len(self.session.sent)
        text = json.dumps({"type": "subscribe", "channel": channel, **options})
        self.endpoint.on_message(self.connection, text)
        messages = [json.loads(text) for text in self.session.sent[before:]]
        return [one if "replayed" in one else (one["type"], one["payload"]) for one in messages]

    @property
    def running(self):
        return self.broadcaster.running[self.connection]


def confirmed(channel, **more):
    return SUBSCRIBED, {"channel": channel, "status": "subscribed", **more}


@BOTH
def test_the_welcome_announces_them(profile):
    welcome = House(profile).welcome
    assert list(welcome) == ["connectionId", "timestamp", "extensions"]
    assert welcome["extensions"] == ["validators", "interval_ms", "since"]


def test_without_validators_of_its_own_a_server_offers_none():
    house = House(find=None)
    assert house.welcome["extensions"] == ["interval_ms", "since"]
    assert house.ask(validators=["x"]) == [("error", {"error": contract.NO_SINGLE_VALIDATORS})]


@BOTH
def test_off_means_that_every_key_is_ignored(profile):
    house = House(profile, offered=False)
    assert list(house.welcome) == ["connectionId", "timestamp"]
    assert list(house.broadcaster.running) == [house.connection]
    for options in BAD:
        house.ask("block_updates", **options)
    replies = {json.dumps(json.loads(text)["payload"]) for text in house.session.sent[1:]}
    assert replies == {'{"channel": "block_updates", "status": "subscribed"}'}
    assert {channel.interval for channel in house.running if channel.name == "block_updates"} == {2.0}


@BOTH
def test_a_plain_subscribe_is_answered_as_ever(profile):
    house = House(profile)
    assert house.ask("block_updates", other=1) == [confirmed("block_updates")]
    assert house.running[-1] is house.channels["block_updates"]


@BOTH
def test_an_interval_is_the_subscriptions_own_and_scaled(profile):
    house = House(profile)
    assert house.ask("block_updates", interval_ms=100) == [confirmed("block_updates")]
    assert (house.running[-1].name, house.running[-1].interval) == ("block_updates", 0.05)
    assert house.channels["block_updates"].interval == 2.0
    assert house.ask("network_status", interval_ms=60_000) == [confirmed("network_status")]
    assert house.running[-1].interval == 30.0


def test_validators_are_those_asked_for_in_that_order_each_once():
    house = House()
    assert house.ask(validators=["x", "nobody", "validator_001", "x"]) == [confirmed("validator_metrics")]
    assert house.running[-1].payload() == {
        "number": 1, "validators": [FOUND["x"], FOUND["validator_001"]]}
    house.ask(validators=[])
    assert house.running[-1].payload() == {"number": 2, "validators": []}


@BOTH
def test_what_was_missed_follows_the_confirmation(profile):
    house = House(profile)
    replies = house.ask("block_updates", since=START_MS + 1_500)
    assert replies == [
        confirmed("block_updates", replayed=1, complete=True),
        {"type": "block_update", "payload": {}, "timestamp": START_MS + 2_000, "replayed": True}]
    assert house.broadcaster.events[-1] == ("started", "block_updates")
    house.ask("block_updates", since=0)
    moments = [json.loads(text)["timestamp"] - START_MS for text in house.session.sent[-2:]]
    assert moments == [1_000, 2_000]
    assert json.loads(house.session.sent[-3])["payload"]["complete"] is False


@pytest.mark.parametrize("since", [START_MS + 2_001, START_MS * 2, contract.MAX_SINCE])
def test_of_a_moment_to_come_nothing_is_known(since):
    assert House().ask("block_updates", since=since) == [
        confirmed("block_updates", replayed=0, complete=False)]


def test_a_channel_that_is_unknown_and_confirmed_has_no_history():
    assert House().ask("weather", since=START_MS, interval_ms=100) == [
        confirmed("weather", replayed=0, complete=False)]


def test_where_a_channel_has_one_thread_a_new_interval_takes_the_place_of_the_old():
    house = House(CORRECTED)
    house.ask("tps_updates", interval_ms=200)
    house.ask("tps_updates", interval_ms=400)
    house.ask("tps_updates")
    house.ask("tps_updates", since=START_MS)
    assert [(channel.name, channel.interval) for channel in house.running] == [("tps_updates", 0.2)]


def test_where_every_subscribe_starts_a_thread_it_has_its_own_interval():
    house = House(ORIGINAL)
    house.ask("tps_updates", interval_ms=200)
    assert [channel.interval for channel in house.running] == [1.0, 0.1]


BAD = [
    *({"interval_ms": value} for value in (
        True, "x", "100", -1, 0, 99, 60_001, 1e300, 100.0, 10**400, None, [], {}, "NaN")),
    *({"since": value} for value in (True, "x", -1, 1.5, 1e300, 2**63, 10**999, None, [1], {}, "NaN")),
    *({"validators": value} for value in (
        True, "validator_001", 7, None, {}, ["a"] * 10_000, ["a"] * 101, [1], ["a", None], [["a"]],
        ["a" * 65])),
    {"interval_ms": 100, "since": -1}, {"interval_ms": 99, "since": 5},
]


@BOTH
@pytest.mark.parametrize("options", BAD, ids=lambda options: repr(options)[:40])
def test_a_value_that_cannot_be_is_an_error_and_nothing_is_subscribed(profile, options):
    house = House(profile)
    before = list(house.running)
    ((kind, payload),) = house.ask(**options)
    key = next(key for key in reversed(options) if len(options) == 1 or options[key] in (-1, 99))
    assert (kind, payload["error"].partition(" ")[0]) == ("error", key)
    assert house.running == before
    assert house.ask() == [confirmed("validator_metrics")]


def test_validators_go_with_their_channel_only():
    assert House().ask("tps_updates", validators=["x"]) == [
        ("error", {"error": contract.VALIDATORS_ELSEWHERE})]


def test_a_bare_nan_is_no_json():
    house = House()
    text = '{"type":"subscribe","channel":"tps_updates","interval_ms":NaN}'
    house.endpoint.on_message(house.connection, text)
    assert json.loads(house.session.sent[-1])["payload"] == {"error": "Invalid message format"}
