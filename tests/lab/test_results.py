"""Results as data: what a step is called, and files with all of it and no figure that is none."""

import csv
import json
import math

import pytest

from livestream.contract import CHANNELS
from livestream.lab.results import (
    FIGURES, FORMAT, QUANTILES, Moment, Results, Step, results_csv, results_json,
)
from livestream.lab.tally import quantiles

MARKS = {"up": 0.5}
STEPS = [
    Step("pool", 1, {"late_p99": 1.5, "up": 1.0}, timeline=(Moment(0.25, 4, 50.5, 9),), marks=MARKS),
    Step("pool", 1_000, {"up": 999.0}, invalid=("Too slow.", "Too late."), warnings=("Not steady.",)),
    Step("ticker", 1, {}, invalid=('It said "no", twice.',)),
]


def results(**more):
    return Results("models", "livestream scale models", "2024-01-01T00:00:00+00:00", 3, "broadcaster", **more)


@pytest.mark.parametrize(("step", "name", "valid"), [
    (STEPS[0], "pool, 1 client", True),
    (STEPS[1], "pool, 1,000 clients", False),
    (Step("", 100, {}, warnings=("Hm.",)), "100 clients", True),
])
def test_a_step_has_a_name_and_is_valid_without_reasons(step, name, valid):
    assert (step.name, step.valid) == (name, valid)


def test_a_run_knows_its_conditions_and_whether_it_is_finished():
    assert not results(steps=STEPS[:2]).finished
    run = results(steps=STEPS)
    assert run.finished
    assert run.conditions == ["pool", "ticker"]
    assert (run.of("pool"), run.of("ticker"), run.of("threads")) == (STEPS[:2], STEPS[2:], [])


def test_json_has_all_of_it():
    text = results_json(results(steps=STEPS, server={"name": "the port"}, notes=["Größer."]))
    record = json.loads(text)
    assert (record["format"], record["finished"], record["planned"]) == (FORMAT, True, 3)
    assert (record["server"], record["notes"]) == ({"name": "the port"}, ["Größer."])
    assert record["steps"][0] == {
        "condition": "pool", "clients": 1, "figures": {"late_p99": 1.5, "up": 1.0},
        "invalid": [], "warnings": [],
        "timeline": [{"seconds": 0.25, "threads": 4, "rss_mb": 50.5, "descriptors": 9}], "marks": MARKS,
    }
    lateness = {"title": "lateness of an update, p99", "unit": "ms", "digits": 2}
    assert lateness.items() <= record["figures"]["late_p99"].items()
    assert record["figures"].keys() == FIGURES.keys()
    assert text.endswith("\n") and "Größer" in text


def test_what_is_no_number_is_refused_by_json():
    with pytest.raises(ValueError):
        results_json(results(steps=[Step("", 1, {"up": math.nan})]))


def test_csv_has_a_row_for_each_step_and_a_column_for_each_figure_there_is():
    rows = list(csv.reader(results_csv(results(steps=STEPS)).splitlines()))
    assert rows == [
        ["broadcaster", "clients", "valid", "up", "late_p99 [ms]", "remarks"],
        ["pool", "1", "true", "1.0", "1.5", ""],
        ["pool", "1000", "false", "999.0", "", "Too slow. Too late. Not steady."],
        ["ticker", "1", "false", "", "", 'It said "no", twice.'],
    ]
    assert results_csv(Results("sweep", "", "", 0)) == "condition,clients,valid,remarks\n"


def test_the_figures_have_the_quantiles_and_channels_that_there_are():
    assert quantiles([1.0]).keys() == QUANTILES.keys()
    for prefix in ("late", "connect"):
        assert {f"{prefix}_{short}" for short in QUANTILES} <= FIGURES.keys()
    assert {f"bytes_{channel.name}" for channel in CHANNELS} <= FIGURES.keys()
