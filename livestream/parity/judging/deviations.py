"""The excuses: where the port may answer otherwise than the original, and in which way exactly.

They stand in one data file, `deviations.toml`. An excuse names its cases and what comes instead, so a case
that goes wrong in another way is not excused, and one that has become the same is noticed.
"""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import reduce
from importlib.resources import files
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Final, TypeVar

from livestream import contract
from livestream.parity.cases import KINDS, Case, Record
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.habits import HABITS
from livestream.parity.judging.rules import RULES, Rule

#: Which layer of the comparison the cases of a kind belong to, in the order in which reports show them.
LAYERS: Final[Mapping[str, str]] = {
    "silence": "silence", "handshake": "handshake", "frame": "frames", "message": "messages", "http": "http",
    "session": "cadence", "statistics": "statistics", "threads": "threads", "fuzz": "fuzz",
    "contract": "contract",
}
PACKAGED: Final = "deviations.toml"
#: What `instead` may hold, by layer. A session has no fields: there it lists the places that may differ.
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    **{LAYERS[kind]: shape.observed for kind, shape in KINDS.items()},
    LAYERS["session"]: frozenset(("differences",)),
    LAYERS["statistics"]: frozenset(("open", "ended")),
    LAYERS["threads"]: frozenset(("threads",)),
}

Entry = TypeVar("Entry")


def name_of(case: Case) -> str:
    """What `--case` calls it, and Result.name."""
    return f"{LAYERS[case.kind]}/{case.name}"


class DeviationError(ValueError):
    """A file of deviations can't be used; the text names the file and the entry."""


@dataclass(frozen=True)
class Deviation:
    """Cases of one layer that come out otherwise than recorded; `instead` has the fields that differ.

    `cases` are names within `layer`, `reason` is for readers, `rfc` names what it rests on.
    """

    name: str
    layer: str
    cases: frozenset[str]
    reason: str
    rfc: str
    instead: Mapping[str, Any]
    #: What it is about, as a name of habits.HABITS, for cases that were made up; empty for none.
    input: str = ""

    def applies_to(self, case: Case) -> bool:
        """Whether it names this case."""
        return LAYERS[case.kind] == self.layer and case.name in self.cases

    def expected(self, case: Case) -> Case:
        """The case as this deviation says it comes out."""
        return replace(case, observed={**case.observed, **self.instead})

    def recognises(self, case: Case) -> bool:
        """Whether a case that was made up is about the same thing."""
        return bool(self.input) and HABITS[self.input].recognises(case)

    def expected_of_generated(self, case: Case, observed: Record) -> Case:
        """The case as this deviation says that it comes out, when it was made up and has no name.

        What was said besides its odd input is said all the same.
        """
        said = {
            name: HABITS[self.input].said(case.observed.get(name, ()), observed.get(name, ()))
            for name in ("replies", "control")}
        # Where the reference breaks the protocol by its habit, nobody need break it too.
        kept = {
            name: value for name, value in case.observed.items() if name != "faults" or name in observed}
        return replace(case, observed={**kept, **self.instead, **said})


@dataclass(frozen=True)
class Limit:
    """What the port refuses and the original doesn't. `option` is empty where there is none to change it.

    `default` is the limit, in words or as a number; `answer` is what a client gets.
    """

    name: str
    option: str
    default: str
    answer: str
    reason: str


@dataclass(frozen=True)
class Addition:
    """An address that the port serves and the original doesn't."""

    name: str
    address: str
    reason: str


