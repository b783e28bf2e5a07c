"""`lifecycle`: N clients open, subscribe to everything, and close; when are their threads gone?

In the original they notice at their next wake-up, up to the slowest channel's
interval later (SPEC, "Life of a connection", 7).
"""

from functools import partial
from typing import Any

from livestream.lab.experiment import Planned, Setup
from livestream.lab.load import OnEvent
from livestream.lab.measure import Marks
from livestream.lab.probe import Probe, Sample
from livestream.lab.results import Step
from livestream.lab.settling import wait_for_threads

#: Threads left per client that count as none.
FEW = 0.1
#: What is called so on the time line.
GONE = "threads gone"


def lifecycle(setup: Setup) -> list[Planned]:
    """One step for each number of clients; they stay `load.seconds` and leave with a Close frame."""
    return [
        setup.planned("", clients, partial(_step, setup, clients), says_goodbye=True)
        for clients in setup.clients
    ]


def _step(setup: Setup, clients: int, on_event: OnEvent) -> Step:
    def afterwards(probe: Probe, idle: Sample, marks: Marks) -> dict[str, float]:
        if wait_for_threads(probe, idle.threads, setup.patience):
            marks.set(GONE)
        left = probe.sample()
        figures = {
            "open_seconds": marks["up"],
            "threads_left": left.threads - idle.threads,
            "descriptors_left": left.descriptors - idle.descriptors,
            "rss_left_mb": (left.rss_bytes - idle.rss_bytes) / 1e6,
        }
        return figures | ({"gone_seconds": marks[GONE] - marks["closed"]} if GONE in marks else {})

    not_closed = 0

    def watched(event: str, record: dict[str, Any]) -> None:
        nonlocal not_closed
        not_closed = record["open"] if event == "closed" else not_closed
        on_event(event, record)

    step = setup.step(clients, watched, afterwards=afterwards, says_goodbye=True)
    if "closed" in step.marks and not not_closed:
        step.figures["close_seconds"] = step.marks["closed"] - step.marks["closing"]
    if step.timeline:
        step.figures["peak_threads"] = max(moment.threads for moment in step.timeline)
    if step.timeline and GONE not in step.marks:
        _note_when_most_were_gone(step)
    return step


def _note_when_most_were_gone(step: Step) -> None:
    """A server whose own pools have grown keeps some: then it counts when there were few."""
    most = step.timeline[0].threads + step.clients * FEW
    closed = step.marks["closed"]
    moments = [one.seconds for one in step.timeline if one.seconds >= closed and one.threads <= most]
    if moments:
        step.marks[GONE] = moments[0]
        step.figures["gone_seconds"] = moments[0] - closed
