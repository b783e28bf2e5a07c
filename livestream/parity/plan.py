"""What a comparison is to do: which server, judged by what, in which cases."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from livestream.parity.cases import (
    SESSION_PREFIX, SUFFIX, Case, CorpusError, Session, corpus_files, load_cases, load_header, load_session,
)
from livestream.parity.judging.deviations import LAYERS, Deviations, load_deviations
from livestream.parity.judging.expectations import AS_RECORDED, MUTE, Faults, expected_cases
from livestream.parity.judging.model import expected_session
from livestream.parity.judging.rules import RULES, Rule
from livestream.parity.playing.target import Target

#: Connections at once, sessions apart.
PARALLEL: Final = 8
#: The layer that judges the messages of all others.
CONTRACT: Final = LAYERS["contract"]
#: The layer of what was generated, and its only case when no disagreement was found.
FUZZ: Final = "fuzz"
EXAMPLES: Final = "examples"
#: The sorts of inputs that can be generated.
GENERATED: Final = ("messages", "frames", "conversations")


@dataclass(frozen=True)
class Plan:
    """Everything that `run.Comparison` needs to know. Without `reference` the corpus judges."""

    subject: Target
    reference: Target | None = None
    #: The same server as `reference`: what differs between the two is noise.
    twin: Target | None = None
    #: The faults of the original that are expected; what the profile is in the port.
    faults: Faults = AS_RECORDED
    #: Files of one's own in place of the packaged corpus.
    corpus: tuple[Path, ...] = ()
    deviations: Deviations = field(default_factory=load_deviations)
    rules: Sequence[Rule] = RULES
    #: Processes of this machine, for counting threads.
    pid: int | None = None
    reference_pid: int | None = None
    #: Layers to play, all when empty, and cases as `layer/name`, all when empty.
    only: frozenset[str] = frozenset()
    chosen: frozenset[str] = frozenset()
    parallel: int = PARALLEL
    #: Examples to generate, and the seed to generate them from.
    fuzz: int = 0
    seed: int = 0
    generate: Sequence[str] = GENERATED

    def wants(self, layer: str, name: str) -> bool:
        """Whether this case is to be played."""
        in_layer = not self.only or layer in self.only
        return in_layer and (not self.chosen or f"{layer}/{name}" in self.chosen)

    def cases(self) -> list[Case]:
        """All cases but sessions. CorpusError when a file can't be used, or two have a case of one name."""
        found = [case for file in _case_files(self.corpus) for case in load_cases(file)]
        _require_distinct((LAYERS[case.kind], case.name) for case in found)
        cases = found if self.corpus else expected_cases(self.faults)
        return [case for case in cases if self.wants(LAYERS[case.kind], case.name)]

    def sessions(self) -> list[Session]:
        """The sessions, as the faults have them; none for a server that is expected to be mute.

        CorpusError when a file can't be used, or two have a session of one name.
        """
        if MUTE in self.faults and not self.corpus:
            return []
        sessions = [load_session(file) for file in _session_files(self.corpus)]
        _require_distinct((LAYERS["session"], session.name) for session in sessions)
        return [
            expected_session(session, self.faults)
            for session in sessions if self.wants(LAYERS["session"], session.name)
        ]

    def described(self) -> str:
        """In words what the server is judged by."""
        if self.reference is not None:
            learned = f", with noise learned from {self.twin.url}" if self.twin else ""
            return f"{self.reference.url}{learned}"
        packaged = ("shipped.jsonl" if MUTE in self.faults else "messages.jsonl",)
        headers = [load_header(file) for file in (self.corpus or packaged)]
        partial = ", partial" if any(header.partial for header in headers) else ""
        return f"the corpus of {headers[0].recorded_from}, recorded on {headers[0].recorded_on}{partial}"


def corpus_paths(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The corpus files that are named, or in the folders that are. CorpusError when there are none."""
    found: list[Path] = []
    for path in paths:
        files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not files:
            raise CorpusError(f"{path} holds no corpus file (*{SUFFIX}).")
        # Whole paths: a bare name could mean one of the package's own files.
        found += [file.absolute() for file in files if file.absolute() not in found]
    return tuple(found)


def _require_distinct(names: Iterable[tuple[str, str]]) -> None:
    """CorpusError for a name that two files have: results are told apart by it."""
    for (layer, name), count in Counter(names).items():
        if count > 1:
            raise CorpusError(f"There are {count} cases {layer}/{name}: choose one of the files.")


def _is_session(file: str | Path) -> bool:
    return Path(file).name.startswith(SESSION_PREFIX)


def _case_files(corpus: Sequence[Path]) -> list[Path]:
    return [file for file in corpus if not _is_session(file)]


def _session_files(corpus: Sequence[Path]) -> list[str | Path]:
    return [file for file in (corpus or corpus_files()) if _is_session(file)]
