"""What came of a comparison: one result per case, gathered in a report."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from livestream.parity.cases import Case, Record
from livestream.parity.judging.deviations import LAYERS
from livestream.parity.judging.difference import Difference


class Verdict(Enum):
    """What a case, a layer or a whole run came out as; the later ones outweigh the earlier."""

    SAME = "same"
    #: It differs, and a named deviation says so, with its reason.
    EXPLAINED = "explained"
    DIFFERENT = "different"
    #: The server was silent, gone or flooding. A failure, like `different`.
    NO_ANSWER = "no answer"

    @property
    def fails(self) -> bool:
        """Whether a run with it must not pass."""
        return self in (Verdict.DIFFERENT, Verdict.NO_ANSWER)


_WEIGHT: Final = {verdict: weight for weight, verdict in enumerate(Verdict)}


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a whole from those of its parts; `same` for nothing."""
    return max(verdicts, key=lambda verdict: _WEIGHT[verdict], default=Verdict.SAME)


@dataclass(frozen=True)
class Result:
    """What came of one case. `case.observed` is the expected side, `observed` the server's own."""

    case: Case
    verdict: Verdict
    observed: Record | None = None
    differences: tuple[Difference, ...] = ()
    #: Of `explained` the deviation and its reason, of `no answer` what happened, as one sentence.
    reason: str = ""
    #: The faults of the original that, turned round in the profile, would make this case the same.
    flags: tuple[str, ...] = ()
    seconds: float = 0.0
    #: Made up by --fuzz, so it is in no corpus.
    generated: bool = False

    @property
    def layer(self) -> str:
        """Which part of the comparison it belongs to."""
        return LAYERS["fuzz" if self.generated else self.case.kind]

    @property
    def name(self) -> str:
        """What `--case` calls it: `messages/sub-unknown`."""
        return f"{self.layer}/{self.case.name}"


class Layer(NamedTuple):
    """One row of the summary: how many cases of a layer came out how."""

    name: str
    verdict: Verdict
    counts: Mapping[Verdict, int]


@dataclass(frozen=True)
class Report:
    """A whole run. `subject` is the URL that was judged, `reference` says in words what by."""

    subject: str
    reference: str
    results: tuple[Result, ...]
    #: What a reader must know besides: what was left out, and why.
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    #: When the run began, as ISO 8601 in UTC.
    started: str = ""
    #: False when Ctrl-C ended it.
    finished: bool = True
    #: What repeats the run, without the choice of cases: `livestream parity URL …`.
    command: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst of all results."""
        return worst([result.verdict for result in self.results])

    @property
    def layers(self) -> list[Layer]:
        """One row for each layer that was played, in the order of deviations.LAYERS."""
        rows = []
        for name in dict.fromkeys(LAYERS.values()):
            verdicts = [result.verdict for result in self.results if result.layer == name]
            if verdicts:
                rows.append(Layer(name, worst(verdicts), Counter(verdicts)))
        return rows

    def of(self, verdict: Verdict) -> list[Result]:
        """The results of one verdict, in the order of the run."""
        return [result for result in self.results if result.verdict is verdict]

    def replay(self, result: Result) -> str:
        """The command that plays just this case again."""
        if result.layer == LAYERS["contract"]:
            return self.command
        chosen = "--only fuzz" if result.layer == LAYERS["fuzz"] else f"--case {shlex.quote(result.name)}"
        return f"{self.command} {chosen}"
