"""Results of every experiment, made up: smooth, a little like the port's, and the same every time."""

from livestream.contract import CHANNELS
from livestream.lab.results import Moment, Results, Step

COUNTS = (100, 1_000, 2_000, 4_000)
SERVER = {
    "name": "livestream",
    "url": "ws://127.0.0.1:9003/api/v11/live/stream",
    "version": "0.1.0",
    "options": "--profile original --switch-interval 0.3",
    "executable": "python3.11",
}
HOST = {
    "kernel": "Linux 6.1.0",
    "processor": "An Example Processor",
    "cores": "2 of 2",
    "memory": "15.6 GiB",
    "python": "CPython 3.11.2",
    "load average": "0.31 0.40 0.52",
}


def figures(clients, slow=1.0, per_client=4):
    """What a sweep finds of a server with so many channel threads per client."""
    expected = clients * 61
    missed = int(expected * 0.0004 * (slow - 1) * clients / 4_000)
    return {
        "up": clients,
        **{f"connect_{short}": value * slow for short, value in
           {"p50": 1.1, "p90": 2.4, "p99": 6.5, "p999": 14.0, "max": 22.8}.items()},
        "delivered": 100 * (expected - missed) / expected,
        "updates": expected - missed,
        "missed": missed,
        "late_p50": 0.16 * slow + clients / 40_000,
        "late_p90": 0.35 * slow + clients / 20_000,
        "late_p99": 0.8 * slow * (1 + (clients / 2_500) ** 3),
        "late_p999": 1.9 * slow * (1 + (clients / 2_500) ** 3),
        "late_max": 6.4 * slow * (1 + (clients / 2_000) ** 3),
        "messages_per_second": clients * 61 / 30,
        "bytes_per_client": 286.4,
        **dict(zip([f"bytes_{channel.name}" for channel in CHANNELS], (142.0, 71.1, 43.2, 30.1))),
        "threads": clients * (per_client + 1) + 3,
        "transport_threads": clients + 3,
        "channel_threads": clients * per_client,
        "channel_threads_per_client": float(per_client),
        "rss_mb": 41 + clients * 0.108,
        "rss_per_client_kb": 108.0,
        "cpu_share": clients * 61 / 30 * 0.0083 * slow,
        "cpu_per_message_us": 83.0 * slow - clients / 400,
        "voluntary_switches_per_message": 2.31,
        "involuntary_switches_per_message": 0.04,
        "descriptors": clients + 9,
        "memory_maps": clients * 15 + 120,
        "load_cpu_share": clients / 70,
        "load_lag_p99": 0.4,
    }


def results(experiment, steps, varied="", options="--clients 100,1000,2000,4000", **more):
    return Results(**{
        "experiment": experiment,
        "command": f"livestream scale {experiment} {options}",
        "started": "2025-11-23T16:30:00Z",
        "planned": len(steps),
        "varied": varied,
        "server": dict(SERVER),
        "host": dict(HOST),
        "steps": list(steps),
        **more,
    })


def sweep(counts=COUNTS, invalid=(), **more):
    return results("sweep", [step(clients, invalid=invalid) for clients in counts], **more)


def step(clients, condition="", invalid=(), **found):
    reasons = ("The load itself was late, by 31 ms at p99.",) if clients in invalid else ()
    return Step(condition, clients, figures(clients) | found, reasons)


def lifecycle(clients=1_000):
    """One step: opens all, holds, closes all, and waits until the threads have gone."""
    line = [Moment(round(at * 0.1, 1), *_life(at * 0.1, clients)) for at in range(300)]
    found = figures(clients) | {
        "open_seconds": 10.04, "close_seconds": 2.11, "gone_seconds": 4.87, "peak_threads": clients * 5 + 3,
        "threads_left": 0, "descriptors_left": 0, "rss_left_mb": 12.3,
    }
    marks = {
        "all up": 10.04, "all subscribed": 10.9, "closing": 20.0, "all closed": 22.1, "threads gone": 26.9,
    }
    return results("lifecycle", [Step("", clients, found, timeline=tuple(line), marks=marks)],
                   options=f"--clients {clients}")


def _life(at, clients):
    up = min(at / 10, 1.0) if at < 20 else max(0.0, 1 - (at - 20) / 2.1)
    kept = max(up, max(0.0, 1 - (at - 20) / 6.9)) if at >= 20 else up
    memory = 41 + clients * (0.096 * max(kept, up) + 0.012)
    return 3 + int(clients * (up + 4 * kept)), memory, 9 + int(clients * up)


def soak(clients=500, minutes=20):
    line = [Moment(float(at), clients * 5 + 3 + at % 7, 95 + 0.004 * at + 0.3 * (at % 11), clients + 9)
            for at in range(0, minutes * 60, 2)]
    found = figures(clients) | {
        "minutes": minutes, "rss_growth_kb_per_minute": 240.0, "threads_growth_per_minute": 0.01,
        "descriptors_growth_per_minute": 0.0, "closed_connections": 4_800,
        "rss_per_closed_connection_bytes": 1_002.0, "rss_growth_error_kb_per_minute": 4.0,
        "rss_per_closed_connection_error_bytes": 16.7,
    }
    marks = {"all up": 6.0, "churn": 60.0, "last minute": minutes * 60 - 60.0}
    return results("soak", [Step("", clients, found, timeline=tuple(line), marks=marks)],
                   options=f"--clients {clients} --minutes {minutes}")


def switch_interval(clients=1_000):
    slowness = {"0.005 s": 9.0, "0.05 s": 2.5, "0.3 s": 1.0, "1 s": 3.0}
    steps = [Step(interval, clients, figures(clients, slow)) for interval, slow in slowness.items()]
    return results("switch-interval", steps, "switch interval", f"--clients {clients}")


def models(counts=COUNTS):
    kinds = {"threads": (1.0, 4), "pool": (0.6, 0), "ticker": (0.4, 0)}
    steps = [Step(kind, count, figures(count, *how)) for count in counts for kind, how in kinds.items()]
    return results("models", steps, "broadcaster")


#: Every experiment as it usually goes.
ALL = {
    "sweep": sweep,
    "lifecycle": lifecycle,
    "soak": soak,
    "switch-interval": switch_interval,
    "models": models,
}
