"""From an observation to a verdict."""

from dataclasses import replace
from typing import Any, Final

from livestream.parity.cases import Case, Record, Session, load_session
from livestream.parity.judging.cadence import session_differences
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.deviations import Deviation, name_of
from livestream.parity.judging.expectations import (
    PROFILES, Faults, expected, explaining_flags, recorded_cases,
)
from livestream.parity.judging.figures import session_figures
from livestream.parity.judging.model import expected_session
from livestream.parity.judging.twin import NO_NOISE, Noise
from livestream.parity.judging.verdict import Result, Verdict
from livestream.parity.plan import Plan

#: Why a difference doesn't count where a twin is at hand.
NOISE: Final = "noise: the reference and its twin differ there from each other as well."


class Judge:
    """Knows what may differ: rules and noise, and what is excused."""

    def __init__(self, plan: Plan, noise: Noise = NO_NOISE) -> None:
        self._plan = plan
        #: Whether the server turned out to send no message at all.
        self.mute = False
        self._noise = noise
        #: What may vary: what was learned from a twin, and what is known of the original.
        self.rules = (*noise.rules, *plan.rules)
        #: What the corpus has of each case, where it is what judges.
        self._recorded = {} if plan.reference or plan.corpus else _recorded_by_name()

    def case(self, case: Case, observed: dict[str, Any], seconds: float = 0.0) -> Result:
        """The verdict on one case; `case.observed` is what was expected."""
        found = differences(case, observed, self.rules)
        if not found:
            return Result(case, Verdict.SAME, observed, seconds=seconds)
        result = Result(case, Verdict.DIFFERENT, observed, tuple(found), seconds=seconds)
        if not self._noise.without(name_of(case), found):
            return replace(result, verdict=Verdict.EXPLAINED, reason=NOISE)
        deviation = self._plan.deviations.excuse(case, observed, self.rules)
        if deviation is not None:
            return _explained(result, deviation)
        return replace(result, flags=self._flags(case, observed))

    def session(self, recorded: Session, played: Session, seconds: float = 0.0) -> Result:
        """The verdict on one session."""
        case = session_case(recorded)
        found = session_differences(recorded, played, self.rules)
        observed = _figures(played)
        if not found:
            return Result(case, Verdict.SAME, observed, seconds=seconds)
        result = Result(case, Verdict.DIFFERENT, observed, tuple(found), seconds=seconds)
        if not self._noise.without(name_of(case), found):
            return replace(result, verdict=Verdict.EXPLAINED, reason=NOISE)
        deviation = self._plan.deviations.excuse_places(case, {difference.where for difference in found})
        if deviation is not None:
            return _explained(result, deviation)
        return replace(result, flags=self._session_flags(recorded.name, played))

    def silent(self, case: Case, error: str, seconds: float = 0.0) -> Result:
        """The result of a case that could not be played."""
        return Result(case, Verdict.NO_ANSWER, None, reason=error, seconds=seconds)

    def _flags(self, case: Case, observed: dict[str, Any]) -> tuple[str, ...]:
        recorded = self._recorded.get(name_of(case))
        if recorded is None:
            return ()

        tried: list[Record] = []

        def same(faults: Faults) -> bool:
            other = expected(recorded, faults)
            if other.observed in tried:
                return False  # Many sets of flags expect the same of a case, and comparing takes its time.
            tried.append(other.observed)
            return not differences(other, observed, self.rules)

        return explaining_flags(same, self._plan.faults, self.mute)

    def _session_flags(self, name: str, played: Session) -> tuple[str, ...]:
        if not self._recorded:
            return ()
        recorded = load_session(name)

        def same(faults: Faults) -> bool:
            return not session_differences(expected_session(recorded, faults), played, self.rules)

        return explaining_flags(same, self._plan.faults)


def session_case(session: Session) -> Case:
    """A session as a case: what it sends, and the figures of what it should receive."""
    send = tuple(step.record() for step in session.steps if step.dir == "send")
    return Case(session.name, "session", _figures(session), send=send)


def _figures(session: Session) -> dict[str, Any]:
    return {kind: figures._asdict() for kind, figures in session_figures(session).items()}


def _recorded_by_name() -> dict[str, Case]:
    return {name_of(case): case for faults in PROFILES.values() for case in recorded_cases(faults)}


def _explained(result: Result, deviation: Deviation) -> Result:
    return replace(result, verdict=Verdict.EXPLAINED, reason=f"{deviation.name}: {deviation.reason}")
