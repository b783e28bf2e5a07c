"""Waiting: for numbers that change a moment after their cause, and beside a machine that stalls."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

#: Between two looks, in seconds.
PAUSE: Final = 0.01
#: How long a number is watched for a change that should not come, in seconds.
WATCH: Final = 0.3


def settled(look: Callable[[], Any], expected: Any, seconds: float) -> Any:
    """What `look` gives once it is as expected and stayed so, or else after so many seconds.

    What is expected only sets the pace, never the result.
    """
    deadline = time.monotonic() + seconds
    while look() != expected and time.monotonic() < deadline:
        time.sleep(PAUSE)
    time.sleep(WATCH)
    return look()


class StallWatch:
    """Notices when this machine stalls: a thread that wakes often, and keeps how late it ever was.

    Whoever measures times beside it knows by `worst`, in seconds, how far to trust them.
    """

    def __init__(self) -> None:
        self.worst = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall-watch", daemon=True)

    def __enter__(self) -> "StallWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        start = time.monotonic()
        while not self._over.wait(PAUSE):
            now = time.monotonic()
            self.worst = max(self.worst, now - start - PAUSE)
            start = now
