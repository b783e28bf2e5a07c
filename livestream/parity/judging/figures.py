"""The pace of a session in figures: of each channel, how many updates came, when, and how many bytes.

The updates of one channel are taken apart into runs, one for each thread that sends them (SPEC, "Life of a
connection", 2), because only within a run does an interval mean something.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from livestream import contract
from livestream.parity.cases import Session, SessionStep
from livestream.parity.playing.conversation import read_message

#: How far from its time an update may come and still belong to a run, as a part of the interval.
RUN_TOLERANCE: Final = 0.15
#: Payload bytes up to which a frame's header has 2 bytes; beyond it has 4 (RFC 6455, section 5.2).
_SHORT_PAYLOAD: Final = 125

#: Seconds between two updates, by message type.
INTERVALS: Final = {channel.message_type: channel.interval_ms / 1000 for channel in contract.CHANNELS}
_UPDATE_OF: Final = {channel.name: channel.message_type for channel in contract.CHANNELS}

#: When the updates of one thread came, in seconds since the handshake.
Run = list[float]


class ChannelFigures(NamedTuple):
    """One channel of a session; all times in seconds, None where there was nothing to take them from."""

    delivered: int
    #: The wait for the first update of a subscription, the longest of them.
    first_update: float | None
    #: Of all intervals within the runs.
    mean: float | None
    median: float | None
    #: How far the tenth and the ninetieth percentile of the intervals lie apart.
    spread: float | None
    #: With the header of each frame, over the whole session.
    bytes_per_second: float


def session_figures(session: Session) -> dict[str, ChannelFigures]:
    """The figures by message type, for every channel that sent anything."""
    times = update_times(session)
    return {kind: _figures(session, kind, times[kind]) for kind in INTERVALS if kind in times}


def _figures(session: Session, kind: str, times: Sequence[float]) -> ChannelFigures:
    found = sorted(intervals(runs(times, INTERVALS[kind])))
    waits = [wait for starts, wait in first_updates(session) if starts == kind]
    known = [wait for wait in waits if wait is not None]
    sizes = [frame_bytes(step.text or "") for step, other in received(session) if other == kind]
    length = session.steps[-1].at
    return ChannelFigures(
        delivered=len(times),
        first_update=round(max(known), 4) if known else None,
        mean=round(sum(found) / len(found), 4) if found else None,
        median=_percentile(found, 50),
        spread=_spread(found),
        bytes_per_second=round(sum(sizes) / length, 1) if length else 0.0,
    )


def _percentile(sorted_values: Sequence[float], percent: int) -> float | None:
    """The nearest of the values, so that one odd interval among ten does not move the others."""
    if not sorted_values:
        return None
    return round(sorted_values[round((len(sorted_values) - 1) * percent / 100)], 4)


def _spread(sorted_values: Sequence[float]) -> float | None:
    low, high = _percentile(sorted_values, 10), _percentile(sorted_values, 90)
    return None if low is None or high is None else round(high - low, 4)


def frame_bytes(text: str) -> int:
    """What a text message of a server has on the wire, in one frame (RFC 6455, section 5.2)."""
    size = len(text.encode())
    return size + (2 if size <= _SHORT_PAYLOAD else 4)


def received(session: Session) -> Iterator[tuple[SessionStep, str]]:
    """What was received, with the type of each message ("" for what is none)."""
    for step in session.steps:
        if step.dir == "recv":
            yield step, str(read_message(step.text or "").get("type", ""))


def updates(session: Session) -> Iterator[tuple[SessionStep, str]]:
    """The updates alone, with their types."""
    return ((step, kind) for step, kind in received(session) if kind in contract.UPDATE_TYPES)


def update_times(session: Session) -> dict[str, list[float]]:
    """By update type when its updates came, in seconds since the handshake."""
    times: dict[str, list[float]] = {}
    for step, kind in updates(session):
        times.setdefault(kind, []).append(step.at)
    return times


def first_updates(session: Session) -> Iterator[tuple[str, float | None]]:
    """Of each thing that starts a channel: the update type, and how long after it a run of updates began.

    None when none did. The welcome starts the initial channel, a confirmation its own.
    """
    times = update_times(session)
    begins = {kind: [run[0] for run in runs(times[kind], INTERVALS[kind])] for kind in times}
    for step, kind in received(session):
        starts = started_type(step, kind)
        if starts is not None:
            waits = (at - step.at for at in begins.get(starts, ()) if at >= step.at)
            yield starts, min(waits, default=None)


def started_type(step: SessionStep, kind: str) -> str | None:
    """The update type that a message starts."""
    if kind == contract.CONNECTION_ESTABLISHED:
        return contract.INITIAL_CHANNEL.message_type
    if kind != contract.SUBSCRIPTION_CONFIRMED:
        return None
    payload = read_message(step.text or "").get("payload")
    channel = payload.get("channel") if isinstance(payload, dict) else None
    return _UPDATE_OF.get(channel) if isinstance(channel, str) else None


def runs(times: Sequence[float], interval: float) -> list[Run]:
    """The times of one channel's updates, taken apart into runs of about one `interval` (all in seconds)."""
    found: list[Run] = []
    for at in times:
        lateness = {number: abs(at - run[-1] - interval) for number, run in enumerate(found)}
        nearest = min(lateness, key=lambda number: lateness[number], default=None)
        if nearest is None or lateness[nearest] > RUN_TOLERANCE * interval:
            found.append([at])
        else:
            found[nearest].append(at)
    return found


def intervals(found: Sequence[Run]) -> list[float]:
    """All intervals within the runs, in seconds."""
    return [later - earlier for run in found for earlier, later in pairwise(run)]


def mean_interval(found: Sequence[Run]) -> float | None:
    """The mean of all intervals within the runs, in seconds; None when there is none."""
    all_of_them = intervals(found)
    return sum(all_of_them) / len(all_of_them) if all_of_them else None
