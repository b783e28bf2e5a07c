"""What is known before any run: the report's figures and claims, and what was measured on the original.

They stand in one data file, `reference.toml` (SPEC, "Figures" and "What the report claims"). Names and units
of figures are those of livestream.lab.results.FIGURES.
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from livestream.lab.results import FIGURES, Results

PACKAGED: Final = "reference.toml"
REPORT: Final = "report"
ORIGINAL: Final = "original"
#: Where figures come from, and what a legend calls it.
SOURCES: Final[Mapping[str, str]] = MappingProxyType({
    REPORT: "the report's claim",
    ORIGINAL: "the original, measured",
})
#: The subcommands of `livestream scale`: Results.experiment is one of them.
EXPERIMENTS: Final = ("sweep", "lifecycle", "soak", "switch-interval", "models")
#: What a ModelClaim may rest on: another broadcaster beats the baseline on balance, or nowhere at all.
BETTER_ON_BALANCE: Final = "another is better in more than it is worse"
NEVER_BETTER: Final = "another is better in nothing"
#: The experiment that answers every ModelClaim.
MODELS_EXPERIMENT: Final = "models"

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
Entry = TypeVar("Entry")
Built = TypeVar("Built")


class ReferenceDataError(ValueError):
    """The file of references can't be used; the text names the entry."""


class Reference(NamedTuple):
    """What one source knows of one figure, in the figure's unit."""

    #: Clients to value, by rising clients: what was given for exactly that many.
    points: Mapping[int, float] = _NOTHING
    #: The value at any number of clients; None when there is no such rule.
    constant: float | None = None
    #: The value for each client; None when there is no such rule.
    per_client: float | None = None
    #: The most clients up to which the rule is known; None for any number.
    up_to: int | None = None
    #: Whether the source itself rounds ("about 550").
    about: bool = False

    def at(self, clients: int) -> float | None:
        """The value there: given or by rule, never interpolated. None where nothing is known."""
        if clients in self.points:
            return self.points[clients]
        if self.up_to is not None and clients > self.up_to:
            return None
        return self.constant if self.per_client is None else self.per_client * clients


class Claim(NamedTuple):
    """A claim of the report that one figure answers."""

    id: str
    #: What the report says, shortened.
    claim: str
    #: The one that shows it, of EXPERIMENTS.
    experiment: str
    #: The one that answers it, of FIGURES.
    figure: str
    #: What the number counts, in a sentence: "channel threads per client".
    thing: str
    #: In the figure's unit.
    value: float
    #: As a share of `value`: how far off still holds; the slacks come on top.
    tolerance: float
    #: Why that far, as a sentence.
    why: str
    #: The number of clients it is about; None for any.
    clients: int | None = None
    #: The claim is about all clients together, the figure about one.
    times_clients: bool = False
    #: Less than `value` holds too.
    at_most: bool = False
    #: In the figure's unit.
    slack: float = 0.0
    #: In the figure's unit, for each client.
    slack_per_client: float = 0.0
    about: bool = False
    #: What a step must have besides to count: names of FIGURES to their least value.
    needs: Mapping[str, float] = _NOTHING
    #: The figure that is the standard error of this one: the claim is judged only where twice as much is
    #: within what is allowed, and where the value isn't clearly below zero. Empty when there is none.
    error: str = ""
    #: What the report says when that is no number ("at once"); empty when it is.
    says: str = ""
    #: The same for the original.
    original: str = ""

    def allowed(self, clients: int) -> float:
        """How far from `value` still holds with so many clients, in the figure's unit."""
        return self.tolerance * abs(self.value) + self.slack + self.slack_per_client * clients


class Compared(NamedTuple):
    """One figure of the comparison of broadcasters; less is better."""

    name: str
    #: In a sentence: "memory per client".
    called: str
    #: As a share of the baseline's value: closer is equal.
    tolerance: float
    #: In the figure's unit: closer is equal too.
    slack: float
    #: Why that close, as a sentence.
    why: str


class ModelClaim(NamedTuple):
    """A claim that the comparison of broadcasters answers."""

    id: str
    claim: str
    says: str
    #: BETTER_ON_BALANCE or NEVER_BETTER.
    holds_if: str


class References(NamedTuple):
    """The whole file."""

    #: By source, then by figure.
    figures: Mapping[str, Mapping[str, Reference]]
    claims: tuple[Claim, ...]
    #: The condition that others are compared with, and those others.
    baseline: str
    others: tuple[str, ...]
    compared: tuple[Compared, ...]
    model_claims: tuple[ModelClaim, ...]


@cache
def references() -> References:
    """The packaged file. ReferenceDataError when it can't be used."""
    return parsed((files("livestream.lab.reports") / PACKAGED).read_text(encoding="utf-8"))


def reference(source: str, figure: str) -> Reference | None:
    """What a source of SOURCES knows of a figure; None when it says nothing. KeyError for another source."""
    return references().figures[source].get(figure)


