"""Figures from elsewhere (`--source`): one channel that raises or stalls is no other channel's affair."""

import json
import threading
import time

import pytest

from livestream.app.server import STOPPING_TIME
from livestream.contract import CHANNELS, LAB_THREADS_PATH, NO_SINGLE_VALIDATORS
from livestream.wire.client import WireClient
from livestream.wire.handshake import http_request
from tests.support import PATIENCE, SUBSCRIBE, Command, next_text, wait_until

#: A second lasts a twentieth.
SCALE = 0.05
#: What a busy machine may take to end a process, in seconds.
EXIT_TIME = 3.0
HEALTHY = ("tps_update", "network_update", "validator_update")
MODELS = pytest.mark.parametrize("model", ["threads", "ticker"])


class Healthy:
    def tps_update(self):
        return {"currentTPS": 1}

    block_update = network_update = validator_update = tps_update


class Failing(Healthy):
    """No block can be had while `broken` is set."""

    broken = threading.Event()

    def block_update(self):
        if self.broken.is_set():
            raise ConnectionError("postgres://user:secret@db is gone")
        return {"blockHeight": 7}


class Stalling(Healthy):
    """A block takes as long as `over` isn't set."""

    over = threading.Event()

    def block_update(self):
        self.over.wait()
        return {"blockHeight": 7}


def subscribed(served):
    """A client with all channels."""
    client = served.connect()
    for channel in CHANNELS[1:]:
        client.send_text(SUBSCRIBE % channel.name)
    return client


def source_report(url):
    body = http_request(url, "GET", LAB_THREADS_PATH, timeout=PATIENCE).body
    return json.loads(body)["source"], body


def moments(client, count):
    """When updates came, by type, in milliseconds, until there are `count` of each healthy channel."""
    seen = {message_type: [] for message_type in HEALTHY}
    while min(map(len, seen.values())) < count:
        message = json.loads(next_text(client).text)
        if message["type"].endswith("_update"):
            seen[message["type"]].append(message["timestamp"])
    return seen


def assert_pace(seen):
    for channel in CHANNELS:
        if channel.message_type in HEALTHY:
            times = seen[channel.message_type]
            mean = (times[-1] - times[0]) / (len(times) - 1)
            assert mean < 1.5 * channel.interval_ms * SCALE


@MODELS
def test_a_source_that_raises_loses_its_own_updates_and_nothing_else(serve, model, caplog):
    Failing.broken.set()
    served = serve(source=f"{__name__}:Failing", broadcaster=model, time_scale=SCALE)
    with subscribed(served) as client, subscribed(served) as other:
        for one in client, other:
            assert_pace(moments(one, 3))
        report, body = source_report(served.url)
        assert report["block_updates"]["errors"] >= 2
        assert report["block_updates"]["last_error"] == "ConnectionError"
        assert [report[channel.name]["errors"] for channel in CHANNELS] == [
            0, report["block_updates"]["errors"], 0, 0]
        assert b"secret" not in body
        Failing.broken.clear()
        assert json.loads(next_text(client, "block_update").text)["payload"] == {"blockHeight": 7}
        assert json.loads(next_text(other, "block_update").text)["payload"] == {"blockHeight": 7}
    assert sum("no update for channel" in message for message in caplog.messages) == 1


@MODELS
def test_a_source_that_stalls_holds_up_its_own_channel_and_not_the_end(serve, model):
    Stalling.over.clear()
    served = serve(source=f"{__name__}:Stalling", broadcaster=model, time_scale=SCALE)
    stuck = 2 if model == "threads" else 1
    try:
        with subscribed(served) as client, subscribed(served) as other:
            for one in client, other:
                assert_pace(moments(one, 3))
            report, _ = source_report(served.url)
            assert report["block_updates"]["under_way"] == stuck
            assert report["block_updates"]["longest_ms"] > 0
            assert {report[name]["under_way"] for name in report if name != "block_updates"} == {0}
            began = time.monotonic()
            left = served.server.stop()
            assert time.monotonic() - began < STOPPING_TIME + 0.4
        assert len(left) == stuck
        assert all("block_updates" in thread.name for thread in left)
    finally:
        Stalling.over.set()
    wait_until(lambda: not any(thread.is_alive() for thread in left))


def test_a_source_that_stalls_from_the_command_line():
    command = Command("--source", f"{__name__}:Stalling", "--time-scale", str(SCALE))
    origin = command.url.replace("ws:", "http:").partition("/api")[0]
    try:
        with WireClient.connect(command.url, timeout=PATIENCE) as client:
            client.send_text(SUBSCRIBE % "block_updates")
            wait_until(lambda: source_report(origin)[0]["block_updates"]["under_way"])
            began = time.monotonic()
            code, out, _ = command.stop()
            assert time.monotonic() - began < STOPPING_TIME + EXIT_TIME
        assert (code, out.splitlines()[-1]) == (0, "stopped; 1 threads were still running")
    finally:
        command.kill()


def test_without_a_source_the_thread_list_says_nothing_of_one(serve):
    served = serve()
    body = http_request(served.url, "GET", LAB_THREADS_PATH, timeout=PATIENCE).body
    assert "source" not in json.loads(body)


def test_among_real_figures_there_are_no_simulated_validators(serve):
    served = serve(source=f"{__name__}:Healthy", extensions=True)
    with served.connect() as client:
        welcome = json.loads(next_text(client, "connection_established").text)
        assert welcome["payload"]["extensions"] == ["interval_ms", "since"]
        client.send_text('{"type":"subscribe","channel":"validator_metrics","validators":["validator_001"]}')
        assert json.loads(next_text(client, "error").text)["payload"] == {"error": NO_SINGLE_VALIDATORS}
