"""The broadcasters beside each other, at the most clients that all of them have been measured at.

They are compared in the figures that `reference.toml` names, of which less is better.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from livestream.lab.reports.cells import clients_told, measured, shown
from livestream.lab.reports.reference import BETTER_ON_BALANCE, NEVER_BETTER, Compared, references
from livestream.lab.results import Results, Step

_BETTER: Final = "better"
_EQUAL: Final = "equal"
_WORSE: Final = "worse"


class Balance(NamedTuple):
    """In how many figures another broadcaster is better than the baseline, and in how many worse."""

    better: int
    worse: int


class Beside(NamedTuple):
    """What came of the comparison."""

    #: By broadcaster, without the baseline.
    balances: Mapping[str, Balance]
    #: A clause: "at 1,000 clients, compared with threads, pool is better in …".
    told: str

    def holds(self, condition: str) -> bool:
        """Whether it came out so; `condition` is BETTER_ON_BALANCE or NEVER_BETTER."""
        return _CONDITIONS[condition](list(self.balances.values()))

    @property
    def counts(self) -> str:
        """A cell: "pool: 2 better, 1 worse; ticker: …"."""
        return "; ".join(
            f"{name}: {better} better, {worse} worse" for name, (better, worse) in self.balances.items())


_CONDITIONS: Final[Mapping[str, Callable[[list[Balance]], bool]]] = {
    BETTER_ON_BALANCE: lambda balances: any(balance.better > balance.worse for balance in balances),
    NEVER_BETTER: lambda balances: all(balance.better == 0 for balance in balances),
}


class _Pair(NamedTuple):
    """One figure of another broadcaster and of the baseline."""

    outcome: str
    told: str


def beside(results: Results) -> Beside | None:
    """The comparison of the broadcasters in a run.

    None when the baseline and another have no number of clients in common that counts.
    """
    known = references()
    steps = _largest_in_common(results)
    if not steps:
        return None
    baseline = steps.pop(known.baseline)
    pairs = {
        name: [_pair(figure, step, baseline) for figure in known.compared] for name, step in steps.items()}
    told = "; ".join(f"{name} is {_told(found)}" for name, found in pairs.items())
    return Beside(
        {name: _balance(found) for name, found in pairs.items()},
        f"at {clients_told(baseline.clients)}, compared with {known.baseline}, {told}",
    )


def _largest_in_common(results: Results) -> dict[str, Step]:
    """By broadcaster, its step with the most clients at which all that ran have a valid and complete one."""
    known = references()
    names = [name for name in (known.baseline, *known.others) if name in results.conditions]
    if known.baseline not in names or len(names) < 2:
        return {}
    usable = {name: {step.clients: step for step in results.of(name) if _complete(step)} for name in names}
    common = set.intersection(*(set(steps) for steps in usable.values()))
    return {name: usable[name][max(common)] for name in names} if common else {}


def _complete(step: Step) -> bool:
    return step.valid and all(measured(step, figure.name) is not None for figure in references().compared)


def _pair(figure: Compared, step: Step, baseline: Step) -> _Pair:
    value, than = step.figures[figure.name], baseline.figures[figure.name]
    told = f"{figure.called} ({shown(figure.name, value)} against {shown(figure.name, than)})"
    if abs(value - than) <= max(figure.tolerance * abs(than), figure.slack):
        return _Pair(_EQUAL, told)
    return _Pair(_BETTER if value < than else _WORSE, told)


def _balance(pairs: Sequence[_Pair]) -> Balance:
    outcomes = [pair.outcome for pair in pairs]
    return Balance(outcomes.count(_BETTER), outcomes.count(_WORSE))


def _told(pairs: Sequence[_Pair]) -> str:
    by_outcome = {
        outcome: [pair.told for pair in pairs if pair.outcome == outcome]
        for outcome in (_BETTER, _EQUAL, _WORSE)
    }
    return ", ".join(f"{outcome} in {' and '.join(told)}" for outcome, told in by_outcome.items() if told)
