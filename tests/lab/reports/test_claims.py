"""Each claim of the report: a run that bears it out, one that is off by so much, one that can't tell."""

import math

import pytest

from livestream.lab.reports.claims import MACHINE_NOTE, Row, Verdict, comparison, judged, shown
from livestream.lab.reports.reference import EXPERIMENTS
from livestream.lab.results import FIGURES, Results, Step

IDS = [
    "threads-per-client", "threads-at-100", "threads-at-1000", "bytes-per-client", "bytes-tps_updates",
    "bytes-block_updates", "bytes-network_status", "bytes-validator_metrics", "bytes-at-100", "bytes-at-1000",
    "registry-entry", "cleanup", "cleanup-at-once", "others-scale-better", "threads-are-optimal",
]
EXPERIMENT = dict.fromkeys(IDS[:10], "sweep") | {
    "registry-entry": "soak", "cleanup": "lifecycle", "cleanup-at-once": "lifecycle",
    "others-scale-better": "models", "threads-are-optimal": "models",
}
ERROR = "rss_per_closed_connection_error_bytes"
SURE = {"closed_connections": 1000, ERROR: 25.0}
ALL_CAME = {"delivered": 99.9}

# Claim, number of clients and figures; cells of the report and of this run; the sentence.
HOLDS = [
    ("threads-per-client", 1000, {"channel_threads_per_client": 4.0}, "4", "4.00",
     "Holds: 4.00 channel threads per client at 1,000 clients."),
    ("threads-per-client", 1000, {"channel_threads_per_client": 3.97}, "4", "3.97",
     "Holds: 3.97 channel threads per client at 1,000 clients; the report says 4."),
    ("threads-at-100", 100, {"channel_threads": 400}, "400", "400",
     "Holds: 400 channel threads in all at 100 clients."),
    ("threads-at-1000", 1000, {"channel_threads": 4000}, "4,000", "4,000",
     "Holds: 4,000 channel threads in all at 1,000 clients."),
    ("bytes-per-client", 1000, ALL_CAME | {"bytes_per_client": 520.2}, "~550 B/s", "520 B/s",
     "Holds: 520 bytes a second and client at 1,000 clients; the report says ~550."),
    ("bytes-tps_updates", 1, ALL_CAME | {"bytes_tps_updates": 300}, "~300 B/s", "300 B/s",
     "Holds: 300 bytes a second and client of tps_updates at 1 client."),
    ("bytes-block_updates", 10, ALL_CAME | {"bytes_block_updates": 91}, "~100 B/s", "91 B/s",
     "Holds: 91 bytes a second and client of block_updates at 10 clients; the report says ~100."),
    ("bytes-network_status", 10, ALL_CAME | {"bytes_network_status": 83.1}, "~83 B/s", "83 B/s",
     "Holds: 83 bytes a second and client of network_status at 10 clients."),
    ("bytes-validator_metrics", 10, ALL_CAME | {"bytes_validator_metrics": 76}, "~70 B/s", "76 B/s",
     "Holds: 76 bytes a second and client of validator_metrics at 10 clients; the report says ~70."),
    ("bytes-at-100", 100, ALL_CAME | {"bytes_per_client": 540}, "~55,000 B/s", "54,000 B/s",
     "Holds: 54,000 bytes a second to all clients together at 100 clients; the report says ~55,000."),
    ("bytes-at-1000", 1000, ALL_CAME | {"bytes_per_client": 550}, "~550,000 B/s", "550,000 B/s",
     "Holds: 550,000 bytes a second to all clients together at 1,000 clients."),
    ("registry-entry", 500, SURE | {"rss_per_closed_connection_bytes": 140},
     "~100 B", "140 B",
     "Holds: 140 bytes of memory kept per connection that has gone at 500 clients; the report says ~100."),
    ("registry-entry", 500, SURE | {"rss_per_closed_connection_bytes": -0.3},
     "~100 B", "0 B",
     "Holds: 0 bytes of memory kept per connection that has gone at 500 clients; the report says ~100."),
    ("cleanup", 1000, {"threads_left": 0}, "none", "0", "Holds: 0 threads left over at 1,000 clients."),
    ("cleanup", 1000, {"threads_left": 27}, "none", "27",
     "Holds: 27 threads left over at 1,000 clients; the report says none."),
    ("cleanup-at-once", 1000, {"gone_seconds": 0.347}, "at once", "0.35 s",
     "Holds: 0.35 seconds from the last close until the threads were gone at 1,000 clients; "
     "the report says at once."),
]
OFF = [
    ("threads-per-client", 1000, {"channel_threads_per_client": 5.0}, "4", "5.00",
     "Off: 5.00 channel threads per client at 1,000 clients where the report says 4, 1.25 times that."),
    ("threads-per-client", 1000, {"channel_threads_per_client": 3.5}, "4", "3.50",
     "Off: 3.50 channel threads per client at 1,000 clients where the report says 4, 0.88 of it."),
    ("threads-at-100", 100, {"channel_threads": 100}, "400", "100",
     "Off: 100 channel threads in all at 100 clients where the report says 400, 0.25 of it."),
    ("threads-at-1000", 1000, {"channel_threads": 4}, "4,000", "4",
     "Off: 4 channel threads in all at 1,000 clients where the report says 4,000, 0.0010 of it."),
    ("bytes-per-client", 1000, ALL_CAME | {"bytes_per_client": 286}, "~550 B/s", "286 B/s",
     "Off: 286 bytes a second and client at 1,000 clients where the report says ~550, 0.52 of it."),
    ("bytes-tps_updates", 10, ALL_CAME | {"bytes_tps_updates": 150}, "~300 B/s", "150 B/s",
     "Off: 150 bytes a second and client of tps_updates at 10 clients where the report says ~300, "
     "0.50 of it."),
    ("bytes-block_updates", 10, ALL_CAME | {"bytes_block_updates": 61}, "~100 B/s", "61 B/s",
     "Off: 61 bytes a second and client of block_updates at 10 clients where the report says ~100, "
     "0.61 of it."),
    ("bytes-network_status", 10, ALL_CAME | {"bytes_network_status": 41.5}, "~83 B/s", "42 B/s",
     "Off: 42 bytes a second and client of network_status at 10 clients where the report says ~83, "
     "0.50 of it."),
    ("bytes-validator_metrics", 10, ALL_CAME | {"bytes_validator_metrics": 140}, "~70 B/s", "140 B/s",
     "Off: 140 bytes a second and client of validator_metrics at 10 clients where the report says ~70, "
     "2.00 times that."),
    ("bytes-at-100", 100, ALL_CAME | {"bytes_per_client": 286}, "~55,000 B/s", "28,600 B/s",
     "Off: 28,600 bytes a second to all clients together at 100 clients where the report says ~55,000, "
     "0.52 of it."),
    ("bytes-at-1000", 1000, ALL_CAME | {"bytes_per_client": 286}, "~550,000 B/s", "286,000 B/s",
     "Off: 286,000 bytes a second to all clients together at 1,000 clients where the report says ~550,000, "
     "0.52 of it."),
    ("registry-entry", 500, SURE | {"rss_per_closed_connection_bytes": 512},
     "~100 B", "512 B",
     "Off: 512 bytes of memory kept per connection that has gone at 500 clients where the report says ~100, "
     "5.12 times that."),
    ("cleanup", 1000, {"threads_left": 4000}, "none", "4,000",
     "Off: 4,000 threads left over at 1,000 clients where the report says none, off by 4,000."),
    ("cleanup", 10, {"threads_left": 10}, "none", "10",
     "Off: 10 threads left over at 10 clients where the report says none, off by 10."),
    ("cleanup-at-once", 1000, {"gone_seconds": 4.98}, "at once", "4.98 s",
     "Off: 4.98 seconds from the last close until the threads were gone at 1,000 clients where the report "
     "says at once, off by 4.98."),
]
KEPT = ("; a step counts from 1,000 on (connections that came and went); it counts when its standard error "
        "is at most 25 B and it isn't clearly negative.")
