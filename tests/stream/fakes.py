"""Stand-ins for what lies outside the port: session, clock, sleeper, source, threads, broadcaster."""

import threading
from collections import Counter
from random import Random

from livestream.stream.channels import live_channels

#: One of the fake clock's moments, in milliseconds since 1970.
START_MS = 1_795_422_278_950


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self, monotonic=1000.0):
        self.seconds = monotonic
        self._start = monotonic

    def now_ms(self):
        return START_MS + round((self.seconds - self._start) * 1000)

    def monotonic(self):
        return self.seconds

    def advance(self, seconds):
        self.seconds += seconds


class FakeSession:
    """Keeps what is sent; `lose_after(n)` lets n more messages through and then loses the connection."""

    def __init__(self, events=None):
        self.sent = []
        self.is_open = True
        self.closings = []
        self._events = events
        self._left = None

    def lose_after(self, sends):
        self._left = sends

    def send_text(self, text):
        if self._left == 0:
            self.is_open = False
        if not self.is_open:
            raise ConnectionResetError("lost")
        if self._left is not None:
            self._left -= 1
        self.sent.append(text)
        if self._events is not None:
            self._events.append(("sent", text))

    def close(self, code, reason, timeout):
        self.closings.append((code, reason, timeout))
        self.is_open = False
        return True


class FakeSource:
    """Counts how often each payload was asked for; `fails_with` is raised instead of the next one."""

    def __init__(self):
        self.asked = Counter()
        self.fails_with = None

    def _payload(self, message_type):
        if self.fails_with is not None:
            raise self.fails_with
        self.asked[message_type] += 1
        return {"number": self.asked[message_type]}

    def tps_update(self):
        return self._payload("tps_update")

    def block_update(self):
        return self._payload("block_update")

    def network_update(self):
        return self._payload("network_update")

    def validator_update(self):
        return self._payload("validator_update")


class FakeTotals:
    """The validators service as far as a `validator_update` needs it."""

    def totals(self):
        return {"totalValidators": 20, "activeValidators": 15, "inactiveValidators": 3, "jailedValidators": 2}


class ConstantRandom(Random):
    """Always draws the same number."""

    def __init__(self, value):
        super().__init__(0)
        self.value = value

    def random(self):
        return self.value


class FakeSleeper:
    """Moves the clock instead of sleeping, `late` seconds too far; wakes after some sleeps at the latest."""

    def __init__(self, clock, sleeps=1_000_000, late=(), meanwhile=()):
        self.asked = []
        self.wakes = 0
        self._clock = clock
        self._sleeps = sleeps
        self._late = dict(enumerate(late))
        self._meanwhile = dict(meanwhile)
        self.entered = self.left = 0

    def __enter__(self):
        self.entered += 1

    def __exit__(self, *error):
        self.left += 1

    def sleep(self, seconds):
        assert (self.entered, self.left) == (1, 0)
        number = len(self.asked)
        self.asked.append(seconds)
        if self.wakes or number + 1 >= self._sleeps:
            return True
        self._clock.advance(max(seconds, 0) + self._late.get(number, 0))
        self._meanwhile.get(number, lambda: None)()
        return bool(self.wakes)

    def wake(self):
        self.wakes += 1


class FakeCondition:
    """Moves the clock instead of waiting; `at_the_end` is called instead of the first wait past `until`."""

    def __init__(self, clock, until=0.0, at_the_end=lambda: None):
        self.asked = []
        self.notified = 0
        self.until = until
        self.at_the_end = at_the_end
        self._clock = clock
        self._lock = threading.RLock()

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *error):
        self._lock.__exit__(*error)

    def wait(self, timeout):
        self.asked.append(timeout)
        if timeout is None or self._clock.seconds + timeout > self.until:
            self.at_the_end()
        else:
            self._clock.advance(timeout)

    def notify(self):
        self.notified += 1


class HandThread:
    """A thread that a test runs by hand; `refusals` of the next starts fail as the system's do."""

    refusals = 0
    started = []

    def __init__(self, target, args, name, daemon):
        self.target, self.args, self.name, self.daemon = target, args, name, daemon

    def start(self):
        if HandThread.refusals:
            HandThread.refusals -= 1
            raise RuntimeError("can't start new thread")
        HandThread.started.append(self)

    def run(self):
        HandThread.started.remove(self)
        self.target(*self.args)


class FakeThread:
    """What a fake broadcaster returns for joining."""

    def __init__(self, events, channel_name):
        self._events = events
        self._channel_name = channel_name

    def join(self, timeout):
        self._events.append(("joined", self._channel_name, timeout))


class FakeBroadcaster:
    """Knows which broadcasts run; `tick` lets each of them wake up once."""

    def __init__(self, events=None):
        self.running = {}
        self.refuses = False
        self.events = [] if events is None else events

    def start(self, connection, channel):
        if self.refuses:
            raise RuntimeError("can't start new thread")
        self.events.append(("started", channel.name))
        self.running.setdefault(connection, []).append(channel)

    def count(self, connection, channel_name=None):
        return len(self._select(connection, channel_name))

    def stop(self, connection, channel_name=None):
        stopped = self._select(connection, channel_name)
        for channel in stopped:
            self.running[connection].remove(channel)
        self.events.append(("stopped", channel_name))
        return [FakeThread(self.events, channel.name) for channel in stopped]

    def names(self, connection):
        return [channel.name for channel in self.running.get(connection, ())]

    def tick(self, connection):
        """Each broadcast of a connection sends an update, or ends because it can't."""
        for channel in list(self.running.get(connection, ())):
            try:
                if not connection.session.is_open:
                    raise OSError
                connection.session.send_text(f"update of {channel.name}")
            except OSError:
                self.running[connection].remove(channel)

    def _select(self, connection, channel_name):
        running = self.running.get(connection, ())
        return [one for one in running if channel_name in (None, one.name)]


def fake_channels(time_scale=1.0):
    return live_channels(FakeSource(), time_scale)
