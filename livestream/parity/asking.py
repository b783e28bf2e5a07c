"""What a reference server answers, which is then what is expected of the other; and what is only noise."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from livestream.parity.cases import Case, Record, Session
from livestream.parity.judging.deviations import LAYERS, name_of
from livestream.parity.judging.twin import NO_NOISE, Noise, learn
from livestream.parity.plan import Plan
from livestream.parity.playing.player import Outcome, play_all
from livestream.parity.playing.sessions import play_session
from livestream.parity.playing.target import Target
from livestream.parity.playing.waiting import StallWatch
from livestream.wire.client import WireError

#: By name, what came of a session.
Played = Mapping[str, Session | WireError]


@dataclass(frozen=True)
class Round:
    """What each server gave in the same sessions, at the same time."""

    subject: Played
    reference: Played = field(default_factory=dict)
    twin: Played = field(default_factory=dict)
    #: How long this machine stalled meanwhile, in seconds, at the worst.
    stall: float = 0.0


@dataclass(frozen=True)
class Answers:
    """Everything that was asked of the reference, and of its twin."""

    #: The cases with what the reference answered as `observed`.
    cases: Sequence[Case] = ()
    unanswered: Sequence[tuple[Case, str]] = ()
    #: Sessions last half a minute, so all servers played them at the same time.
    round: Round | None = None
    noise: Noise = NO_NOISE


def ask_reference(plan: Plan, cases: Sequence[Case], sessions: Sequence[Session]) -> Answers:
    """Plays cases to the reference and its twin, and sessions to all three."""
    if plan.reference is None:
        return Answers()
    outcomes = play_all(cases, plan.reference, plan.parallel)
    played = play_round(plan, sessions)
    noise = NO_NOISE
    if plan.twin is not None:
        twin_outcomes = play_all(cases, plan.twin, plan.parallel)
        noise = learn(
            _case_pairs(outcomes, twin_outcomes), _session_pairs(played.reference, played.twin), plan.rules)
    answered = [replace(one.case, observed=one.observed) for one in outcomes if one.observed is not None]
    unanswered = [(one.case, one.error or "") for one in outcomes if one.observed is None]
    return Answers(answered, unanswered, played, noise)


def play_round(plan: Plan, sessions: Sequence[Session]) -> Round:
    """Sessions in real time, all at once and on every server of the plan at the same time."""
    roles = {"subject": plan.subject, "reference": plan.reference, "twin": plan.twin}
    targets = {role: target for role, target in roles.items() if target is not None}
    with StallWatch() as watch:
        played = _play_sessions_on(list(targets.values()), sessions)
    return Round(stall=watch.worst, **dict(zip(targets, played)))


def _play_sessions_on(targets: Sequence[Target], sessions: Sequence[Session]) -> list[Played]:
    """The same sessions on several servers at the same time."""
    with ThreadPoolExecutor(len(targets), thread_name_prefix="ask") as pool:
        try:
            return list(pool.map(lambda target: play_sessions(target, sessions), targets))
        except BaseException:
            for target in targets:
                target.stop.set()
            raise


def play_sessions(target: Target, sessions: Sequence[Session]) -> Played:
    """Sessions in real time, all at once; the error in place of one that could not be played."""
    def play(session: Session) -> Session | WireError:
        try:
            return play_session(session, target)
        except WireError as error:
            return error

    if not sessions:
        return {}
    with ThreadPoolExecutor(len(sessions), thread_name_prefix="session") as pool:
        try:
            return dict(zip([session.name for session in sessions], pool.map(play, sessions)))
        except BaseException:
            target.stop.set()
            raise


def _case_pairs(
    one: Iterable[Outcome], other: Iterable[Outcome],
) -> list[tuple[str, Case, dict[str, Any], dict[str, Any]]]:
    return [
        (name_of(a.case), a.case, a.observed, b.observed)
        for a, b in zip(one, other) if a.observed is not None and b.observed is not None
    ]


def _session_pairs(one: Played, other: Played) -> list[tuple[str, Session, Session]]:
    both = ((name, session, other[name]) for name, session in one.items())
    return [
        (f"{LAYERS['session']}/{name}", session, twin)
        for name, session, twin in both
        if isinstance(session, Session) and isinstance(twin, Session)
    ]


def speaks(observed: Record) -> bool:
    """Whether a silence case saw a message."""
    return any(frame[0] == "TEXT" for frame in observed.get("frames", ()))
