"""`switch-interval`: the GIL storm, the same load at several of Python's switch intervals.

Each thread that waits for the GIL wakes once per interval, in vain (DESIGN,
"The GIL storm"): too short an interval and the waiting alone eats the machine,
too long and a thread that has lost a race waits all of it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from livestream.lab.experiment import Planned, Setup

#: In seconds; the first is Python's own, at the last the port lets it grow with its threads.
INTERVALS: Final = (0.005, 0.05, 0.3, 1.0, 0.0)


def switch_interval(
    setup: Setup, intervals: Sequence[float] = INTERVALS, known: Mapping[float, str] = {}
) -> list[Planned]:
    """One step for each number of clients and each interval, in seconds. For a server of ours only.

    `known`: whose some of the intervals are, as "Python's".
    """
    return [
        setup.planned(name, clients, partial(setup.step, clients, condition=name, options=options))
        for interval in intervals
        for name, options in [(_name(interval, known), ("--switch-interval", str(interval)))]
        for clients in setup.clients
    ]


def _name(interval: float, known: Mapping[float, str]) -> str:
    name = f"{interval:g} s" if interval else "growing"
    return f"{name} ({known[interval]})" if interval in known else name
