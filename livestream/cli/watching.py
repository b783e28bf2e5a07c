"""What `livestream watch` shows: a line per channel with its values, pace and lateness."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from livestream import contract
from livestream.client import Message
from livestream.parity.reports.sent import visible

#: The channels by name.
CHANNELS: Final = {channel.name: channel for channel in contract.CHANNELS}
#: Over how many updates a rate is taken.
RATE_UPDATES: Final = 10
#: How many values the sparkline has: with its range they fill a line of 80.
SPARKS: Final = 50
#: What is drawn; a server may send anything that is a number.
DRAWN: Final = 1e15
_SPARK: Final = "▁▂▃▄▅▆▇█"
_STYLES: Final = {"open": "green", "polling": "yellow", "closed": "dim"}


def sparkline(values: "deque[float] | list[float]") -> str:
    """The values as bars, the lowest flat and the highest full."""
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(_SPARK) - 1) / (high - low) if high > low else 0.0
    return "".join(_SPARK[round((value - low) * scale)] for value in values)


def shown_payload(payload: Mapping[str, Any]) -> str:
    """Names and values on one printable line, numbers with thousands separators."""
    return "  ".join(f"{_seen(name)} {_shown_value(value)}" for name, value in payload.items())


def _shown_value(value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,}"
    return _seen(str(value))


def _seen(text: str) -> str:
    """On one line, and nothing that a terminal would act on."""
    return visible(" ".join(text.split()))


def line_of(message: Message) -> str:
    """One message as one line of plain text."""
    marked = " (polled)" if message.polled else ""
    return f"{_seen(message.type)}{marked}: {shown_payload(message.payload)}".rstrip()


def shown_state(url: str, state: str, problem: str) -> str:
    """What becomes of the connection, as one line."""
    return f"{visible(url)} {state}" + (f": {visible(problem)}" if problem and state != "open" else "")


class _Row:
    """What is known of one channel; times in seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._came: deque[float] = deque(maxlen=RATE_UPDATES + 1)
        self.last: Message | None = None

    def add(self, message: Message, now: float) -> None:
        """One more update came."""
        self._came.append(now)
        self.last = message

    def restart(self) -> None:
        """The connection is another one: a pause between two is nobody's lateness."""
        self._came.clear()

    @property
    def rate(self) -> str:
        """Updates per second over the last ones."""
        span = self._came[-1] - self._came[0] if self._came else 0.0
        return f"{(len(self._came) - 1) / span:.2f}/s" if span > 0 else "–"

    @property
    def lateness(self) -> str:
        """How much more than its interval the last update took, in milliseconds."""
        if len(self._came) < 2 or self.last is None or self.last.polled:
            return "–"
        return f"{(self._came[-1] - self._came[-2] - self._interval) * 1000:+.1f} ms"

    def age(self, now: float) -> str:
        """How long ago the last update came."""
        return f"{now - self._came[-1]:.0f} s" if self._came else "–"


class Picture:
    """The terminal view: told by the client's thread, drawn by another."""

    def __init__(
        self, url: str, channels: tuple[str, ...], time_scale: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`time_scale` multiplies the channels' intervals, which lateness is against."""
        self._url = url
        self._clock = clock
        # Guards all that follows.
        self._lock = threading.Lock()
        self._state = "closed"
        self._rows = {name: _Row(CHANNELS[name].interval_ms / 1000 * time_scale) for name in channels}
        self._by_type = {CHANNELS[name].message_type: row for name, row in self._rows.items()}
        self._tps: deque[float] = deque(maxlen=SPARKS)
        self._error = ""

    def on_state(self, state: str) -> None:
        """The client's state is another one."""
        with self._lock:
            self._state = state
            for row in self._rows.values() if state != "closed" else ():
                row.restart()

    def on_message(self, message: Message) -> None:
        """A message came."""
        with self._lock:
            row = self._by_type.get(message.type)
            if row is not None:
                row.add(message, self._clock())
            if row is not None and message.type == contract.TPS_UPDATES.message_type:
                tps = message.payload.get("currentTPS")
                if isinstance(tps, (int, float)) and abs(tps) < DRAWN:
                    self._tps.append(tps)
            if message.type == contract.ERROR:
                self._error = shown_payload(message.payload)

    def drawn(self, problem: str) -> RenderableType:
        """The picture as it is now."""
        with self._lock:
            parts: list[RenderableType] = [self._heading(problem), self._table()]
            if self._tps:
                parts.append(self._sparks())
            if self._error:
                parts.append(Text(self._error, style="red"))
            return Group(*parts)

    def _heading(self, problem: str) -> Text:
        shown = "" if self._state == "open" else problem
        return Text.assemble(
            (visible(self._url), "bold"), "  ", (str(self._state), _STYLES.get(self._state, "red")),
            f"  {visible(shown)}" if shown else "")

    def _table(self) -> Table:
        # A line for each, however narrow the terminal is: only the values give way.
        narrow = [Column(head, no_wrap=True) for head in ("channel", "rate", "late", "ago")]
        table = Table(*narrow, "values", box=None, pad_edge=False)
        now = self._clock()
        for name, row in self._rows.items():
            values = Text("nothing yet", style="dim") if row.last is None else _values(row.last)
            table.add_row(name, row.rate, row.lateness, row.age(now), values)
        return table

    def _sparks(self) -> Text:
        low, high = min(self._tps), max(self._tps)
        return Text(f"TPS {sparkline(self._tps)}  {low:,} to {high:,}", no_wrap=True, overflow="crop")


def _values(message: Message) -> Text:
    values = Text(no_wrap=True, overflow="ellipsis")
    values.append("polled  " if message.polled else "", style="yellow")
    return values.append(shown_payload(message.payload))
