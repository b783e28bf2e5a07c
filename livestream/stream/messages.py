"""The envelope of every message that the server sends, and the clock that stamps it.

Source: SPEC, "Messages": compact JSON, the keys `type`, `payload`, `timestamp`
in this order, timestamps in integer milliseconds since 1970.
"""

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol

from livestream.stream.jackson import to_json


class Clock(Protocol):
    """Where the port reads time; tests pass one that they move by hand."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, from an unnamed start."""


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()


def envelope(message_type: str, payload: Mapping[str, object], timestamp: int) -> str:
    """One message as JSON text; `timestamp` in milliseconds since 1970 (SPEC, "Messages")."""
    # Put together by hand: every update of every client passes here.
    return f'{{"type":{_type_json(message_type)},"payload":{to_json(payload)},"timestamp":{timestamp}}}'


def type_of(message: str) -> str:
    """The type of a message that `envelope` made."""
    return message[_TYPE_AT:message.index('"', _TYPE_AT)]


_TYPE_AT: Final = len('{"type":"')
#: The types are few and come again with every message.
_type_json: Final = lru_cache(maxsize=64)(to_json)
