"""The port, the original's figures and the floor side by side, for growing numbers of clients.

The port runs as it is and on all processors, and examples/floor.c is the bare
thread model in C: all in this run, one after the other, so that a noisy
machine spoils the ratios less than the figures. The original's are SPEC's.
"""

import argparse
import math
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from livestream.lab.load import Load, LoadError
from livestream.lab.measure import measure
from livestream.lab.probe import ProbeError
from livestream.lab.reports.reference import ORIGINAL, reference
from livestream.lab.results import Step
from livestream.lab.server import Server, ServerError, own_server

FLOOR = Path(__file__).parents[2] / "examples" / "floor.c"
#: Not of FIGURES: seconds until the last client was up.
ALL_UP = "all_up"
#: What the table has of each figure: its name, what stands above it, and how it is written.
COLUMNS = {
    "up": ("up", "{:,.0f}"),
    "delivered": ("delivered %", "{:.2f}"),
    "late_p50": ("late p50 ms", "{:.2f}"),
    "late_p99": ("late p99 ms", "{:.2f}"),
    "cpu_per_message_us": ("µs a message", "{:.0f}"),
    "rss_per_client_kb": ("kB a client", "{:.0f}"),
    "threads": ("threads", "{:,.0f}"),
    ALL_UP: ("all up s", "{:.0f}"),
    "connect_p99": ("connect p99 ms", "{:.0f}"),
    "load_cpu_share": ("load %", "{:.0f}"),
    "load_lag_p99": ("load late p99 ms", "{:.1f}"),
}
#: What is aimed at, by clients: figures that must be reached, and figures that must not be passed.
AIMS: dict[int, dict[str, tuple[str, float]]] = {
    1_000: {"up": ("≥", 1_000), "delivered": ("≥", 99.9), "late_p99": ("≤", 2),
            "cpu_per_message_us": ("≤", 90), "rss_per_client_kb": ("≤", 120)},
    2_000: {"up": ("≥", 2_000), "delivered": ("≥", 99.9), "late_p99": ("≤", 3),
            "cpu_per_message_us": ("≤", 70), "rss_per_client_kb": ("≤", 120)},
    4_000: {"up": ("≥", 4_000), "delivered": ("≥", 99.5), "late_p99": ("≤", 20),
            "cpu_per_message_us": ("≤", 70), "rss_per_client_kb": ("≤", 120), ALL_UP: ("≤", 60)},
}
PORT = "port"
T = TypeVar("T")
Open = Callable[[], AbstractContextManager[Server]]


@contextmanager
def floor(program: Path) -> Iterator[Server]:
    """examples/floor.c on a free port."""
    process = subprocess.Popen([program, "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Server(process.stdout.readline().strip(), process.pid)
    finally:
        process.terminate()
        process.communicate()


def port(*options: str) -> Open:
    return lambda: own_server(options)


def variants(folder: str, options: Sequence[str]) -> dict[str, Open]:
    """What is measured, by name."""
    program = Path(folder) / "floor"
    subprocess.run(["cc", "-std=c11", "-O2", "-pthread", FLOOR, "-o", program], check=True)
    return {
        PORT: port(*options),
        f"{PORT}, --pin-cpu none": port("--pin-cpu", "none", *options),
        "floor": lambda: floor(program),
    }


def medians(steps: Sequence[Step]) -> dict[str, float]:
    """Of the valid steps that have the figure; where none is valid, of all."""
    counted = [step for step in steps if not step.invalid] or steps
    found = {name: [step.figures[name] for step in counted if name in step.figures] for name in COLUMNS}
    return {name: median(values) for name, values in found.items() if values}


def row(name: str, clients: int, figures: dict[str, float]) -> list[str]:
    cells = [written.format(figures[figure]) if figure in figures else ""
             for figure, (_, written) in COLUMNS.items()]
    return [f"{clients:,}", name, *cells]


def original(clients: int) -> dict[str, float]:
    """What is known of it at so many clients."""
    known = {figure: found.at(clients) for figure in COLUMNS if (found := reference(ORIGINAL, figure))}
    return {figure: value for figure, value in known.items() if value is not None}


def remarks(name: str, clients: int, steps: Sequence[Step]) -> Iterator[str]:
    """What the port misses of its aims, and why a figure may be off."""
    figures = medians(steps)
    for figure, (sign, aim) in AIMS.get(clients, {}).items() if name.startswith(PORT) else ():
        value = figures.get(figure, math.nan)
        if not (value >= aim if sign == "≥" else value <= aim):
            head, written = COLUMNS[figure]
            reached = written.format(figures[figure]) if figure in figures else "not measured"
            yield f"{clients:,} clients, {name}: {head} {reached}, aimed at {sign} {aim}"
    for remark in dict.fromkeys(remark for step in steps for remark in (*step.invalid, *step.warnings)):
        yield f"{clients:,} clients, {name}: {remark}"


def rotated(items: Iterable[T], by: int) -> list[T]:
    """Begins with another one each time, and goes round."""
    found = list(items)
    start = by % len(found)
    return found[start:] + found[:start]


def measured(
    clients: int, variants: dict[str, Open], asked: argparse.Namespace, console: Console
) -> dict[str, list[Step]]:
    """All variants in turn, as many times as asked, each time another one first."""
    found: dict[str, list[Step]] = {name: [] for name in variants}
    for run in range(asked.runs):
        for name, opened in rotated(variants.items(), run):
            console.print(f"{clients:,} clients, {name}, run {run + 1} of {asked.runs} …")
            found[name].append(step(opened, clients, asked))
    return found


def step(opened: Open, clients: int, asked: argparse.Namespace) -> Step:
    """One measurement; one that fails has no figures and says why."""
    try:
        with opened() as server:
            load = Load(server.url, clients, asked.seconds, asked.rate)
            found = measure(server, load, 1, lambda event, record: None)
    except (ServerError, ProbeError, LoadError) as error:
        return Step("", clients, {}, invalid=(str(error),))
    found.figures[ALL_UP] = found.marks["up"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--clients", default="1000,2000,4000")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rate", type=float, default=100, help="connections opened per second")
    parser.add_argument("--runs", type=int, default=1, help="of each; the table has medians")
    parser.add_argument("options", nargs="*", help="for the port, after --")
    asked = parser.parse_args()
    console = Console(width=200)
    heads = ("clients", "server", *(head for head, _ in COLUMNS.values()))
    table = Table(*heads, title=f"{os.cpu_count()} processors, shared with the load")
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        opened = variants(folder, asked.options)
        for clients in map(int, asked.clients.split(",")):
            for name, steps in measured(clients, opened, asked, console).items():
                table.add_row(*row(name, clients, medians(steps)))
                told += remarks(name, clients, steps)
            table.add_row(*row("the original (SPEC)", clients, original(clients)), end_section=True)
    console.print(table, *told, sep="\n")


if __name__ == "__main__":
    main()