ENOUGH = "; a step counts from 99% on (updates delivered ÷ expected)."
# A step that lacks what the claim rests on, and what is said then.
CAN_T_TELL = [
    ("threads-per-client", 1000, {}, "."),
    ("threads-at-100", 1000, {"channel_threads": 4000}, " at 100 clients."),
    ("threads-at-1000", 100, {"channel_threads": 400}, " at 1,000 clients."),
    ("bytes-per-client", 4000, {"bytes_per_client": 140, "delivered": 49}, ENOUGH),
    ("bytes-per-client", 4000, {"bytes_per_client": 550}, ENOUGH),
    ("bytes-tps_updates", 10, {"bytes_tps_updates": 150, "delivered": 98.9}, ENOUGH),
    ("bytes-block_updates", 10, ALL_CAME, ENOUGH),
    ("bytes-network_status", 10, ALL_CAME | {"bytes_network_status": math.nan}, ENOUGH),
    ("bytes-validator_metrics", 10, ALL_CAME | {"bytes_validator_metrics": math.inf}, ENOUGH),
    ("bytes-at-100", 99, ALL_CAME | {"bytes_per_client": 550}, f" at 100 clients{ENOUGH}"),
    ("bytes-at-1000", 1000, {"bytes_per_client": 550, "delivered": math.nan}, f" at 1,000 clients{ENOUGH}"),
    ("registry-entry", 500,
     SURE | {"closed_connections": 999, "rss_per_closed_connection_bytes": 100}, KEPT),
    ("registry-entry", 500, {"closed_connections": 1000, "rss_per_closed_connection_bytes": 100}, KEPT),
    ("registry-entry", 500, SURE | {"rss_per_closed_connection_bytes": 100, ERROR: 25.1}, KEPT),
    ("registry-entry", 500, SURE | {"rss_per_closed_connection_bytes": -50.1}, KEPT),
    ("cleanup", 1000, {"gone_seconds": 1}, "."),
    ("cleanup-at-once", 1000, {"threads_left": 4000}, "."),
]


