"""The endpoint as a state machine, against a model written from SPEC, for each profile and each flag alone.

A step of the model is what SPEC says of one event: replies and starts in
order. The first reply that can't be sent ends the step.
"""

import json
import uuid
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from livestream.stream.endpoint import LiveStreamWebSocket
from livestream.stream.profiles import CORRECTED, FAULTS, PROFILES
from livestream.stream.registry import Registry
from tests.stream.fakes import FakeBroadcaster, FakeClock, FakeSession, fake_channels
from tests.stream.test_endpoint import CHANNELS, GARBAGE, ODD_VALUES, SILENT

#: How many clients may be there at once.
CLIENTS = 4


class Lost(Exception):
    """The model could not send."""


class ModelClient:
    """What SPEC expects of one client."""

    def __init__(self, session):
        self.session = session
        self.connection = None
        self.expected = []
        self.running = Counter()
        self.sends_left = None

    @property
    def lost(self):
        return self.sends_left == 0


class EndpointMachine(RuleBasedStateMachine):
    profile = CORRECTED

    def __init__(self):
        super().__init__()
        self.clients = []
        self.over = []
        self.active = 0
        self.total = 0

    @initialize(limit=st.sampled_from([0, 1, 2, 3, 64]))
    def build(self, limit):
        self.limit = limit
        self.clock = FakeClock()
        self.broadcaster = FakeBroadcaster()
        self.registry = Registry()
        self.endpoint = LiveStreamWebSocket(
            self.profile, self.registry, self.broadcaster, fake_channels(), self.clock, Random(3), limit
        )

    # The model's verbs.

    def reply(self, client, message_type, payload):
        if self.profile.refuses_blocking_sends or client.lost:
            raise Lost
        if client.sends_left is not None:
            client.sends_left -= 1
        client.expected.append((message_type, payload))

    def error(self, client, text):
        self.reply(client, "error", {"error": text})

    def begin(self, client, channel):
        if self.broadcaster.refuses:
            self.error(client, "The server cannot start another thread")
        else:
            client.running[channel] += 1

    def expect_open(self, client):
        self.active += 1
        self.total += 1
        self.reply(client, "connection_established", ...)
        self.begin(client, "tps_updates")

    def expect_subscribe(self, client, channel):
        known = channel in CHANNELS
        if not known and not self.profile.confirms_unknown_channels:
            self.error(client, f"Unknown channel: {channel}")
            return
        wants_a_thread = known and (
            self.profile.starts_a_thread_per_subscribe or client.running[channel] == 0
        )
        if wants_a_thread and self.limit != 0 and client.running.total() >= self.limit:
            self.error(client, "Too many channel threads")
            return
        self.reply(client, "subscription_confirmed", {"channel": channel, "status": "subscribed"})
        if wants_a_thread:
            self.begin(client, channel)

    def expect_unsubscribe(self, client, channel):
        if self.profile.ignores_unsubscribe:
            return
        del client.running[channel]
        self.reply(client, "unsubscription_confirmed", {"channel": channel, "status": "unsubscribed"})

    def after(self, expectation, *args):
        try:
            expectation(*args)
        except Lost:
            pass

    def send(self, client, text, expectation, *args):
        self.after(expectation, client, *args)
        self.endpoint.on_message(client.connection, text)

    def client(self, number):
        return self.clients[number % len(self.clients)] if self.clients else None

    # What can happen.

    @rule(sends=st.none() | st.integers(0, 2))
    def open(self, sends):
        if len(self.clients) == CLIENTS:
            return
        client = ModelClient(FakeSession())
        if sends is not None:
            client.sends_left = sends
            client.session.lose_after(sends)
        self.clients.append(client)
        self.after(self.expect_open, client)
        client.connection = self.endpoint.on_open(client.session)
        if client.expected:
            client.expected[0] = ("connection_established", {
                "connectionId": client.connection.connection_id, "timestamp": self.clock.now_ms(),
            })
        uuid.UUID(client.connection.connection_id)

    @rule(number=st.integers(0, 3), channel=st.sampled_from(CHANNELS), times=st.integers(1, 3))
    def subscribe_to_a_known_channel(self, number, channel, times):
        client = self.client(number)
        for _ in range(times if client else 0):
            self.send(client, f'{{"type":"subscribe","channel":"{channel}"}}', self.expect_subscribe, channel)

    @rule(number=st.integers(0, 3), channel=st.text())
    def subscribe_to_any_text(self, number, channel):
        client = self.client(number)
        if client:
            text = json.dumps({"channel": channel, "type": "subscribe"})
            self.send(client, text, self.expect_subscribe, channel)

    @rule(number=st.integers(0, 3), value=st.sampled_from(sorted(ODD_VALUES)))
    def subscribe_to_an_odd_value(self, number, value):
        client = self.client(number)
        if client:
            text = f' {{"type" : "subscribe", "channel" : {value} }} tail'
            self.send(client, text, self.expect_subscribe, ODD_VALUES[value])

    @rule(number=st.integers(0, 3))
    def subscribe_without_a_channel(self, number):
        client = self.client(number)
        if client:
            self.send(client, '{"type":"subscribe","channels":[]}', self.error, "Channel not specified")

    @rule(number=st.integers(0, 3), channel=st.sampled_from(CHANNELS) | st.text())
    def unsubscribe(self, number, channel):
        client = self.client(number)
        if client:
            text = json.dumps({"type": "unsubscribe", "channel": channel}, ensure_ascii=False)
            self.send(client, text, self.expect_unsubscribe, channel)

    @rule(number=st.integers(0, 3), value=st.sampled_from(sorted(ODD_VALUES)))
    def unsubscribe_from_an_odd_value(self, number, value):
        client = self.client(number)
        if client:
            text = f'{{"type":"unsubscribe","channel":{value}}}'
            self.send(client, text, self.expect_unsubscribe, ODD_VALUES[value])

    @rule(number=st.integers(0, 3), text=st.sampled_from([*SILENT, '{"type":"unsubscribe"}']))
    def say_what_is_met_with_silence(self, number, text):
        client = self.client(number)
        if client:
            self.send(client, text, lambda client: None)

    @rule(number=st.integers(0, 3), text=st.sampled_from(GARBAGE))
    def say_what_is_not_json(self, number, text):
        client = self.client(number)
        if client:
            self.send(client, text, self.error, "Invalid message format")

    @rule(number=st.integers(0, 3), seconds=st.integers(0, 9))
    def ping(self, number, seconds):
        client = self.client(number)
        if client:
            self.clock.advance(seconds)
            pong = ("pong", {"timestamp": self.clock.now_ms()})
            self.send(client, '{"type":"ping"}', self.reply, *pong)

    @rule(number=st.integers(0, 3), sends=st.integers(0, 2))
    def lose_the_connection_soon(self, number, sends):
        client = self.client(number)
        if client and not client.lost:
            client.sends_left = sends
            client.session.lose_after(sends)

    @rule(refuses=st.booleans())
    def system_has_threads(self, refuses):
        self.broadcaster.refuses = not refuses

    @rule(number=st.integers(0, 3), failed=st.booleans())
    def close(self, number, failed):
        client = self.client(number)
        if client is None:
            return
        client.session.is_open = False
        if failed:
            self.active -= self.profile.counts_errors_twice
            self.endpoint.on_error(client.connection, ConnectionResetError("reset"))
        self.active -= 1
        self.total -= not self.profile.keeps_registry_entries
        if not self.profile.leaves_threads_asleep:
            client.running.clear()
        self.endpoint.on_close(client.connection)
        self.clients.remove(client)
        self.over.append(client)

    @rule()
    def sleepers_of_closed_clients_wake(self):
        for client in self.over:
            self.broadcaster.tick(client.connection)
            client.running.clear()

    # What must hold.

    @invariant()
    def every_reply_is_as_predicted(self):
        for client in self.clients + self.over:
            messages = [json.loads(text) for text in client.session.sent]
            assert [(message["type"], message["payload"]) for message in messages] == client.expected
            assert all(list(message) == ["type", "payload", "timestamp"] for message in messages)

    @invariant()
    def the_broadcasts_that_run_are_as_predicted(self):
        for client in self.clients + self.over:
            assert Counter(self.broadcaster.names(client.connection)) == +client.running
            assert client.connection.subscribed_channels == frozenset()

    @invariant()
    def the_statistics_are_as_predicted(self):
        if hasattr(self, "endpoint"):
            assert self.endpoint.get_connection_stats() == {
                "active_connections": self.active, "total_connections": self.total,
            }
            kept = self.registry.connections()
            assert all(client.connection in kept for client in self.clients)

    @invariant()
    def only_the_faults_let_the_counter_leave_the_truth(self):
        if not self.profile.counts_errors_twice:
            assert self.active == len(self.clients)


ONE_FAULT = [replace(CORRECTED, name=flag, **{flag: True}) for flag in FAULTS]


@pytest.mark.parametrize("profile", [*PROFILES.values(), *ONE_FAULT], ids=lambda profile: profile.name)
def test_the_endpoint_does_what_spec_says(profile):
    machine = type("Machine", (EndpointMachine,), {"profile": profile})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=50, stateful_step_count=30, deadline=None)
    )
