"""What an experiment found: steps of plain figures, each with its name, unit and meaning in one table.

A `Step` is one measurement. Figures that were not measured are absent, never
zero. `results.json` has all of it, `results.csv` one row per step.
"""

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from livestream.contract import CHANNELS

#: The format name in every results.json.
FORMAT: Final = "livestream-scale/1"


class Figure(NamedTuple):
    """What one number is."""

    title: str
    #: As an axis or a table's head shows it; empty for a count.
    unit: str
    #: Decimals worth showing.
    digits: int = 0
    #: Whether it hangs on the channels' intervals: at another time scale it compares with nothing.
    scales: bool = False


def _quantiles(name: str, title: str, unit: str, digits: int, scales: bool = False) -> dict[str, Figure]:
    return {
        f"{name}_{short}": Figure(f"{title}, {long}", unit, digits, scales)
        for short, long in QUANTILES.items()
    }


#: Names of figures end in these; what they are called, and the share of values below.
QUANTILES: Final = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9", "max": "max"}

#: Every figure that a step may have, by name.
FIGURES: Final[dict[str, Figure]] = {
    # What the clients saw.
    "up": Figure("clients that came up", ""),
    **_quantiles("connect", "time to connect", "ms", 1),
    "delivered": Figure("updates delivered ÷ expected", "%", 2),
    "updates": Figure("updates that came", ""),
    "missed": Figure("updates that were due and did not come", ""),
    **_quantiles("late", "lateness of an update", "ms", 2, scales=True),
    "messages_per_second": Figure("messages", "1/s"),
    "bytes_per_client": Figure("bytes per client, all channels", "B/s", scales=True),
    **{
        f"bytes_{channel.name}": Figure(f"bytes per client, {channel.name}", "B/s", scales=True)
        for channel in CHANNELS
    },
    # What the server's process used.
    "threads": Figure("threads in all", ""),
    "transport_threads": Figure("transport threads", ""),
    "channel_threads": Figure("channel threads", ""),
    "channel_threads_per_client": Figure("channel threads per client", "", 2),
    "rss_mb": Figure("memory (RSS)", "MB", 1),
    "rss_per_client_kb": Figure("memory (RSS) per client", "kB"),
    "cpu_share": Figure("processor time, of one processor", "%", 1),
    "cpu_per_message_us": Figure("processor time per message", "µs", 1),
    "voluntary_switches_per_message": Figure("context switches per message, voluntary", "", 2),
    "involuntary_switches_per_message": Figure("context switches per message, involuntary", "", 2),
    "descriptors": Figure("descriptors", ""),
    "memory_maps": Figure("memory maps", ""),
    # What the load itself used.
    "load_cpu_share": Figure("the load's processor time, of one processor", "%", 1),
    "load_lag_p99": Figure("the load's own lateness, p99", "ms", 1),
    # lifecycle
    "open_seconds": Figure("until all clients were up, coming at the load's rate", "s", 2),
    "close_seconds": Figure("from the first Close frame until all clients were closed", "s", 2),
    "gone_seconds": Figure("from the last close until the threads were gone", "s", 2, scales=True),
    "peak_threads": Figure("threads at the most", ""),
    "threads_left": Figure("threads left over", ""),
    "descriptors_left": Figure("descriptors left over", ""),
    "rss_left_mb": Figure("memory (RSS) left over", "MB", 1),
    # soak
    "minutes": Figure("duration", "min", 1),
    "rss_growth_kb_per_minute": Figure("growth of memory (RSS)", "kB/min", 1),
    "rss_growth_error_kb_per_minute": Figure("growth of memory (RSS), standard error", "kB/min", 1),
    "threads_growth_per_minute": Figure("growth of threads", "1/min", 2),
    "descriptors_growth_per_minute": Figure("growth of descriptors", "1/min", 2),
    "closed_connections": Figure("connections that came and went", ""),
    "rss_per_closed_connection_bytes": Figure("memory (RSS) kept per connection that has gone", "B"),
    "rss_per_closed_connection_error_bytes": Figure(
        "memory (RSS) kept per connection that has gone, standard error", "B"),
}


