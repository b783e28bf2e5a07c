"""Records what any server answers, in the corpus's own format, so that it can judge another one later.

The questions are those of the packaged corpus, the answers are the server's. Nothing is ever half a file:
each is written when its group is done, or when it can't go on, and then says that it is partial.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, cast

from livestream.parity.asking import speaks
from livestream.parity.cases import (
    SESSION_PREFIX, SUFFIX, Case, Header, Record, Session, corpus_files, load_cases, load_session,
)
from livestream.parity.judging.expectations import OPENING, PROFILES, recorded_cases
from livestream.parity.playing.player import Outcome, play_case, play_each
from livestream.parity.playing.sessions import play_session
from livestream.parity.playing.target import Target
from livestream.parity.writing import write_cases, write_session
from livestream.wire.client import Kind, WireError

SESSIONS: Final = "sessions"
#: The packaged file of each group of cases.
CASE_FILES: Final[Mapping[str, str]] = {
    "handshake": "handshake.jsonl", "frames": "frames.jsonl", "messages": "messages.jsonl",
    "http": "http.jsonl", "shipped": "shipped.jsonl",
}
GROUPS: Final = (*CASE_FILES, SESSIONS)
#: What is recorded unless somebody chooses: a server that sends nothing can't be asked about messages.
SPEAKING: Final = ("handshake", "frames", "messages", "http", SESSIONS)
MUTE: Final = ("handshake", "http", "shipped")
_ENDS: Final = frozenset((Kind.EOF.name, Kind.RESET.name))

OnDone = Callable[[str], None]


class RecordError(Exception):
    """Nothing more can be recorded; the text is one sentence that says why."""


@dataclass
class Recording:
    """One recording. `written` lists the files that are complete, `partial` those that are not."""

    target: Target
    folder: Path
    header: Header
    parallel: int = 8
    written: list[Path] = field(default_factory=list)
    partial: list[Path] = field(default_factory=list)
    #: Of each case that could not be recorded: its name, and the sentence that says why.
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def usual_groups(self) -> Sequence[str]:
        """What can be asked of this server. RecordError when it can't be reached."""
        [opening] = [case for case in recorded_cases(PROFILES["original"]) if case.name == OPENING]
        try:
            return SPEAKING if speaks(play_case(opening, self.target)) else MUTE
        except WireError as error:
            raise RecordError(str(error)) from error

    def files(self, groups: Sequence[str]) -> list[Path]:
        """Every file that these groups would write."""
        names = [CASE_FILES[group] for group in groups if group in CASE_FILES]
        names += [f"{SESSION_PREFIX}{session.name}{SUFFIX}" for session in _sessions(groups)]
        return [self.folder / name for name in names]

    def total(self, groups: Sequence[str]) -> int:
        """How many cases and sessions these groups have."""
        return sum(len(_questions(group)) for group in groups) + len(_sessions(groups))

    def run(self, groups: Sequence[str], on_done: OnDone = lambda name: None) -> None:
        """Records the groups. RecordError when the server goes away: what was recorded is in its file then.

        The same after Ctrl-C. OSError when a file can't be written.
        """
        for group in groups:
            if group in CASE_FILES:
                self._record_cases(group, on_done)
        self._record_sessions(_sessions(groups), on_done)

    def _record_cases(self, group: str, on_done: OnDone) -> None:
        questions = _questions(group)
        answers: dict[str, Case] = {}
        try:
            with closing(self._answered(questions)) as answered:
                for case in answered:
                    answers[case.name] = case
                    on_done(case.name)
        finally:
            # In the order of the questions, whichever was answered first.
            cases = [answers[case.name] for case in questions if case.name in answers]
            self._keep(self.folder / CASE_FILES[group], len(cases) == len(questions), cases)

    def _answered(self, questions: Sequence[Case]) -> Generator[Case, None, None]:
        outcomes = cast(
            Generator[Outcome, None, None], play_each(questions, self.target, self.parallel))
        # Closed at once whatever happens, or the rest would still be played.
        with closing(outcomes):
            for outcome in outcomes:
                if outcome.observed is None:
                    self.left_out.append((outcome.case.name, outcome.error or ""))
                    self._check_that_it_is_there()
                    continue
                if _ended(outcome.observed):
                    # It may have been the server's own end, which is no answer.
                    self._check(self.target.ask)
                yield replace(outcome.case, observed=outcome.observed)

    def _check_that_it_is_there(self) -> None:
        self._check(lambda: self.target.reach(needs_stream=False))

    def _check(self, step: Callable[[], None]) -> None:
        """RecordError when the server fails it: nothing more can be recorded."""
        try:
            step()
        except WireError as error:
            raise RecordError(str(error)) from error

    def _keep(self, path: Path, complete: bool, cases: Sequence[Case]) -> None:
        if cases:
            write_cases(path, replace(self.header, partial=not complete), cases)
            (self.written if complete else self.partial).append(path)

    def _record_sessions(self, sessions: Sequence[Session], on_done: OnDone) -> None:
        """All at once, since each lasts up to half a minute."""
        if not sessions:
            return
        whole = []
        with ThreadPoolExecutor(len(sessions), thread_name_prefix="session") as pool:
            futures = {session: pool.submit(play_session, session, self.target) for session in sessions}
            try:
                wait(futures.values())
            except BaseException:
                self.target.stop.set()
                raise
            finally:
                wait(futures.values())
                for session, future in futures.items():
                    whole.append(self._keep_session(session, future.exception() or future.result()))
                    on_done(session.name)
        if not all(whole):
            self._check_that_it_is_there()

    def _keep_session(self, asked: Session, played: Session | BaseException) -> bool:
        """Whether it was played to its end."""
        if not isinstance(played, Session):
            self.left_out.append((asked.name, str(played)))
            return False
        path = self.folder / f"{SESSION_PREFIX}{asked.name}{SUFFIX}"
        complete = _sends(played) == _sends(asked) and not self.target.stop.is_set()
        write_session(path, replace(self.header, partial=not complete), played)
        (self.written if complete else self.partial).append(path)
        return complete


def _ended(observed: Record) -> bool:
    """Whether the connection ended, or no stream came of it."""
    ends = any(frame[0] in _ENDS for frame in observed.get("frames", ()))
    return ends or observed.get("connection_ended") is True or observed.get("stream_opens") is False


def _questions(group: str) -> list[Case]:
    """The cases of a group without their answers, which would only set the pace."""
    recorded = load_cases(CASE_FILES[group]) if group in CASE_FILES else []
    return [replace(case, observed={}) for case in recorded]


def _sessions(groups: Sequence[str]) -> list[Session]:
    if SESSIONS not in groups:
        return []
    return [load_session(file) for file in corpus_files() if file.startswith(SESSION_PREFIX)]


def _sends(session: Session) -> int:
    return sum(step.dir == "send" for step in session.steps)
