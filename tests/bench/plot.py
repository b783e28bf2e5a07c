"""The README's plot, from the results that are checked in beside it. Run by `make plot`."""

import json
from pathlib import Path

from livestream.lab.reports.plots import figure, svg
from livestream.lab.results import Results, Step

FOLDER = Path(__file__).parents[2] / "examples" / "scaling"
RESULTS = FOLDER / "results.json"
PLOT = FOLDER / "threads.svg"


def read(path: Path) -> Results:
    """What `livestream scale` wrote, without the steps' time lines."""
    record = json.loads(path.read_text())
    steps = [
        Step(step["condition"], step["clients"], step["figures"], tuple(step["invalid"]))
        for step in record["steps"]
    ]
    about = ("experiment", "command", "started", "planned", "varied", "time_scale", "server", "host")
    return Results(**{name: record[name] for name in about}, steps=steps)


def plot() -> bytes:
    """As SVG; the same results give the same bytes."""
    return svg(figure(read(RESULTS), PLOT.stem))


if __name__ == "__main__":
    PLOT.write_bytes(plot())
