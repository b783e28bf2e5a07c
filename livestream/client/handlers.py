"""Who hears what: handlers by message type and for the state, and the messages kept for iteration.

Source: SPEC, "The portal client".
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from livestream.client.waiting import wait_until

log = logging.getLogger(__name__)

#: As a type: handlers for it hear every message.
ALL: Final = "*"

T = TypeVar("T")


class _Registration(Generic[T]):
    """One handler, until it is removed."""

    __slots__ = ("handler", "active")

    def __init__(self, handler: Callable[[T], object]) -> None:
        self.handler = handler
        self.active = True


class Handlers(Generic[T]):
    """Handlers by key, called in the order in which they came; any thread may add and remove."""

    def __init__(self) -> None:
        # Guards the dict; its tuples are never changed, so a call goes through one without the lock.
        self._lock = threading.Lock()
        self._registered: dict[str, tuple[_Registration[T], ...]] = {}

    def add(self, key: str, handler: Callable[[T], object]) -> Callable[[], None]:
        """Adds a handler, also one that is there already; returns what removes it, once.

        TypeError when it can't be called.
        """
        if not callable(handler):
            raise TypeError(f"A handler is called with each message: {handler!r} can't be.")
        added = _Registration(handler)
        with self._lock:
            self._registered[key] = (*self._registered.get(key, ()), added)

        def remove() -> None:
            added.active = False
            with self._lock:
                left = tuple(other for other in self._registered.get(key, ()) if other is not added)
                if left:
                    self._registered[key] = left
                else:
                    self._registered.pop(key, None)

        return remove

    def call(self, keys: tuple[str, ...], value: T, go_on: Callable[[], bool]) -> None:
        """Calls the handlers of these keys while `go_on`; one that raises is logged, the others still run."""
        for key in keys:
            for registration in self._registered.get(key, ()):
                if registration.active and go_on():
                    _call(key, registration.handler, value)


def _call(key: str, handler: Callable[[T], object], value: T) -> None:
    try:
        handler(value)
    except BaseException:  # whatever it is: it would end the client's thread, and nobody would hear of it
        log.exception("a handler for %s raised", key)


class Backlog(Generic[T]):
    """The messages that wait for whoever iterates, `limit` at most: the oldest make room."""

    def __init__(self, limit: int) -> None:
        #: How many were dropped since somebody iterates.
        self.dropped = 0
        # Guards all fields.
        self._changed = threading.Condition()
        self._waiting: deque[T] = deque(maxlen=limit)
        self._limit = limit
        self._wanted = False
        self._overflowing = False
        self._ended = False

    def put(self, item: T) -> None:
        """Keeps one more; the first drop after a pause is logged."""
        with self._changed:
            full = len(self._waiting) == self._limit
            self._waiting.append(item)
            self._changed.notify()
            if not full or not self._wanted:
                return
            self.dropped += 1
            begins, self._overflowing = not self._overflowing, True
        if begins:
            log.warning("more than %d messages wait to be iterated over: the oldest are dropped", self._limit)

    def want(self) -> None:
        """From now on somebody iterates."""
        with self._changed:
            self._wanted = True

    def get(self) -> T:
        """The oldest, as soon as there is one. StopIteration at the end."""
        with self._changed:
            wait_until(self._changed, lambda: self._waiting or self._ended)
            if self._ended:
                raise StopIteration
            self._overflowing = False
            return self._waiting.popleft()

    def end(self) -> None:
        """No more, and what waits is not wanted any more."""
        with self._changed:
            self._ended = True
            self._waiting.clear()
            self._changed.notify_all()
