"""Whether a session that was played again kept the pace of the recorded one.

Only the meaning of a stream is compared, not its interleaving: replies keep their order, each channel keeps
its own.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, zip_longest
from typing import Final

from livestream import contract
from livestream.parity.cases import Session, SessionStep
from livestream.parity.judging.difference import NOTHING, Difference
from livestream.parity.judging.figures import (
    INTERVALS, ChannelFigures, Run, first_updates, frame_bytes, received, runs, session_figures, started_type,
    update_times, updates,
)
from livestream.parity.judging.rules import RULES, Rule, masked_message, message_root
from livestream.parity.playing.conversation import read_message

#: How many updates of a type a window may have more or less: its borders fall somewhere.
COUNT_TOLERANCE: Final = 1
#: The longest wait for the first update of a subscription, in seconds.
FIRST_UPDATE_LIMIT: Final = 0.1
#: How far the mean and the median interval may be from the recorded one: a part of it, and what one late
#: update at the end makes of the mean, in seconds.
INTERVAL_TOLERANCE: Final = 0.01
LATENESS: Final = 0.02
#: How much further than recorded the intervals may be spread, as a part of the interval.
SPREAD_TOLERANCE: Final = 0.05
#: How far the timestamps of a channel may go back, in milliseconds: its threads overtake each other.
ORDER_TOLERANCE: Final = 100
#: How far the span of a channel's timestamps may be from the time that passed, in milliseconds.
CLOCK_TOLERANCE: Final = 500
#: How far the bytes per second may be from the recorded ones, besides one update more or less.
BYTES_TOLERANCE: Final = 0.02


def session_differences(
    recorded: Session, played: Session, rules: Sequence[Rule] = RULES,
) -> list[Difference]:
    """Where a played session is not the recorded one: contents, counts, order, gaps, first updates, pace."""
    return [
        *_reply_differences(recorded, played, rules),
        *_content_differences(recorded, played, rules),
        *_first_update_differences(recorded, played),
        *_order_differences(played),
        *_clock_differences(recorded, played),
        *_promptness_differences(recorded, played),
        *_pace_differences(recorded, played),
    ]


def _reply_differences(recorded: Session, played: Session, rules: Sequence[Rule]) -> list[Difference]:
    """Replies, Close and the end, in their order."""
    sides = [
        [_said(step, rules) for step, kind in received(session) if kind not in contract.UPDATE_TYPES]
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
    wrong = [Difference("update", " or ".join(sorted(expected)), form) for form in sorted(got - expected)]
    # A type that never came is a matter of its count.
    missing = [form for form in sorted(expected - got) if message_root(form) in update_times(played)]
    return [*wrong, *(Difference("update", form, NOTHING) for form in missing if not wrong)]


def _forms(session: Session, rules: Sequence[Rule]) -> set[str]:
    return {masked_message(step.text or "", rules) for step, _ in updates(session)}


def _first_update_differences(recorded: Session, played: Session) -> list[Difference]:
    """Each subscription's first update follows its confirmation at once, where it did when recorded."""
    found = []
    for (kind, expected), (other, got) in zip(first_updates(recorded), first_updates(played)):
        if kind == other and _is_prompt(expected) and not _is_prompt(got):
            wait = NOTHING if got is None else f"after {got:.3f} s"
            found.append(Difference(f"{kind}: first update", f"within {FIRST_UPDATE_LIMIT:g} s", wait))
    return [*_unasked_differences(played), *found]


def _is_prompt(wait: float | None) -> bool:
    return wait is not None and wait <= FIRST_UPDATE_LIMIT


def _unasked_differences(played: Session) -> Iterator[Difference]:
    """No update comes before the message that starts its channel."""
    started: set[str | None] = set()
    for step, kind in received(played):
        if kind in contract.UPDATE_TYPES and kind not in started:
            started.add(kind)
            yield Difference(f"{kind}: first update", "after its confirmation", f"at {step.at:g} s")
        started.add(started_type(step, kind))


def _order_differences(played: Session) -> Iterator[Difference]:
    """The updates of a channel come in the order of their timestamps."""
    for kind, moments in _moments(played).items():
        for (_, earlier), (_, later) in pairwise(moments):
            if later < earlier - ORDER_TOLERANCE:
                yield Difference(f"{kind}: order", f"a timestamp after {earlier}", str(later))


def _moments(session: Session) -> dict[str, list[tuple[float, int]]]:
    """Of each channel's updates: when they came, in seconds, and their timestamps, in milliseconds."""
    moments: dict[str, list[tuple[float, int]]] = {}
    for step, kind in updates(session):
        stamp = read_message(step.text or "").get("timestamp")
        if isinstance(stamp, int):
            moments.setdefault(kind, []).append((step.at, stamp))
    return moments


