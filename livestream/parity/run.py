"""Plays a plan from its first case to its last, and hands out each result as it is known.

Order: the opening, threads (while nothing else goes on), the cases many at a time, statistics (again alone),
and sessions all at once. With a reference server everything is played to that one first: see `asking`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from livestream import contract
from livestream.parity.asking import Answers, Round, ask_reference, play_round, speaks
from livestream.parity.cases import Case, Session
from livestream.parity.contractlog import ContractLog
from livestream.parity.judge import Judge, session_case
from livestream.parity.judging.deviations import name_of
from livestream.parity.judging.expectations import OPENING
from livestream.parity.judging.verdict import Result, Verdict
from livestream.parity.plan import CONTRACT, EXAMPLES, FUZZ, Plan
from livestream.parity.playing.player import Outcome, play_all, play_each
from livestream.parity.playing.stats import play_statistics_case, read_statistics
from livestream.parity.playing.target import Target
from livestream.parity.playing.threads import count_threads, play_thread_cases
from livestream.wire.client import WireError

#: What can't be played with a server that sends nothing.
NEED_MESSAGES: Final = frozenset(("message", "frame"))
#: What can be played with a server that has no stream at all.
NEED_NO_STREAM: Final = frozenset(("http", "handshake", "statistics"))
#: What counts something of the whole server, so nothing else may go on meanwhile.
ALONE: Final = frozenset(("threads", "statistics"))
#: A longer stall of this machine, in seconds, makes the pace of a session doubtful.
LONGEST_STALL: Final = 0.03
#: Of a session in doubt; a machine that stalls each time is too busy for pace.
MOST_REPLAYS: Final = 2
_MUTE: Final = "Not played: the server opens a stream and sends nothing on it."

#: Is told the name of every case that is done; what it raises ends the run.
OnDone = Callable[[str], None]


def _unheard(_name: str) -> None:
    """Nobody wants to know."""


class CannotRun(Exception):
    """Nothing can be compared; the text is one sentence that says why."""


class Comparison:
    """One run of a plan. CannotRun when there is nothing to play, CorpusError when a file can't be used."""

    def __init__(self, plan: Plan) -> None:
        self._contract = ContractLog()
        self._plan = replace(plan, subject=replace(plan.subject, watch=self._contract.watch))
        self._judge = Judge(self._plan)
        self._cases = self._plan.cases()
        self._sessions = self._plan.sessions()
        self._answers = Answers()
        self._on_done: OnDone = _unheard
        #: What is known so far, in the order in which it became known.
        self.results: list[Result] = []
        #: What a reader must know besides the results.
        self.notes: list[str] = []
        self._leave_threads_out()
        self._order = [name_of(case) for case in self._cases] + [
            name_of(session_case(session)) for session in self._sessions]
        #: How many cases are to be done, those to be generated included.
        self.total = len(self._order) + self._examples
        if not self.total:
            raise CannotRun(self._why_nothing())

    def _why_nothing(self) -> str:
        if self._plan.only == {CONTRACT}:
            return "The contract is judged by the messages of other layers: choose one of them too."
        if self._plan.only == {FUZZ}:
            return "Inputs are generated with --fuzz N and --against URL: give both."
        return self.notes[0] if self.notes else "No case fits this choice: see --only and --case."

    def run(self, on_done: OnDone = _unheard) -> None:
        """Everything that was planned, into `results`.

        CannotRun when a server can't be reached, or Hypothesis is wanted and not installed.
        """
        self._on_done = on_done
        self._reach_all()
        for stage in (self._ask_reference, self._opening, self._threads, self._in_parallel,
                      self._statistics, self._in_real_time, self._generated, self._all_messages):
            for result in stage():
                self.results.append(result)
                on_done(result.name)

    def results_in_order(self) -> tuple[Result, ...]:
        """The results in the order of the corpus, what was generated last."""
        place = {name: at for at, name in enumerate(self._order)}
        return tuple(sorted(self.results, key=lambda result: place.get(result.name, len(place))))

    @property
    def _examples(self) -> int:
        return self._plan.fuzz if self._plan.wants(FUZZ, EXAMPLES) else 0

    def _reach_all(self) -> None:
        """Each server can be connected to. Whoever wants no stream of it needs no more than TCP."""
        kinds = {case.kind for case in self._cases}
        needs_stream = bool(self._sessions or self._examples or kinds - NEED_NO_STREAM)
        plan = self._plan
        for target in (plan.subject, plan.reference, plan.twin):
            try:
                if target is not None:
                    target.reach(needs_stream)
            except WireError as error:
                raise CannotRun(str(error)) from error
        try:
            for pid in (plan.pid, plan.reference_pid):
                if pid is not None:
                    count_threads(pid)
        except WireError as error:
            raise CannotRun(str(error)) from error

    def _leave_threads_out(self) -> None:
        """Threads need a process, and two of them when two servers are compared."""
        plan = self._plan
        if plan.pid is None:
            self._drop(lambda case: case.kind == "threads",
                       "threads were not counted: --pid names the server's process")
        elif plan.reference is not None and plan.reference_pid is None:
            self._drop(lambda case: case.kind == "threads",
                       "threads were not compared: --against-pid names the other server's process")

    def _drop(self, unwanted: Callable[[Case], bool], note: str) -> None:
        kept = [case for case in self._cases if not unwanted(case)]
        if len(kept) < len(self._cases):
            self.notes.append(note)
        self._cases = kept

    def _ask_reference(self) -> Iterator[Result]:
        """Plays everything to the other server; what that answers is what is expected from here on."""
        if self._plan.reference is None:
            return
        wanted = [case for case in self._cases if case.kind not in ALONE]
        self._answers = ask_reference(self._plan, wanted, self._sessions)
        noise = self._answers.noise
        self._judge = Judge(self._plan, noise)
        if self._plan.twin is not None:
            learned = f"values at {len(noise.rules)} places, {len(noise.places)} whole differences"
            self.notes.append(f"noise learned from the twin: {learned}")
        self._cases = [*self._answers.cases, *(case for case in self._cases if case.kind in ALONE)]
        for case, error in self._answers.unanswered:
            yield self._judge.silent(case, error)

    def _opening(self) -> Iterator[Result]:
        """Whether the server speaks at all. If not, what needs its messages is not worth waiting for."""
        for case in [case for case in self._cases if _is_opening(case)]:
            result = self._judged(play_all([case], self._plan.subject)[0])
            yield result
            if result.observed is None or speaks(result.observed):
                continue
            if speaks(case.observed):
                yield from self._mute()

    def _mute(self) -> Iterator[Result]:
        self._judge.mute = True
        left_out = [case for case in self._cases if case.kind in NEED_MESSAGES]
        left_out += [session_case(session) for session in self._sessions]
        self._cases = [case for case in self._cases if case.kind not in NEED_MESSAGES]
        self._sessions = []
        return (self._judge.silent(case, _MUTE) for case in left_out)

    def _threads(self) -> Iterator[Result]:
        """Both processes one after the other, while nothing else goes on."""
        plan = self._plan
        cases = [case for case in self._cases if case.kind == "threads"]
        if not cases or plan.pid is None:
            return
        try:
            if plan.reference is not None and plan.reference_pid is not None:
                recorded = play_thread_cases(cases, plan.reference, plan.reference_pid)
                cases = [replace(case, observed=recorded[case.name]) for case in cases]
            observed = play_thread_cases(cases, plan.subject, plan.pid)
        except WireError as error:
            yield from (self._judge.silent(case, str(error)) for case in cases)
            return
        yield from (self._judge.case(case, dict(observed[case.name])) for case in cases)

    def _in_parallel(self) -> Iterator[Result]:
        """The cases of the wire, each on a connection of its own."""
        cases = [case for case in self._cases if case.kind not in ALONE and not _is_opening(case)]
        return (self._judged(one) for one in play_each(cases, self._plan.subject, self._plan.parallel))

    def _judged(self, outcome: Outcome) -> Result:
        if outcome.observed is None:
            return self._judge.silent(outcome.case, outcome.error or "", outcome.seconds)
        return self._judge.case(outcome.case, outcome.observed, outcome.seconds)

    def _statistics(self) -> Iterator[Result]:
        """One connection after the other: the numbers are those of the whole server."""
        plan = self._plan
        cases = [case for case in self._cases if case.kind == "statistics"]
        judge = plan.reference or plan.subject
        if cases and not _has_statistics(judge):
            # The original has none either (SPEC, "Life of a connection", 9), so this is no difference.
            self.notes.append(f"statistics were not compared: {judge.url} serves none at "
                              f"{contract.WEBSOCKET_STATS_PATH}")
            return
        for case in cases:
            yield self._statistics_of(case)

    def _statistics_of(self, case: Case) -> Result:
        reference = self._plan.reference
        try:
            if reference is not None:
                case = replace(case, observed=play_statistics_case(case, reference))
            return self._judge.case(case, play_statistics_case(case, self._plan.subject))
        except WireError as error:
            return self._judge.silent(case, str(error))

    def _in_real_time(self) -> Iterator[Result]:
        """The sessions, all at once. What no flag explains while this machine stalled is played again."""
        played = self._answers.round or play_round(self._plan, self._sessions)
        results = self._session_results(self._sessions, played)
        for _ in range(MOST_REPLAYS):
            doubtful = {result.case.name for result in results if result.verdict.fails and not result.flags}
            if not doubtful or played.stall <= LONGEST_STALL:
                break
            self.notes.append(f"this machine stalled for {played.stall * 1000:.0f} ms during sessions: "
                              f"{', '.join(sorted(doubtful))} played again")
            again = [session for session in self._sessions if session.name in doubtful]
            played = play_round(self._plan, again)
            results = [result for result in results if result.case.name not in doubtful]
            results += self._session_results(again, played)
        yield from results

    def _session_results(self, sessions: Sequence[Session], played: Round) -> list[Result]:
        results = []
        for session in sessions:
            expected = played.reference.get(session.name, session)
            match expected, played.subject[session.name]:
                case (Session() as one, Session() as other):
                    results.append(self._judge.session(one, other))
                case (WireError() as error, _) | (_, WireError() as error):
                    results.append(self._judge.silent(session_case(session), str(error)))
        return results

    def _generated(self) -> Iterator[Result]:
        """Generated inputs, to both sides."""
        reference = self._plan.reference
        if not self._examples or reference is None:
            return
        try:
            from livestream.parity.fuzzing.fuzz import fuzz  # An extra: nobody else needs Hypothesis.
        except ImportError as error:
            raise CannotRun("--fuzz needs Hypothesis: install livestream[fuzz].") from error
        plan, examples = self._plan, Case(EXAMPLES, FUZZ, {}, request={"seed": self._plan.seed})
        try:
            found = fuzz(
                plan.subject, reference, plan.fuzz, plan.seed, groups=plan.generate, rules=self._judge.rules,
                known=lambda case, seen: plan.deviations.excuse_generated(case, seen, self._judge.rules),
                on_example=lambda: self._on_done(FUZZ))
        except WireError as error:
            yield self._judge.silent(examples, str(error))
            return
        for one in found:
            yield Result(
                one.case, Verdict.DIFFERENT, one.observed, tuple(one.differences), generated=True,
                reason="" if one.stable else "It was seen once and did not happen again.")
        if not found:
            yield Result(examples, Verdict.SAME)

    def _all_messages(self) -> Iterator[Result]:
        """What can only be said in the end: whether every message was valid."""
        plan, result = self._plan, self._contract.result()
        # Another server's messages may have another form, which is then that one's contract.
        judged_by_it = CONTRACT in plan.only or not (plan.reference or plan.corpus)
        if result is not None and judged_by_it and plan.wants(result.layer, result.case.name):
            yield result


def _is_opening(case: Case) -> bool:
    return case.kind == "silence" and case.name == OPENING


def _has_statistics(target: Target) -> bool:
    try:
        return read_statistics(target) is not None
    except WireError:
        return False
