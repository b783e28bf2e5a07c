"""Plays generated inputs to two servers, and shrinks what they disagree about to its smallest form.

The reference's answer is right by definition. Generating and shrinking are Hypothesis's; `strategies` says
what is generated. Needs the extra `fuzz`. While it runs, Hypothesis seeds Python's global random generator.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any, Final

import hypothesis
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

from livestream.parity.cases import Case, Record
from livestream.parity.fuzzing.strategies import FRAMES, MESSAGES, Conversation
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.difference import Difference
from livestream.parity.judging.rules import RULES, Rule
from livestream.parity.playing.player import play_case
from livestream.parity.playing.target import Target

GROUPS: Final = ("messages", "frames", "conversations")
#: How many of the examples belong to a group.
_SHARES: Final = {"messages": 2, "frames": 1, "conversations": 1}
#: How long to listen for what nobody announced, in seconds; what is found is played again with patience.
_SETTLE: Final = 0.05
#: How often Hypothesis may generate for one example that was not there before.
_MOST_TRIES: Final = 4
#: Steps of a conversation; the port allows a connection 64 channel threads.
_MOST_STEPS: Final = 12

#: Whether a difference is an excused one: the case with the reference's observation, and the subject's.
Known = Callable[[Case, dict[str, Any]], bool]
_Examine = Callable[[list[Record]], None]
_Run = Callable[[_Examine, hypothesis.settings, str], None]


@dataclass(frozen=True)
class Disagreement:
    """The smallest input of a group that two servers answer differently."""

    #: A corpus case named "fuzz-<group>-<seed>-<n>"; what it records is what the reference did.
    case: Case
    #: What the subject did, in the corpus's shape.
    observed: dict[str, Any]
    differences: list[Difference]
    #: False when it was seen and did not happen again.
    stable: bool


class _Disagreed(Exception):
    """Tells Hypothesis that an example is what it looks for."""


class _Enough(BaseException):
    """Ends the generating: as many examples as wanted were played."""


class _Ended(BaseException):
    """Carries an exception past Hypothesis, which takes any other for a failure to be shrunk."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def fuzz(
    subject: Target,
    reference: Target,
    count: int,
    seed: int,
    *,
    groups: Sequence[str] = GROUPS,
    rules: Sequence[Rule] = RULES,
    known: Known = lambda case, observed: False,
    on_example: Callable[[], None] = lambda: None,
) -> list[Disagreement]:
    """Generates `count` inputs, plays each to both sides; at most one disagreement per group, its smallest.

    Messages get about half of `count`; shrinking plays more than that. A seed generates the same again with
    the same releases of Hypothesis and of this program. `known` excuses a difference; `on_example` is called
    after every input, and what it raises ends the run. NoAnswer when a side is gone, silent or flooding;
    ValueError for a group that isn't one of GROUPS.
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise ValueError(f"there is no group {unknown[0]!r}, only {', '.join(GROUPS)}")
    found: list[Disagreement | None] = []
    with ThreadPoolExecutor(2, thread_name_prefix="fuzz") as pool, _nothing_left_behind():
        patient = _Pair(subject, reference, rules, known, pool)
        for group, share in _shared_out(count, groups).items():
            search = _Search(f"fuzz-{group}-{seed}-1", share, patient, on_example)
            found.append(search.run(_RUNS[group], f"{group}-{seed}"))
    return [disagreement for disagreement in found if disagreement]


def _shared_out(count: int, groups: Sequence[str]) -> dict[str, int]:
    """How many examples each group gets, none with none; what can't be shared goes to the first."""
    total = sum(_SHARES[group] for group in groups)
    shares = {group: count * _SHARES[group] // total for group in groups}
    if groups:
        shares[groups[0]] += count - sum(shares.values())
    return {group: share for group, share in shares.items() if share > 0}


@contextmanager
def _nothing_left_behind() -> Iterator[None]:
    """Hypothesis caches what it knows of the program's modules in a folder `.hypothesis`, database or not."""
    with TemporaryDirectory(prefix="livestream-fuzz-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)


@dataclass(frozen=True)
class _Pair:
    """Both sides, played at the same time."""

    subject: Target
    reference: Target
    rules: Sequence[Rule]
    known: Known
    pool: ThreadPoolExecutor

    def judge(self, case: Case) -> Disagreement | None:
        """What the two disagree about in this case, whatever it has recorded."""
        unrecorded = replace(case, observed={})
        sides = [self.pool.submit(play_case, unrecorded, side) for side in (self.subject, self.reference)]
        observed, expected = [side.result() for side in sides]
        case = replace(case, observed=expected)
        found = differences(case, observed, self.rules)
        if not found or self.known(case, observed):
            return None
        return Disagreement(case, observed, found, stable=True)


def _quick(target: Target) -> Target:
    return replace(target, limits=replace(target.limits, settle=min(_SETTLE, target.limits.settle)))


class _Search:
    """The search in one group: examines what Hypothesis generates, and keeps what it finds."""

    def __init__(self, name: str, count: int, patient: _Pair, on_example: Callable[[], None]) -> None:
        self._name = name
        self._patient = patient
        self._quick = replace(
            patient, subject=_quick(patient.subject), reference=_quick(patient.reference))
        self._on_example = on_example
        self._count = count
        #: What both sides answered alike, as text: Hypothesis likes to come back to what it had.
        self._agreed: set[str] = set()
        #: The last example that failed, which is the smallest one when Hypothesis is done.
        self._smallest: Disagreement | None = None
        #: The first one that failed in a hurry and not with patience.
        self._passing: Disagreement | None = None

    def run(self, run: _Run, seed: str) -> Disagreement | None:
        """The smallest disagreement; without one that lasts, one that passed."""
        flaky = False
        try:
            run(self._examine, _settings(_MOST_TRIES * self._count), seed)
        except _Disagreed:
            pass
        except Flaky:
            flaky = True
        except _Enough:
            pass
        except _Ended as ended:
            raise ended.error from None
        if self._smallest is None:
            return self._passing
        smallest = self._shortened(self._smallest)
        again = self._patient.judge(smallest.case)
        return replace(again or smallest, stable=not flaky and again is not None)

    def _examine(self, steps: list[Record]) -> None:
        text = json.dumps(steps)
        if text in self._agreed:
            return
        if len(self._agreed) == self._count and not self._smallest:
            raise _Enough
        try:
            found = self._find(steps)
            self._on_example()
        except BaseException as error:
            raise _Ended(error) from error
        if found:
            self._smallest = found
            raise _Disagreed
        self._agreed.add(text)

    def _judge(self, steps: Sequence[Record]) -> Disagreement | None:
        kind = "message" if all("text" in step for step in steps) else "frame"
        return self._quick.judge(Case(self._name, kind, {}, tuple(steps)))

    def _find(self, steps: list[Record]) -> Disagreement | None:
        found = self._judge(steps)
        if found and not self._smallest and not self._patient.judge(found.case):
            self._passing = self._passing or replace(found, stable=False)
            return None
        return found

    def _shortened(self, found: Disagreement) -> Disagreement:
        """The same disagreement without needless steps, of which Hypothesis leaves some in conversations."""
        send = found.case.send
        for at in range(len(send) if len(send) > 1 else 0):
            shorter = self._judge(send[:at] + send[at + 1:])
            if shorter and _gist(shorter) <= _gist(found):
                return self._shortened(shorter)
        return found


def _gist(found: Disagreement) -> set[str]:
    """What differs, whatever its place in a list and the time in it."""
    texts = (str(one._replace(where=one.where.partition("[")[0])) for one in found.differences)
    return {re.sub(r"\d{6,}", "<number>", text) for text in texts}


# How Hypothesis runs a group.


def _settings(count: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=count,
        stateful_step_count=_MOST_STEPS,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )


def _run_lists(strategy: SearchStrategy[list[Record]]) -> _Run:
    def run(examine: _Examine, settings: hypothesis.settings, seed: str) -> None:
        def example(steps: list[Record]) -> None:
            examine(steps)

        hypothesis.seed(seed)(settings(hypothesis.given(strategy)(example)))()
    return run


def _run_conversations(examine: _Examine, settings: hypothesis.settings, seed: str) -> None:
    machine = type("GeneratedConversation", (Conversation,), {"play": staticmethod(examine)})
    run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=settings)


_RUNS: Final[dict[str, _Run]] = {
    "messages": _run_lists(MESSAGES), "frames": _run_lists(FRAMES), "conversations": _run_conversations,
}
