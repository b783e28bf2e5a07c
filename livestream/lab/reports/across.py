"""The x axis of a plot: clients, or, when those are the same in every step, what was varied."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from livestream.lab.reports.pictures import Picture, by_condition
from livestream.lab.reports.reference import Reference, references_for
from livestream.lab.reports.styles import AXIS_WIDTH
from livestream.lab.reports.text import label
from livestream.lab.reports.ticks import number, roomy, spans_decades
from livestream.lab.results import Results, Step

#: In how many parts of an axis it is asked whether a rule still holds.
_PARTS: Final = 40

Points = Sequence[tuple[float, float]]


class Across(NamedTuple):
    """Where a step stands, and which steps belong to one line."""

    label: str
    place: Callable[[Step], float]
    #: By what the legend calls them; "" for the only one.
    lines: dict[str, list[Step]]
    ticks: Mapping[float, str]
    limits: tuple[float, float]
    log: bool = False
    #: The numbers of clients on it; empty when conditions are on it.
    counts: Sequence[int] = ()
    #: The one number of clients, when conditions are on it.
    clients: int | None = None

    def points(self, steps: Sequence[Step], figure: str, *, valid: bool) -> Points:
        """What those of the steps that are valid, or are not, found of a figure, from left to right."""
        counted = (step for step in steps if step.valid is valid)
        found = ((self.place(step), step.figures.get(figure, math.nan)) for step in counted)
        return sorted((x, y) for x, y in found if math.isfinite(y))

    def rule(self, known: Reference) -> Points:
        """The points (clients, value) of what is known by a rule; none where only some points are known."""
        low, high = map(math.ceil, self.limits)
        between = (low + (high - low) * part // _PARTS for part in range(_PARTS + 1))
        found = {count: known.at(count) for count in sorted({*self.counts, *between})}
        rule = [(float(count), value) for count, value in found.items() if value is not None]
        return rule if any(count not in known.points for count, _ in rule) else []


def x_axis(results: Results, picture: Picture) -> Across:
    """Of results with at least one step."""
    return _conditions(results) if by_condition(results) else _clients(results, picture)


def _clients(results: Results, picture: Picture) -> Across:
    given = (
        known.points for panel in picture.panels for known in references_for(results, panel.figure).values())
    counts = sorted({step.clients for step in results.steps}.union(*given))
    log = spans_decades(counts)
    limits = (counts[0] / 1.25, counts[-1] * 1.25) if log else (0.0, max(1, counts[-1]) * 1.08)
    ticks = {float(count): number(count) for count in roomy(counts, *limits, log, AXIS_WIDTH)}
    lines = {condition: results.of(condition) for condition in results.conditions}
    return Across("clients", lambda step: step.clients, lines, ticks, limits, log, counts)


def _conditions(results: Results) -> Across:
    names = results.conditions
    first = results.steps[0]
    ticks = {float(at): label(name, 16) for at, name in enumerate(names)}
    return Across(
        label(f"{results.varied}, at {Step('', first.clients, {}).name}"),
        lambda step: names.index(step.condition), {"": results.steps}, ticks, (-0.5, len(names) - 0.5),
        clients=first.clients)
