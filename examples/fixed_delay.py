"""Why does a channel of one second need 1,001 milliseconds?

The original sleeps a second after each update: what making and sending it takes, and how late
the thread wakes, comes on top each time. At a fixed rate both come out of the next sleep.
"""

import json
import time
from functools import partial
from itertools import islice
from random import Random

from websockets.sync.client import connect

from livestream import Settings
from livestream.app import LiveServer
from livestream.stream.channels import SimulatedSource
from livestream.stream.profiles import CORRECTED, ORIGINAL

INTERVAL, WORK, UPDATES = 50, 0.005, 60  # a second is 50 ms, and each update takes 5 ms to make


class Slow(SimulatedSource):
    def tps_update(self):
        time.sleep(WORK)
        return super().tps_update()


create = partial(Slow, None, Random())  # without validators
if __name__ == "__main__":
    each = []
    for profile in (ORIGINAL, CORRECTED):
        settings = Settings(host="127.0.0.1", port=0, time_scale=INTERVAL / 1_000, profile=profile,
                            source="fixed_delay:create")
        with LiveServer(settings) as server, connect(server.url()) as client:
            times = (json.loads(text)["timestamp"] for text in client if '"tps_update"' in text)
            first, *_, last = islice(times, UPDATES + 1)
        each.append((last - first) / UPDATES)
        print(f"{profile.name}: {UPDATES} intervals took {last - first} ms, {each[-1]:.1f} each")
    print("original is more than twice as far behind:", each[0] - INTERVAL > 2 * (each[1] - INTERVAL))
