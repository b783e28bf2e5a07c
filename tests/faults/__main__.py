"""Does the worst to servers of ours, and tells what was lost and what was left behind: `make faults`."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.table import Table

from tests.faults import crowd, ends, inputs, lacks
from tests.faults.table import Outcome


def faults(asked: argparse.Namespace) -> dict[str, Callable[[], Outcome]]:
    """By name, in the order in which they are done."""
    return {
        "descriptors": lacks.no_descriptors,
        "threads": lacks.no_threads,
        "memory": lacks.no_memory,
        "disk": lacks.disk_full,
        "clock": lacks.clock_jumps,
        "kill": ends.killed_and_started_again,
        "stop": ends.asked_to_stop,
        "json": partial(inputs.bad_json, asked.inputs * 6 // 10),
        "frames": partial(inputs.bad_frames, asked.inputs * 3 // 10),
        "wire": partial(inputs.bad_bytes, asked.inputs // 10),
        "rude": partial(crowd.rude_clients, asked.clients, asked.seconds),
    }


def _outcome(fault: Callable[[], Outcome]) -> Outcome:
    """Of a fault that could not be done to its end, the reason: the table must come all the same."""
    try:
        return fault()
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        return Outcome("not done to its end", " ".join(str(error).split()), "unknown", False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make faults ARGS=…", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of faults; all without")
    parser.add_argument("--clients", type=int, default=1_000, help="that stay, beside the rude ones")
    parser.add_argument("--seconds", type=float, default=60, help="how long they stay")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="bad inputs to generate")
    asked = parser.parse_args()
    wanted = faults(asked)
    if unknown := set(asked.only) - wanted.keys():
        parser.error(f"there is no fault {sorted(unknown)[0]!r}, only {', '.join(wanted)}")
    console = Console(width=160)
    table = Table("fault", "what was done", "lost", "left behind", "", show_lines=True)
    well = True
    for name in asked.only or wanted:
        console.print(f"{name} …")
        outcome = _outcome(wanted[name])
        well = well and outcome.well
        verdict = "as it should" if outcome.well else "WRONG"
        table.add_row(name, outcome.done, outcome.lost, outcome.left, verdict)
        if outcome.remark:
            console.print(f"  {outcome.remark}")
    console.print(table)
    sys.exit(not well)


if __name__ == "__main__":
    main()
