"""SPEC, "As reported": every flag of `corrected`, on real sockets."""

import json

import pytest

from livestream.stream.profiles import CORRECTED, ORIGINAL
from tests.support import PATIENCE, next_text, wait_until

TICKS = 40
#: A tick in milliseconds when a second lasts a twentieth.
TICK_MS = 50
FAST = TICK_MS / 1000


def ask(client, kind, channel):
    client.send_text(json.dumps({"type": kind, "channel": channel}))


def test_tps_updates_still_start_by_themselves(serve):
    with serve(profile=CORRECTED).connect() as client:
        assert json.loads(next_text(client).text)["type"] == "connection_established"
        assert json.loads(next_text(client).text)["type"] == "tps_update"


def test_subscribing_twice_is_confirmed_twice_and_keeps_one_thread(serve):
    served = serve(profile=CORRECTED, time_scale=FAST)
    with served.connect() as client:
        for _ in range(2):
            ask(client, "subscribe", "block_updates")
            next_text(client, "subscription_confirmed")
        next_text(client, "block_update")
        assert [name for name in served.threads() if "block" in name] == [
            name for name in served.threads() if name.endswith("-block_updates-1")
        ]


def test_an_unknown_channel_is_an_error(serve):
    with serve(profile=CORRECTED).connect() as client:
        ask(client, "subscribe", "nope")
        assert json.loads(next_text(client, "error").text)["payload"] == {"error": "Unknown channel: nope"}


def test_unsubscribe_is_answered_and_no_update_comes_after_the_answer(serve):
    served = serve(profile=CORRECTED, time_scale=0.001)
    with served.connect() as client:
        next_text(client, "tps_update")
        ask(client, "unsubscribe", "tps_updates")
        answer = json.loads(next_text(client, "unsubscription_confirmed").text)
        assert answer["payload"] == {"channel": "tps_updates", "status": "unsubscribed"}
        wait_until(lambda: len(served.threads()) == 1)
        client.send_text('{"type":"ping"}')
        events = client.receive_until(lambda event: '"pong"' in event.text, PATIENCE)
        assert [json.loads(event.text)["type"] for event in events] == ["pong"]


def test_subscribing_again_after_an_unsubscribe_starts_again(serve):
    with serve(profile=CORRECTED).connect() as client:
        next_text(client, "tps_update")
        ask(client, "unsubscribe", "tps_updates")
        ask(client, "subscribe", "tps_updates")
        next_text(client, "subscription_confirmed")
        next_text(client, "tps_update")


@pytest.mark.parametrize("channel", ["nope", "block_updates"])
def test_unsubscribing_from_nothing_is_answered_all_the_same(serve, channel):
    with serve(profile=CORRECTED).connect() as client:
        ask(client, "unsubscribe", channel)
        assert json.loads(next_text(client, "unsubscription_confirmed").text)["payload"]["channel"] == channel


def test_unsubscribe_without_a_channel_stays_silent(serve):
    with serve(profile=CORRECTED).connect() as client:
        next_text(client, "tps_update")
        client.send_text('{"type":"unsubscribe"}')
        client.send_text('{"type":"ping"}')
        events = client.receive_until(lambda event: '"pong"' in event.text, PATIENCE)
        assert {json.loads(event.text)["type"] for event in events} <= {"tps_update", "pong"}


def test_closing_removes_the_entry(serve):
    served = serve(profile=CORRECTED)
    with served.connect() as client:
        next_text(client, "tps_update")
        assert served.stats() == {"active_connections": 1, "total_connections": 1}
    wait_until(lambda: served.stats() == {"active_connections": 0, "total_connections": 0})


def milliseconds_per_tick(served):
    with served.connect() as client:
        stamps = [json.loads(next_text(client, "tps_update").text)["timestamp"] for _ in range(TICKS + 1)]
    return (stamps[-1] - stamps[0]) / TICKS


def test_updates_keep_a_fixed_rate_where_the_original_drifts(serve):
    fixed_rate = milliseconds_per_tick(serve(profile=CORRECTED, time_scale=FAST))
    assert fixed_rate == pytest.approx(TICK_MS, rel=0.01)
    assert milliseconds_per_tick(serve(profile=ORIGINAL, time_scale=FAST)) > TICK_MS
