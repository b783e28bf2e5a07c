"""Draws the plots of `pictures`: this run, what was measured on the original, and what the report says.

The same results give the same bytes, whatever the user's own settings are.
Text is drawn as outlines, so a plot looks the same everywhere; the page
describes it in words. Lines have names (gid) that say what they show.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from matplotlib import rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from livestream.lab.reports.across import Across, Points, x_axis
from livestream.lab.reports.pictures import TIME_PANELS, Panel, Picture, Scale, pictures, time_lines, titles
from livestream.lab.reports.reference import SOURCES, reference, references_for
from livestream.lab.reports.styles import (
    AXIS_WIDTH, DOTS_PER_INCH, GREY, INVALID, MARK, NO_LINE, NO_MARKER, PANEL_HEIGHT, REST_HEIGHT, ROW_HEIGHT,
    SETTINGS, SLANTED, SOURCE_STYLES, WIDTH, Style, run_style)
from livestream.lab.reports.text import label, visible
from livestream.lab.reports.ticks import crowded, decade_ticks, decades, label_span, number, rows
from livestream.lab.results import FIGURES, Results, Step

#: How far a logarithmic axis goes beyond its decades: a mark at their ends is seen whole.
_HEADROOM: Final = 1.4
_DOES_NOT_COUNT: Final = "invalid: does not count"
#: Settings that have nothing to do with a figure of its own.
_NOT_OURS: Final = frozenset({"backend", "backend_fallback"})


class Drawn(NamedTuple):
    """One plot in both formats."""

    svg: bytes
    png: bytes


def draw(results: Results) -> dict[str, Drawn]:
    """Every plot that the results have data for, by the name of its file without the suffix."""
    return {name: written(figure(results, name)) for name in titles(results)}


def figure(results: Results, name: str) -> Figure:
    """One plot, before it is written. KeyError when the results have no data for it."""
    with _settings():
        step = time_lines(results).get(name)
        if step is not None:
            return _over_time(step, titles(results)[name])
        return _against(results, pictures(results)[name])


def written(drawn: Figure) -> Drawn:
    """A figure in both formats."""
    return Drawn(svg(drawn), png(drawn))


def svg(drawn: Figure) -> bytes:
    """A figure as SVG, without a date."""
    return _saved(drawn, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))


def png(drawn: Figure) -> bytes:
    """A figure as PNG of DOTS_PER_INCH."""
    return _saved(drawn, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})


def _saved(drawn: Figure, **how: Any) -> bytes:
    file = io.BytesIO()
    with _settings():
        drawn.savefig(file, **how)
    return file.getvalue()


def _settings() -> Any:
    """Ours and nobody else's; matplotlib reads some of them only when it writes."""
    settings: dict[Any, Any] = {key: value for key, value in rcParamsDefault.items() if key not in _NOT_OURS}
    return rc_context(settings | SETTINGS)


def _against(results: Results, picture: Picture) -> Figure:
    """Figures against clients, or against what was varied."""
    across = x_axis(results, picture)
    drawn, all_axes = _sheet(picture.title, len(picture.panels))
    for axes, panel in zip(all_axes, picture.panels):
        for source in references_for(results, panel.figure):
            _draw_reference(axes, panel, across, source)
        _draw_run(axes, panel, across)
        _finish_x(axes, across)
        _finish_y(axes, panel, across.log)
    all_axes[-1].set_xlabel(across.label)
    _legend(drawn, _handles(all_axes, across))
    return drawn


def _sheet(title: str, panels: int) -> tuple[Figure, list[Axes]]:
    drawn = Figure(figsize=(WIDTH, REST_HEIGHT + PANEL_HEIGHT * panels), layout="constrained")
    drawn.suptitle(label(title), x=0.01, ha="left", fontweight="bold", fontsize=11.5)
    return drawn, list(drawn.subplots(panels, 1, sharex=True, squeeze=False).flat)


def _draw_run(axes: Axes, panel: Panel, across: Across) -> None:
    for at, steps in enumerate(across.lines.values()):
        style = run_style(at) | _dots(across)
        _plot(axes, f"run-{panel.figure}-{at}", style, across.points(steps, panel.figure, valid=True))
        hollow = INVALID | {"color": style["color"]}
        _plot(axes, f"invalid-{panel.figure}-{at}", hollow, across.points(steps, panel.figure, valid=False))


def _draw_reference(axes: Axes, panel: Panel, across: Across, source: str) -> None:
    known = reference(source, panel.figure)
    if known is None:
        return
    if across.clients is not None:
        _level(axes, panel, source, across.clients, across.limits)
        return
    rule = across.rule(known)
    style = SOURCE_STYLES[source]
    _plot(axes, f"{source}-{panel.figure}-rule", style | NO_MARKER, rule)
    points = sorted(known.points.items())
    _plot(axes, f"{source}-{panel.figure}", style | (NO_LINE if rule else {}), points)


def _level(axes: Axes, panel: Panel, source: str, clients: int, ends: tuple[float, float]) -> None:
    """From edge to edge what a source has for so many clients."""
    known = reference(source, panel.figure)
    value = known.at(clients) if known else None
    if value is not None:
        style = SOURCE_STYLES[source] | NO_MARKER
        _plot(axes, f"{source}-{panel.figure}-level", style, [(end, value) for end in ends])


def _plot(axes: Axes, name: str, style: Style, points: Points) -> None:
    if points:
        axes.plot([x for x, _ in points], [y for _, y in points], gid=name, **style)


