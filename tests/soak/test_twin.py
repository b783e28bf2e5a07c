"""Are the original's figures (SPEC, "Figures") the twin's too? Run by `make soak`.

Processor time is compared as SPEC gives it: by how much it is above the floor's, measured in the same run.
"""

import pytest

from livestream.lab.experiment import Setup
from livestream.lab.load import Load
from livestream.lab.reports.reference import ORIGINAL, reference
from tests.bench.__main__ import variants
from tests.twin.compare import twin_server

CLIENTS = 1_000
#: What the floor needed when the original was measured: "30–41 µs a message".
FLOOR_US = (30, 41)
#: How far the twin may be from the original on another machine, another day: from, to, as a ratio.
#: Threads and bytes are counted; how far a heap grows is the JVM's decision.
WITHIN = {"threads": (0.98, 1.02), "bytes_per_client": (0.98, 1.02), "rss_per_client_kb": (0.5, 1.3)}
#: Of the processor time above the floor's, beyond what the floor itself varied by.
NOISE = 1.5


def measured(open_server):
    setup = Setup(open_server, True, Load("", 0, 20), (CLIENTS,))
    step = setup.step(CLIENTS, lambda event, record: None)
    assert step.valid, step.invalid
    assert step.figures["delivered"] > 99.5
    return step.figures


def original(name):
    known = reference(ORIGINAL, name)
    value = known.at(CLIENTS) if known else None
    assert value, name
    return value


@pytest.mark.timeout(900)
def test_the_twin_has_the_originals_figures(tmp_path):
    open_floor = variants(str(tmp_path), ())["floor"]
    twin, floor = measured(twin_server), measured(lambda options=(): open_floor())
    ratios = {name: twin[name] / original(name) for name in (*WITHIN, "late_p50", "late_p99")}
    above = twin["cpu_per_message_us"] / floor["cpu_per_message_us"]
    print(f"{CLIENTS:,} clients, twin ÷ original:",
          ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()),
          f"; processor time {above:.1f} times the floor's")
    outside = {name: ratios[name] for name, (low, high) in WITHIN.items() if not low <= ratios[name] <= high}
    assert outside == {}
    least, most = sorted(original("cpu_per_message_us") / floor_us for floor_us in FLOOR_US)
    assert least / NOISE <= above <= most * NOISE
