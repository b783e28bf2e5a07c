"""What a reader should see first: which case tells most, and which cases belong together."""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from livestream import contract
from livestream.parity.cases import Case, Record, wire_bytes
from livestream.parity.judging.expectations import FLAGS
from livestream.parity.judging.verdict import Report, Result, Verdict
from livestream.parity.reports.marking import shown

#: Fields that go wrong because something else did.
_CONSEQUENCES: Final = frozenset(("answers_ping_after", "connection_ended"))
_SHOWN_BY: Final = {flag.name: flag.shown_by for flag in FLAGS}
_FLAG_ORDER: Final = {flag.name: place for place, flag in enumerate(FLAGS)}
#: Close codes that answer an illegal input (RFC 6455, section 7.4.1).
_REFUSALS: Final = frozenset((1002, 1007, contract.CLOSE_MESSAGE_TOO_BIG))
#: How much of a value the headline shows, in characters.
_LONGEST: Final = 120


class Group(NamedTuple):
    """Results that failed for one reason, the most telling one first."""

    #: Flags that explain them, or the sentence of what was not answered; both empty for any other difference.
    flags: tuple[str, ...]
    reason: str
    results: list[Result]


def headline(report: Report) -> str:
    """The first line of a report."""
    return _headline(report) + ("" if report.finished else "; stopped before its end")


def _headline(report: Report) -> str:
    if not report.results:
        return "nothing was compared"
    found = groups(report)
    if not found:
        explained = len(report.of(Verdict.EXPLAINED))
        by_name = f", {explained} of them explained by name" if explained else ""
        return f"{report.verdict.value}: {counted(len(report.results))}{by_name}"
    first = found[0].results[0]
    others = sum(len(group.results) for group in found) - 1
    return f"{first.verdict.value}: {first.name}: {_told(first)}{_more(others)}"


def counted(cases: int) -> str:
    """In words: `1 case`, `2 cases`."""
    return f"{cases} case{'' if cases == 1 else 's'}"


def _told(result: Result) -> str:
    if result.verdict is Verdict.NO_ANSWER:
        return result.reason.rstrip(".")
    # A broken rule of RFC 6455 tells more than what came of it.
    faults = [one for one in result.differences if one.where.startswith("faults")]
    difference = (faults or result.differences)[0]
    told = f"{difference.where}: expected {_short(difference.expected)}, got {_short(difference.got)}"
    return f"{told} ({flags_told(result.flags)})" if result.flags else told


def flags_told(flags: Sequence[str]) -> str:
    """In words that these flags of the profile, turned round, explain it."""
    return f"as with {', '.join(flags)} turned round"


def _more(others: int) -> str:
    return f", and {others} more" if others else ""


def _short(value: object) -> str:
    text = shown(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def groups(report: Report) -> list[Group]:
    """All that failed: what nothing explains first, then by flags, then what was not answered."""
    failed = sorted((result for result in report.results if result.verdict.fails), key=_rank)
    found: dict[tuple[tuple[str, ...], str], list[Result]] = {}
    for result in failed:
        key = (result.flags, result.reason if result.verdict is Verdict.NO_ANSWER else "")
        found.setdefault(key, []).append(result)
    return [Group(flags, reason, results) for (flags, reason), results in found.items()]


def _is_provoked(result: Result) -> bool:
    """Whether the client did something illegal, which one side or the other refused."""
    return any(_refuses(side) for side in (result.case.observed, result.observed or {}))


def _refuses(observed: Record) -> bool:
    close = observed.get("close")
    if close is None:
        return bool(observed.get("connection_ended"))
    return close["code"] in _REFUSALS


def _size(case: Case) -> int:
    """How much is sent, in bytes of frames or of JSON."""
    if case.kind in ("message", "frame"):
        return sum(len(wire_bytes(step)) for step in case.send)
    return len(json.dumps(case.send or case.request))


def _rank(result: Result) -> tuple[object, ...]:
    """The simplest case with a cause of its own comes first."""
    shown_best = any(_SHOWN_BY[flag] == result.name for flag in result.flags)
    consequences = all(difference.where in _CONSEQUENCES for difference in result.differences)
    return (
        result.verdict is Verdict.NO_ANSWER,
        len(result.flags),
        [_FLAG_ORDER[flag] for flag in result.flags],
        not shown_best,
        consequences,
        result.layer == "contract",
        _is_provoked(result),
        _size(result.case),
    )