def run(experiment, *steps):
    return Results(experiment, "livestream scale", "2026-01-01T00:00:00Z", len(steps), steps=list(steps))


def verdict_of(claim, results):
    found = [one for one in judged(results) if one.id == claim]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("results", [run(name) for name in EXPERIMENTS], ids=EXPERIMENTS)
def test_every_claim_appears_once_in_order_and_an_empty_run_measures_none(results):
    found = judged(results)
    assert [one.id for one in found] == IDS
    assert {one.verdict for one in found} == {Verdict.NOT_MEASURED}
    assert {one.measured for one in found} == {"–"}
    assert all(one.sentence.startswith("Not measured: ") and one.sentence.endswith(".") for one in found)


def test_every_claim_has_a_run_of_each_kind_here():
    for cases in (HOLDS, OFF, CAN_T_TELL):
        assert {case[0] for case in cases} == set(IDS) - {"others-scale-better", "threads-are-optimal"}


@pytest.mark.parametrize(("claim", "clients", "figures", "says", "measured", "sentence"), HOLDS)
def test_a_claim_holds(claim, clients, figures, says, measured, sentence):
    found = verdict_of(claim, run(EXPERIMENT[claim], Step("", clients, figures)))
    assert (found.says, found.measured, found.verdict, found.sentence) == (
        says, measured, Verdict.HOLDS, sentence)


@pytest.mark.parametrize(("claim", "clients", "figures", "says", "measured", "sentence"), OFF)
def test_a_claim_is_off_and_the_sentence_says_by_how_much(claim, clients, figures, says, measured, sentence):
    found = verdict_of(claim, run(EXPERIMENT[claim], Step("", clients, figures)))
    assert (found.says, found.measured, found.verdict, found.sentence) == (
        says, measured, Verdict.OFF, sentence)


@pytest.mark.parametrize(("claim", "clients", "figures", "why"), CAN_T_TELL)
def test_a_run_that_can_t_tell_says_what_it_lacks(claim, clients, figures, why):
    found = verdict_of(claim, run(EXPERIMENT[claim], Step("", clients, figures)))
    assert (found.measured, found.verdict) == ("–", Verdict.NOT_MEASURED)
    assert found.sentence == f"Not measured: no valid step of this run tells it{why}"


@pytest.mark.parametrize(("claim", "clients", "figures"), [case[:3] for case in HOLDS + OFF])
def test_an_invalid_step_answers_nothing(claim, clients, figures):
    step = Step("", clients, figures, invalid=("The load was late.",))
    assert verdict_of(claim, run(EXPERIMENT[claim], step)).verdict is Verdict.NOT_MEASURED


@pytest.mark.parametrize(("claim", "clients", "figures"), [case[:3] for case in HOLDS + OFF])
def test_another_experiment_answers_nothing_and_says_which_does(claim, clients, figures):
    right = EXPERIMENT[claim]
    for experiment in {"sweep", "lifecycle", "soak", "switch-interval", "models"} - {right}:
        found = verdict_of(claim, run(experiment, Step("", clients, figures)))
        assert (found.verdict, found.measured) == (Verdict.NOT_MEASURED, "–")
        assert found.sentence == (
            f"Not measured: the {right} experiment shows it (livestream scale {right}).")


