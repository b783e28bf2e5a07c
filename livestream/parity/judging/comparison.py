"""Whether an observation is the same as a recorded one, and where not.

What may vary is in `rules.RULES`; of a Close frame only the code counts, its reason is the container's
words. `session_differences` compares whole sessions and lives in `cadence`.
"""

import re
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from livestream import contract
from livestream.parity.cases import Case
from livestream.parity.judging.cadence import session_differences
from livestream.parity.judging.difference import NOTHING, Difference
from livestream.parity.judging.rules import RULES, Rule, body_root, masked, masked_message

__all__ = ["NOTHING", "RULES", "Difference", "Rule", "differences", "session_differences"]

#: One validator in a masked list; its figures are all masked, so its name and status remain.
_VALIDATOR: Final = re.compile(r'\{"validatorId"[^{}]*\}')
_POWER: Final = re.compile(r'"votingPower":([\d.]+)')


class _Context(NamedTuple):
    case: Case
    rules: Sequence[Rule]


def differences(case: Case, observed: dict[str, Any], rules: Sequence[Rule] = RULES) -> list[Difference]:
    """Where `observed` is not what the case recorded; empty when it is the same.

    Fields are compared one by one, lists item by item. A field that the recording lacks (`faults`) is a
    difference too.
    """
    context = _Context(case, rules)
    recorded = case.observed
    found: list[Difference] = []
    for name in dict.fromkeys((*recorded, *observed)):
        comparable = _COMPARABLE.get(name, _as_it_is)
        expected = comparable(recorded[name], context) if name in recorded else NOTHING
        got = comparable(observed[name], context) if name in observed else NOTHING
        found += _field_differences(name, expected, got)
    if case.kind == "http" and not found:
        found += _order_differences(recorded.get("body", ""), observed.get("body", ""))
    return found


def _field_differences(name: str, expected: Any, got: Any) -> list[Difference]:
    if not (isinstance(expected, list) and isinstance(got, list)):
        return [] if _same(expected, got) else [Difference(name, expected, got)]
    pairs = enumerate(zip_longest(expected, got, fillvalue=NOTHING))
    return [Difference(f"{name}[{at}]", one, other) for at, (one, other) in pairs if not _same(one, other)]


def _same(expected: Any, got: Any) -> bool:
    """Equal and of one type: in Python 1 equals True."""
    return type(expected) is type(got) and bool(expected == got)


def _as_it_is(value: Any, context: _Context) -> Any:
    return value


def _replies(value: Any, context: _Context) -> Any:
    return [masked_message(text, context.rules) for text in value]


def _code_only(value: Any, context: _Context) -> Any:
    return value if value is None else {"code": value["code"]}


def _frames(value: Any, context: _Context) -> Any:
    """A silence case's frames without the reasons, their texts masked."""
    return [_frame(list(frame), context) for frame in value]


def _frame(frame: list[Any], context: _Context) -> list[Any]:
    if frame[0] == "CLOSE":
        return ["CLOSE", frame[1][0]]
    if frame[0] == "TEXT":
        return ["TEXT", masked_message(frame[1], context.rules)]
    return frame


def _body(value: Any, context: _Context) -> Any:
    path = body_root(context.case)
    text = masked(value, path, context.rules)
    if path != contract.VALIDATORS_PATH:
        return text
    # The list is sorted by figures that vary, so its order does too; _order_differences checks it.
    names = iter(sorted(_VALIDATOR.findall(text)))
    return _VALIDATOR.sub(lambda _: next(names), text)


def _order_differences(recorded: str, body: str) -> list[Difference]:
    """The validators come by falling voting power (SPEC, "REST"), if they did when recorded."""
    if not _is_falling(_powers(recorded)) or _is_falling(_powers(body)):
        return []
    powers = _powers(body)
    return [Difference("body: order by votingPower", sorted(powers, reverse=True), powers)]


def _powers(body: str) -> list[float]:
    return [float(power) for power in _POWER.findall(body)]


def _is_falling(powers: list[float]) -> bool:
    return powers == sorted(powers, reverse=True)


_COMPARABLE: Final[dict[str, Callable[[Any, _Context], Any]]] = {
    "replies": _replies,
    "close": _code_only,
    "frames": _frames,
    "body": _body,
}
