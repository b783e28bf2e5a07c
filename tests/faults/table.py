"""What came of a fault: what was done, what was lost, what was left behind."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """One row."""

    done: str
    lost: str
    left: str
    #: Whether that is as it should be.
    well: bool
    #: What else must be known of it.
    remark: str = ""
