"""Every experiment of `livestream scale` once, small and short, against what is known by other means."""

import json
from concurrent.futures import ThreadPoolExecutor
from math import floor
from pathlib import Path

import pytest

from livestream.contract import CHANNELS, WEBSOCKET_STATS_PATH
from livestream.parity.cases import load_session
from livestream.wire.handshake import http_request
from tests.scaling import QUICK, Scaled, run_scale
from tests.support import PATIENCE, Command

pytestmark = pytest.mark.timeout(300)

#: Of the short steps.
SCALE = 0.1
#: Threads of a client: one that reads, and one per channel.
EACH = 1 + len(CHANNELS)
SLOWEST = CHANNELS[-1].interval_ms / 1_000
#: Where a thread that is woken at once is told from one that wakes by itself, in seconds.
AT_ONCE = 1.5
CHURN = 60

RUNS = {
    "models": ("models", "--clients", 10, *QUICK),
    # At the original's pace: else being woken at once could not be told from waking soon.
    "original": ("lifecycle", "--clients", 10, "--seconds", 1),
    "corrected": ("lifecycle", "--clients", 10, "--seconds", 1, "--", "--profile", "corrected"),
    "sweep": ("--clients", "5,12", *QUICK, "--seconds", 2),
    "compressed": ("--clients", 5, *QUICK, "--seconds", 2, "--compression"),
    "switch-interval": ("switch-interval", "--clients", 5, "--intervals", "0.005,0", *QUICK),
}


def soak(folder: Path) -> tuple[Scaled, dict]:
    """Against a server that is there afterwards, to be asked how many came."""
    server = Command("--time-scale", str(SCALE))
    try:
        scaled = run_scale(
            folder, "soak", "--clients", 5, "--minutes", 0.05, "--churn", CHURN, "--time-scale", SCALE,
            "--url", server.url, "--pid", server.process.pid)
        stats = http_request(server.url, "GET", WEBSOCKET_STATS_PATH, timeout=PATIENCE)
        return scaled, json.loads(stats.body)
    finally:
        server.kill()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """By name, all at the same time: most of a run is waiting."""
    folders = {name: tmp_path_factory.mktemp(name) for name in (*RUNS, "soak")}
    with ThreadPoolExecutor(len(folders)) as pool:
        futures = {name: pool.submit(run_scale, folders[name], *words) for name, words in RUNS.items()}
        futures["soak"] = pool.submit(soak, folders["soak"])
    done = {name: future.result() for name, future in futures.items()}
    done["soak"], done["stats of soak"] = done["soak"]
    return done


def counted(step):
    """A step's figures, which agree with each other and with what its window allows."""
    figures, clients = step["figures"], step["clients"]
    assert figures["up"] == clients
    due = figures["updates"] + figures["missed"]
    assert figures["delivered"] == pytest.approx(100 * figures["updates"] / due)
    assert figures["late_p50"] <= figures["late_p90"] <= figures["late_p99"] <= figures["late_max"]
    assert 0 < figures["connect_p50"] <= figures["connect_max"] < PATIENCE * 1_000
    if not step["invalid"]:
        seconds = seconds_of(step)
        # The server sleeps after each update: on a busy machine there are fewer, but never more.
        least = sum(floor(seconds / interval) for interval in intervals_of(step))
        most = sum(floor(seconds / interval) + 2 for interval in intervals_of(step))
        assert clients * least / 2 <= due and figures["updates"] <= clients * most
    return figures


def seconds_of(step):
    """The load's own window: with all subscribed nothing but updates comes."""
    return step["figures"]["updates"] / step["figures"]["messages_per_second"]


def intervals_of(step):
    slowed = 1 if "closing" in step["marks"] else SCALE
    return [channel.interval_ms / 1_000 * slowed for channel in CHANNELS]


def in_order(step, *names):
    """The marks are these, in this order, and the time line goes from before the first to the last."""
    moments = [moment["seconds"] for moment in step["timeline"]]
    marks = step["marks"]
    assert list(marks) == list(names)
    assert list(marks.values()) == sorted(marks.values())
    assert moments == sorted(moments)
    assert moments[0] < marks["up"] and marks["measured"] - 1 < moments[-1]
    return moments


# --- sweep


def test_a_sweep_is_what_is_run_when_no_experiment_is_named(runs):
    runs["sweep"].assert_whole(("", 5), ("", 12))
    assert runs["sweep"].results["experiment"] == "sweep"
    assert runs["sweep"].results["command"].startswith("livestream scale sweep --clients 5,12 ")


