"""Clients of other projects, as people use them: the welcome, `tps_update` unasked, then all four channels.

In real time against the command itself: 2, 3 and 5 s between updates.
"""

import json
import time

import websocket
from websockets.sync.client import connect

from livestream.contract import CHANNELS, STREAM_PATH
from tests.support import PATIENCE, running_command

#: Long enough for two updates of the slowest channel.
WINDOW = 5.5
#: Lateness that a busy machine may add to an interval, in seconds.
SLACK = 0.5


def watch(receive, send):
    """Subscribes as a user would and returns (type, seconds) of every message within the window."""
    began = time.monotonic()
    seen = []

    def take():
        message = json.loads(receive())
        assert list(message) == ["type", "payload", "timestamp"]
        seen.append((message["type"], time.monotonic() - began))
        return message["type"]

    assert take() == "connection_established"
    assert take() == "tps_update"
    for channel in CHANNELS[1:]:
        send(json.dumps({"type": "subscribe", "channel": channel.name}))
    while seen[-1][1] < WINDOW:
        take()
    return seen


def check(seen):
    for channel in CHANNELS:
        times = [at for kind, at in seen if kind == channel.message_type]
        interval = channel.interval_ms / 1000
        assert times[0] < SLACK
        assert len(times) >= 2
        for earlier, later in zip(times, times[1:]):
            assert interval - SLACK < later - earlier < interval + SLACK
    assert [kind for kind, _ in seen].count("subscription_confirmed") == 3


def test_the_websockets_package():
    with running_command() as url, connect(url, open_timeout=PATIENCE) as client:
        assert url.endswith(STREAM_PATH)
        check(watch(lambda: client.recv(PATIENCE), client.send))


def test_the_websocket_client_package():
    with running_command() as url:
        client = websocket.create_connection(url, timeout=PATIENCE)
        check(watch(client.recv, client.send))
        client.close()
