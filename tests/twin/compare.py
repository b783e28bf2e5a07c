"""The port and the Java twin, both started here: parity, then the same load on each; one report with both.

Run by `make compare`. About 15 minutes, most of them the load's.
"""

import argparse
import json
import shlex
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from livestream.cli.scaling import run, says_limits
from livestream.lab.experiment import THREADS_PER_CLIENT, Planned, Setup
from livestream.lab.host import host_facts
from livestream.lab.load import Load
from livestream.lab.reports.cells import NOTHING, measured, number, ratio
from livestream.lab.reports.reference import ORIGINAL, reference
from livestream.lab.results import FIGURES, Results, Step
from livestream.lab.server import Server, ServerError, own_server
from tests.twin.jvm import FOLDER, TwinError, running_twin

PORT, TWIN = "the port", "the Java twin"
RACES = ("--deviations", str(FOLDER / "deviations.toml"))
#: Figures of the table, besides those the plots show.
TOLD = (
    "up", "delivered", "late_p50", "late_p99", "cpu_per_message_us", "threads", "channel_threads",
    "rss_per_client_kb", "bytes_per_client",
)


class Judgement(NamedTuple):
    """One parity run: which server, judged by what."""

    file: str
    title: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """What came of it."""

    title: str
    page: str
    #: As `livestream parity --json` wrote it.
    record: dict[str, Any]

    @property
    def excuses(self) -> dict[str, list[str]]:
        """Why which cases may differ."""
        found: dict[str, list[str]] = {}
        for result in self.record["results"]:
            if result["verdict"] == "explained":
                found.setdefault(result["reason"], []).append(result["name"])
        return found


class Row(NamedTuple):
    """One figure at one number of clients."""

    clients: int
    title: str
    unit: str
    port: str
    twin: str
    port_to_twin: str
    original: str
    twin_to_original: str


@contextmanager
def twin_server(options: Sequence[str] = ()) -> Iterator[Server]:
    """As the lab opens servers; options of `livestream serve` mean nothing to it."""
    try:
        with running_twin() as server:
            yield server
    except TwinError as error:
        raise ServerError(str(error)) from error


def judgements(port: Server, twin: Server, fuzz: int, seed: int | None) -> list[Judgement]:
    """Each by the recordings, and the one by the other."""
    pid = ("--pid", str(port.pid))
    again = () if seed is None else ("--seed", str(seed))
    return [
        Judgement("port-by-corpus", "the port, by what was recorded of the original", (port.url, *pid)),
        Judgement("twin-by-corpus", "the Java twin, by the same, without the port's excuses",
                  (twin.url, "--pid", str(twin.pid), "--strict", *RACES)),
        Judgement("port-by-twin", f"the port, by the Java twin, and {fuzz:,} generated inputs",
                  (port.url, *pid, "--against", twin.url, "--against-pid", str(twin.pid),
                   "--fuzz", str(fuzz), *again, *RACES)),
    ]


def judge(asked: argparse.Namespace) -> Iterator[Judged]:
    """Parity of servers that nobody else uses. ServerError, also when it could not run."""
    with own_server() as port, twin_server() as twin:
        for wanted in judgements(port, twin, asked.fuzz, asked.seed):
            print(f"parity: {wanted.title} …", flush=True)
            files = {suffix: asked.out / f"{wanted.file}.{suffix}" for suffix in ("html", "json")}
            words = [word for suffix, file in files.items() for word in (f"--{suffix}", str(file))]
            words += [word for layer in asked.only for word in ("--only", layer)]
            done = subprocess.run(
                [sys.executable, "-m", "livestream", "parity", *wanted.options, *words],
                stdout=subprocess.PIPE, text=True)
            if done.returncode not in (0, 1):
                raise ServerError(f"Parity did not run: livestream parity {shlex.join(wanted.options)}")
            print(f"  {done.stdout.partition(chr(10))[0]}", flush=True)
            record = json.loads(files["json"].read_text(encoding="utf-8"))
            yield Judged(wanted.title, files["html"].name, record)


