"""A server's extensions, as the client uses them: after a reconnect it goes on where it left off."""

import json

import pytest

from livestream.client import State, StreamClient, StreamError
from livestream.client.messages import Message, read_message
from livestream.client.resuming import Resuming
from livestream.contract import MAX_SINCE
from tests.client.support import QUICK, accept, converse, leaving_nothing, message, scripted, text
from tests.support import PATIENCE, wait_until

ALL_THREE = ["validators", "interval_ms", "since"]


def welcome(**more):
    return message("connection_established", connectionId="x", timestamp=1, **more)


def update(message_type, timestamp):
    return text(json.dumps({"type": message_type, "payload": {}, "timestamp": timestamp}))


class Stream:
    """Says what it is told on each connection, hears one subscribe, says the rest, and hangs up but once."""

    def __init__(self, first, then=b""):
        self.first, self.then = first, then
        self.heard = []

    def __call__(self, connection, head):
        accept(connection, head, self.first)
        subscribes = []
        self.heard.append(subscribes)

        def on_text(said):
            subscribes.append(said)
            connection.sendall(self.then)
            if len(self.heard) < 2:
                raise OSError("hang up")

        converse(connection, on_text)


def subscribed_twice(stream, **options):
    """What a client says that subscribes to the blocks and loses its connection once."""
    with leaving_nothing(), scripted(stream) as server:
        with StreamClient(server.url, settings=QUICK) as client:
            client.subscribe("block_updates", **options)
            wait_until(lambda: len(stream.heard) == 2 and stream.heard[1])
            assert client.wait_for(State.OPEN, PATIENCE)
            extensions = client.extensions
    return [said for (said,) in stream.heard], extensions


PLAIN = {"type": "subscribe", "channel": "block_updates"}


def test_it_asks_for_what_came_since_its_last_message():
    then = update("block_update", 500) + update("block_update", 700) + update("network_update", 900)
    said, extensions = subscribed_twice(Stream(welcome(extensions=ALL_THREE), then))
    assert said == [PLAIN, {**PLAIN, "since": 700}]
    assert extensions == tuple(ALL_THREE)


@pytest.mark.parametrize("more", [
    {}, {"extensions": ["validators"]}, {"extensions": "since"}, {"extensions": {"since": 1}},
    {"extensions": None}, {"extensions": [["since"]]}], ids=repr)
def test_without_the_announcement_it_subscribes_as_ever(more):
    said, _ = subscribed_twice(Stream(welcome(**more), update("block_update", 500)))
    assert said == [PLAIN, PLAIN]


def test_a_channel_of_which_nothing_came_has_no_since():
    said, _ = subscribed_twice(Stream(welcome(extensions=ALL_THREE), update("tps_update", 500)))
    assert said == [PLAIN, PLAIN]


def test_options_go_with_every_subscribe():
    said, _ = subscribed_twice(
        Stream(welcome(extensions=ALL_THREE), update("block_update", 5)),
        validators=(one for one in ("a", "b")), interval_ms=100)
    options = {**PLAIN, "validators": ["a", "b"], "interval_ms": 100}
    assert said == [options, {**options, "since": 5}]


@pytest.mark.parametrize("options", [
    {"interval_ms": 99}, {"interval_ms": 60_001}, {"interval_ms": True}, {"interval_ms": 100.0},
    {"interval_ms": float("nan")}, {"interval_ms": "100"}, {"validators": "validator_001"},
    {"validators": [1]}, {"validators": ["a"] * 101}, {"validators": ["a" * 65]},
], ids=lambda options: repr(options)[:40])
def test_options_that_cannot_be_are_refused_before_they_are_sent(options):
    client = StreamClient("ws://127.0.0.1:1")
    (name,) = options
    with pytest.raises(StreamError, match=f"^{name} must be "):
        client.subscribe("validator_metrics", **options)
    assert client.subscriptions == ()


def test_a_replayed_message_says_so():
    line = '{"type":"block_update","payload":{},"timestamp":5,"replayed":true}'
    assert read_message(line, 0) == Message("block_update", {}, 5, replayed=True)
    assert read_message(line, 0).as_json() == line
    for other in ("false", "1", '"true"', "null"):
        assert not read_message(line.replace("true", other), 0).replayed


def test_the_last_moment_counts_and_stays_in_bounds():
    resuming = Resuming()
    resuming.extensions = ("since",)
    for timestamp, expected in (-5, 0), (70, 70), (60, 60), (10**30, MAX_SINCE):
        resuming.on_message(Message("block_update", {}, timestamp))
        assert resuming.since("block_updates") == {"since": expected}
    assert resuming.since("tps_updates") == {}
    resuming.forget("block_updates")
    assert resuming.since("block_updates") == {}