def _finish_x(axes: Axes, across: Across) -> None:
    axes.set_xscale("log" if across.log else "linear")
    axes.set_xlim(*across.limits)
    axes.xaxis.set_minor_locator(NullLocator())
    names = list(across.ticks.values())
    slanted = across.clients is not None and crowded(names, AXIS_WIDTH)
    axes.set_xticks(list(across.ticks), names, **(SLANTED if slanted else {}))


def _finish_y(axes: Axes, panel: Panel, like_x: bool) -> None:
    axes.set_title(panel.title)
    axes.set_ylabel(panel.label)
    low, high = axes.dataLim.intervaly
    if panel.scale is Scale.LOG or (panel.scale is Scale.LIKE_X and like_x):
        _log_y(axes, low, high, 10.0 ** -FIGURES[panel.figure].digits)
        return
    if panel.scale is Scale.CLOSE:
        # Never closer than a twentieth of the value: noise should look like noise.
        room = max((high - low) * 0.1, high * 0.025, 0.5)
        axes.set_ylim(max(0.0, low - room), high + room)
    else:
        axes.set_ylim(min(0.0, low * 1.08), max(high, 1.0) * 1.08)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(number))


def _log_y(axes: Axes, low: float, high: float, least: float) -> None:
    """Logarithmic; with a zero among the values it is linear below the least that a table can show."""
    if low > 0:
        bottom, top = decades([low, high])
        axes.set_yscale("log")
        axes.set_ylim(bottom / _HEADROOM, top * _HEADROOM)
        ticks = decade_ticks(bottom, top)
    else:
        top = decades([max(high, least)])[1]
        axes.set_yscale("symlog", linthresh=least, linscale=0.4)
        axes.set_ylim(low * 1.1, top * _HEADROOM)
        ticks = [0.0, *decade_ticks(least, top, dense=False)]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(number))


def _drawn(all_axes: Sequence[Axes]) -> set[str]:
    """Who is really there: sources, "run", "invalid"."""
    return {str(line.get_gid()).split("-")[0] for axes in all_axes for line in axes.get_lines()}


def _dots(across: Across) -> Style:
    """No line joins conditions, because what is varied need not have an order."""
    return NO_LINE if across.clients is not None else {}


def _handles(all_axes: Sequence[Axes], across: Across) -> Iterator[Line2D]:
    there = _drawn(all_axes)
    for at, condition in enumerate(across.lines):
        name = f"this run: {label(condition, 40)}" if condition else "this run"
        yield Line2D([], [], label=name, **run_style(at) | _dots(across))
    yield from _source_handles(there, NO_MARKER if across.clients is not None else {})
    if "invalid" in there:
        yield Line2D([], [], color=GREY, label=_DOES_NOT_COUNT, **INVALID)


def _source_handles(there: set[str], change: Style) -> Iterator[Line2D]:
    for source, text in SOURCES.items():
        if source in there:
            yield Line2D([], [], label=text, **SOURCE_STYLES[source] | change)


def _legend(drawn: Figure, handles: Iterator[Line2D]) -> None:
    """Below everything, where it covers no line."""
    entries = list(handles)
    drawn.align_ylabels()
    drawn.set_figheight(drawn.get_figheight() + ROW_HEIGHT * len(entries))
    drawn.legend(handles=entries, loc="outside lower left")


def _over_time(step: Step, title: str) -> Figure:
    """Threads and memory of one step, from its first second to its last."""
    drawn, all_axes = _sheet(title, len(TIME_PANELS))
    seconds = [moment.seconds for moment in step.timeline]
    ends = (min([0.0, *seconds]), max([*seconds, *step.marks.values(), 0.1]))
    style = run_style(0) | NO_MARKER | ({} if step.valid else {"linestyle": "--"})
    for axes, panel in zip(all_axes, TIME_PANELS):
        for source in SOURCES:
            _level(axes, panel, source, step.clients, ends)
        values = [getattr(moment, panel.figure) for moment in step.timeline]
        _plot(axes, f"run-{panel.figure}", style, list(zip(seconds, values)))
        _finish_y(axes, panel, like_x=False)
        axes.set_xlim(*ends)
        axes.xaxis.set_major_formatter(FuncFormatter(number))
        _draw_marks(axes, step.marks, ends, named=axes is all_axes[0])
    all_axes[-1].set_xlabel("time since the step began [s]")
    own = Line2D([], [], label="this run" if step.valid else f"this run, {_DOES_NOT_COUNT}", **style)
    _legend(drawn, iter([own, *_source_handles(_drawn(all_axes), NO_MARKER)]))
    return drawn


def _draw_marks(axes: Axes, marks: Mapping[str, float], ends: tuple[float, float], *, named: bool) -> None:
    """What happened, as vertical lines; their names stand in rows above, so that none covers another."""
    ordered = sorted(marks.items(), key=lambda mark: mark[1])
    scale = AXIS_WIDTH / (ends[1] - ends[0])
    places = [((at - ends[0]) * scale, label(name, 30)) for name, at in ordered]
    found = rows(places, AXIS_WIDTH)
    for (name, at), (place, text), row in zip(ordered, places, found):
        axes.axvline(at, gid=f"mark-{visible(name)}", **MARK)
        if named:
            turned = label_span(place, text, AXIS_WIDTH)[0] < place
            axes.annotate(
                text, (at, 1), (0, 4 + 12 * row), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="right" if turned else "left", fontsize=9)
    if named and found:
        axes.set_title(axes.get_title(loc="left"), pad=8 + 12 * (max(found) + 1))
