"""The load: what it counts is what was sent, and a stall can't hide."""

import itertools
import json
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.contract import CHANNELS
from livestream.lab.swarm import LAG_LIMIT_MS, OWN_LIMIT, doubts, late_ticks_ms, missed_ticks
from tests.parity.independent_server import independent_server
from tests.support import running_command

CLIENTS = 20
SECONDS = 6


def load(url, *options):
    """What the load process prints, as records."""
    done = subprocess.run(
        [sys.executable, "-m", "livestream.lab.swarm", url, "--rate", "200", *options],
        capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def result():
    with running_command("--log-level", "error") as url:
        begin, end, result = load(url, "--clients", str(CLIENTS), "--seconds", str(SECONDS))
    assert (begin, end, result["event"]) == ({"event": "window"}, {"event": "window"}, "result")
    return result


def test_every_client_comes_up_and_every_update_comes(result):
    assert (result["clients"], result["up"], result["failures"]) == (CLIENTS, CLIENTS, [])
    assert result["delivered"] == 1.0
    assert all(channel["missed"] == 0 for channel in result["channels"].values())


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_each_channel_sends_once_per_interval(result, channel):
    """The window's borders fall somewhere, so a client may have one update more or less."""
    due = SECONDS * 1000 / channel.interval_ms
    updates = result["channels"][channel.name]["updates"]
    assert CLIENTS * (due - 1) <= updates <= CLIENTS * (due + 1)


def test_the_bytes_are_those_of_the_spec(result):
    """286 bytes a second and client were measured on the original; the borders cost one update of each."""
    sizes = [channel["bytes_per_second_and_client"] for channel in result["channels"].values()]
    assert sum(sizes) == pytest.approx(result["bytes_per_second_and_client"])
    assert result["bytes_per_second_and_client"] == pytest.approx(286, abs=4 * 150 / SECONDS)


def test_a_stalled_server_is_late_for_every_tick_that_it_lets_pass():
    """One stall of two intervals; with the late update alone it would be one bad value."""
    sent = itertools.count(1)

    def stall_once(text):
        # The window begins five seconds after the first update, and this is the fifth, at eight.
        if '"block_update"' in text and next(sent) == 5:
            threading.Event().wait(4)
        return text

    with independent_server(stall_once) as url:
        *_, result = load(url, "--clients", "1", "--seconds", "8")
    assert result["channels"]["block_updates"]["missed"] == 2
    assert result["delivered"] < 1
    assert result["lateness_ms"]["max"] == pytest.approx(4000, abs=300)
    # Of some fifteen ticks two were swallowed, so the tenth percentile from above is late as well.
    assert result["lateness_ms"]["p90"] > 1000


def test_ticks_that_were_swallowed_are_late_too():
    assert list(late_ticks_ms(5.0, 1.0)) == [4000.0, 3000.0, 2000.0, 1000.0, 0.0]
    assert list(late_ticks_ms(1.25, 1.0)) == [250.0]
    assert missed_ticks(5.0, 1.0) == 4


@given(st.floats(0.001, 60), st.sampled_from([1.0, 2.0, 3.0, 5.0]))
def test_each_tick_is_either_seen_or_missed(gap, interval):
    assert len(list(late_ticks_ms(gap, interval))) == missed_ticks(gap, interval) + 1


def test_a_load_that_was_the_bottleneck_says_so():
    assert doubts(OWN_LIMIT / 2, LAG_LIMIT_MS / 2) == []
    assert doubts(0.93, 0.0) == ["The load used 93% of a processor."]
    assert doubts(0.0, 35.0) == ["The load's own event loop was 35 ms late (p99)."]
    assert len(doubts(OWN_LIMIT, LAG_LIMIT_MS)) == 2
