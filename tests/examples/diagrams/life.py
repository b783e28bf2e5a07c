"""One client's life as the server's threads lived it: kept as JSON, and compared by its shape.

All times are seconds of the stream: real ones, divided by the server's time scale.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

#: A thread that ends so long after what the client did last was not told to, in seconds.
SLEPT_ON = 2.0
#: What the handler thread is called here; a channel's keeps the end of its name, `tps_updates-1`.
HANDLER = "handler"


class Act(NamedTuple):
    """What the client did, and when."""

    at: float
    what: str


@dataclass
class ThreadLife:
    """When a thread began, sent its updates and ended; None while it runs."""

    name: str
    began: float
    sends: list[float] = field(default_factory=list)
    ended: float | None = None


class Fate(NamedTuple):
    """After which of the client's acts a thread began and ended, and whether it slept on before it did."""

    began_after: str
    ended_after: str
    slept_on: bool


class Life(NamedTuple):
    """The client's acts and the server's threads, both in their order, the handler first."""

    profile: str
    acts: list[Act]
    threads: list[ThreadLife]

    @classmethod
    def read(cls, path: Path) -> "Life":
        life = json.loads(path.read_text())
        acts = [Act(**act) for act in life["acts"]]
        return cls(life["profile"], acts, [ThreadLife(**thread) for thread in life["threads"]])

    def write(self, path: Path) -> None:
        """One line for each act and each thread."""
        acts = [json.dumps(act._asdict()) for act in self.acts]
        threads = [json.dumps(asdict(thread)) for thread in self.threads]
        path.write_text(
            f'{{"profile": {json.dumps(self.profile)},\n"acts": [\n' + ",\n".join(acts)
            + '\n],\n"threads": [\n' + ",\n".join(threads) + "\n]}\n")

    def shape(self) -> dict[str, Fate]:
        """What is the same each time, by thread."""
        return {thread.name: self._fate(thread) for thread in self.threads}

    def _fate(self, thread: ThreadLife) -> Fate:
        assert thread.ended is not None
        first, last = self._act_before(thread.began), self._act_before(thread.ended)
        return Fate(first.what, last.what, thread.ended - last.at > SLEPT_ON)

    def _act_before(self, at: float) -> Act:
        return [act for act in self.acts if act.at <= at][-1]
