"""A run in words: the headline of its report, and what its plots show for those who can't see them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from livestream.lab.reports.cells import measured, shown
from livestream.lab.reports.pictures import (
    TIME_PANELS, Panel, by_condition, pictures, time_lines, titles)
from livestream.lab.reports.reference import SOURCES, references_for
from livestream.lab.results import FIGURES, Results, Step

#: What a headline calls each experiment.
EXPERIMENTS: Final = {
    "sweep": "A sweep of",
    "lifecycle": "Opening and closing connections to",
    "soak": "A soak of",
    "switch-interval": "Several switch intervals of",
    "models": "Several broadcasters of",
}
#: What `host` says of what it doesn't know.
_UNKNOWN: Final = ("", "unknown")


def headline(results: Results) -> str:
    """One sentence: what was measured, on what, how many steps there are, and whether they count."""
    what = EXPERIMENTS.get(results.experiment, f"{results.experiment} of")
    parts = (f"{what} {server_name(results)}{_machine(results)}", _load(results))
    return f"{', '.join(part for part in parts if part)}: {_outcome(results)}."


def server_name(results: Results) -> str:
    """Name and version, or where it is."""
    server = results.server
    if server.get("name"):
        return " ".join(part for part in (server["name"], server.get("version")) if part)
    return server.get("url") or "a server"


def _machine(results: Results) -> str:
    known = {name: fact for name, fact in results.host.items() if fact not in _UNKNOWN}
    parts = [f"on {known['processor']}" if "processor" in known else "",
             f"with {known['cores']} cores" if "cores" in known else ""]
    told = "".join(f" {part}" for part in parts if part)
    # Of a server whose process isn't here only that it was looked at from here is known.
    if results.server_is_here or not told:
        return told
    return f", looked at from a machine with {known['processor']}" if "processor" in known else ""


def _load(results: Results) -> str:
    counts = sorted({step.clients for step in results.steps})
    if not counts:
        return ""
    last = Step("", counts[-1], {}).name
    return last if len(counts) == 1 else f"{counts[0]:,} to {last}"


def _outcome(results: Results) -> str:
    ran = len(results.steps)
    counted = f"{ran:,} {_steps(ran)}"
    if not results.finished:
        counted = f"stopped after {ran:,} of {results.planned:,} {_steps(results.planned)}"
    validity = _validity(ran, sum(not step.valid for step in results.steps))
    return f"{counted}, {validity}" if validity else counted


def _steps(number: int) -> str:
    return "step" if number == 1 else "steps"


def _validity(ran: int, invalid: int) -> str:
    if ran <= 1:
        return ("invalid" if invalid else "valid") if ran else ""
    if invalid in (0, ran):
        return "none of them valid" if invalid else "all valid"
    return f"{invalid:,} of them invalid"


def described(results: Results) -> dict[str, str]:
    """Every plot that the results have data for, in words: what is drawn, and its values at both ends."""
    lines = time_lines(results)
    against = {
        name: " ".join(_told(results, panel) for panel in picture.panels)
        for name, picture in pictures(results).items()
    }
    over_time = {name: _time_line(step) for name, step in lines.items()}
    return {name: f"{title}. {(against | over_time)[name]}" for name, title in titles(results).items()}


def _told(results: Results, panel: Panel) -> str:
    parts = [*_of_run(results, panel), *_of_sources(results, panel)]
    return f"{panel.title}: {'; '.join(parts)}."


def _of_run(results: Results, panel: Panel) -> Iterator[str]:
    if by_condition(results):
        yield ", ".join(("this run", *_values(results.steps, panel.figure, lambda step: step.condition)))
        return
    for condition in results.conditions:
        steps = sorted(results.of(condition), key=lambda step: step.clients)
        values = list(_values(steps, panel.figure, lambda step: Step("", step.clients, {}).name))
        yield f"this run{f' ({condition})' if condition else ''}, {_ends(values)}"


def _values(steps: Iterable[Step], figure: str, place: Callable[[Step], str]) -> Iterator[str]:
    for step in steps:
        value = measured(step, figure)
        if value is not None:
            yield f"{shown(figure, value)} at {place(step)}{'' if step.valid else ' (invalid)'}"


def _of_sources(results: Results, panel: Panel) -> Iterator[str]:
    run = {step.clients for step in results.steps}
    for source, known in references_for(results, panel.figure).items():
        text = SOURCES[source]
        counts = sorted(run if by_condition(results) else run.union(known.points))
        found = {count: known.at(count) for count in counts}
        values = [
            f"{shown(panel.figure, value)} at {Step('', count, {}).name}"
            for count, value in found.items() if value is not None
        ]
        if values:
            yield f"{text}, {_ends(values)}"


def _ends(values: list[str]) -> str:
    return " to ".join([values[0], values[-1]] if len(values) > 1 else values) if values else "nothing"


def _time_line(step: Step) -> str:
    end = step.timeline[-1].seconds
    panels = "; ".join(_course(step, panel) for panel in TIME_PANELS)
    marks = ", ".join(f"{name} at {at:.1f} s" for name, at in step.marks.items())
    return f"In {end:,.1f} s: {panels}.{f' Marked: {marks}.' if marks else ''}"


def _course(step: Step, panel: Panel) -> str:
    values = [getattr(moment, panel.figure) for moment in step.timeline]
    first, most, last = (shown(panel.figure, value) for value in (values[0], max(values), values[-1]))
    return f"{FIGURES[panel.figure].title} first {first}, at the most {most}, in the end {last}"
