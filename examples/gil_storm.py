"""What do a thousand threads do to Python's one lock?

One thread has it and all others wait. Each of them wakes once in every switch
interval, in vain: the shorter that is, the more of the processor goes into waiting.
"""

import sys
from resource import RUSAGE_SELF, getrusage

from livestream import Settings
from livestream.app import LiveServer
from livestream.wire.client import WireClient

THREADS = 1_000
INTERVALS = (0.005, 0.05, 0.3)  # in seconds; the first is Python's own
SUBSCRIBE = '{"type":"subscribe","channel":"tps_updates"}'


def wake_ups(interval: float) -> int:
    """How often the server's threads slept and woke again while another one had the lock."""
    sys.setswitchinterval(interval)
    settings = Settings(host="127.0.0.1", port=0, time_scale=0.5, max_threads_per_connection=THREADS)
    with LiveServer(settings) as server, WireClient.connect(server.url()) as client:
        for _ in range(THREADS - 1):  # each starts one more thread, as chapter 5 says
            client.send_text(SUBSCRIBE)
        client.send_text('{"type":"ping"}')
        client.receive_until(lambda event: '"pong"' in event.text)
        before = getrusage(RUSAGE_SELF).ru_nvcsw
        sum(range(100_000_000))  # some seconds, in which the lock is not given up once
        return getrusage(RUSAGE_SELF).ru_nvcsw - before


if __name__ == "__main__":
    counts = [wake_ups(interval) for interval in INTERVALS]
    for interval, count in zip(INTERVALS, counts):
        print(f"switch interval {interval} s: {THREADS} threads, {count} wake-ups")
    print("ten times as many at 0.005 s as at 0.3 s, or more:", counts[0] >= 10 * counts[2])
