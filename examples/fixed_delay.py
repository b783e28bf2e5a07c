"""Why does a channel of one second need 1,001 milliseconds?

The original sleeps a second after each update: what making and sending it takes, and how late
the thread wakes, comes on top each time. At a fixed rate both come out of the next sleep.
"""

import json
import time
from functools import partial
from itertools import islice, pairwise
from random import Random
from statistics import median

from websockets.sync.client import connect

from livestream import Settings
from livestream.app import LiveServer
from livestream.stream.channels import SimulatedSource
from livestream.stream.profiles import CORRECTED, ORIGINAL

WORK, UPDATES = 0.005, 60  # each update takes 5 ms to make


class Slow(SimulatedSource):
    def tps_update(self):
        time.sleep(WORK)
        return super().tps_update()


create = partial(Slow, None, Random())  # without validators
if __name__ == "__main__":
    settings = partial(Settings, host="127.0.0.1", port=0, time_scale=0.05, source="fixed_delay:create")
    gaps = []
    for profile in (ORIGINAL, CORRECTED):
        with LiveServer(settings(profile=profile)) as server, connect(server.url()) as client:
            times = (json.loads(text)["timestamp"] for text in client if '"tps_update"' in text)
            times = list(islice(times, UPDATES + 1))
        gaps.append(median(after - before for before, after in pairwise(times)))
        print(f"{profile.name}: {UPDATES} intervals took {times[-1] - times[0]} ms, median {gaps[-1]:.0f}")
    print("original's are longer by what an update takes:", gaps[0] - gaps[1] > 500 * WORK)
