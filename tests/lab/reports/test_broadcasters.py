"""The models experiment answers two claims of the report: is another broadcaster better, and in what."""

import math

import pytest

from livestream.lab.reports.claims import Verdict, judged
from livestream.lab.results import Results, Step


def run(experiment, *steps):
    return Results(experiment, "livestream scale", "2026-01-01T00:00:00Z", len(steps), steps=list(steps))


def verdict_of(claim, results):
    [found] = [one for one in judged(results) if one.id == claim]
    return found


def model(name, clients, memory, late, used, **more):
    figures = {"rss_per_client_kb": memory, "late_p99": late, "cpu_per_message_us": used}
    return Step(name, clients, figures, **more)


BASELINE = model("threads", 1000, 100, 5, 80)
# Steps beside the baseline; the cell; whether others scale better, whether threads are optimal.
MODELS = [
    ([model("pool", 1000, 10, 2, 20)], "pool: 3 better, 0 worse", True, False),
    ([model("pool", 1000, 300, 50, 200)], "pool: 0 better, 3 worse", False, True),
    ([model("pool", 1000, 100, 5, 80)], "pool: 0 better, 0 worse", False, True),
    ([model("pool", 1000, 119, 5.9, 65)], "pool: 0 better, 0 worse", False, True),
    ([model("pool", 1000, 121, 6.1, 63)], "pool: 1 better, 2 worse", False, False),
    ([model("pool", 1000, 10, 50, 80)], "pool: 1 better, 1 worse", False, False),
    ([model("pool", 1000, 10, 50, 20)], "pool: 2 better, 1 worse", True, False),
    ([model("pool", 1000, 300, 50, 200), model("ticker", 1000, 10, 5, 80)],
     "pool: 0 better, 3 worse; ticker: 1 better, 0 worse", True, False),
    ([model("ticker", 1000, 300, 50, 200), model("pool", 1000, 101, 5, 80)],
     "pool: 0 better, 0 worse; ticker: 0 better, 3 worse", False, True),
]


def told(holds):
    return Verdict.HOLDS if holds else Verdict.OFF


@pytest.mark.parametrize(("others", "cell", "better", "optimal"), MODELS)
def test_broadcasters_are_compared_and_both_claims_judged_by_it(others, cell, better, optimal):
    results = run("models", BASELINE, *others)
    for claim, holds in (("others-scale-better", better), ("threads-are-optimal", optimal)):
        found = verdict_of(claim, results)
        assert (found.measured, found.verdict, found.original) == (cell, told(holds), "–")
        assert found.sentence.startswith("Holds: at 1,000 clients" if holds else "Off: at 1,000 clients")


def test_the_sentence_has_every_figure_of_every_broadcaster():
    results = run("models", BASELINE, model("pool", 1000, 10, 50, 75), model("ticker", 1000, 12, 5, 20))
    found = verdict_of("others-scale-better", results)
    assert found.says == "might be better"
    assert found.sentence == (
        "Holds: at 1,000 clients, compared with threads, "
        "pool is better in memory per client (10 kB against 100 kB), "
        "equal in processor time per message (75.0 µs against 80.0 µs), "
        "worse in lateness p99 (50.00 ms against 5.00 ms); "
        "ticker is better in memory per client (12 kB against 100 kB) "
        "and processor time per message (20.0 µs against 80.0 µs), "
        "equal in lateness p99 (5.00 ms against 5.00 ms)."
    )
    other = verdict_of("threads-are-optimal", results)
    assert (other.says, other.sentence) == ("optimal", found.sentence.replace("Holds", "Off"))


def test_less_than_a_millisecond_of_lateness_is_no_difference():
    results = run("models", model("threads", 10, 100, 0.2, 80), model("pool", 10, 100, 1.1, 80))
    assert verdict_of("others-scale-better", results).measured == "pool: 0 better, 0 worse"
    results = run("models", model("threads", 10, 100, 0.2, 80), model("pool", 10, 100, 1.3, 80))
    assert verdict_of("others-scale-better", results).measured == "pool: 0 better, 1 worse"


def test_the_most_clients_that_all_have_valid_are_compared():
    good, bad = (100, 5, 80), (300, 50, 200)
    results = run(
        "models",
        model("threads", 100, *good), model("threads", 1000, *good), model("threads", 2000, *good),
        model("pool", 100, *bad), model("pool", 1000, *good), model("pool", 4000, *bad),
        model("pool", 2000, *bad, invalid=("No.",)),
        model("ticker", 1000, *bad), model("ticker", 100, *good),
    )
    found = verdict_of("threads-are-optimal", results)
    assert found.sentence.startswith("Holds: at 1,000 clients, compared with threads, pool is equal in ")
    assert found.measured == "pool: 0 better, 0 worse; ticker: 0 better, 3 worse"


@pytest.mark.parametrize("steps", [
    [BASELINE],
    [model("pool", 1000, 1, 1, 1), model("ticker", 1000, 1, 1, 1)],
    [BASELINE, model("pool", 2000, 1, 1, 1)],
    [BASELINE, model("pool", 1000, 1, 1, 1, invalid=("No.",))],
    [BASELINE, model("pool", 1000, 1, math.nan, 1)],
    [BASELINE, Step("pool", 1000, {"late_p99": 1, "rss_per_client_kb": 1})],
    [BASELINE, model("pool", 1000, 1, 1, 1), model("ticker", 2000, 1, 1, 1)],
    [BASELINE, model("something else", 1000, 1, 1, 1)],
])
def test_broadcasters_that_have_nothing_in_common_are_not_compared(steps):
    for claim in ("others-scale-better", "threads-are-optimal"):
        found = verdict_of(claim, run("models", *steps))
        assert (found.measured, found.verdict) == ("–", Verdict.NOT_MEASURED)
        assert found.sentence == (
            "Not measured: this run has no number of clients at which threads and all of pool and ticker "
            "that ran have valid steps with every figure compared.")


def test_only_the_models_experiment_compares_broadcasters():
    steps = BASELINE, model("pool", 1000, 1, 1, 1)
    for experiment in ("sweep", "lifecycle", "soak", "switch-interval"):
        assert verdict_of("others-scale-better", run(experiment, *steps)).sentence == (
            "Not measured: the models experiment shows it (livestream scale models).")
