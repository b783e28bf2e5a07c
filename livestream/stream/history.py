"""What each channel said lately, for clients that were away: `since`, an extension of the port.

Each client's channel thread makes updates of its own, so what a client missed was never made, and when
nobody was there nothing was. Keeping all that was sent to anybody would keep a thousand of each tick with a
thousand clients, and none with the one who is away. So the history has a client of its own per channel,
without a socket: the broadcaster serves it like any other, at the channel's interval, whoever is there.
"""

import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from livestream import contract
from livestream.stream.broadcast import Broadcaster
from livestream.stream.channels import Channel
from livestream.stream.messages import Clock
from livestream.stream.registry import Connection

log = logging.getLogger(__name__)

#: In place of a UUID; its threads are called `stream-recorder-tps_updates-1`.
RECORDER: Final = "recorder"
_MARK: Final = f',"{contract.REPLAYED}":true}}'


class Missed(NamedTuple):
    """Updates after a moment, the oldest first; `complete` when the history goes back to that moment."""

    texts: list[str]
    complete: bool


class Ring:
    """A session that keeps the latest texts it is sent: `size` of one channel, marked as replayed."""

    is_open = True

    def __init__(self, began_ms: int, size: int = contract.HISTORY_SIZE) -> None:
        # Guards both fields.
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, str]] = deque(maxlen=size)
        #: Before this moment something may be missing, in milliseconds since 1970.
        self._reaches_back_to = began_ms

    def send_text(self, text: str) -> None:
        """Keeps one update, an envelope of `messages`; none from before a clock that was put back."""
        timestamp = int(text[text.rindex(":") + 1:-1])
        with self._lock:
            if self._kept and timestamp < self._kept[-1][0]:
                self._kept.clear()
                self._reaches_back_to = timestamp
            if len(self._kept) == self._kept.maxlen:
                self._reaches_back_to = self._kept[0][0]
            self._kept.append((timestamp, text[:-1] + _MARK))

    def close(self, code: int, reason: str, timeout: float) -> bool:
        """There is nothing to close."""
        return True

    def after(self, since: int, now: int) -> Missed:
        """The updates whose timestamp is later than `since`, in milliseconds since 1970, as `now` is.

        Nobody knows what came after a moment to come: it is from before the clock was put back.
        """
        with self._lock:
            texts = [text for timestamp, text in self._kept if timestamp > since]
            return Missed(texts, self._reaches_back_to <= since <= now)


class History:
    """A ring for every channel, filled from the first client on until the broadcaster is stopped."""

    def __init__(self, broadcaster: Broadcaster, channels: Mapping[str, Channel], clock: Clock) -> None:
        self._broadcaster = broadcaster
        self._channels = channels
        self._clock = clock
        # Guards both dicts.
        self._lock = threading.Lock()
        self._rings: dict[str, Ring] = {}
        self._recorders: dict[str, Connection] = {}

    def record(self) -> None:
        """Sees to it that every channel is recorded; one that gets no thread is tried again the next time.

        One that has ended begins anew, and with it the history.
        """
        with self._lock:
            for name in self._channels:
                recorder = self._recorders.get(name)
                if recorder is None or not self._broadcaster.count(recorder, name):
                    self._record(name)

    def after(self, channel_name: str, since: int) -> Missed:
        """What the channel said after `since`, in milliseconds since 1970.

        Nothing, and not complete, where none is recorded.
        """
        ring = self._rings.get(channel_name)
        return ring.after(since, self._clock.now_ms()) if ring is not None else Missed([], False)

    def _record(self, name: str) -> None:
        now = self._clock.now_ms()
        ring = Ring(now)
        recorder = Connection(RECORDER, now, ring)
        try:
            self._broadcaster.start(recorder, self._channels[name])
        except RuntimeError as error:
            log.warning("no history of %s: %s", name, error)
            return
        self._rings[name] = ring
        self._recorders[name] = recorder
