"""The pool and the ticker on real sockets: the contract is the same, whoever sends."""

import json
import socket
import threading
from collections import defaultdict
from dataclasses import replace

import pytest

from livestream.contract import CHANNELS
from livestream.parity.cases import load_cases
from livestream.parity.judging.comparison import differences
from livestream.parity.playing.player import play_all
from livestream.parity.playing.target import Target
from livestream.stream.profiles import CORRECTED, ORIGINAL
from tests.support import PATIENCE, SUBSCRIBE, Command, Served, next_text, wait_until

pytestmark = pytest.mark.parametrize("model", ["pool", "ticker"])

#: A second lasts a tenth, for two seconds.
SCALE = 0.1
WINDOW_MS = 2000


def workers():
    return sorted(t.name for t in threading.enumerate() if t.name.startswith(("pool-", "ticker-")))


def subscribe_to_all(client):
    for channel in CHANNELS[1:]:
        client.send_text(SUBSCRIBE % channel.name)
    next_text(client, "validator_update")


def left_of(served):
    """Subscriptions that still count, and entries that still wait in a queue."""
    broadcaster = served.server.parts.broadcaster
    return sum(map(len, broadcaster._running.values())), sum(
        len(queue._heap) for queue in broadcaster._queues.values()
    )


def test_every_message_case_is_the_same(serve, model):
    outcomes = play_all(load_cases("messages.jsonl"), Target(serve(broadcaster=model).url))
    wrong = {
        outcome.case.name: outcome.error or [str(one) for one in differences(outcome.case, outcome.observed)]
        for outcome in outcomes
        if outcome.observed is None or differences(outcome.case, outcome.observed)
    }
    assert wrong == {}
    assert len(outcomes) >= 120


@pytest.mark.parametrize("fixed_delay", [True, False], ids=["fixed delay", "fixed rate"])
def test_each_channel_keeps_its_interval(serve, model, fixed_delay):
    profile = replace(ORIGINAL, sleeps_a_fixed_delay=fixed_delay)
    served = serve(broadcaster=model, profile=profile, time_scale=SCALE)
    with served.connect() as client:
        for channel in CHANNELS[1:]:
            client.send_text(SUBSCRIBE % channel.name)
        stamps = defaultdict(list)
        # The slowest channel's first update, and what two seconds bring after it.
        while not (ends := stamps["validator_update"]) or ends[-1] < ends[0] + WINDOW_MS:
            message = json.loads(next_text(client).text)
            stamps[message["type"]].append(message["timestamp"])
    for channel in CHANNELS:
        expected = WINDOW_MS / (channel.interval_ms * SCALE)
        # Fixed delays add up; on a busy machine they add up to more.
        least = 0.8 * expected - 1 if fixed_delay else expected - 1
        seen = stamps[channel.message_type]
        assert least <= sum(moment < seen[0] + WINDOW_MS for moment in seen) <= expected + 1, channel.name


def test_the_first_update_follows_its_confirmation_at_once(serve, model):
    with serve(broadcaster=model).connect() as client:
        next_text(client, "tps_update")
        client.send_text(SUBSCRIBE % "validator_metrics")
        confirmed = json.loads(next_text(client, "subscription_confirmed").text)
        update = json.loads(next_text(client, "validator_update").text)
        assert 0 <= update["timestamp"] - confirmed["timestamp"] < 1000


def test_five_subscribes_make_six_updates_an_interval(serve, model):
    profile = replace(ORIGINAL, sleeps_a_fixed_delay=False)
    served = serve(broadcaster=model, profile=profile, time_scale=SCALE)
    with served.connect() as client:
        for _ in range(5):
            client.send_text(SUBSCRIBE % "tps_updates")
            next_text(client, "subscription_confirmed")
        connection, = served.server.parts.registry.connections()
        wait_until(lambda: served.server.parts.broadcaster.count(connection) == 6)
        stamps = [json.loads(next_text(client, "tps_update").text)["timestamp"] for _ in range(6 + 10 * 6)]
    assert stamps[-1] - stamps[5] == pytest.approx(10 * 1000 * SCALE, rel=0.1)


def test_a_client_costs_one_thread_and_the_workers_are_shared(serve, model):
    served = serve(broadcaster=model)
    clients = [served.connect() for _ in range(20)]
    for client in clients:
        subscribe_to_all(client)
    assert len(served.threads()) == 20
    expected = {
        "pool": sorted(f"pool-{number}" for number in range(1, 33)),
        "ticker": sorted(f"ticker-{channel.name}" for channel in CHANNELS),
    }
    assert workers() == expected[model]
    for client in clients:
        client.release()


@pytest.mark.parametrize("profile", [ORIGINAL, CORRECTED], ids=lambda profile: profile.name)
def test_closing_leaves_no_subscription(serve, model, profile):
    served = serve(broadcaster=model, profile=profile, time_scale=SCALE)
    with served.connect() as client:
        subscribe_to_all(client)
        assert left_of(served)[0] == 4
    wait_until(lambda: left_of(served) == (0, 0))


def test_unsubscribe_is_answered_and_no_update_comes_after_the_answer(serve, model):
    served = serve(broadcaster=model, profile=CORRECTED, time_scale=0.001)
    with served.connect() as client:
        for _ in range(20):
            next_text(client, "tps_update")
            client.send_text('{"type":"unsubscribe","channel":"tps_updates"}')
            next_text(client, "unsubscription_confirmed")
            client.send_text('{"type":"ping"}')
            events = client.receive_until(lambda event: '"pong"' in event.text, PATIENCE)
            assert [json.loads(event.text)["type"] for event in events] == ["pong"]
            client.send_text(SUBSCRIBE % "tps_updates")
            next_text(client, "subscription_confirmed")


def test_a_stopping_server_leaves_no_thread_also_when_clients_do_not_read(model):
    served = Served(broadcaster=model, time_scale=0.001, max_threads_per_connection=0)
    stuck, reading = served.connect(), served.connect()
    stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(20):
        stuck.send_text(SUBSCRIBE % "block_updates")
    for _ in range(200):
        next_text(reading, "tps_update")
    assert workers()
    stopping = threading.Thread(target=lambda: left.extend(served.server.stop()))
    left = []
    stopping.start()
    reading.receive_until(lambda event: event.code == 1001, PATIENCE)
    reading.close()
    stopping.join(PATIENCE)
    assert (stopping.is_alive(), left, workers(), served.threads()) == (False, [], [], [])
    assert left_of(served) == (0, 0)
    stuck.release()


def test_the_command_line_offers_it_and_knows_that_it_needs_no_thread_per_channel(model):
    command = Command("--broadcaster", model, "--max-connections", "1000000")
    with_threads = Command("--max-connections", "1000000")
    try:
        assert command.url
        # "about 4302 clients with all channels, not 1000000: …"
        room, room_with_threads = (int(one.greeting["limit"].split()[1]) for one in (command, with_threads))
        assert room > room_with_threads
        assert command.stop()[0] == 0
    finally:
        command.kill()
        with_threads.kill()
