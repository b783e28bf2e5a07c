"""Why does a channel of one second need 1,001 milliseconds?

The original sleeps a second after each update: what sending takes, and how late
the thread wakes, comes on top each time. At a fixed rate both come out of the
next sleep.
"""

from livestream.stream.broadcast import Subscription
from livestream.stream.channels import Channel
from livestream.stream.registry import Connection

SENDING, WAKING_LATE = 0.000_5, 0.001
INTERVALS = 3_600
TPS = Channel("tps_updates", "tps_update", 1.0, dict)


class SlowWorld:
    """Clock and session of a channel thread: time stands still but for sending and sleeping."""

    is_open = True
    now = 0.0

    def monotonic(self):
        return self.now

    def now_ms(self):
        return round(self.now * 1_000)

    def send_text(self, text):
        self.now += SENDING


for name, fixed_delay in {"fixed delay": True, "fixed rate": False}.items():
    world = SlowWorld()
    subscription = Subscription(Connection("one", 0, world), TPS, world, fixed_delay)
    for _ in range(INTERVALS):
        subscription.send_update()
        world.now += subscription.delay(world.now) + WAKING_LATE
    mean = world.now / INTERVALS
    print(f"{name}: {INTERVALS} intervals took {world.now:.3f} s, {1_000 * mean:.1f} ms each")