def test_the_original_s_cells_are_what_was_measured_on_it():
    assert {one.id: one.original for one in judged(run("sweep")) if one.original != "–"} == {
        "threads-per-client": "4",
        "threads-at-100": "400, in a process of 454",
        "threads-at-1000": "4,000, in a process of 4,081",
        "bytes-per-client": "286 B/s",
        "bytes-at-100": "28,600 B/s",
        "bytes-at-1000": "286,000 B/s",
        "cleanup-at-once": "up to 5 s, at the next wake-up",
    }


def threads(clients, each, condition="", **more):
    return Step(condition, clients, {"channel_threads_per_client": each}, **more)


def test_a_claim_holds_only_when_it_holds_in_every_step():
    results = run("sweep", threads(100, 4), threads(1000, 3), threads(2000, 3.5))
    found = verdict_of("threads-per-client", results)
    assert found.sentence == (
        "Off: 3.00 channel threads per client at 1,000 clients where the report says 4, 0.75 of it.")


def test_of_steps_that_are_equally_far_off_the_one_with_most_clients_is_told():
    results = run("sweep", threads(100, 4), threads(2000, 4), threads(1000, 4))
    found = verdict_of("threads-per-client", results)
    assert found.sentence == "Holds: 4.00 channel threads per client at 2,000 clients."


def test_invalid_steps_and_those_without_the_figure_don_t_spoil_the_others():
    steps = threads(100, 9, invalid=("No.",)), threads(2000, math.nan), Step("", 4000, {}), threads(1000, 4)
    found = verdict_of("threads-per-client", run("sweep", *steps))
    assert found.sentence == "Holds: 4.00 channel threads per client at 1,000 clients."


def test_a_step_s_condition_is_told():
    found = verdict_of("threads-per-client", run("sweep", threads(100, 4, "pinned")))
    assert found.sentence == "Holds: 4.00 channel threads per client at 100 clients (pinned)."


@pytest.mark.parametrize(("each", "verdict"), [
    (495, Verdict.HOLDS), (494, Verdict.OFF), (605, Verdict.HOLDS), (606, Verdict.OFF),
])
def test_a_tenth_off_about_550_still_holds_and_no_more(each, verdict):
    results = run("sweep", Step("", 10, {"bytes_per_client": each, "delivered": 99}))
    assert verdict_of("bytes-per-client", results).verdict is verdict


@pytest.mark.parametrize(("clients", "left", "verdict"), [
    (1000, 100, Verdict.HOLDS), (1000, 101, Verdict.OFF), (10, 1, Verdict.HOLDS), (10, 2, Verdict.OFF),
])
def test_a_thread_for_ten_clients_may_be_the_container_s_own(clients, left, verdict):
    results = run("lifecycle", Step("", clients, {"threads_left": left}))
    assert verdict_of("cleanup", results).verdict is verdict


def test_the_table_has_the_report_the_original_and_this_run_side_by_side():
    figures = {
        "channel_threads_per_client": 4.0, "threads": 5003, "rss_per_client_kb": 108.4, "late_p99": 0.8,
        "bytes_per_client": 286.4, "cpu_share": 30.0,
    }
    rows = comparison(run("sweep", Step("", 1000, figures)))
    assert rows == [
        Row("", 1000, "late_p99", "lateness of an update, p99", "ms", "–", "4.8 ms", "0.80 ms", "0.17"),
        Row("", 1000, "bytes_per_client", "bytes per client, all channels", "B/s",
            "~550 B/s", "286 B/s", "286 B/s", "1.00"),
        Row("", 1000, "threads", "threads in all", "", "–", "4,081", "5,003", "1.23"),
        Row("", 1000, "channel_threads_per_client", "channel threads per client", "",
            "4", "4", "4.00", "1.00"),
        Row("", 1000, "rss_per_client_kb", "memory (RSS) per client", "kB",
            "–", "524 kB", "108 kB", "0.21"),
    ]


