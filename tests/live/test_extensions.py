"""The extensions on real sockets (`--extensions`): filters, another interval, and nothing lost in a gap."""

import json
import threading
from itertools import pairwise

import pytest

from livestream.client import ClientSettings, State, StreamClient
from livestream.contract import VALIDATORS_PATH
from livestream.stream.profiles import CORRECTED, ORIGINAL
from livestream.wire.handshake import http_request
from tests.stream.test_extensions import BAD
from tests.support import PATIENCE, Command, next_text, wait_until

#: A second lasts a twentieth.
SCALE = 0.05
EVERY_WAY = [
    pytest.mark.parametrize("profile", [ORIGINAL, CORRECTED], ids=lambda profile: profile.name),
    pytest.mark.parametrize("model", ["threads", "pool", "ticker"]),
]
#: So long a gap holds five blocks.
GAP = ClientSettings(reconnect_delay=0.5, reconnect_attempts=100)


def every_way(test):
    for mark in EVERY_WAY:
        test = mark(test)
    return test


@pytest.fixture
def served(serve, profile, model):
    return serve(profile=profile, broadcaster=model, time_scale=SCALE, extensions=True)


def say(client, channel, **options):
    client.send_text(json.dumps({"type": "subscribe", "channel": channel, **options}))


def kept(served, channel):
    """The timestamps that the server's history of a channel holds."""
    return [moment for moment, _ in served.server.parts.endpoint._extensions._history._rings[channel]._kept]


def drop(served):
    for connection in served.server.parts.registry.connections():
        connection.session.close(1001, "gone", PATIENCE)


@every_way
def test_filters_and_interval(served):
    with served.connect() as client:
        welcome = json.loads(next_text(client, "connection_established").text)
        assert welcome["payload"]["extensions"] == ["validators", "interval_ms", "since"]
        say(client, "validator_metrics", validators=["validator_003", "nobody"], interval_ms=400)
        updates = [json.loads(next_text(client, "validator_update").text) for _ in range(6)]
    mean = (updates[-1]["timestamp"] - updates[0]["timestamp"]) / 5
    assert 15 < mean < 100, "400 ms last 20, and 5 s would last 250"
    shown = json.loads(http_request(served.url, "GET", f"{VALIDATORS_PATH}/validator_003").body)
    for update in updates:
        (validator,) = update["payload"].pop("validators")
        assert list(validator) == list(shown)
        assert (validator["validatorId"], validator["publicKey"]) == ("validator_003", shown["publicKey"])
        assert list(update["payload"]) == [
            "totalValidators", "activeValidators", "inactiveValidators", "jailedValidators"]


@every_way
def test_after_a_gap_nothing_that_was_kept_is_missing_or_doubled(served):
    host, port = served.server.address
    with StreamClient(f"ws://{host}:{port}", settings=GAP) as client:
        heard, confirmations = [], []
        client.on("block_update", heard.append)
        client.on("subscription_confirmed", confirmations.append)
        client.subscribe("block_updates")
        for cut in (1, 2):
            wait_until(lambda: heard and not heard[-1].replayed)
            drop(served)
            wait_until(lambda: client.state is State.RECONNECTING)
            assert client.wait_for(State.OPEN, PATIENCE)
            wait_until(lambda: not heard[-1].replayed and runs(heard) == cut)
    history = kept(served, "block_updates")
    moments = [message.timestamp for message in heard]
    assert moments == sorted(moments)
    for (last, replayed), confirmed in zip(gaps(heard), confirmations[1:], strict=True):
        assert confirmed.payload["complete"] is True
        assert confirmed.payload["replayed"] == len(replayed) > 1
        assert replayed == [moment for moment in history if last < moment <= replayed[-1]]
        # One may just be on its way into the history.
        assert sum(replayed[-1] < moment < confirmed.timestamp for moment in history) <= 1


def runs(heard):
    """How many gaps have been filled."""
    return sum(not one.replayed and other.replayed for one, other in pairwise(heard))


def gaps(heard):
    """Each filled gap: the last moment before it, and the replayed ones."""
    starts = [at for at, (one, other) in enumerate(pairwise(heard), 1) if other.replayed and not one.replayed]
    for start in starts:
        end = next(at for at in range(start, len(heard)) if not heard[at].replayed)
        yield heard[start - 1].timestamp, [one.timestamp for one in heard[start:end]]


def test_a_server_that_was_killed_says_that_it_has_not_all():
    options = ("--extensions", "--time-scale", str(SCALE))
    first = Command(*options)
    port = first.url.partition("127.0.0.1:")[2].partition("/")[0]
    second = None
    try:
        with StreamClient(first.url, settings=ClientSettings(reconnect_delay=0.1)) as client:
            confirmations = []
            client.on("subscription_confirmed", confirmations.append)
            client.subscribe("block_updates")
            heard = []
            client.on("block_update", heard.append)
            wait_until(lambda: len(heard) > 2)
            first.kill()
            second = Command(*options, "--port", port)
            wait_until(lambda: len(confirmations) == 2)
            count = len(heard)
            wait_until(lambda: len(heard) > count + 2)
    finally:
        first.kill()
        if second is not None:
            second.kill()
    assert "complete" not in confirmations[0].payload
    assert confirmations[1].payload["complete"] is False
    moments = [message.timestamp for message in heard]
    assert moments == sorted(moments)


@pytest.mark.parametrize("profile", [ORIGINAL], ids=["original"])
@pytest.mark.parametrize("model", ["threads"])
def test_hostile_values_are_answered_and_leave_no_traceback(served, caplog):
    with served.connect() as client:
        for options in BAD:
            say(client, "validator_metrics", **options)
            assert json.loads(next_text(client, "error").text)["payload"]["error"].split()[0] in options
        client.send_text('{"type":"ping"}')
        next_text(client, "pong")
    assert caplog.records == []


@every_way
def test_the_recorders_end_with_the_server(serve, profile, model):
    served = serve(profile=profile, broadcaster=model, time_scale=SCALE, extensions=True)
    assert served.threads("stream-recorder-") == []
    with served.connect() as client:
        next_text(client, "tps_update")
        wait_until(lambda: len(kept(served, "tps_updates")) > 2)
        expected = 4 if model == "threads" else 0
        assert len(served.threads("stream-recorder-")) == expected
    assert served.server.stop() == []
    assert served.threads("stream-recorder-") == []
    assert not any(thread.name.startswith(("pool-", "ticker-")) for thread in threading.enumerate())
