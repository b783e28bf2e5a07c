"""How `livestream scale` runs an experiment: limits first, then progress, and what is finished is kept."""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from livestream.cli.progress import showing_time
from livestream.cli.target import make_target
from livestream.lab.experiment import Planned, Setup, Watcher, expected_seconds, run_experiment
from livestream.lab.limits import told
from livestream.lab.probe import Probe
from livestream.lab.reports.claims import Verdict, judged, shown
from livestream.lab.reports.files import write_report, write_results
from livestream.lab.results import Results, Step
from livestream.lab.settling import wait_for_threads
from livestream.parity.playing.target import Limits

#: What a finished step tells on the terminal, if it was measured, and what stands before the figure.
_TOLD = {
    "up": "up", "delivered": "delivered", "late_p50": "late p50", "late_p99": "p99",
    "cpu_per_message_us": "processor per message", "rss_per_client_kb": "memory per client",
    "channel_threads": "channel threads", "gone_seconds": "threads gone after",
    "rss_growth_kb_per_minute": "memory grows by",
}
#: What goes on after each event of the load.
_DOING = {
    "settled": "looking", "window": "measuring", "slice": "measuring", "measured": "leaving",
    "closing": "closing", "closed": "waiting for the server's threads",
}


def says_limits(setup: Setup, threads_per_client: int, anyway: bool) -> list[str]:
    """Refuses what the machine has no room for by click's UsageError; with `anyway` returns it as notes.

    ProbeError when the server's process is gone or somebody else's.
    """
    short = [told(shortage) for shortage in setup.shortages(threads_per_client)]
    if short and not anyway:
        most = max(setup.clients)
        raise click.UsageError(
            f"limits are too low for {most:,} clients (--anyway tries all the same): {'; '.join(short)}")
    return [f"Too low a limit, {one}" for one in short]


def try_server(setup: Setup) -> None:
    """That it does not start, or lets nobody in, must be told before anything is measured.

    ServerError, NoAnswer or ProbeError.
    """
    with setup.open_server(setup.options) as server:
        if setup.own:
            return
        probe = None if server.pid is None else Probe(server.pid)
        before = 0 if probe is None else probe.threads()
        timeout = Limits().answer
        make_target(server.url, setup.load.headers, setup.load.authority, timeout).reach()
        if probe is not None:
            # What the connection leaves for a while must not count as there before the first client.
            wait_for_threads(probe, before, setup.patience)


def run(results: Results, plan: Sequence[Planned], folder: Path) -> int:
    """Measures, writes, tells; returns the exit code. KeyboardInterrupt once all is written.

    click's UsageError when the folder can't be written.
    """
    interrupted = False
    # The server and the load are in sessions of their own: who ends this command otherwise would leave them.
    for end in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(end) is signal.SIG_DFL:
            signal.signal(end, signal.default_int_handler)
    passed = _Passed()
    try:
        with showing_time(expected_seconds(plan), passed.seconds) as doing:
            run_experiment(results, plan, _Shown(passed, doing), lambda so_far: _write(so_far, folder))
    except KeyboardInterrupt:
        interrupted = True
        results.notes.append(f"Stopped after {len(results.steps)} of {results.planned} steps.")
    _write(results, folder)
    _tell(results, _report(results, folder))
    if interrupted:
        raise KeyboardInterrupt
    return 0 if all(step.valid for step in results.steps) else 1


class _Passed:
    """How much of the expected time has passed: a step that takes longer than expected stands still."""

    def __init__(self) -> None:
        self._before = self._expected = 0.0
        self._began = time.monotonic()

    def begin(self, expected_seconds: float) -> None:
        """A step begins, which is to take so long."""
        self._before += self._expected
        self._expected, self._began = expected_seconds, time.monotonic()

    def seconds(self) -> float:
        """Up to now."""
        return self._before + min(time.monotonic() - self._began, self._expected)


class _Shown(Watcher):
    """Shows what is being done, and a line for each finished step."""

    def __init__(self, passed: _Passed, doing: Callable[[str], None]) -> None:
        self._passed = passed
        self._doing = doing
        self._name = ""

    def begin(self, planned: Planned) -> None:
        self._passed.begin(planned.expected_seconds)
        self._name = Step(planned.condition, planned.clients, {}).name
        self._doing(f"{self._name}: starting")

    def event(self, event: str, record: dict[str, Any]) -> None:
        doing = f"{record['up']:,} up" if "up" in record else _DOING.get(event, event)
        self._doing(f"{self._name}: {doing}")

    def end(self, step: Step) -> None:
        # click's echo would not go through the bar, and the line would stand at its end.
        print(_line(step), flush=True)


def _line(step: Step) -> str:
    figures = [
        f"{words} {shown(name, step.figures[name])}" for name, words in _TOLD.items() if name in step.figures
    ]
    remarks = [f"INVALID: {why}" for why in step.invalid] + [f"warning: {why}" for why in step.warnings]
    return "\n  ".join([f"{step.name}: {', '.join(figures) or 'no figures'}", *remarks])


def _write(results: Results, folder: Path) -> None:
    try:
        write_results(results, folder)
    except OSError as error:
        raise click.UsageError(f"{folder} can't be written: {error.strerror}") from error


def _report(results: Results, folder: Path) -> list[Path]:
    try:
        return write_report(results, folder)
    except OSError as error:
        raise click.UsageError(f"{folder} can't be written: {error.strerror}") from error


def _tell(results: Results, written: Sequence[Path]) -> None:
    for note in results.notes:
        click.echo(note)
    claims = [claim for claim in judged(results) if claim.verdict is not Verdict.NOT_MEASURED]
    if claims:
        click.echo("what the report claims:")
    for claim in claims:
        click.echo(f"  {claim.claim}\n    {claim.sentence}")
    for path in written:
        if path.name == "report.html":
            click.echo(f"report {path}")
