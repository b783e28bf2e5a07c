"""`soak`: minutes at N clients, others coming and going; what grows?

In the original the registry does, by an entry for each connection that ever
was (SPEC, "Life of a connection", 7).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy

from livestream.lab.experiment import Planned, Setup
from livestream.lab.load import OnEvent
from livestream.lab.results import Moment, Step

#: Growth is looked for after so much of the window: a server that has just warmed up still grows.
WARM: Final = 0.2
#: Fewer connections that went say nothing about what each leaves behind.
ENOUGH_CLOSED: Final = 100
#: The error of a slope is that of so many parts' means: single moments hang together and would look surer.
PARTS: Final = 12
#: Figures to which the connections that come and go would add, while only the clients are divided by.
_DISTORTED: Final = (
    "transport_threads", "channel_threads", "channel_threads_per_client", "rss_per_client_kb",
    "cpu_per_message_us", "voluntary_switches_per_message", "involuntary_switches_per_message",
)
MEMORY_GROWTH: Final = "rss_growth_kb_per_minute"
MEMORY_GROWTH_ERROR: Final = "rss_growth_error_kb_per_minute"
#: What is followed, by the figure that tells its growth per minute, in that figure's unit.
_FOLLOWED: Final[dict[str, Callable[[Moment], float]]] = {
    MEMORY_GROWTH: lambda moment: moment.rss_mb * 1e3,
    "threads_growth_per_minute": lambda moment: moment.threads,
    "descriptors_growth_per_minute": lambda moment: moment.descriptors,
}


def soak(setup: Setup) -> list[Planned]:
    """One step for each number of clients, of `load.seconds`, with `load.churn`."""
    return [setup.planned("", clients, partial(_step, setup, clients)) for clients in setup.clients]


def _step(setup: Setup, clients: int, on_event: OnEvent) -> Step:
    step = setup.step(clients, on_event)
    figures = step.figures
    figures["minutes"] = setup.load.seconds / 60
    if setup.load.churn:
        for name in _DISTORTED:
            figures.pop(name, None)
    if not step.timeline:
        return step
    begin, end = step.marks["window"], step.marks["measured"]
    warm = begin + WARM * (end - begin)
    figures.update(growth([moment for moment in step.timeline if warm <= moment.seconds <= end]))
    if figures["closed_connections"] >= ENOUGH_CLOSED and MEMORY_GROWTH_ERROR in figures:
        closed_per_minute = figures["closed_connections"] / figures["minutes"]
        figures["rss_per_closed_connection_bytes"] = figures[MEMORY_GROWTH] * 1e3 / closed_per_minute
        figures["rss_per_closed_connection_error_bytes"] = (
            figures[MEMORY_GROWTH_ERROR] * 1e3 / closed_per_minute)
    return step


def growth(window: Sequence[Moment]) -> dict[str, float]:
    """By the names of FIGURES, per minute: the slope of the best straight line. {} of one moment.

    For memory its standard error too, where there are moments enough to tell.
    """
    minutes = [moment.seconds / 60 for moment in window]
    if len(set(minutes)) < 2:
        return {}
    found = {
        name: float(numpy.polyfit(minutes, [value(moment) for moment in window], 1)[0])
        for name, value in _FOLLOWED.items()
    }
    if len(window) < 2 * PARTS:
        return found
    return found | {MEMORY_GROWTH_ERROR: _slope_error(minutes, list(map(_FOLLOWED[MEMORY_GROWTH], window)))}


def _slope_error(minutes: Sequence[float], values: Sequence[float]) -> float:
    """The standard error of a straight line through the means of PARTS parts."""
    x, y = _means(minutes), _means(values)
    _, covariance = numpy.polyfit(x, y, 1, cov=True)
    return float(covariance[0, 0] ** 0.5)


def _means(values: Sequence[float]) -> list[float]:
    return [float(part.mean()) for part in numpy.array_split(numpy.array(values), PARTS)]
