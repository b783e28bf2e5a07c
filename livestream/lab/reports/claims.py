"""The report's claims judged by a run, and the run's figures beside the report's and the original's.

Only valid steps count; a figure that a step lacks, or that is no finite number, was not measured.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from livestream.lab.reports.broadcasters import beside
from livestream.lab.reports.cells import (
    NOTHING, clients_told, given, given_number, measured, number, ratio, shown as shown,
)
from livestream.lab.reports.reference import (
    MODELS_EXPERIMENT, ORIGINAL, REPORT, Claim, ModelClaim, comparable, reference, references,
)
from livestream.lab.results import FIGURES, Results, Step

#: Stands once at the table of `comparison`, and holds for every ratio in it.
MACHINE_NOTE: Final = (
    "The original's figures are of the machine it was measured on, with two processors shared with the load: "
    "a ratio to them compares two runs on two states of a machine, not two programs alone."
)


class Verdict(Enum):
    """What a run makes of a claim."""

    HOLDS = "holds"
    OFF = "off"
    NOT_MEASURED = "not measured"


class Judged(NamedTuple):
    """One claim and what came of it; all but the verdict is text as tables show it."""

    id: str
    #: The report's words, shortened.
    claim: str
    #: What the report says, what the original was measured to do, and what this run found.
    #: NOTHING where nothing is known.
    says: str
    original: str
    measured: str
    verdict: Verdict
    #: It holds, is off by so much, or is shown by another experiment.
    sentence: str


class Row(NamedTuple):
    """One figure of one step beside the report's and the original's; cells have their units."""

    condition: str
    clients: int
    #: By the name of FIGURES, then its title and unit.
    figure: str
    title: str
    unit: str
    #: NOTHING where nothing is known.
    report: str
    original: str
    measured: str
    #: This run ÷ the original; NOTHING where one of them is missing.
    ratio: str


def judged(results: Results) -> list[Judged]:
    """Every claim once, in the order of the packaged file, whatever the experiment was."""
    known = references()
    return [
        *(_judged(claim, results) for claim in known.claims),
        *(_judged_models(claim, results) for claim in known.model_claims),
    ]


def comparison(results: Results) -> list[Row]:
    """For each valid step the figures that the report or the original has there, in the order of FIGURES.

    A figure that no valid step has is another experiment's and left out.
    """
    steps = [step for step in results.steps if step.valid]
    names = [
        name for name in FIGURES
        if comparable(results, name) and any(measured(step, name) is not None for step in steps)
    ]
    rows = (_row(step, name) for step in steps for name in names)
    return [row for row in rows if (row.report, row.original) != (NOTHING, NOTHING)]


def _row(step: Step, name: str) -> Row:
    value, figure = measured(step, name), FIGURES[name]
    original = _known(ORIGINAL, name, step.clients)
    return Row(
        step.condition, step.clients, name, figure.title, figure.unit,
        report=_cell(REPORT, name, step.clients),
        original=_cell(ORIGINAL, name, step.clients),
        measured=NOTHING if value is None else shown(name, value),
        ratio=NOTHING if value is None else ratio(value, original),
    )


def _known(source: str, figure: str, clients: int | None) -> float | None:
    """What a source has there, or at any number of clients."""
    found = reference(source, figure)
    if found is None:
        return None
    return found.constant if clients is None else found.at(clients)


def _cell(source: str, figure: str, clients: int | None, times: int = 1) -> str:
    value, found = _known(source, figure, clients), reference(source, figure)
    return NOTHING if value is None or found is None else given(figure, value * times, found.about)


class _Measured(NamedTuple):
    """What a claim is judged by: a value in the figure's unit, and how far beyond what is allowed it is."""

    step: Step
    value: float
    excess: float


def _judged(claim: Claim, results: Results) -> Judged:
    found = _furthest_off(claim, results) if results.experiment == claim.experiment else None
    verdict = _verdict(found)
    times = claim.clients or 1 if claim.times_clients else 1
    return Judged(
        claim.id, claim.claim,
        says=claim.says or given(claim.figure, claim.value, claim.about),
        original=claim.original or _cell(ORIGINAL, claim.figure, claim.clients, times),
        measured=NOTHING if found is None else shown(claim.figure, found.value),
        verdict=verdict,
        sentence=_not_measured(claim, results) if found is None else _SENTENCES[verdict](claim, found),
    )


def _verdict(found: _Measured | None) -> Verdict:
    if found is None:
        return Verdict.NOT_MEASURED
    return Verdict.OFF if found.excess > 0 else Verdict.HOLDS


