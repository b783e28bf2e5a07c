"""How a channel thread sleeps between two updates, so that thousands can, and each can be woken."""

import signal
import threading
from typing import Protocol, Self

#: What ends a channel thread's sleep.
WAKE_SIGNALS = (signal.SIGURG,)


class Sleeper(Protocol):
    """A sleep that another thread can end. The thread that sleeps enters it first, and leaves it last."""

    def __enter__(self) -> object: ...

    def __exit__(self, *error: object) -> None: ...

    def sleep(self, seconds: float) -> bool:
        """Sleeps for `seconds`; True as soon as somebody has called `wake`."""

    def wake(self) -> None:
        """Ends the sleep, and all later ones; may be called more than once, by any thread at any time."""


class SignalSleeper:
    """Sleeps in `sigtimedwait`, woken by a signal sent to this one thread.

    `threading.Event` would do for a few threads. But its wait is a futex, and
    a process's futexes share a small table on Linux (6.16 and newer): a
    wake-up from one searches among the threads that wait in others. With
    15,000 asleep the stream collapsed. The
    signal is SIGURG, which is ignored wherever it isn't waited for; here it
    is kept waiting, so one that comes before the sleep ends the sleep at once.
    """

    __slots__ = ("_lock", "_awake", "_thread")

    def __init__(self) -> None:
        # Guards both fields: a thread that is signalled has not ended.
        self._lock = threading.Lock()
        self._awake = False
        #: Which thread sleeps here, from entering to leaving.
        self._thread: int | None = None

    def __enter__(self) -> Self:
        signal.pthread_sigmask(signal.SIG_BLOCK, WAKE_SIGNALS)
        with self._lock:
            self._thread = threading.get_ident()
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._thread = None
        signal.sigtimedwait(WAKE_SIGNALS, 0)  # a signal that ended no sleep isn't left to the next one

    def sleep(self, seconds: float) -> bool:
        """Sleeps for `seconds`; True as soon as somebody has called `wake`."""
        # Without the lock, which each of thousands of sleeps would pay for: whoever wakes signals as well.
        if not self._awake:
            signal.sigtimedwait(WAKE_SIGNALS, max(seconds, 0))
        return self._awake

    def wake(self) -> None:
        """Ends the sleep, and all later ones."""
        with self._lock:
            self._awake = True
            if self._thread is not None:
                signal.pthread_kill(self._thread, signal.SIGURG)
