"""A report as one page that needs nothing else: no network, no script, no second file."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from livestream.parity.judging.deviations import LAYERS
from livestream.parity.judging.difference import Difference
from livestream.parity.judging.verdict import Layer, Report, Result, Verdict
from livestream.parity.reports.headline import Group, flags_told, groups, headline
from livestream.parity.reports.marking import Piece, marked
from livestream.parity.reports.sent import EMPTY, sent, shortened, visible

#: How many differences, and how many steps that were sent, the page shows of one case.
MOST: Final = 30
#: How much of one part that differs the page shows, in characters.
LONGEST_PART: Final = 2_000
#: The columns of a session's figures, and what stands above them.
FIGURES: Final = {
    "delivered": "updates",
    "first_update": "first update,\N{NO-BREAK SPACE}s",
    "mean": "mean interval,\N{NO-BREAK SPACE}s",
    "median": "median interval,\N{NO-BREAK SPACE}s",
    "spread": "spread,\N{NO-BREAK SPACE}s",
    "bytes_per_second": "bytes/s",
}
_NO_FIGURE: Final = "–"


class _Difference(NamedTuple):
    """One difference, both sides in pieces that are short enough to show."""

    where: str
    sides: list[tuple[str, list[Piece]]]


class _Figures(NamedTuple):
    """One channel of a session: what it is called, and a row of figures for each side."""

    channel: str
    rows: list[tuple[str, list[str]]]


class _Case(NamedTuple):
    """One result as the page shows it."""

    result: Result
    anchor: str
    sent: list[str]
    differences: list[_Difference]
    flags: str
    figures: list[_Figures]
    replay: str


class _Section(NamedTuple):
    """Cases under one heading."""

    title: str
    text: str
    cases: list[_Case]


class _AllOf(NamedTuple):
    """Every result of one layer, each with the anchor of its details, empty where the page has none."""

    layer: Layer
    rows: list[tuple[Result, str]]


def html_report(report: Report) -> str:
    """The page: headline, layers, what failed and why, what is excused, and in the end every case.

    Whatever a server sent is escaped; control characters and unpaired surrogates are written out.
    """
    anchors = {id(result): f"case-{at}" for at, result in enumerate(report.results, 1)}
    page = _template().render(
        report=report,
        headline=headline(report),
        verdicts=list(Verdict),
        failed=[_failed(report, group, anchors) for group in groups(report)],
        explained=_explained(report, anchors),
        layers=[_all_of(report, layer, anchors) for layer in report.layers],
    )
    return page + "\n"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("livestream.parity.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(heads=list(FIGURES.values()), most=MOST, empty=EMPTY)
    return environment.get_template("report.html.j2")


def _visible(value: Any) -> Any:
    """Every text on its way into the page; what the template itself made is already fit."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _failed(report: Report, group: Group, anchors: dict[int, str]) -> _Section:
    cases = _cases(report, group.results, anchors)
    if group.flags:
        return _Section(flags_told(group.flags).capitalize(), "", cases)
    if group.reason:
        return _Section("No answer", group.reason, cases)
    return _Section("Differences of their own", "", cases)


def _explained(report: Report, anchors: dict[int, str]) -> list[_Section]:
    """The excused cases, by the deviation that excuses them."""
    by_reason: dict[str, list[Result]] = {}
    for result in report.of(Verdict.EXPLAINED):
        by_reason.setdefault(result.reason, []).append(result)
    return [
        _Section(*_title_and_text(reason), _cases(report, results, anchors))
        for reason, results in by_reason.items()
    ]


def _title_and_text(reason: str) -> tuple[str, str]:
    """`name: sentence` in its two parts."""
    title, colon, text = reason.partition(": ")
    return (title, text) if colon else ("Explained", reason)


def _all_of(report: Report, layer: Layer, anchors: dict[int, str]) -> _AllOf:
    results = [result for result in report.results if result.layer == layer.name]
    return _AllOf(layer, [
        (result, "" if result.verdict is Verdict.SAME else anchors[id(result)]) for result in results])


def _cases(report: Report, results: Iterable[Result], anchors: dict[int, str]) -> list[_Case]:
    return [
        _Case(
            result=result,
            anchor=anchors[id(result)],
            sent=sent(result.case),
            differences=[_difference(difference) for difference in result.differences[:MOST]],
            flags=flags_told(result.flags) if result.flags else "",
            figures=_figures(result),
            replay=report.replay(result),
        )
        for result in results
    ]


def _difference(difference: Difference) -> _Difference:
    expected, got = marked(difference.expected, difference.got)
    return _Difference(difference.where, [("expected", _fitting(expected)), ("got", _fitting(got))])


def _fitting(pieces: Sequence[Piece]) -> list[Piece]:
    return [Piece(shortened(piece.text, LONGEST_PART), piece.differs) for piece in pieces]


def _figures(result: Result) -> list[_Figures]:
    """Of a session that was played: every channel that either side has, both sides below each other."""
    if result.layer != LAYERS["session"] or result.observed is None:
        return []
    sides = {"expected": result.case.observed, "got": result.observed}
    channels = dict.fromkeys(channel for side in sides.values() for channel in side)
    return [
        _Figures(channel, [(name, _row(side.get(channel) or {})) for name, side in sides.items()])
        for channel in channels
    ]


def _row(figures: dict[str, Any]) -> list[str]:
    found = [figures.get(name) for name in FIGURES]
    return [_NO_FIGURE if figure is None else f"{figure:g}" for figure in found]