@pytest.mark.parametrize("number", [0, 1])
def test_a_sweep_counts_what_came_in_its_window(runs, number):
    step = runs["sweep"].steps[number]
    counted(step)
    in_order(step, "up", "settled", "window", "measured")
    assert 2 <= seconds_of(step) < 2 + PATIENCE


@pytest.mark.parametrize("number", [0, 1])
def test_a_sweep_counts_four_channel_threads_a_client_and_one_that_reads(runs, number):
    figures = runs["sweep"].steps[number]["figures"]
    clients = (5, 12)[number]
    assert figures["transport_threads"] == clients
    assert figures["channel_threads"] == clients * len(CHANNELS)
    assert figures["channel_threads_per_client"] == len(CHANNELS)
    assert figures["descriptors"] >= clients


def test_a_sweep_counts_the_threads_that_proc_lists(runs):
    step = runs["sweep"].steps[1]
    # Before the steps one server tries the options, and on one transport threads are counted.
    seen = runs["sweep"].seen.servers[3].most_threads
    assert step["figures"]["threads"] == seen == max(moment["threads"] for moment in step["timeline"])
    assert seen - step["timeline"][0]["threads"] == 12 * EACH


def test_bytes_are_those_of_the_messages_as_recorded(runs):
    """The recorded original's, with a frame header; a number in them may be a digit longer."""
    texts = {json.loads(one.text)["type"]: one.text for one in load_session("all-channels").steps if one.text}
    figures = runs["sweep"].steps[1]["figures"]
    seconds = seconds_of(runs["sweep"].steps[1])
    for channel, interval in zip(CHANNELS, intervals_of(runs["sweep"].steps[1])):
        size = len(texts[channel.message_type]) + (2 if len(texts[channel.message_type]) < 126 else 4)
        most = (floor(seconds / interval) + 2) * (size + 2) / seconds
        assert most / 4 < figures[f"bytes_{channel.name}"] <= most
    assert figures["bytes_per_client"] == pytest.approx(
        sum(figures[f"bytes_{channel.name}"] for channel in CHANNELS), rel=0.1)


def test_what_compression_saves_is_measured_on_the_wire(runs):
    compressed, plain = runs["compressed"], runs["sweep"].steps[0]
    compressed.assert_whole(("", 5))
    figures = compressed.step["figures"]
    assert figures["delivered"] > 99
    assert figures["updates"] == pytest.approx(plain["figures"]["updates"], rel=0.2)
    # About a ninth, once the first messages have been said.
    assert figures["bytes_per_client"] < plain["figures"]["bytes_per_client"] / 4
    assert any("offered compression" in note for note in compressed.results["notes"])


@pytest.mark.parametrize("name", [*RUNS, "soak"])
def test_the_table_has_the_same_figures_as_the_json(runs, name):
    steps, rows, figures = runs[name].steps, runs[name].rows, runs[name].results["figures"]
    heads = {figure: f"{figure} [{about['unit']}]" if about["unit"] else figure
             for figure, about in figures.items()}
    assert len(rows) == len(steps)
    for step, row in zip(steps, rows):
        assert (row["clients"], row["valid"]) == (str(step["clients"]), str(not step["invalid"]).lower())
        assert row[runs[name].results["varied"] or "condition"] == step["condition"]
        assert {figure: float(row[heads[figure]]) for figure in step["figures"]} == step["figures"]


@pytest.mark.parametrize("name", [*RUNS, "soak"])
def test_it_tells_a_line_for_each_step_and_where_the_report_is(runs, name):
    lines = [line for line in runs[name].out.splitlines() if not line.startswith("  ")]
    names = [
        f"{step['condition'] and step['condition'] + ', '}{step['clients']} clients: up {step['clients']}, "
        for step in runs[name].steps
    ]
    assert [line[:len(start)] for line, start in zip(lines, names)] == names
    scaled = "--time-scale" in runs[name].results["command"]
    notes = ["At time scale 0.1 bytes per second and lateness compare with nothing."] * scaled
    notes += [line for line in lines if name == "compressed" and line.startswith("The clients offered comp")]
    claims = ["what the report claims:"] if "what the report claims:" in lines else []
    assert lines[len(names):] == [*notes, *claims, f"report {runs[name].folder / 'report.html'}"]


# --- lifecycle


@pytest.fixture(params=["original", "corrected"])
def lifecycle(runs, request):
    runs[request.param].assert_whole(("", 10))
    return runs[request.param].step