class Moment(NamedTuple):
    """One entry of a step's time line."""

    #: Since the step began.
    seconds: float
    threads: int
    rss_mb: float
    descriptors: int


@dataclass(frozen=True)
class Step:
    """One measurement of one server under one condition."""

    #: What is varied beside the clients: "" in a sweep, else "0.005 s" or "pool".
    condition: str
    #: Clients asked for.
    clients: int
    #: By the names of FIGURES.
    figures: dict[str, float]
    #: Why the figures don't count, one sentence each; none when they do.
    invalid: tuple[str, ...] = ()
    #: Why a figure may be off, one sentence each.
    warnings: tuple[str, ...] = ()
    timeline: tuple[Moment, ...] = ()
    #: What happened on the time line, in seconds since the step began: "all up", "closing" …
    marks: dict[str, float] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether the figures count."""
        return not self.invalid

    @property
    def name(self) -> str:
        """As tables and messages call it: "1,000 clients", "pool, 1,000 clients"."""
        clients = f"{self.clients:,} client{'' if self.clients == 1 else 's'}"
        return f"{self.condition}, {clients}" if self.condition else clients


@dataclass
class Results:
    """Everything that one run of an experiment found."""

    #: Its subcommand: "sweep", "lifecycle", "soak", "switch-interval", "models".
    experiment: str
    #: The command line that ran it.
    command: str
    #: When, ISO 8601 in UTC.
    started: str
    #: How many steps it was to have.
    planned: int
    #: What `condition` says, as a table's head: "switch interval", "broadcaster"; "" when there is none.
    varied: str = ""
    #: Of the server's intervals.
    time_scale: float = 1.0
    #: What was measured: name, url, version, options, executable.
    server: dict[str, str] = field(default_factory=dict)
    #: On what.
    host: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    #: About the run as a whole, one sentence each.
    notes: list[str] = field(default_factory=list)

    #: Whether the server's process was on this machine, and seen.
    server_is_here: bool = True

    @property
    def finished(self) -> bool:
        """False when Ctrl-C or an error ended it."""
        return len(self.steps) == self.planned

    @property
    def conditions(self) -> list[str]:
        """In the order of the run."""
        return list(dict.fromkeys(step.condition for step in self.steps))

    def of(self, condition: str) -> list[Step]:
        """The steps under one condition, in the order of the run."""
        return [step for step in self.steps if step.condition == condition]


def results_json(results: Results) -> str:
    """All of it as one JSON object: `format`, the fields of Results, `finished` and `figures`.

    `figures` has of each name `title`, `unit`, `digits` and `scales`. ValueError for a figure that JSON
    lacks, such as NaN.
    """
    record: dict[str, Any] = {"format": FORMAT} | asdict(results) | {"finished": results.finished}
    record["steps"] = [
        asdict(step) | {"timeline": [moment._asdict() for moment in step.timeline]} for step in results.steps
    ]
    units = {name: figure._asdict() for name, figure in FIGURES.items()}
    return json.dumps(record | {"figures": units}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def results_csv(results: Results) -> str:
    """One row per step: condition, clients, valid, the figures that any step has ("name [unit]"), remarks."""
    names = [name for name in FIGURES if any(name in step.figures for step in results.steps)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([results.varied or "condition", "clients", "valid", *map(_head, names), "remarks"])
    for step in results.steps:
        figures = [step.figures.get(name, "") for name in names]
        remarks = " ".join((*step.invalid, *step.warnings))
        writer.writerow([step.condition, step.clients, str(step.valid).lower(), *figures, remarks])
    return text.getvalue()


def _head(name: str) -> str:
    unit = FIGURES[name].unit
    return f"{name} [{unit}]" if unit else name
