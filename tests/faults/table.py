"""What came of a fault: what was done, what was lost, what was left behind."""

from contextlib import suppress
from typing import NamedTuple

import psutil

from tests.support import wait_until

NOTHING = "0 threads, 0 descriptors"


class Outcome(NamedTuple):
    """One row."""

    done: str
    lost: str
    left: str
    #: Whether that is as it should be.
    well: bool
    #: What else must be known of it.
    remark: str = ""


class Held(NamedTuple):
    """What a process holds; of somebody else's, the descriptors can't be seen and are 0."""

    threads: int
    descriptors: int


def held(process: psutil.Process) -> Held:
    """Now."""
    descriptors = 0
    with suppress(psutil.AccessDenied):
        descriptors = process.num_fds()
    return Held(process.num_threads(), descriptors)


def left_behind(process: psutil.Process, before: Held) -> str:
    """What it holds more than before, once it has had time to let go."""
    def more() -> Held:
        return Held(*(max(0, now - then) for now, then in zip(held(process), before)))

    with suppress(AssertionError):
        wait_until(lambda: more() == (0, 0))
    return "{} threads, {} descriptors".format(*more())
