"""Figures by hand: each formula with numbers that are easily checked, and each doubt at its border."""

from dataclasses import replace

import pytest

from livestream.lab.figures import (
    Look, Machine, Seen, client_figures, invalid, machine_warnings, server_figures, server_invalid,
    server_warnings, warnings, window_warnings,
)
from livestream.lab.probe import Sample, Switches
from livestream.lab.results import FIGURES, QUANTILES
from tests.lab.fakes import RESULT

IDLE = Sample(90.0, 1.0, 50_000_000, 4, Switches(50, 5), 10, 100)
BEFORE = Sample(98.5, 1.75, 59_000_000, 504, Switches(1_000, 200), 110, 1_600)
AFTER = Sample(111.0, 4.25, 60_000_000, 508, Switches(46_000, 950), 111, 1_612)
LOOKS = (Look(100.0, 0, 2.0), Look(105.0, 6_000, 2.5), Look(110.0, 12_000, 3.5))
SEEN = Seen(IDLE, BEFORE, AFTER, LOOKS, 1)


# --- figures


def test_what_the_clients_saw():
    assert client_figures(RESULT) == pytest.approx({
        "up": 100,
        "delivered": 91.6666667,
        "updates": 11_000,
        "missed": 1_000,
        "messages_per_second": 1_200,
        "bytes_per_client": 286,
        "bytes_tps_updates": 140,
        "bytes_block_updates": 70,
        "bytes_network_status": 46,
        "bytes_validator_metrics": 30,
        "connect_p50": 1, "connect_p90": 2, "connect_p99": 3, "connect_p999": 4, "connect_max": 5,
        "late_p50": 0.5, "late_p90": 0.75, "late_p99": 1.5, "late_p999": 2.5, "late_max": 9,
        "load_cpu_share": 25,
        "load_lag_p99": 0.3,
        "closed_connections": 7,
    })


def test_what_was_not_seen_is_no_figure():
    """Nobody came up: there are no times to connect, which is not the same as 0 ms."""
    nobody = client_figures(RESULT | {"up": 0, "connect_ms": {}, "lateness_ms": {}})
    assert [name for name in nobody if name.startswith(("connect_", "late_"))] == []
    assert nobody["up"] == 0


def test_what_the_server_used():
    """100 clients, 12,000 messages, 10 s: 1.5 s of processor time, 10 MB more than idle.

    In the 12.5 s between the samples 45,000 and 750 switches: of the window are 36,000 and 600.
    """
    assert server_figures(RESULT, SEEN) == pytest.approx({
        "threads": 508,
        "transport_threads": 100,
        "channel_threads": 404,
        "channel_threads_per_client": 4.04,
        "rss_mb": 60.0,
        "rss_per_client_kb": 100.0,
        "cpu_share": 15.0,
        "cpu_per_message_us": 125.0,
        "voluntary_switches_per_message": 3.0,
        "involuntary_switches_per_message": 0.05,
        "descriptors": 111,
        "memory_maps": 1_612,
    })


def test_of_samples_that_were_taken_as_the_window_began_and_ended_all_switches_count():
    seen = SEEN._replace(before=replace(BEFORE, at=100.0), after=replace(AFTER, at=110.0))
    figures = server_figures(RESULT, seen)
    assert figures["voluntary_switches_per_message"] == 3.75
    assert figures["involuntary_switches_per_message"] == 0.0625


def test_what_counts_is_who_came_up():
    """Of 100 clients only 50: figures per client are theirs."""
    half = server_figures(RESULT | {"up": 50}, SEEN)
    assert half["transport_threads"] == 50
    assert half["channel_threads"] == 508 - 4 - 50
    assert half["channel_threads_per_client"] == pytest.approx(454 / 50)
    assert half["rss_per_client_kb"] == 200.0


