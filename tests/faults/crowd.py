"""A crowd that stays, beside clients that end rudely: what does it lose, and what do those leave behind?"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psutil

from livestream.lab.experiment import Setup
from livestream.lab.load import Load
from livestream.lab.server import Server, own_server
from tests.faults.table import Outcome

#: Quiet at the end of the window, in seconds: whoever went has been noticed by then, its threads are gone.
QUIET = 15.0
#: How far the memory may be from where it was, as a share.
MEMORY = 0.05
#: What is lost at most, in per cent of the updates.
LOST = 0.1


class Look(NamedTuple):
    """What a process has."""

    threads: int
    descriptors: int
    rss: int


def look(pid: int) -> Look:
    process = psutil.Process(pid)
    return Look(process.num_threads(), process.num_fds(), process.memory_info().rss)


class Rude:
    """Clients that come and end rudely while a load's window is open, and what the server has around it."""

    def __init__(self, seconds: float, rate: float, profile: str) -> None:
        self._words = [str(seconds), str(rate)]
        self._profile = profile
        self._server = Server("", None)
        self._process: "subprocess.Popen[str] | None" = None
        self.before = self.after = Look(0, 0, 0)

    @contextmanager
    def open_server(self, options: Sequence[str] = ()) -> Iterator[Server]:
        """The port, whose process is looked at."""
        with own_server((*options, "--profile", self._profile)) as self._server:
            yield self._server

    def on_event(self, event: str, record: dict[str, Any]) -> None:
        """Is told what the load does."""
        if event == "window":
            self.before = look(self._server.pid or 0)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.rude", self._server.url, *self._words],
                stdout=subprocess.PIPE, text=True)
        if event == "measured":
            self.after = look(self._server.pid or 0)

    def ended(self) -> tuple[int, int]:
        """How many came, and how many of them the server did not let in or did not answer."""
        assert self._process is not None
        record = json.loads(self._process.communicate()[0])
        return sum(record["played"].values()), sum(record["failed"].values())


def rude_clients(
    clients: int = 1_000, seconds: float = 60.0, rate: float = 20.0, profile: str = "original",
) -> Outcome:
    """So many clients stay for so long, while others come and end in every rude way."""
    rude = Rude(seconds - QUIET, rate, profile)
    step = Setup(rude.open_server, True, Load("", 0, seconds), (clients,)).step(clients, rude.on_event)
    came, failed = rude.ended()
    lost = max(0.0, 100 - step.figures["delivered"])
    threads, descriptors = (rude.after[at] - rude.before[at] for at in range(2))
    grown = rude.after.rss / rude.before.rss - 1
    return Outcome(
        f"{clients:,} clients for {seconds:.0f} s, and {came:,} beside them that end rudely; "
        f"profile {profile}",
        f"{lost:.3f} % of the updates; {failed} of the rude not answered",
        f"{threads} threads, {descriptors} descriptors, {grown:+.1%} memory",
        lost <= LOST and failed == 0 and (threads, descriptors) == (0, 0) and abs(grown) <= MEMORY,
        " ".join(step.invalid))