def _clock_differences(recorded: Session, played: Session) -> Iterator[Difference]:
    """The server's clock runs as ours does, where it did when recorded."""
    expected, got = _clock_errors(recorded), _clock_errors(played)
    for kind in sorted(expected.keys() & got.keys()):
        if expected[kind] <= CLOCK_TOLERANCE < got[kind]:
            told = f"{got[kind] / 1000:.1f} s off by the end"
            yield Difference(f"{kind}: clock", "timestamps as time passes", told)


def _clock_errors(session: Session) -> dict[str, float]:
    """How far the timestamps' span is from the time that passed, in milliseconds."""
    return {
        kind: abs((moments[-1][1] - moments[0][1]) - (moments[-1][0] - moments[0][0]) * 1000)
        for kind, moments in _moments(session).items()
    }


def _promptness_differences(recorded: Session, played: Session) -> Iterator[Difference]:
    """A reply comes at once, where it did when recorded."""
    for number, (expected, got) in enumerate(zip(_reply_waits(recorded), _reply_waits(played))):
        if _is_prompt(expected) and not _is_prompt(got):
            limit = f"within {FIRST_UPDATE_LIMIT:g} s"
            yield Difference(f"reply {number}: delay", limit, f"after {got:.3f} s")


def _reply_waits(session: Session) -> Iterator[float]:
    """How long after the last thing that was sent each reply came; the welcome answers the handshake."""
    sent = 0.0
    for step in session.steps:
        if step.dir == "send":
            sent = step.at
        elif step.text and read_message(step.text).get("type") not in contract.UPDATE_TYPES:
            yield step.at - sent


def _pace_differences(recorded: Session, played: Session) -> Iterator[Difference]:
    expected, got = session_figures(recorded), session_figures(played)
    recorded_times, played_times = update_times(recorded), update_times(played)
    for kind in sorted(expected.keys() | got.keys()):
        if kind not in expected or kind not in got:
            # A type that never came, or came unrecorded, is a difference however few there were.
            counts = [side[kind].delivered if kind in side else 0 for side in (expected, got)]
            yield Difference(f"{kind}: count", *counts)
            continue
        # A lost update ends one run and begins another; so does one that comes at a wrong time.
        yield from _run_differences(
            kind, *(runs(times[kind], INTERVALS[kind]) for times in (recorded_times, played_times)))
        yield from _figure_differences(kind, expected[kind], got[kind], _update_bytes(recorded, kind))


def _update_bytes(session: Session, kind: str) -> float:
    """What one update more or less makes in bytes per second."""
    sizes = [frame_bytes(step.text or "") for step, other in updates(session) if other == kind]
    return max(sizes) / session.steps[-1].at


def _run_differences(kind: str, expected: Sequence[Run], got: Sequence[Run]) -> Iterator[Difference]:
    if len(expected) != len(got):
        yield Difference(f"{kind}: unbroken runs", _described(expected), _described(got))


def _figure_differences(
    kind: str, expected: ChannelFigures, got: ChannelFigures, update_bytes: float,
) -> Iterator[Difference]:
    if abs(expected.delivered - got.delivered) > COUNT_TOLERANCE:
        yield Difference(f"{kind}: count", expected.delivered, got.delivered)
    for name in ("mean", "median"):
        one, other = getattr(expected, name), getattr(got, name)
        if one and other and abs(other - one) > INTERVAL_TOLERANCE * one + LATENESS / got.delivered:
            yield Difference(f"{kind}: {name} interval", f"{one:.4f} s", f"{other:.4f} s")
    if expected.spread is not None and got.spread is not None:
        if got.spread > expected.spread + SPREAD_TOLERANCE * INTERVALS[kind]:
            yield Difference(f"{kind}: interval spread", f"{expected.spread:.4f} s", f"{got.spread:.4f} s")
    allowed = COUNT_TOLERANCE * update_bytes + BYTES_TOLERANCE * expected.bytes_per_second
    if abs(got.bytes_per_second - expected.bytes_per_second) > allowed:
        yield Difference(f"{kind}: bytes per second", expected.bytes_per_second, got.bytes_per_second)


def _described(found: Sequence[Run]) -> str:
    """The runs by beginning and end, and the gaps between those that follow each other."""
    described = []
    for run, after in zip_longest(found, found[1:]):
        gap = f", then a gap of {after[0] - run[-1]:.1f} s" if after and after[0] > run[-1] else ""
        described.append(f"{run[0]:g}–{run[-1]:g} s{gap}")
    return ", ".join(described)