def test_an_event_loop_has_no_transport_threads_and_no_channel_threads():
    seen = SEEN._replace(after=replace(AFTER, threads=4), transport_threads=0)
    figures = server_figures(RESULT, seen)
    assert (figures["transport_threads"], figures["channel_threads"]) == (0, 0)


def test_there_are_never_fewer_than_no_channel_threads():
    """Of a server whose own pool has shrunk meanwhile."""
    figures = server_figures(RESULT, SEEN._replace(after=replace(AFTER, threads=50)))
    assert (figures["channel_threads"], figures["channel_threads_per_client"]) == (0, 0)


def test_nobody_and_nothing_is_divided_by():
    nothing = server_figures(RESULT | {"up": 0, "messages": 0}, SEEN)
    assert (nothing["transport_threads"], nothing["channel_threads"]) == (0, 504)
    assert nothing["cpu_per_message_us"] == 1_500_000


def test_memory_that_shrank_is_told_as_it_is():
    figures = server_figures(RESULT, SEEN._replace(after=replace(AFTER, rss_bytes=49_000_000)))
    assert figures["rss_per_client_kb"] == -10.0


def test_every_figure_has_a_name_and_a_unit():
    names = {*client_figures(RESULT), *server_figures(RESULT, SEEN)}
    assert names <= FIGURES.keys()
    assert {name for name in FIGURES if name.startswith("late_")} == {f"late_{short}" for short in QUANTILES}


# --- what makes a step invalid


def test_a_good_step_is_valid_and_without_warnings():
    assert (invalid(RESULT), warnings(RESULT)) == ((), [])


def test_nobody_came_up():
    result = RESULT | {"up": 0, "failures": ["refused", "HTTP/1.1 503 BUSY", "refused"], "doubts": ["Slow."]}
    assert invalid(result) == ("No client came up: refused; HTTP/1.1 503 BUSY.",)
    assert invalid(result | {"failures": []}) == ("No client came up: no reason was given.",)
    assert invalid(result | {"up": 1}) == ("Slow.",)


def test_the_doubts_of_the_load_are_the_reasons():
    assert invalid(RESULT | {"doubts": ["One.", "Two."]}) == ("One.", "Two.")


# --- warnings


def test_clients_that_never_came_up():
    result = RESULT | {"clients": 2_000, "up": 999, "failures": ["HTTP/1.1 503 BUSY"] * 3}
    assert warnings(result) == ["1,001 of 2,000 clients never came up: HTTP/1.1 503 BUSY."]
    assert warnings(RESULT | {"up": 99})[0].startswith("1 of 100 clients never came up: no reason")
    assert warnings(RESULT | {"up": 0}) == [], "that is no warning any more"


def test_clients_that_lost_their_connection():
    told = "3 of 100 clients lost their connection meanwhile."
    assert warnings(RESULT | {"lost": 3}) == [told]


@pytest.mark.parametrize(("ended_at", "told"), [
    (109.0, []), (111.0, []),
    (111.1, ["The server was looked at for 11.10 s where the load measured 10.00 s."]),
    (108.9, ["The server was looked at for 8.90 s where the load measured 10.00 s."]),
])
def test_a_window_that_the_server_was_not_looked_at_for(ended_at, told):
    assert window_warnings(RESULT, [*LOOKS[:-1], LOOKS[-1]._replace(at=ended_at)]) == told


def test_one_that_came_and_went_in_vain_is_no_client_that_never_came_up():
    assert warnings(RESULT | {"failures": ["refused"], "failed": 1}) == []


@pytest.mark.parametrize(("updates", "missed", "told"), [
    (10_000, 0, []),
    (9_000, 1_000, []),
    (9_999, 0, ["Lateness at p99.9 is of 9,999 updates only: measure for longer."]),
    (990, 10, ["Lateness at p99.9 is of 1,000 updates only: measure for longer."]),
    (999, 0, ["Lateness at p99 and p99.9 is of 999 updates only: measure for longer."]),
    (0, 0, ["Lateness at p99 and p99.9 is of 0 updates only: measure for longer."]),
])
def test_quantiles_of_few_updates(updates, missed, told):
    assert warnings(RESULT | {"updates": updates, "missed": missed}) == told


