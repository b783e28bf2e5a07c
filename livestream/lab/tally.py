"""What the clients of a load see: updates counted, and how late each tick is.

Lateness is against the schedule that a channel keeps, a fixed delay after its
last update. Every tick that was due counts, those that a stall swallowed too:
without them a server that stalls would look better than one that is always a
little late (coordinated omission).
"""

from array import array
from collections.abc import Iterator
from typing import Final

import numpy

from livestream.contract import CHANNELS
from livestream.lab.results import QUANTILES

#: The bytes of a message's type, as a frame's payload has them.
NAMES: Final = {channel.message_type.encode(): channel.name for channel in CHANNELS}
TYPE_PREFIX: Final = b'{"type":"'
_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}


class Tally:
    """What all clients together saw inside the window; `time_scale` multiplies the contract's intervals."""

    def __init__(self, time_scale: float = 1.0) -> None:
        #: In seconds, by message type.
        self.intervals = {
            channel.message_type.encode(): channel.interval_ms / 1_000 * time_scale for channel in CHANNELS
        }
        #: Whether the window is open: outside it nothing is counted.
        self.open = False
        self.messages = 0
        #: Bytes on the wire, frame headers included: of all messages, and of each type's updates.
        self.bytes = 0
        self.update_bytes = dict.fromkeys(self.intervals, 0)
        self.updates = dict.fromkeys(self.intervals, 0)
        #: Updates that were due and did not come, seen as gaps of more than one interval.
        self.missed = dict.fromkeys(self.intervals, 0)
        #: Updates that came long before they were due, and made up for no missed one.
        self.early = 0
        #: Of every tick that was due.
        self.lateness_ms = array("d")


class Watch:
    """When the updates of one client came."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._last: dict[bytes, float] = {}
        #: Missed updates that may still come, all at once, when a stall is over.
        self._owed = dict.fromkeys(NAMES, 0)

    def note(self, payload: bytes, size: int, now: float) -> None:
        """A text message of `size` bytes on the wire came `now`, in seconds of the monotonic clock."""
        tally = self._tally
        if tally.open:
            tally.messages += 1
            tally.bytes += size
        message_type = payload[len(TYPE_PREFIX):payload.find(b'"', len(TYPE_PREFIX))]
        if message_type not in NAMES:
            return
        last = self._last.get(message_type)
        self._last[message_type] = now
        if last is None or not tally.open:
            return
        tally.updates[message_type] += 1
        tally.update_bytes[message_type] += size
        self._judge(message_type, now - last)

    def _judge(self, message_type: bytes, gap: float) -> None:
        """An update so many seconds after the last: late, after missed ones, or made up for."""
        tally, interval = self._tally, self._tally.intervals[message_type]
        if gap >= interval / 2:
            missed = missed_ticks(gap, interval)
            self._owed[message_type] = missed
            tally.missed[message_type] += missed
            tally.lateness_ms.extend(late_ticks_ms(gap, interval))
        elif self._owed[message_type]:
            # One of those that were missed: how late it is was counted when the stall ended.
            self._owed[message_type] -= 1
            tally.missed[message_type] -= 1
        else:
            tally.early += 1
            tally.lateness_ms.append(0.0)

    def note_begin(self, now: float) -> None:
        """The window opens: a channel that has been silent so far is waited for from now on."""
        for message_type in NAMES:
            self._last.setdefault(message_type, now)

    def note_end(self, now: float) -> None:
        """The window closes: updates that should have come by now are missed, and late."""
        tally = self._tally
        for message_type, last in self._last.items():
            gap, interval = now - last, tally.intervals[message_type]
            if gap > interval:
                tally.missed[message_type] += missed_ticks(gap, interval)
                tally.lateness_ms.extend(late_ticks_ms(gap, interval))


def missed_ticks(gap: float, interval: float) -> int:
    """How many updates a gap of so many seconds swallowed: from half an interval late on, one is missed."""
    return max(0, round(gap / interval) - 1)


def late_ticks_ms(gap: float, interval: float) -> Iterator[float]:
    """How late each tick that was due in a gap came, in ms: a stall of five ticks is five late ones, not one.

    Never negative: what comes early is in time.
    """
    for tick in range(1, max(1, int(gap / interval)) + 1):
        yield max(0.0, gap - tick * interval) * 1_000


def quantiles(values: "list[float] | array[float]") -> dict[str, float]:
    """By the names of QUANTILES; a quantile is one of the values, never something between two. {} of none."""
    if not len(values):
        return {}
    found = numpy.quantile(values, [_SHARES[name] for name in QUANTILES], method="higher")
    return dict(zip(QUANTILES, map(float, found)))