@dataclass(frozen=True)
class Deviations:
    """A whole file of them."""

    deviations: tuple[Deviation, ...]
    limits: tuple[Limit, ...]
    additions: tuple[Addition, ...]

    def before(self, others: "Deviations") -> "Deviations":
        """These and those, these first."""
        return Deviations(
            (*self.deviations, *others.deviations),
            (*self.limits, *others.limits),
            (*self.additions, *others.additions),
        )

    def of(self, case: Case) -> Deviation | None:
        """The deviation that names this case."""
        return next((entry for entry in self.deviations if entry.applies_to(case)), None)

    def excuse(
        self, case: Case, observed: dict[str, Any], rules: Sequence[Rule] = RULES,
    ) -> Deviation | None:
        """The deviation that explains this observation; None when none does, or none is needed."""
        if not differences(case, observed, rules):
            return None
        explaining = (
            entry for entry in self.deviations
            if entry.applies_to(case) and not differences(entry.expected(case), observed, rules))
        return next(explaining, None)

    def excuse_generated(self, case: Case, observed: dict[str, Any], rules: Sequence[Rule] = RULES) -> bool:
        """Whether some of the deviations that are about a case that was made up explain what came of it."""
        about = [entry for entry in self.deviations if entry.recognises(case)]
        some = chain.from_iterable(combinations(about, count) for count in range(1, len(about) + 1))
        return any(not differences(_expected_of_all(case, observed, entries), observed, rules)
                   for entries in some)

    def excuse_places(self, case: Case, places: Set[str]) -> Deviation | None:
        """The deviation that explains a session which differs at these places; None when none does."""
        explaining = (
            entry for entry in self.deviations
            if entry.applies_to(case) and places <= set(entry.instead["differences"]))
        return next(explaining, None) if places else None

    def not_needed(self, case: Case, observed: dict[str, Any]) -> Deviation | None:
        """The deviation that names this case although it came out as recorded."""
        return None if differences(case, observed) else self.of(case)


def _expected_of_all(case: Case, observed: Record, entries: Iterable[Deviation]) -> Case:
    return reduce(lambda one, entry: entry.expected_of_generated(one, observed), entries, case)


#: Nothing is excused.
NO_DEVIATIONS: Final = Deviations((), (), ())


def load_deviations(path: str | Path | None = None) -> Deviations:
    """The packaged file, or a user's. DeviationError names the file and the entry that can't be used."""
    source = files("livestream.parity") / PACKAGED if path is None else Path(path)
    try:
        data = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeviationError(f"{path or PACKAGED} can't be read: {error}.") from error
    unknown = data.keys() - {"deviation", "limit", "addition"}
    if unknown:
        raise DeviationError(f"{path or PACKAGED} has unknown entries: {', '.join(sorted(unknown))}.")
    file = str(path or PACKAGED)
    return Deviations(
        _entries(file, data, "deviation", _deviation),
        _entries(file, data, "limit", _limit),
        _entries(file, data, "addition", _addition),
    )


def _entries(
    file: str, data: dict[str, Any], kind: str, build: Callable[[dict[str, Any]], Entry],
) -> tuple[Entry, ...]:
    entries = data.get(kind, [])
    if not isinstance(entries, list):
        raise DeviationError(f"{file}: write [[{kind}]], with two brackets.")
    built = []
    for number, record in enumerate(entries, 1):
        try:
            built.append(build(record))
        except KeyError as error:
            raise DeviationError(f"{file}: {kind} {number} lacks {error}.") from error
        except (TypeError, ValueError) as error:
            raise DeviationError(f"{file}: {kind} {number}: {error}.") from error
    return tuple(built)


def _deviation(record: dict[str, Any]) -> Deviation:
    layer = record["layer"]
    if layer not in _FIELDS:
        raise ValueError(f"the layer {layer!r} is none of {', '.join(_FIELDS)}")
    instead = json.loads(record["instead"])
    known = _FIELDS[layer]
    if not isinstance(record["cases"], list):
        raise ValueError("`cases` is a list of names")
    about = record.get("input", "")
    if not isinstance(instead, dict) or not instead or instead.keys() - known:
        raise ValueError(f"`instead` is a JSON object with some of {', '.join(sorted(known))}")
    if about and about not in HABITS:
        raise ValueError(f"`input` is {about!r}, none of {', '.join(HABITS)}")
    return Deviation(
        record["name"], layer, frozenset(record["cases"]), record["reason"], record["rfc"], instead, about)


def _limit(record: dict[str, Any]) -> Limit:
    default = _value(record["default"])
    return Limit(record["name"], record.get("option", ""), default, record["answer"], record["reason"])


def _addition(record: dict[str, Any]) -> Addition:
    return Addition(record["name"], _value(record["address"]), record["reason"])


def _value(text: str) -> str:
    """A name of contract.py stands for its value there."""
    return str(getattr(contract, text, text))
