"""How a client behaves: delays and limits, in one frozen dataclass, and the clock it waits by.

Source: SPEC, "The portal client". What the report leaves open is marked "ours".
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final, Protocol


class StreamError(Exception):
    """The client was asked for what can't be, or lost its server; the text is one sentence."""


class Clock(Protocol):
    """Where a client reads time and waits between its attempts; tests pass one that never waits."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Waits until the event is set, `seconds` at most; whether it is."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Waits until the event is set, `seconds` at most; whether it is."""
        return event.wait(seconds)


@dataclass(frozen=True)
class ClientSettings:
    """Delays and limits of a client: times in seconds, `max_message_size` in bytes, `queue_size` in messages.

    StreamError for a value that makes no sense.
    """

    #: How often a lost connection is tried again before REST is polled.
    reconnect_attempts: int = 5
    #: Before the first of these attempts; each later one waits twice as long as the one before.
    reconnect_delay: float = 3.0
    #: Between two polls of the blockchain statistics, from start to start.
    poll_interval: float = 1.0
    #: Between two attempts to get the WebSocket back while REST is polled (ours: the last of the delays).
    retry_interval: float = 48.0
    #: For TCP, TLS and the opening handshake together (ours, and so is all that follows).
    connect_timeout: float = 5.0
    #: For one poll, from connecting to the last byte of the answer.
    poll_timeout: float = 5.0
    #: For one write: a server that takes nothing for so long is given up.
    send_timeout: float = 5.0
    #: A Ping frame goes out when nothing has come for so long (RFC 6455, section 5.5.2) …
    ping_interval: float = 20.0
    #: … and the connection is given up when still nothing comes for so long after it.
    ping_timeout: float = 10.0
    #: How long `ping()` waits for its pong message.
    pong_timeout: float = 5.0
    #: Bytes of one message, or of one answer to a poll; more ends the connection with 1009.
    max_message_size: int = 1024 * 1024
    #: How many messages wait for whoever iterates; beyond it the oldest are dropped.
    queue_size: int = 1_000

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            least, most = _BOUNDS.get(entry.name, (0.001, _LONGEST))
            if not least <= value <= most:  # NaN too
                raise StreamError(f"The client's {entry.name} can't be {value}.")

    def delays(self) -> Iterator[float]:
        """Seconds before each attempt to reconnect: 3, 6, 12, 24, 48."""
        for number in range(self.reconnect_attempts):
            yield min(self.reconnect_delay * 2 ** min(number, _DOUBLINGS), _LONGEST)


#: No wait is longer, in seconds: poll(2) takes no more than 2**31 ms.
_LONGEST: Final = 1_000_000.0
#: After so many the longest wait is reached, and a float still holds the product.
_DOUBLINGS: Final = 40
#: What is no time above zero, from and to.
_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "reconnect_attempts": (0, 1_000_000),
    "reconnect_delay": (0, _LONGEST),
    "queue_size": (1, 2**31),
    "max_message_size": (1, 2**31),
}
