"""How often: connections per client address, and messages per connection, in a moving window.

The counting is that of the `limits` package. Its own memory keeps an entry for every key for ever and tidies
up in threads of its own, so `Windows` stands in for it.
"""

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import limits
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

from livestream.contract import MAX_EXCESSES, RATE_LIMIT_EXCEEDED
from livestream.web.refusals import PolicyError

#: Gives seconds that never run backwards.
Clock = Callable[[], float]
#: The largest amount that is kept count of: one entry of memory for each.
MOST: Final = 100_000


#: For the strategies of `limits` that nobody uses here.
_NO_COUNTER: Final = "a moving window keeps moments and no counter"


class Windows(Storage, MovingWindowSupport):
    """When each key was hit, in memory; a key is forgotten a window after its last hit, two at most."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # Guards the dict, the queues in it, and the time of the next sweep.
        self._lock = threading.Lock()
        self._hits: dict[str, deque[float]] = {}
        self._next_sweep = 0.0

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._hits)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Counts a hit unless there were `limit` in the last `expiry` seconds."""
        now = self._clock()
        with self._lock:
            self._sweep(now, expiry)
            hits = self._hits.setdefault(key, deque())
            _drop_old(hits, now - expiry)
            if len(hits) + amount > limit:
                return False
            hits.extend(itertools.repeat(now, amount))
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the first hit of the last `expiry` seconds was, and how many there were."""
        now = self._clock()
        with self._lock:
            hits = [hit for hit in self._hits.get(key, ()) if hit > now - expiry]
        return (hits[0], len(hits)) if hits else (now, 0)

    def _sweep(self, now: float, expiry: int) -> None:
        """All keys of one storage have the same window."""
        if now < self._next_sweep:
            return
        self._next_sweep = now + expiry
        for key in [key for key, hits in self._hits.items() if not hits or hits[-1] <= now - expiry]:
            del self._hits[key]

    def clear(self, key: str) -> None:
        """Forgets a key."""
        with self._lock:
            self._hits.pop(key, None)

    def reset(self) -> int:
        """Forgets all; returns how many keys that were."""
        with self._lock:
            forgotten = len(self._hits)
            self._hits.clear()
            return forgotten

    def check(self) -> bool:
        """Memory is always there."""
        return True

    # What `limits` asks of a storage for its other strategies.

    @property
    def base_exceptions(self) -> type[Exception]:
        """None of its own."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Not in a moving window: raises TypeError."""
        raise TypeError(_NO_COUNTER)

    def get(self, key: str) -> int:
        """Not in a moving window: raises TypeError."""
        raise TypeError(_NO_COUNTER)

    def get_expiry(self, key: str) -> float:
        """Not in a moving window: raises TypeError."""
        raise TypeError(_NO_COUNTER)


def _drop_old(hits: deque[float], until: float) -> None:
    while hits and hits[0] <= until:
        hits.popleft()


class Rate:
    """So many hits per key in so much time."""

    def __init__(self, option: str, text: str, clock: Clock = time.monotonic) -> None:
        """`text` as in "100/minute" or "20 per 5 seconds"; empty lifts the limit. Raises PolicyError."""
        self._clock = clock
        self._item = parse_rate(option, text) if text else None
        self.windows = Windows(clock)
        self._limiter = MovingWindowRateLimiter(self.windows)

    def hit(self, key: str = "") -> bool:
        """Whether one more is within the limit; what is not doesn't count."""
        return self._item is None or self._limiter.hit(self._item, key)

    def retry_after(self, key: str) -> int:
        """Whole seconds until one more is within the limit, 1 at least."""
        if self._item is None:
            return 1
        reset = self._limiter.get_window_stats(self._item, key).reset_time
        return max(1, math.ceil(reset - self._clock()))


def parse_rate(option: str, text: str) -> limits.RateLimitItem:
    """A rate as the `limits` package writes it, one at least and not beyond MOST. Raises PolicyError."""
    try:
        (item,) = limits.parse_many(text)
    except ValueError:
        raise PolicyError(f"{option} {text!r} is no rate like 100/minute or 20/second") from None
    if not 1 <= item.amount <= MOST:
        raise PolicyError(f"{option} {text!r}: the number must be from 1 to {MOST}")
    return item


class Excess(NamedTuple):
    """What a message beyond the rate is answered with: the text `error`, as a Close frame if it `closes`."""

    error: str
    closes: bool


class MessageRate:
    """One connection's messages. After MAX_EXCESSES in a row beyond the rate the next one closes it."""

    def __init__(self, option: str, text: str, **options: Any) -> None:
        """`text` as for Rate, empty for no limit; `option` is what an error calls it. Raises PolicyError."""
        self._rate = Rate(option, text, **options)
        self._excesses = 0

    def excess(self) -> Excess | None:
        """Counts a message: None when it is within the rate."""
        if self._rate.hit():
            self._excesses = 0
            return None
        self._excesses += 1
        return Excess(RATE_LIMIT_EXCEEDED, self._excesses > MAX_EXCESSES)
