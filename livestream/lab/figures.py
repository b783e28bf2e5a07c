"""From what the load saw and what the kernel counted to the figures of a step, and to doubts about them."""

from collections.abc import Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from livestream.lab.probe import Sample, difference
from livestream.lab.results import QUANTILES

#: How much processor time per message may differ between parts of the window, of their median.
STEADY: Final = 0.25
#: A part with fewer messages says nothing about that.
SLICE_MESSAGES: Final = 200
#: A quantile of fewer values than that is mostly luck, by name.
ENOUGH: Final = {"p99": 1_000, "p999": 10_000}
#: Where the load's own lateness is worth a word, in milliseconds: its timers alone are up to 2 ms late.
NOTABLE_LAG_MS: Final = 5.0
#: How much longer or shorter the server may be looked at than the load measures, of that time.
OFF: Final = 0.1
#: How much of one processor others may use meanwhile.
OTHERS: Final = 0.2
#: What the hypervisor may take, of one processor.
STOLEN: Final = 0.05


class Look(NamedTuple):
    """A cheap look at the window's beginning, and after each part of it."""

    #: Seconds of the monotonic clock.
    at: float
    messages: int
    cpu_seconds: float


class Machine(NamedTuple):
    """Processor time of the whole machine so far, in seconds: programs', and what the hypervisor took."""

    used: float
    stolen: float


class Seen(NamedTuple):
    """What was seen of the server's process during one load."""

    #: Before the first client.
    idle: Sample
    #: A moment before the window and after it: a sample of many threads takes a while.
    before: Sample
    after: Sample
    looks: Sequence[Look]
    #: Threads that each connection has before its handshake.
    transport_threads: int


def client_figures(result: dict[str, Any]) -> dict[str, float]:
    """Of a load's result, by the names of FIGURES."""
    figures = {
        "up": result["up"],
        "delivered": 100 * result["delivered"],
        "updates": result["updates"],
        "missed": result["missed"],
        "messages_per_second": result["messages"] / result["seconds"],
        "bytes_per_client": result["bytes_per_second_and_client"],
        "load_cpu_share": 100 * result["own_cpu"],
        "load_lag_p99": result["own_lag_ms"]["p99"],
        "closed_connections": result["closed_connections"],
    }
    for name, channel in result["channels"].items():
        figures[f"bytes_{name}"] = channel["bytes_per_second_and_client"]
    for prefix, values in (("connect", result["connect_ms"]), ("late", result["lateness_ms"])):
        figures |= {f"{prefix}_{name}": values[name] for name in QUANTILES if name in values}
    return figures


def server_figures(result: dict[str, Any], seen: Seen) -> dict[str, float]:
    """Of the server's process, by the names of FIGURES; a channel's thread is what nothing else explains."""
    switches = difference(seen.before, seen.after).context_switches
    cpu_seconds, seconds = _of_the_window(seen.looks)
    # They were counted for longer than the window lasts.
    share = seconds / (seen.after.at - seen.before.at)
    end = seen.after
    there = result["up"] - result["lost"]
    messages, up = max(1, result["messages"]), max(1, there)
    transport = seen.transport_threads * there
    channels = max(0, end.threads - seen.idle.threads - transport)
    return {
        "threads": end.threads,
        "transport_threads": transport,
        "channel_threads": channels,
        "channel_threads_per_client": channels / up,
        "rss_mb": end.rss_bytes / 1e6,
        "rss_per_client_kb": (end.rss_bytes - seen.idle.rss_bytes) / up / 1e3,
        "cpu_share": 100 * cpu_seconds / seconds,
        "cpu_per_message_us": cpu_seconds / messages * 1e6,
        "voluntary_switches_per_message": switches.voluntary * share / messages,
        "involuntary_switches_per_message": switches.involuntary * share / messages,
        "descriptors": end.descriptors,
        "memory_maps": end.memory_maps,
    }


