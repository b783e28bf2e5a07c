"""The load as whoever measures sees it: what is asked for, and a process that tells events."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Final

from livestream.contract import CHANNELS


@dataclass(frozen=True)
class Load:
    """What is asked of a server."""

    url: str
    clients: int = 100
    #: How long is measured, once all are subscribed.
    seconds: float = 20.0
    #: Connections opened per second.
    rate: float = 100.0
    #: Of the server's intervals.
    time_scale: float = 1.0
    #: Connections beside those that come, get the welcome and go, per second.
    churn: float = 0.0
    #: Whether the clients leave with a Close frame, and wait until the server has closed too.
    says_goodbye: bool = False
    #: Beside those of the handshake, for a server behind a login.
    headers: tuple[tuple[str, str], ...] = ()
    #: A file with certificates to trust.
    authority: str | None = None

    @property
    def warm_up(self) -> float:
        """Seconds until the slowest channel has sent at least twice: only then gaps are steady."""
        return max(channel.interval_ms for channel in CHANNELS) / 1_000 * self.time_scale

    @property
    def expected_seconds(self) -> float:
        """How long all of it takes when nothing is slow."""
        return self.clients / self.rate + self.warm_up + self.seconds


def load_json(load: Load) -> str:
    """For the standard input of the load process."""
    return json.dumps(asdict(load))


def load_from_json(text: str) -> Load:
    """What `load_json` made."""
    record = json.loads(text)
    return Load(**record | {"headers": tuple(map(tuple, record["headers"]))})


#: Events after which the load waits until they have been handled: before its window and after it.
PAUSES: Final = ("settled", "measured")
#: Is told each event as it happens: its name, and what the load says beside it (see `swarm`).
OnEvent = Callable[[str, dict[str, Any]], None]
#: Runs a load to its end and returns its result.
RunLoad = Callable[[Load, OnEvent], dict[str, Any]]


class LoadError(Exception):
    """The load process failed; says why in one sentence."""


def run_load(load: Load, on_event: OnEvent) -> dict[str, Any]:
    """Runs the load in a process of its own and returns its result (`swarm`'s last line).

    LoadError when it ends without one. In a session of its own, so that Ctrl-C ends it from here: it never
    outlives this call.
    """
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "livestream.lab.swarm", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True,
            start_new_session=True)
        assert process.stdin is not None and process.stdout is not None
        try:
            _tell(process.stdin, load_json(load))
            result = _follow(process.stdout, process.stdin, on_event)
        finally:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
        if result is None:
            complaints.seek(0)
            said = complaints.read().strip().splitlines() or ["it gave no reason"]
            raise LoadError(f"The load ended without a result: {said[-1].rstrip('.')}.")
    return result


def _follow(told: IO[str], answers: IO[str], on_event: OnEvent) -> dict[str, Any] | None:
    for line in told:
        record: dict[str, Any] = json.loads(line)
        event = record.pop("event")
        if event == "result":
            return record
        on_event(event, record)
        if event in PAUSES:
            # What there was to see is seen: it may go on.
            _tell(answers, "")
    return None


def _tell(process: IO[str], line: str) -> None:
    # One that has ended can't be told; that there is no result says so.
    with suppress(BrokenPipeError):
        print(line, file=process, flush=True)
