"""A load that only says that it is one."""

from livestream.lab.load import Load, OnEvent

#: What a load of 10 s with 100 clients says.
RESULT = {
    "clients": 100,
    "up": 100,
    "failures": [],
    "failed": 0,
    "lost": 0,
    "passing_failed": 0,
    "not_closed": 0,
    "connect_ms": {"p50": 1.0, "p90": 2.0, "p99": 3.0, "p999": 4.0, "max": 5.0},
    "seconds": 10.0,
    "messages": 12_000,
    "updates": 11_000,
    "missed": 1_000,
    "delivered": 11 / 12,
    "bytes_per_second_and_client": 286.0,
    "channels": {
        "tps_updates": {"updates": 1, "missed": 0, "bytes_per_second_and_client": 140.0},
        "block_updates": {"updates": 1, "missed": 0, "bytes_per_second_and_client": 70.0},
        "network_status": {"updates": 1, "missed": 0, "bytes_per_second_and_client": 46.0},
        "validator_metrics": {"updates": 1, "missed": 0, "bytes_per_second_and_client": 30.0},
    },
    "lateness_ms": {"p50": 0.5, "p90": 0.75, "p99": 1.5, "p999": 2.5, "max": 9.0},
    "own_cpu": 0.25,
    "own_lag_ms": {"p50": 0.1, "p90": 0.2, "p99": 0.3, "p999": 0.4, "max": 0.5},
    "doubts": [],
    "closed_connections": 7,
}
#: The events of a whole load, with as many messages in each part of the window.
EVENTS = [
    ("connecting", {"up": 50}),
    ("up", {"up": 100}),
    ("settled", {}),
    ("window", {"messages": 0}),
    *(("slice", {"messages": 2_400 * part}) for part in range(1, 6)),
    ("measured", {}),
    ("closing", {}),
    ("closed", {"open": 0}),
]


class FakeLoad:
    """Tells all events; before each it calls what is given by that name."""

    def __init__(self, result=RESULT, **acts):
        #: What it was asked for, once it runs.
        self.asked: list[Load] = []
        self._result = result
        self._acts = acts

    def __call__(self, load: Load, on_event: OnEvent):
        self.asked.append(load)
        for event, record in EVENTS:
            self._acts.get(event, lambda: None)()
            on_event(event, record)
        return self._result