def test_a_lifecycle_goes_up_to_all_threads_and_leaves_nothing(lifecycle):
    figures = counted(lifecycle)
    moments = in_order(lifecycle, "up", "settled", "window", "measured", "closing", "closed", "threads gone")
    idle = lifecycle["timeline"][0]["threads"]
    assert figures["peak_threads"] == idle + 10 * EACH
    assert (figures["threads_left"], figures["descriptors_left"]) == (0, 0)
    assert figures["channel_threads"] == 10 * len(CHANNELS)
    assert 0 < figures["open_seconds"] < PATIENCE and 0 <= figures["close_seconds"] < PATIENCE
    # Somebody looked while they were going, too.
    assert lifecycle["marks"]["closed"] - 1 < moments[-1]


def test_the_original_threads_notice_at_their_next_wake_up(runs):
    step = runs["original"].step
    assert AT_ONCE < step["figures"]["gone_seconds"] < SLOWEST + PATIENCE
    between = [moment["threads"] for moment in step["timeline"]
               if step["marks"]["closed"] + 0.1 < moment["seconds"] < step["marks"]["threads gone"] - 0.1]
    assert between and min(between) > step["timeline"][0]["threads"]


def test_the_corrected_threads_are_gone_at_once(runs):
    assert 0 <= runs["corrected"].step["figures"]["gone_seconds"] < AT_ONCE
    assert {server.after("--profile") for server in runs["corrected"].seen.servers} == {"corrected"}
    assert runs["corrected"].results["server"]["options"] == "--profile corrected"
    assert runs["corrected"].results["command"].endswith("-- --profile corrected")


# --- soak


def test_a_soak_counts_the_connections_that_came_and_went(runs):
    scaled, stats = runs["soak"], runs["stats of soak"]
    scaled.assert_whole(("", 5))
    figures, marks = counted(scaled.step), scaled.step["marks"]
    in_order(scaled.step, "up", "settled", "window", "measured")
    # The original's registry keeps all that ever were: those of the window, those before it, and a late few.
    went = stats["total_connections"] - 5
    assert CHURN <= figures["closed_connections"] <= went
    assert went <= CHURN * (marks["measured"] - marks["up"] + 1)


def test_a_soak_tells_what_grows(runs):
    figures = runs["soak"].step["figures"]
    assert {name for name in figures if "growth" in name} == {
        "rss_growth_kb_per_minute", "rss_growth_error_kb_per_minute",
        "threads_growth_per_minute", "descriptors_growth_per_minute"}
    assert figures["minutes"] == pytest.approx(0.05)
    # What others add may not be told as this many clients'.
    assert figures.keys().isdisjoint({"channel_threads", "rss_per_client_kb", "cpu_per_message_us"})


# --- switch-interval


def test_each_switch_interval_was_the_server_s(runs):
    scaled = runs["switch-interval"]
    scaled.assert_whole(("0.005 s (Python's)", 5), ("growing (the port's)", 5))
    assert scaled.results["varied"] == "switch interval"
    trying, *servers = scaled.seen.servers
    assert trying.after("--switch-interval") is None
    # One each to count transport threads on, and one that is measured.
    assert [server.after("--switch-interval") for server in servers] == ["0.005", "0.005", "0.0", "0.0"]
    assert {server.after("--time-scale") for server in servers} == {"0.1"}
    for step in scaled.steps:
        assert counted(step)["channel_threads"] == 5 * len(CHANNELS)


# --- models


def test_each_broadcaster_has_the_threads_of_its_kind(runs):
    scaled = runs["models"]
    scaled.assert_whole(("threads", 10), ("pool", 10), ("ticker", 10))
    assert scaled.results["varied"] == "broadcaster"
    figures = {step["condition"]: counted(step) for step in scaled.steps}
    assert {name: one["channel_threads"] for name, one in figures.items()} == {
        "threads": 40, "pool": 32, "ticker": 4}
    assert {one["transport_threads"] for one in figures.values()} == {10}


def test_each_broadcaster_was_measured_and_then_played_the_corpus(runs):
    _, *servers = runs["models"].seen.servers
    assert [server.after("--broadcaster") for server in servers] == [
        *["threads"] * 3, *["pool"] * 3, *["ticker"] * 3]
    played = [one.words for one in runs["models"].seen.seen.values() if "parity" in one.words]
    assert [words[-4:] for words in played] == [["--only", "messages", "--only", "contract"]] * 3