def _furthest_off(claim: Claim, results: Results) -> _Measured | None:
    """A claim holds only when it holds in every step; the step with the most clients tells that it does."""
    found = [_measure(claim, step, value) for step, value in _answering(claim, results)]
    return max(found, key=lambda one: (max(0.0, one.excess), one.step.clients), default=None)


def _answering(claim: Claim, results: Results) -> Iterable[tuple[Step, float]]:
    if not comparable(results, claim.figure):
        return
    for step in results.steps:
        value = measured(step, claim.figure)
        there = claim.clients is None or claim.clients == step.clients
        if step.valid and there and value is not None and _has(step, claim) and _is_sure(step, claim, value):
            yield step, value * step.clients if claim.times_clients else value


def _has(step: Step, claim: Claim) -> bool:
    """Whether it has what the claim needs besides."""
    found = ((measured(step, name), least) for name, least in claim.needs.items())
    return all(value is not None and value >= least for value, least in found)


def _is_sure(step: Step, claim: Claim, value: float) -> bool:
    """What shrinks for reasons of its own, or is known too badly, neither holds nor is off."""
    if not claim.error:
        return True
    error = measured(step, claim.error)
    return error is not None and 2 * error <= claim.allowed(step.clients) and value >= -2 * error


def _measure(claim: Claim, step: Step, value: float) -> _Measured:
    distance = value - claim.value if claim.at_most else abs(value - claim.value)
    return _Measured(step, value, distance - claim.allowed(step.clients))


def _holds(claim: Claim, found: _Measured) -> str:
    same = number(claim.figure, found.value) == number(claim.figure, claim.value)
    return f"Holds: {_finding(claim, found)}{'' if same else f'; the report says {_said(claim)}'}."


def _off(claim: Claim, found: _Measured) -> str:
    finding, how_much = _finding(claim, found), _by_how_much(claim, found)
    return f"Off: {finding} where the report says {_said(claim)}, {how_much}."


_SENTENCES: Final = {Verdict.HOLDS: _holds, Verdict.OFF: _off}


def _finding(claim: Claim, found: _Measured) -> str:
    step = found.step
    condition = f" ({step.condition})" if step.condition else ""
    return f"{number(claim.figure, found.value)} {claim.thing} at {clients_told(step.clients)}{condition}"


def _said(claim: Claim) -> str:
    return claim.says or given_number(claim.value, claim.about)


def _by_how_much(claim: Claim, found: _Measured) -> str:
    if not claim.value or found.value < 0:
        return f"off by {number(claim.figure, found.value - claim.value)}"
    share = ratio(found.value, claim.value)
    return f"{share} of it" if found.value < claim.value else f"{share} times that"


def _not_measured(claim: Claim, results: Results) -> str:
    if results.experiment != claim.experiment:
        return _elsewhere(claim.experiment)
    if not comparable(results, claim.figure):
        return f"Not measured: at time scale {results.time_scale:g} it can't be told."
    there = "" if claim.clients is None else f" at {clients_told(claim.clients)}"
    needs = "".join(
        f"; a step counts from {given(name, least)} on ({FIGURES[name].title})"
        for name, least in claim.needs.items())
    sure = "" if not claim.error else (
        f"; it counts when its standard error is at most {given(claim.error, claim.allowed(0) / 2)} "
        "and it isn't clearly negative")
    return f"Not measured: no valid step of this run tells it{there}{needs}{sure}."


def _judged_models(claim: ModelClaim, results: Results) -> Judged:
    found = beside(results) if results.experiment == MODELS_EXPERIMENT else None
    if found is None:
        told = _no_comparison(results)
        return Judged(claim.id, claim.claim, claim.says, NOTHING, NOTHING, Verdict.NOT_MEASURED, told)
    verdict = Verdict.HOLDS if found.holds(claim.holds_if) else Verdict.OFF
    told = f"{verdict.value.capitalize()}: {found.told}."
    return Judged(claim.id, claim.claim, claim.says, NOTHING, found.counts, verdict, told)


def _no_comparison(results: Results) -> str:
    if results.experiment != MODELS_EXPERIMENT:
        return _elsewhere(MODELS_EXPERIMENT)
    known = references()
    return (
        f"Not measured: this run has no number of clients at which {known.baseline} and all of "
        f"{' and '.join(known.others)} that ran have valid steps with every figure compared."
    )


def _elsewhere(experiment: str) -> str:
    return f"Not measured: the {experiment} experiment shows it (livestream scale {experiment})."
