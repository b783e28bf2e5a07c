"""Waiting as the main thread may: Ctrl-C ends it in any case.

CPython looks for signals before it waits for a lock, and those that come while it
waits wake it. One that comes between the two would be seen only when the wait is
over. So no wait is long.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

#: Between two looks for signals, in seconds.
LOOK_INTERVAL: Final = 0.5


def wait_until(
    changed: threading.Condition, holds: Callable[[], object], timeout: float | None = None
) -> None:
    """Waits until `holds`, or `timeout` seconds have passed; the caller has the lock of `changed`."""
    for seconds in _short_waits(timeout):
        if holds():
            return
        changed.wait(seconds)


def wait_for(event: threading.Event, timeout: float | None = None) -> bool:
    """Waits until the event is set, or `timeout` seconds have passed; whether it is set."""
    return any(event.wait(seconds) for seconds in _short_waits(timeout)) or event.is_set()


def _short_waits(timeout: float | None) -> Iterator[float]:
    """How long to wait, again and again until the time is over."""
    end = float("inf") if timeout is None else time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        yield min(left, LOOK_INTERVAL)