def invalid(result: dict[str, Any]) -> tuple[str, ...]:
    """Why the figures don't count, one sentence each: the load was the bottleneck, or nobody came up."""
    if not result["up"]:
        return (f"No client came up: {_reasons(result)}.",)
    return tuple(result["doubts"])


def server_invalid(result: dict[str, Any], looks: Sequence[Look]) -> tuple[str, ...]:
    """Whether the process that was watched is the server: one that sends uses some processor time."""
    cpu_seconds, _ = _of_the_window(looks)
    if cpu_seconds or not result["messages"]:
        return ()
    return (f"The process did nothing while {result['messages']:,} messages came: is it the server's?",)


def warnings(result: dict[str, Any]) -> list[str]:
    """Why a figure of the clients may be off, one sentence each."""
    found = []
    if 0 < result["up"] < result["clients"]:
        lost = result["clients"] - result["up"]
        found.append(f"{lost:,} of {result['clients']:,} clients never came up: {_reasons(result)}.")
    if result["lost"]:
        found.append(f"{result['lost']:,} of {result['up']:,} clients lost their connection meanwhile.")
    if result["not_closed"]:
        found.append(f"{result['not_closed']:,} clients said goodbye and were not closed by the server.")
    if result["passing_failed"]:
        found.append(f"{result['passing_failed']:,} of the connections that come and go could not be made.")
    lag, late = result["own_lag_ms"]["p99"], result["lateness_ms"].get("p99", 0.0)
    if lag >= max(NOTABLE_LAG_MS, late / 2):
        found.append(f"The load itself was {lag:.0f} ms late (p99), and saw {late:.0f} ms.")
    due = result["updates"] + result["missed"]
    few = [QUANTILES[name] for name, enough in ENOUGH.items() if due < enough]
    if few:
        found.append(f"Lateness at {' and '.join(few)} is of {due:,} updates only: measure for longer.")
    return found


def server_warnings(looks: Sequence[Look]) -> list[str]:
    """Why a figure of the server's process may be off, one sentence each."""
    parts = [
        (after.messages - before.messages, after.cpu_seconds - before.cpu_seconds)
        for before, after in zip(looks, looks[1:])
    ]
    total = sum(messages for messages, _ in parts)
    if not parts or min(messages for messages, _ in parts) < SLICE_MESSAGES:
        return [f"Processor time per message is of {total:,} messages only: measure for longer."]
    costs = [cpu_seconds / messages for messages, cpu_seconds in parts]
    spread, middle = max(costs) - min(costs), median(costs)
    if not middle or spread / middle <= STEADY:
        return []
    return [f"Processor time per message was not steady: {spread / middle:.0%} between parts of the window."]


def window_warnings(result: dict[str, Any], looks: Sequence[Look]) -> list[str]:
    """Whether the server was looked at when the load's window opened and closed, and not much later."""
    (_, looked), asked = _of_the_window(looks), result["seconds"]
    if abs(looked - asked) <= OFF * asked:
        return []
    return [f"The server was looked at for {looked:.2f} s where the load measured {asked:.2f} s."]


def machine_warnings(seconds: float, ours: float, began: Machine, ended: Machine) -> list[str]:
    """Whether others used the machine meanwhile; `ours` is what server and load used, in seconds."""
    found = []
    others = (ended.used - began.used - ours) / seconds
    if others > OTHERS:
        found.append(f"Other programs used {others:.0%} of a processor.")
    stolen = (ended.stolen - began.stolen) / seconds
    if stolen > STOLEN:
        found.append(f"The hypervisor took {stolen:.0%} of a processor.")
    return found


def _of_the_window(looks: Sequence[Look]) -> tuple[float, float]:
    """Processor time and duration of the window as it was looked at, in seconds."""
    return looks[-1].cpu_seconds - looks[0].cpu_seconds, looks[-1].at - looks[0].at


def _reasons(result: dict[str, Any]) -> str:
    return "; ".join(dict.fromkeys(result["failures"])) or "no reason was given"