def looks(*parts):
    """Looks from parts as (messages, cost of each in µs)."""
    found = [Look(100.0, 0, 5.0)]
    for messages, cost in parts:
        at, before, used = found[-1]
        found.append(Look(at + 1, before + messages, used + messages * cost / 1e6))
    return found


@pytest.mark.parametrize(("parts", "spread"), [
    ([(200, 100)] * 5, None),
    ([(200, 100), (300, 90), (400, 100), (500, 110), (600, 114.9)], None),
    ([(200, 100), (300, 90), (400, 100), (500, 110), (600, 115.1)], "25%"),
    ([(200, 100), (200, 300), (200, 100)], "200%"),
    # A process that uses nothing, or next to nothing, is perhaps not the server: no reason to fail.
    ([(200, 0)] * 5, None),
    ([(200, 0), (200, 0), (200, 3)], None),
])
def test_processor_time_that_is_not_steady(parts, spread):
    told = f"Processor time per message was not steady: {spread} between parts of the window."
    assert server_warnings(looks(*parts)) == ([told] if spread else [])


@pytest.mark.parametrize(("parts", "messages"), [
    ([(199, 100), (200, 300), (200, 100)], 599),
    ([(0, 0), (200, 100), (200, 300), (200, 100)], 600),
    ([(0, 0), (0, 0)], 0),
    ([], 0),
])
def test_processor_time_of_few_messages(parts, messages):
    assert server_warnings(looks(*parts)) == [
        f"Processor time per message is of {messages} messages only: measure for longer."]


def test_what_else_may_be_off_about_the_clients():
    assert warnings(RESULT | {"not_closed": 4}) == [
        "4 clients said goodbye and were not closed by the server."]
    assert warnings(RESULT | {"passing_failed": 6}) == [
        "6 of the connections that come and go could not be made."]


@pytest.mark.parametrize(("lag", "late", "told"), [
    (4.9, 1.0, []), (5.0, 10.1, []),
    (5.0, 10.0, ["The load itself was 5 ms late (p99), and saw 10 ms."]),
    (19.0, 19.0, ["The load itself was 19 ms late (p99), and saw 19 ms."]),
])
def test_a_load_that_was_nearly_as_late_as_what_it_saw(lag, late, told):
    times = {"own_lag_ms": {"p99": lag}, "lateness_ms": {"p99": late}}
    assert warnings(RESULT | times) == told


def test_a_process_that_does_nothing_is_not_the_server():
    """12,000 messages came meanwhile."""
    idle = [Look(100.0, 0, 5.0), Look(110.0, 12_000, 5.0)]
    assert server_invalid(RESULT, idle) == (
        "The process did nothing while 12,000 messages came: is it the server's?",)
    assert server_invalid(RESULT, [*idle, Look(111.0, 12_000, 5.001)]) == ()
    assert server_invalid(RESULT | {"messages": 0}, idle) == ()


@pytest.mark.parametrize(("used", "stolen", "told"), [
    (12.0, 1.0, []),
    # In 10 s 10 s of ours, and others' as much as a fifth of one processor.
    (17.0, 1.0, []),
    (17.1, 1.0, ["Other programs used 21% of a processor."]),
    (15.0, 1.5, []),
    (15.0, 1.6, ["The hypervisor took 6% of a processor."]),
    (35.0, 11.0, ["Other programs used 200% of a processor.", "The hypervisor took 100% of a processor."]),
    # What is counted in ticks may come out a little below what we used.
    (14.9, 1.0, []),
])
def test_a_machine_that_others_use(used, stolen, told):
    assert machine_warnings(10.0, 10.0, Machine(5.0, 1.0), Machine(used, stolen)) == told
