"""A run as one page that needs nothing else: no network, no script, no second file."""

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from itertools import groupby
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from livestream.lab.reports.cells import NOTHING, measured, number
from livestream.lab.reports.claims import MACHINE_NOTE, Judged, Row, Verdict, comparison, judged
from livestream.lab.reports.reference import SOURCES
from livestream.lab.reports.text import visible
from livestream.lab.reports.words import described, headline, server_name
from livestream.lab.results import FIGURES, Results, Step

#: What no single figure can say of itself.
FIGURES_NOTE: Final = (
    "Lateness is against one interval after the update before, as a fixed delay has it: a delay that never "
    "changes can't be seen. On loopback the sender's processor time has the way to the receiver's socket in "
    "it, for every server alike."
)
#: How a verdict, and the run as a whole, are coloured: classes of the style sheet.
_COLOURS: Final = {Verdict.HOLDS: "good", Verdict.OFF: "bad", Verdict.NOT_MEASURED: "quiet"}


class _Picture(NamedTuple):
    """One plot: what it shows in words, and where it is."""

    words: str
    source: str


class _Figures(NamedTuple):
    """One figure of every step."""

    title: str
    unit: str
    values: list[str]


class _Compared(NamedTuple):
    """The rows of one step, under its name."""

    step: str
    rows: list[Row]


def html_report(results: Results, svgs: Mapping[str, str]) -> str:
    """The page: headline, what to mind, claims, comparison, plots, every figure, machine and command.

    `svgs`: a plot's name to its SVG, as text. Whatever came from outside is escaped; characters that nobody
    sees are written out.
    """
    claims = judged(results)
    page = _template().render(
        results=results,
        headline=headline(results),
        server=server_name(results),
        colour=_colour(results),
        warned=[step for step in results.steps if step.invalid or step.warnings],
        answered=[claim for claim in claims if claim.verdict is not Verdict.NOT_MEASURED],
        unanswered=[claim for claim in claims if claim.verdict is Verdict.NOT_MEASURED],
        compared=_compared(results),
        pictures=_pictures(results, svgs),
        figures=_figures(results),
    )
    return page + "\n"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("livestream.lab.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        sources=SOURCES, machine_note=MACHINE_NOTE, figures_note=FIGURES_NOTE, verdict_colour=_verdict_colour)
    return environment.get_template("page.html.j2")


def _visible(value: Any) -> Any:
    """Every text on its way into the page; what the template itself made is already fit."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _verdict_colour(claim: Judged) -> str:
    return _COLOURS[claim.verdict]


def _colour(results: Results) -> str:
    if not all(step.valid for step in results.steps):
        return "bad"
    return "good" if results.finished and results.steps else "unsure"


def _compared(results: Results) -> list[_Compared]:
    steps = groupby(comparison(results), key=lambda row: Step(row.condition, row.clients, {}).name)
    return [_Compared(name, list(rows)) for name, rows in steps]


def _pictures(results: Results, svgs: Mapping[str, str]) -> list[_Picture]:
    words = described(results)
    return [
        _Picture(words.get(name, name), f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}")
        for name, svg in svgs.items()
    ]


def _figures(results: Results) -> list[_Figures]:
    """Those that any step has, in the order of FIGURES."""
    rows = {name: [measured(step, name) for step in results.steps] for name in FIGURES}
    return [
        _Figures(FIGURES[name].title, FIGURES[name].unit, [_cell(name, value) for value in values])
        for name, values in rows.items() if any(value is not None for value in values)
    ]


def _cell(name: str, value: float | None) -> str:
    return NOTHING if value is None else number(name, value)
