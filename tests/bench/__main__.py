"""Starts the server for each number of clients, loads it from a process of its own, and prints one row.

CPU per message and memory per client are the server's own, from the kernel's
accounting; lateness and delivery are what the clients saw. One row is one run:
the machine is noisy, so repeat and compare within one run.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.support import Command

COLUMNS = (
    "options", "clients", "up", "delivered", "p50 ms", "p99 ms", "max ms", "µs CPU/message", "kB RSS/client",
    "threads", "connect p99 ms", "load CPU",
)


class Sample:
    """What the kernel says of a process now: CPU in seconds, memory in bytes."""

    def __init__(self, process: psutil.Process) -> None:
        times = process.cpu_times()
        self.cpu = times.user + times.system
        self.rss = process.memory_info().rss
        self.threads = process.num_threads()


@contextmanager
def server(options: list[str]) -> Iterator[Command]:
    command = Command("--log-level", "error", *options)
    try:
        yield command
        command.stop()
    finally:
        command.kill()


def measure(clients: int, seconds: float, rate: float, options: list[str]) -> dict[str, Any]:
    with server(options) as command:
        process = psutil.Process(command.process.pid)
        before = Sample(process)
        swarm = subprocess.Popen(
            [sys.executable, "-m", "livestream.lab.swarm", command.url, "--clients", str(clients),
             "--seconds", str(seconds), "--rate", str(rate)],
            stdout=subprocess.PIPE, text=True,
        )
        samples, result = [], {}
        assert swarm.stdout is not None
        for line in swarm.stdout:
            record = json.loads(line)
            if record["event"] == "window":
                samples.append(Sample(process))
            else:
                result = record
        swarm.wait()
    began, ended = samples
    return result | {
        "cpu_us": (ended.cpu - began.cpu) / max(1, result["messages"]) * 1e6,
        "kb": (ended.rss - before.rss) / max(1, result["up"]) / 1024,
        "threads": ended.threads,
    }


def row(result: dict[str, Any], options: list[str]) -> list[str]:
    late = result["lateness_ms"]
    return [
        " ".join(options) or "defaults", str(result["clients"]), str(result["up"]),
        f"{result['delivered']:.2%}", f"{late['p50']:.2f}", f"{late['p99']:.1f}", f"{late['max']:.0f}",
        f"{result['cpu_us']:.0f}", f"{result['kb']:.0f}", str(result["threads"]),
        f"{result['connect_s']['p99'] * 1000:.0f}",
        f"{result['own_cpu']:.0%}" + ("" if result["valid"] else " invalid: " + " ".join(result["doubts"])),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--clients", default="100,1000,2000")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rate", type=float, default=100, help="connections opened per second")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("options", nargs="*", help="for the server, after --; none compares pinned and not")
    arguments = parser.parse_args()
    pinned = ["--pin-cpu", str(max(os.sched_getaffinity(0)))]
    variants = [arguments.options] if arguments.options else [[], pinned]
    table = Table(*COLUMNS, title=f"{os.cpu_count()} processors, shared with the load")
    console = Console(width=180)
    for clients in map(int, arguments.clients.split(",")):
        for _ in range(arguments.runs):
            for options in variants:
                console.print(f"{clients} clients, {' '.join(options) or 'defaults'} …")
                table.add_row(*row(measure(clients, arguments.seconds, arguments.rate, options), options))
    console.print(table)


if __name__ == "__main__":
    main()