def test_the_table_goes_step_by_step_and_has_only_what_is_known_there():
    figures = {"channel_threads": 40, "late_p99": 1.0, "delivered": 98.0}
    steps = Step("a", 4000, figures), Step("b", 1500, figures), Step("b", 1000, figures)
    assert [row[:3] for row in comparison(run("switch-interval", *steps))] == [
        ("a", 4000, "delivered"), ("a", 4000, "late_p99"), ("a", 4000, "channel_threads"),
        ("b", 1500, "channel_threads"),
        ("b", 1000, "late_p99"), ("b", 1000, "channel_threads"),
    ]


def test_the_table_leaves_out_invalid_steps_and_what_no_valid_step_has():
    steps = (
        Step("", 1000, {"threads": 9, "late_p50": 1.0}, invalid=("No.",)),
        Step("", 2000, {"threads": math.nan}),
    )
    assert comparison(run("sweep", *steps)) == []
    assert comparison(run("sweep")) == []


def test_a_step_that_lacks_what_others_have_has_a_dash_there():
    steps = Step("", 1000, {"threads": 5003}), Step("", 2000, {"late_p50": 1.2})
    rows = comparison(run("sweep", *steps))
    assert [(row.clients, row.figure, row.measured, row.ratio) for row in rows] == [
        (1000, "late_p50", "–", "–"), (1000, "threads", "5,003", "1.23"),
        (2000, "late_p50", "1.20 ms", "1.00"), (2000, "threads", "–", "–"),
    ]


@pytest.mark.parametrize(("late", "ratio"), [
    (0, "0.00"), (0.0001, "< 0.0001"), (0.2, "0.00021"), (1, "0.0011"), (30, "0.032"), (94.6, "0.10"),
    (946, "1.00"), (94_600, "100.00"), (9_460_000, "10,000.00"), (-1, "–"),
])
def test_a_ratio_is_as_exact_as_it_is_worth(late, ratio):
    [row] = comparison(run("sweep", Step("", 4000, {"late_p50": late})))
    assert row.ratio == ratio


@pytest.mark.parametrize(("figure", "value", "text"), [
    ("threads", 4081, "4,081"),
    ("threads", 4080.6, "4,081"),
    ("late_p50", 0.444, "0.44 ms"),
    ("late_p99", 2014, "2,014.00 ms"),
    ("delivered", 99.9, "99.90%"),
    ("bytes_per_client", 285.7, "286 B/s"),
    ("rss_growth_kb_per_minute", -1234.56, "-1,234.6 kB/min"),
    ("rss_growth_kb_per_minute", -0.01, "0.0 kB/min"),
    ("cpu_per_message_us", 73, "73.0 µs"),
])
def test_a_figure_is_shown_with_its_digits_and_unit(figure, value, text):
    assert shown(figure, value) == text


def test_every_figure_can_be_shown():
    assert all(shown(name, 1).startswith("1") for name in FIGURES)


def test_the_note_says_once_where_the_original_s_figures_come_from():
    assert "the machine it was measured on" in MACHINE_NOTE
    assert "shared with the load" in MACHINE_NOTE


# Another time scale.


def scaled(time_scale):
    figures = {"bytes_per_client": 550.0, "late_p99": 4.8, "channel_threads_per_client": 4.0, **ALL_CAME}
    step = Step("", 1000, figures)
    return Results("sweep", "", "", 1, time_scale=time_scale, steps=[step])


def test_at_another_time_scale_only_what_hangs_on_no_interval_is_judged():
    by_id = {claim.id: claim for claim in judged(scaled(0.1))}
    assert by_id["threads-per-client"].verdict is Verdict.HOLDS
    assert by_id["bytes-per-client"].verdict is Verdict.NOT_MEASURED
    assert by_id["bytes-per-client"].sentence == "Not measured: at time scale 0.1 it can't be told."


def test_at_another_time_scale_only_what_hangs_on_no_interval_is_compared():
    # SPEC has 286 B/s, 4.8 ms and 4 threads at 1,000 clients.
    assert {row.figure for row in comparison(scaled(1.0))} == {
        "bytes_per_client", "late_p99", "channel_threads_per_client"}
    assert [row.figure for row in comparison(scaled(0.1))] == ["channel_threads_per_client"]


def test_of_claims_that_hold_the_step_with_the_most_clients_tells():
    steps = [Step("", clients, {"threads_left": 0}) for clients in (1, 1000, 100)]
    by_id = {claim.id: claim for claim in judged(Results("lifecycle", "", "", 3, steps=steps))}
    assert by_id["cleanup"].sentence == "Holds: 0 threads left over at 1,000 clients."