def plan(asked: argparse.Namespace) -> list[Planned]:
    """Both servers at each number of clients, each time fresh ones, every other time the other first."""
    load = Load("", 0, asked.seconds, asked.rate)
    setups = {
        PORT: Setup(own_server, True, load, asked.clients),
        TWIN: Setup(twin_server, True, load, asked.clients),
    }
    return [
        setups[name].planned(name, clients, partial(_step, setups[name], name, clients))
        for at, clients in enumerate(asked.clients)
        for name in sorted(setups, reverse=at % 2 == 0)
    ]


def _step(setup: Setup, name: str, clients: int, on_event: Any) -> Step:
    return setup.step(clients, on_event, condition=name)


def rows(results: Results) -> Iterator[Row]:
    """What both were measured to need, beside each other and beside the original's."""
    steps = {(step.condition, step.clients): step for step in results.steps if step.valid}
    for clients in sorted({clients for _, clients in steps}):
        for name in TOLD:
            port, twin = (
                measured(steps[server, clients], name) if (server, clients) in steps else None
                for server in (PORT, TWIN))
            known = reference(ORIGINAL, name)
            original = known.at(clients) if known else None
            figure = FIGURES[name]
            yield Row(clients, figure.title, figure.unit, _cell(name, port), _cell(name, twin),
                      _ratio(port, twin), NOTHING if original is None else f"{original:,.12g}",
                      _ratio(twin, original))


def _cell(name: str, value: float | None) -> str:
    return NOTHING if value is None else number(name, value)


def _ratio(value: float | None, other: float | None) -> str:
    return NOTHING if value is None else ratio(value, other)


def page(found: Sequence[Judged], results: Results, folder: Path) -> str:
    """The report: parity, then the load, with the lab's plots in it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
    plots = {path.stem: b64encode(path.read_bytes()).decode() for path in sorted(folder.glob("load/*.svg"))
             if "over-time" not in path.stem}
    return environment.get_template("compare.html.j2").render(
        judged=found, rows=list(rows(results)), results=results, plots=plots,
        names={"port": PORT, "twin": TWIN})


def compare(asked: argparse.Namespace) -> int:
    """Everything; the exit code. KeyboardInterrupt once what is finished has been written."""
    found: list[Judged] = []
    results = Results(
        "comparison", shlex.join(["make", "compare", f"ARGS={shlex.join(sys.argv[1:])}"]),
        datetime.now(UTC).isoformat(timespec="seconds"), 0, "server", host=host_facts(),
        server={"name": f"{PORT} and {TWIN}"})
    results.notes += says_limits(
        Setup(own_server, True, Load(""), asked.clients), THREADS_PER_CLIENT, anyway=False)
    try:
        found.extend(judge(asked))
        code = run(results, plan(asked), asked.out / "load")
    finally:
        (asked.out / "report.html").write_text(page(found, results, asked.out), encoding="utf-8")
        print(f"report {asked.out / 'report.html'}")
    return code or int(any(one.record["verdict"] not in ("same", "explained") for one in found))


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def main() -> None:
    parser = argparse.ArgumentParser(prog="make compare ARGS=…", description=__doc__)
    parser.add_argument("--clients", type=numbers, default=(100, 1_000, 2_000), metavar="N,…")
    parser.add_argument("--seconds", type=float, default=20, help="how long is measured, in each step")
    parser.add_argument("--rate", type=float, default=100, help="connections opened per second")
    parser.add_argument("--fuzz", type=int, default=1_000, metavar="N", help="inputs to generate")
    parser.add_argument("--seed", type=int, help="generate the same inputs again")
    parser.add_argument("--only", action="append", default=[], metavar="LAYER", help="of parity")
    parser.add_argument("--out", type=Path, default=Path("build/compare"), metavar="DIR")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    try:
        sys.exit(compare(asked))
    except (ServerError, click.ClickException) as error:
        sys.exit(error.message if isinstance(error, click.ClickException) else str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
