"""Whether a session that was played again kept the pace of the recorded one.

Only the meaning of a stream is compared, not its interleaving: replies keep their order, each channel keeps
its own. The updates of one channel are taken apart into runs, one for each thread that sends them
(SPEC, "Life of a connection", 2), because only within a run does an interval mean something.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, zip_longest
from typing import Final

from livestream import contract
from livestream.parity.cases import Session, SessionStep
from livestream.parity.conversation import read_message
from livestream.parity.difference import NOTHING, Difference
from livestream.parity.rules import RULES, Rule, masked_message

#: How many updates of a type a window may have more or less: its borders fall somewhere.
COUNT_TOLERANCE: Final = 1
#: The longest wait for the first update of a subscription, in seconds.
FIRST_UPDATE_LIMIT: Final = 0.1
#: How far the mean interval may be from the recorded one.
INTERVAL_TOLERANCE: Final = 0.01
#: How far from its time an update may come and still belong to a run, as a part of the interval.
RUN_TOLERANCE: Final = 0.25

_INTERVALS: Final = {channel.message_type: channel.interval_ms / 1000 for channel in contract.CHANNELS}
_UPDATE_OF: Final = {channel.name: channel.message_type for channel in contract.CHANNELS}

Run = list[float]


def session_differences(
    recorded: Session, played: Session, rules: Sequence[Rule] = RULES,
) -> list[Difference]:
    """Where a played session is not the recorded one: contents, counts, order, gaps, first updates, pace."""
    return [
        *_reply_differences(recorded, played, rules),
        *_content_differences(recorded, played, rules),
        *_count_differences(recorded, played),
        *_first_update_differences(played),
        *_pace_differences(recorded, played),
    ]


def _received(session: Session) -> Iterator[tuple[SessionStep, str]]:
    """What was received, with the type of each message ("" for what is none)."""
    for step in session.steps:
        if step.dir == "recv":
            yield step, str(read_message(step.text or "").get("type", ""))


def _updates(session: Session) -> Iterator[tuple[SessionStep, str]]:
    return ((step, kind) for step, kind in _received(session) if kind in contract.UPDATE_TYPES)


def _reply_differences(recorded: Session, played: Session, rules: Sequence[Rule]) -> list[Difference]:
    """Replies, Close and the end, in their order."""
    sides = [
        [_said(step, rules) for step, kind in _received(session) if kind not in contract.UPDATE_TYPES]
        for session in (recorded, played)
    ]
    return [
        Difference(f"reply {start + at}", expected, got)
        for _, start, end, got_start, got_end in _changes(*sides)
        for at, (expected, got) in enumerate(
            zip_longest(sides[0][start:end], sides[1][got_start:got_end], fillvalue=NOTHING))
    ]


def _changes(expected: list[str], got: list[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """Where two lists differ, aligned so that one missing reply is one difference and not all that follow."""
    opcodes = SequenceMatcher(None, expected, got, autojunk=False).get_opcodes()
    return (opcode for opcode in opcodes if opcode[0] != "equal")


def _said(step: SessionStep, rules: Sequence[Rule]) -> str:
    if step.text is not None:
        return masked_message(step.text, rules)
    return step.event or f"close {step.close}"


def _content_differences(recorded: Session, played: Session, rules: Sequence[Rule]) -> list[Difference]:
    """The updates of a type look all alike, once their varying parts are masked."""
    expected, got = _forms(recorded, rules), _forms(played, rules)
    wrong = sorted(got - expected)
    return [Difference("update", " or ".join(sorted(expected)), form) for form in wrong]


def _forms(session: Session, rules: Sequence[Rule]) -> set[str]:
    return {masked_message(step.text or "", rules) for step, _ in _updates(session)}


def _count_differences(recorded: Session, played: Session) -> list[Difference]:
    expected = Counter(kind for _, kind in _updates(recorded))
    got = Counter(kind for _, kind in _updates(played))
    return [
        Difference(f"{kind}: count", expected[kind], got[kind])
        for kind in sorted(expected | got)
        # A type that never came, or came unrecorded, is a difference however few there were.
        if abs(expected[kind] - got[kind]) > COUNT_TOLERANCE or not (expected[kind] and got[kind])
    ]


def _first_update_differences(played: Session) -> list[Difference]:
    """Each subscription's first update follows its confirmation at once; the initial one the welcome."""
    found: list[Difference] = []
    started: set[str] = set()
    times = _times(played)
    for step, kind in _received(played):
        if kind in contract.UPDATE_TYPES and kind not in started:
            found.append(Difference(f"{kind}: first update", "after its confirmation", f"at {step.at:g} s"))
        starts = _starts(step, kind)
        if starts is None:
            continue
        started.add(starts)
        if not any(0 <= at - step.at <= FIRST_UPDATE_LIMIT for at in times.get(starts, ())):
            expected = f"within {FIRST_UPDATE_LIMIT:g} s of {step.at:g} s"
            found.append(Difference(f"{starts}: first update", expected, NOTHING))
    return found


def _starts(step: SessionStep, kind: str) -> str | None:
    """The update type that a message starts."""
    if kind == contract.CONNECTION_ESTABLISHED:
        return contract.INITIAL_CHANNEL.message_type
    if kind != contract.SUBSCRIPTION_CONFIRMED:
        return None
    payload = read_message(step.text or "").get("payload")
    channel = payload.get("channel") if isinstance(payload, dict) else None
    return _UPDATE_OF.get(channel) if isinstance(channel, str) else None


def _times(session: Session) -> dict[str, list[float]]:
    """When the updates of each type came."""
    times: dict[str, list[float]] = {}
    for step, kind in _updates(session):
        times.setdefault(kind, []).append(step.at)
    return times


def _pace_differences(recorded: Session, played: Session) -> list[Difference]:
    found: list[Difference] = []
    recorded_times, played_times = _times(recorded), _times(played)
    for kind in sorted(recorded_times.keys() & played_times.keys()):
        expected = runs(recorded_times[kind], _INTERVALS[kind])
        got = runs(played_times[kind], _INTERVALS[kind])
        if len(expected) != len(got):
            # A lost update ends one run and begins another; so does one that comes at a wrong time.
            found.append(Difference(f"{kind}: unbroken runs", _described(expected), _described(got)))
        found += _interval_differences(kind, mean_interval(expected), mean_interval(got))
    return found


def _interval_differences(kind: str, expected: float | None, got: float | None) -> list[Difference]:
    if expected is None or got is None or abs(got - expected) <= INTERVAL_TOLERANCE * expected:
        return []
    return [Difference(f"{kind}: mean interval", f"{expected:.4f} s", f"{got:.4f} s")]


def _described(found: Sequence[Run]) -> str:
    """The runs by beginning and end, in which a gap shows."""
    return ", ".join(f"{run[0]:g}–{run[-1]:g} s" for run in found)


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


def mean_interval(found: Sequence[Run]) -> float | None:
    """The mean of all intervals within the runs; None when there is none."""
    intervals = [later - earlier for run in found for earlier, later in pairwise(run)]
    return sum(intervals) / len(intervals) if intervals else None