def comparable(results: Results, figure: str) -> bool:
    """At another time scale an interval is not the interval that the report and the original are about."""
    return results.time_scale == 1 or not FIGURES[figure].scales


def references_for(results: Results, figure: str) -> dict[str, Reference]:
    """What the sources have to compare a run's figure with, by source."""
    if not comparable(results, figure):
        return {}
    found = {source: reference(source, figure) for source in SOURCES}
    return {source: known for source, known in found.items() if known is not None}


def parsed(text: str) -> References:
    """A file's text as the types above. ReferenceDataError names the entry that can't be used."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ReferenceDataError(f"{PACKAGED} can't be read: {error}.") from error
    try:
        _entry("the file", data, lambda tables: _only(tables, {*SOURCES, "claim", "models", "model_claim"}))
        figures = MappingProxyType({source: _figures(source, data.get(source, {})) for source in SOURCES})
        models = data["models"]
        _entry("models", models, lambda table: _only(table, {"baseline", "others", "figure"}))
        found = References(
            figures=figures,
            claims=_entries("claim", data["claim"], lambda record: _claim(record, figures[REPORT])),
            baseline=models["baseline"],
            others=tuple(models["others"]),
            compared=_entries("models.figure", models["figure"], _compared),
            model_claims=_entries("model_claim", data["model_claim"], _model_claim),
        )
    except KeyError as error:
        raise ReferenceDataError(f"{PACKAGED} lacks {error}.") from error
    ids = [claim.id for claim in found.claims] + [claim.id for claim in found.model_claims]
    if len(set(ids)) < len(ids):
        raise ReferenceDataError(f"{PACKAGED} has two claims of one id.")
    return found


def _entries(kind: str, records: list[Entry], build: Callable[[Entry], Built]) -> tuple[Built, ...]:
    return tuple(_entry(f"{kind} {number}", record, build) for number, record in enumerate(records, 1))


def _entry(where: str, record: Entry, build: Callable[[Entry], Built]) -> Built:
    try:
        return build(record)
    except KeyError as error:
        raise ReferenceDataError(f"{PACKAGED}: {where} lacks {error}.") from error
    except (TypeError, ValueError) as error:
        raise ReferenceDataError(f"{PACKAGED}: {where}: {error}.") from error


def _figures(source: str, tables: dict[str, dict[str, Any]]) -> Mapping[str, Reference]:
    return MappingProxyType({
        _entry(f"{source}.{figure}", figure, _figure): _entry(f"{source}.{figure}", table, _reference)
        for figure, table in tables.items()
    })


def _reference(table: dict[str, Any]) -> Reference:
    _only(table, {"points", "constant", "per_client", "up_to", "about"})
    points = {int(clients): _number(value) for clients, value in table.get("points", {}).items()}
    rules = {name: _number(table[name]) for name in ("constant", "per_client") if name in table}
    if len(rules) > 1 or not (points or rules):
        raise ValueError("it needs `points` or one of `constant` and `per_client`")
    by_clients = MappingProxyType(dict(sorted(points.items())))
    return Reference(by_clients, **rules, up_to=table.get("up_to"), about=table.get("about", False))


def _claim(record: dict[str, Any], report: Mapping[str, Reference]) -> Claim:
    figure, clients = _figure(record["figure"]), record.get("clients")
    if record["experiment"] not in EXPERIMENTS:
        raise ValueError(f"the experiment {record['experiment']!r} is none of {', '.join(EXPERIMENTS)}")
    said = report.get(figure, Reference())
    value = record.get("value", said.constant if clients is None else said.at(clients))
    if value is None:
        raise ValueError("it needs a `value`, here or in the report's table")
    needs = {_figure(name): _number(least) for name, least in record.get("needs", {}).items()}
    read: dict[str, Any] = {
        "value": _number(value),
        "about": record.get("about", said.about),
        "needs": MappingProxyType(needs),
        "error": _figure(record["error"]) if "error" in record else "",
    }
    limits = ("tolerance", "slack", "slack_per_client")
    return Claim(**(record | read | {name: _number(record[name]) for name in limits if name in record}))


def _compared(record: dict[str, Any]) -> Compared:
    limits = {name: _number(record[name]) for name in ("tolerance", "slack")}
    return Compared(**(record | limits | {"name": _figure(record["name"])}))


def _model_claim(record: dict[str, Any]) -> ModelClaim:
    if record["holds_if"] not in (BETTER_ON_BALANCE, NEVER_BETTER):
        raise ValueError(f"`holds_if` is {BETTER_ON_BALANCE!r} or {NEVER_BETTER!r}")
    return ModelClaim(**record)


def _only(table: Mapping[str, Any], known: set[str]) -> None:
    unknown = table.keys() - known
    if unknown:
        raise ValueError(f"unknown entries: {', '.join(sorted(unknown))}")


def _figure(name: str) -> str:
    if name not in FIGURES:
        raise ValueError(f"there is no figure {name!r}")
    return name


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is no number of 0 or more")
    return value
