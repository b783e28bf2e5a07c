"""What do a thousand threads do to Python's one lock?

One thread has it and all others wait. Each of them wakes once in every switch
interval, in vain: the shorter that is, the more of the processor goes into waiting.
"""

import os
import sys
import threading
from resource import RUSAGE_SELF, getrusage

THREADS = 1000
INTERVALS = (0.005, 0.05, 0.3)  # in seconds; the first is Python's own


def send_update(gate: int) -> None:
    os.read(gate, 1)  # sleeps without the lock, like a channel until its update is due
    sum(range(5_000))  # works with it


def wake_ups(interval: float) -> int:
    """How often the threads slept and woke again once all updates were due at the same moment."""
    sys.setswitchinterval(interval)
    gate, opener = os.pipe()
    threads = [threading.Thread(target=send_update, args=(gate,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    before = getrusage(RUSAGE_SELF).ru_nvcsw
    os.close(opener)  # every read returns at once
    for thread in threads:
        thread.join()
    os.close(gate)
    return getrusage(RUSAGE_SELF).ru_nvcsw - before


if __name__ == "__main__":
    counts = {interval: wake_ups(interval) for interval in INTERVALS}
    for interval, count in counts.items():
        print(f"switch interval {interval} s: {THREADS} updates, {count} wake-ups")
    print("twice as many at 0.005 s as at 0.3 s, or more:", counts[0.005] >= 2 * counts[0.3])
