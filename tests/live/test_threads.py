"""Threads: one transport thread per client, one per channel and subscribe; all daemon, all named."""

import threading

import psutil
import pytest

from livestream.contract import CHANNELS
from livestream.stream.profiles import CORRECTED, ORIGINAL
from livestream.wire.client import WireClient
from tests.support import PATIENCE, SUBSCRIBE, Command, next_text, wait_until

#: SPEC: a thread notices a close at its next wake-up, up to 5 s later; at once when corrected.
GONE_AFTER = {ORIGINAL: 5.5, CORRECTED: 0.2}


def subscribe_to_all(client):
    for channel in CHANNELS[1:]:
        client.send_text(SUBSCRIBE % channel.name)
    next_text(client, "validator_update")


@pytest.mark.parametrize("profile, repeats", [(ORIGINAL, 5), (CORRECTED, 0)])
def test_one_thread_per_channel_and_one_more_for_each_repeat(serve, profile, repeats):
    served = serve(profile=profile)
    with served.connect() as client:
        next_text(client, "tps_update")
        wait_until(lambda: len(served.threads()) == 1 + 1)
        subscribe_to_all(client)
        wait_until(lambda: len(served.threads()) == 1 + 4)
        for _ in range(5):
            client.send_text(SUBSCRIBE % "block_updates")
            next_text(client, "subscription_confirmed")
        client.send_text('{"type":"ping"}')
        next_text(client, "pong")
        wait_until(lambda: len(served.threads()) == 1 + 4 + repeats)


@pytest.mark.parametrize("profile", GONE_AFTER, ids=lambda profile: profile.name)
def test_after_the_close_all_threads_of_the_connection_end(serve, profile):
    served = serve(profile=profile)
    with served.connect() as client:
        next_text(client, "tps_update")
        subscribe_to_all(client)
    wait_until(lambda: not served.threads(), timeout=GONE_AFTER[profile])


def test_all_are_daemons_and_bear_the_connection_and_the_channel(serve):
    served = serve()
    with served.connect() as client:
        welcome = next_text(client, "connection_established").text
        subscribe_to_all(client)
        handler = next(name for name in served.threads() if name.count("-") == 1)
        assert handler.removeprefix("stream-") in welcome
        assert served.threads() == [handler] + [
            f"{handler}-{name}-1" for name in sorted(channel.name for channel in CHANNELS)
        ]
        ours = [thread for thread in threading.enumerate() if thread.name.startswith(("stream-", "rest-"))]
        assert all(thread.daemon for thread in ours)


@pytest.mark.parametrize("clients", [1, 10])
def test_seen_from_outside_a_client_costs_five_threads(clients):
    command = Command()
    try:
        process = psutil.Process(command.process.pid)
        idle = process.num_threads()
        connections = [WireClient.connect(command.url, timeout=PATIENCE) for _ in range(clients)]
        for client in connections:
            subscribe_to_all(client)
        # The validators service has a thread of its own once it is in use.
        assert process.num_threads() == idle + 5 * clients + 1
        for client in connections:
            client.release()
        assert command.stop()[0] == 0
    finally:
        command.kill()
