"""`livestream scale` as a user calls it, and its processes as the kernel counts them meanwhile."""

import csv
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.support import PATIENCE, wait_until

#: How long a whole run may take on a busy machine, in seconds.
WHOLE = 120.0
#: The one reason why a run's figures don't count that nothing but a busy machine has to give.
BUSY = re.compile(r"The load used \d+% of a processor\.|The load's own event loop was \d+ ms late \(p99\)\.")
#: Short steps: a second lasts a tenth.
QUICK = ("--time-scale", "0.1", "--seconds", "1")
#: How often processes are looked at, in seconds.
LOOK = 0.05


def scale(*words: Any) -> list[str]:
    return [sys.executable, "-m", "livestream", "scale", *map(str, words)]


class Seen:
    """A process below a command: how it was called, and the most threads that /proc listed of it."""

    def __init__(self, pid: int, words: list[str]) -> None:
        self.pid = pid
        self.words = words
        self.most_threads = 0

    @property
    def serves(self) -> bool:
        return "serve" in self.words

    @property
    def is_load(self) -> bool:
        return "livestream.lab.swarm" in self.words

    def after(self, option: str) -> str | None:
        """The value that an option was given last."""
        places = [place for place, word in enumerate(self.words) if word == option]
        return self.words[places[-1] + 1] if places else None


class Witness:
    """Watches what a command starts, and one more process if wanted, until left."""

    def __init__(self, command: int, beside: int | None = None) -> None:
        #: Every process that was ever seen, in the order of their starts.
        self.seen: dict[int, Seen] = {}
        self._command = command
        self._beside = beside
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness")

    def __enter__(self) -> "Witness":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    @property
    def servers(self) -> list[Seen]:
        return [one for one in list(self.seen.values()) if one.serves]

    @property
    def loads(self) -> list[Seen]:
        return [one for one in list(self.seen.values()) if one.is_load]

    def none_left(self) -> bool:
        return not any(psutil.pid_exists(pid) for pid in self.seen if pid != self._beside)

    def _watch(self) -> None:
        while not self._left.wait(LOOK):
            for pid in [*children(self._command), *([self._beside] if self._beside else [])]:
                self._look(pid)

    def _look(self, pid: int) -> None:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
            # Until it has been called, a child still looks like its parent.
            if words and "scale" not in words:
                seen = self.seen.setdefault(pid, Seen(pid, words))
                seen.most_threads = max(seen.most_threads, len(os.listdir(f"/proc/{pid}/task")))
        except OSError:
            pass  # It has just ended.


def children(pid: int) -> Iterator[int]:
    """Whoever is below a process. psutil would read the whole of /proc for it."""
    try:
        texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return
    for child in map(int, " ".join(texts).split()):
        yield child
        yield from children(child)


class Scaled:
    """What a run said and left, and who was seen meanwhile."""

    def __init__(self, folder: Path, code: int, out: str, err: str, seen: Witness) -> None:
        self.folder, self.code, self.out, self.err, self.seen = folder, code, out, err, seen
        self.results = json.loads((folder / "results.json").read_text())
        self.rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))

    @property
    def steps(self) -> list[dict[str, Any]]:
        return self.results["steps"]

    @property
    def step(self) -> dict[str, Any]:
        only, = self.steps
        return only

    def assert_whole(self, *names: tuple[str, int]) -> None:
        """All steps, by condition and clients, were made; if one doesn't count, the machine was busy."""
        assert [(step["condition"], step["clients"]) for step in self.steps] == list(names)
        assert (self.results["finished"], self.results["planned"]) == (True, len(names))
        doubts = [why for step in self.steps for why in step["invalid"]]
        assert [why for why in doubts if not BUSY.fullmatch(why)] == []
        assert (self.code, self.err) == (1 if doubts else 0, "")
        assert (self.folder / "report.html").read_text().startswith("<!DOCTYPE html>")


class Run:
    """A command that is under way, and watched; it and all that it started are gone afterwards."""

    def __init__(self, folder: Path, *words: Any, beside: int | None = None, **options: Any) -> None:
        self.folder = folder
        self.process = subprocess.Popen(scale(*_to(folder, words)), **{
            "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options)
        self.seen = Witness(self.process.pid, beside)

    def __enter__(self) -> "Run":
        self.seen.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.seen.__exit__()
        for one in self.seen.servers + self.seen.loads:
            if psutil.pid_exists(one.pid):
                psutil.Process(one.pid).kill()

    def ended(self, within: float = WHOLE) -> Scaled:
        """It must end in time, leave no process, and not end in a traceback."""
        out, err = self.process.communicate(timeout=within)
        assert "Traceback" not in out + (err or ""), err
        wait_until(self.seen.none_left)
        return Scaled(self.folder, self.process.returncode, out, err or "", self.seen)

    def server_with(self, count: int, number: int) -> Seen:
        """The server of step `number`, once it has so many threads; before them one tries the options."""
        return wait_until(
            lambda: next((one for one in self.seen.servers[number:] if one.most_threads >= count), None),
            4 * PATIENCE)


def _to(folder: Path, words: tuple[Any, ...]) -> list[Any]:
    """The command with its folder, before what is the server's."""
    place = words.index("--") if "--" in words else len(words)
    return [*words[:place], "--out", folder, *words[place:]]


def run_scale(folder: Path, *words: Any, beside: int | None = None) -> Scaled:
    """A run from its beginning to its end."""
    with Run(folder, *words, beside=beside) as run:
        return run.ended()
