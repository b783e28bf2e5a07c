"""The load against real servers: what it counts is what was sent, and a load that was too slow says so."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from livestream.contract import CHANNELS
from livestream.lab.load import Load
from livestream.lab.probe import Probe
from livestream.lab.swarm import EARLY_LIMIT, LAG_LIMIT_MS, LAG_SHARE, OWN_LIMIT, doubts
from tests.lab import QUICK, loading, whole
from tests.lab.servers import Seen
from tests.support import running_command, wait_until

CLIENTS = 10
#: So slow that a stall of 100 ms is not yet a missed update.
SCALE = 0.2
SECONDS = 2.0


def counted(sent, channel, begin, end):
    """Updates of a channel between two times, and ticks swallowed before them: the server's account."""
    last, updates, swallowed = {}, 0, 0
    for message in (message for message in sent if message.type == channel.message_type):
        if begin <= message.at <= end:
            gap = message.at - last.get(message.connection, begin)
            updates += 1
            swallowed += max(0, round(gap / (channel.interval_ms / 1_000 * SCALE)) - 1)
        last[message.connection] = message.at
    return updates, swallowed


def by_command(url, *options):
    """What the load prints that is started by hand, as records."""
    done = subprocess.run(
        [sys.executable, "-m", "livestream.lab.swarm", url, *options],
        capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- what it counts


@pytest.fixture(scope="module")
def told():
    """All that a load by hand tells of the port."""
    with running_command("--log-level", "error", "--time-scale", str(SCALE)) as url:
        return by_command(
            url, "--clients", "20", "--rate", "30", "--seconds", str(SECONDS), "--time-scale", str(SCALE))


def test_events_come_in_this_order(told):
    connecting = [record["up"] for record in told if record["event"] == "connecting"]
    assert connecting and connecting == sorted(connecting) and 0 < connecting[0] < 20
    rest = [record for record in told if record["event"] != "connecting"]
    assert [record["event"] for record in rest] == [
        "up", "settled", "window", *["slice"] * 5, "measured", "result"]
    assert rest[:2] == [{"event": "up", "up": 20}, {"event": "settled"}]
    assert rest[-2] == {"event": "measured"}
    messages = [record["messages"] for record in rest if "messages" in record]
    assert messages == sorted(messages) and messages[0] == 0 < messages[1]
    assert messages[-2] == messages[-1], "nothing counts after the last slice"


def test_every_client_comes_up_and_its_updates_come(told):
    result = told[-1]
    assert (result["clients"], result["up"], result["failures"], result["failed"]) == (20, 20, [], 0)
    assert result["delivered"] == result["updates"] / (result["updates"] + result["missed"])
    assert result["delivered"] > 0.8, "a busy machine may stall"
    assert result["seconds"] == pytest.approx(SECONDS, abs=0.3)
    assert result["connect_ms"]["p50"] <= result["connect_ms"]["max"] < 10_000


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_each_channel_sends_once_per_interval(told, channel):
    """The window's borders fall somewhere, so a client may have one update more or less."""
    due = SECONDS / SCALE * 1_000 / channel.interval_ms
    assert 20 * (0.9 * due - 1) <= told[-1]["channels"][channel.name]["updates"] <= 20 * (due + 1)


def test_the_bytes_are_those_of_the_spec(told):
    """286 bytes a second and client were measured on the original; the borders cost one update of each."""
    result = told[-1]
    sizes = [channel["bytes_per_second_and_client"] for channel in result["channels"].values()]
    assert sum(sizes) == pytest.approx(result["bytes_per_second_and_client"])
    borders = 4 * 150 * SCALE / SECONDS
    assert result["bytes_per_second_and_client"] * SCALE == pytest.approx(286, abs=borders + 20)


def test_updates_and_gaps_are_those_that_the_server_counts_itself():
    """Every third update of one channel is kept back; a client may have some more or less at the borders."""
    ticks = itertools.count(1)
    server = Seen(SCALE, lambda text: None if '"tps_update"' in text and next(ticks) % 3 == 0 else text)
    load = Load("", CLIENTS, SECONDS, rate=200.0, time_scale=SCALE)
    with server.serving() as url, loading(replace(load, url=url)) as running:
        running.until("window")
        begin = time.monotonic()
        running.until("measured")
        end = time.monotonic()
        result = running.finish()[-1]
    for channel in CHANNELS:
        seen = result["channels"][channel.name]
        updates, swallowed = counted(server.sent, channel, begin, end)
        assert seen["updates"] == pytest.approx(updates, abs=2 * CLIENTS)
        assert seen["missed"] == pytest.approx(swallowed, abs=2 * CLIENTS)
    assert result["channels"]["tps_updates"]["missed"] > 2 * CLIENTS
    updates = sum(channel["updates"] for channel in result["channels"].values())
    assert updates == result["updates"] == result["messages"]
    assert result["delivered"] == updates / (updates + result["missed"])


def test_a_stalled_server_is_late_for_every_tick_that_it_lets_pass():
    """One stall of two intervals; with the late update alone it would be one bad value."""
    blocks = itertools.count(1)

    def stall_once(text):
        # The window begins 1 s after the first update, and this is the fifth, at 1.6 s.
        if '"block_update"' in text and next(blocks) == 5:
            threading.Event().wait(4 * SCALE)
        return text

    with Seen(SCALE, stall_once).serving() as url:
        result = whole(Load(url, 1, 8 * SCALE, time_scale=SCALE), RECOVERY=0.0)
    assert result["channels"]["block_updates"]["missed"] == 2
    assert result["delivered"] < 1
    assert result["lateness_ms"]["max"] == pytest.approx(4_000 * SCALE, abs=150)
    # Of some fifteen ticks two were swallowed, so the tenth percentile from above is late as well.
    assert result["lateness_ms"]["p90"] > 1_000 * SCALE


# --- the load's own share


def test_its_own_processor_time_is_what_the_kernel_counts():
    load = Load("", 50, 1.0, rate=500.0, time_scale=0.02)
    with Seen(0.02).serving() as url, loading(replace(load, url=url), OWN_LIMIT=0.001) as running:
        probe = Probe(running.pid)
        running.until("window")
        before = probe.cpu_seconds()
        running.until("measured")
        used = probe.cpu_seconds() - before
        result = running.finish()[-1]
    assert result["own_cpu"] * result["seconds"] == pytest.approx(used, abs=0.05 + 0.1 * used)
    assert result["doubts"][0] == f"The load used {result['own_cpu']:.0%} of a processor."


def test_a_load_that_does_not_get_to_run_says_so():
    """Stopped in its window until the server has sent far more: what it then sees late is its own fault."""
    server = Seen(0.02)
    with server.serving() as url, loading(Load(url, **QUICK | {"seconds": 1.0})) as running:
        running.until("window")
        os.kill(running.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WNOWAIT)
        began, sent = time.monotonic(), len(server.sent)
        wait_until(lambda: len(server.sent) > sent + 100)
        stopped_ms = (time.monotonic() - began) * 1_000
        os.kill(running.pid, signal.SIGCONT)
        running.until("measured")
        result = running.finish()[-1]
    (doubt,) = result["doubts"]
    assert doubt == f"The load's own event loop was {result['own_lag_ms']['p99']:.0f} ms late (p99)."
    assert result["own_lag_ms"]["p99"] == pytest.approx(stopped_ms, abs=150)


def test_a_load_that_was_the_bottleneck_is_told_apart():
    assert doubts(OWN_LIMIT - 0.01, LAG_LIMIT_MS - 0.1, 0.0, EARLY_LIMIT - 0.01) == []
    assert doubts(OWN_LIMIT, 0.0, 0.0, 0.0) == ["The load used 85% of a processor."]
    assert doubts(0.0, 35.0, 0.0, 0.0) == ["The load's own event loop was 35 ms late (p99)."]
    assert doubts(0.0, 0.0, 0.0, 0.4) == [
        "40% of the updates came long before they were due: is the time scale right?"]
    assert len(doubts(OWN_LIMIT, LAG_LIMIT_MS, 0.0, EARLY_LIMIT)) == 3


def test_a_server_that_is_much_later_than_its_load_is_late_itself():
    late = LAG_LIMIT_MS / LAG_SHARE
    assert len(doubts(0.0, LAG_LIMIT_MS, late, 0.0)) == 1
    assert doubts(0.0, LAG_LIMIT_MS, late + 1, 0.0) == []
