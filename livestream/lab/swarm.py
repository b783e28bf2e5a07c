"""The load: many clients of a live stream in one process, one event loop and no thread per client.

Run as `python -m livestream.lab.swarm URL --clients N --seconds S`: prints one
JSON object per line, `{"event": "window"}` when the measured window begins
and ends, and last the result. Times are seconds, lateness is milliseconds.
"""

import argparse
import asyncio
import json
import time
from array import array
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from livestream.contract import CHANNELS, INITIAL_CHANNEL, STREAM_PATH, SUBSCRIBE
from livestream.wire.frames import FrameReader, Opcode, encode_frame
from livestream.wire.handshake import handshake_request

#: How long one client may take to come up, in seconds.
CONNECT_TIMEOUT = 30.0
#: Where the load's own processor time makes its figures doubtful, as a share of one processor.
OWN_LIMIT = 0.85
#: And how late its own event loop may be at p99, in milliseconds: it may have made what it saw.
LAG_LIMIT_MS = 20.0
#: Between two looks at that, in seconds.
LAG_INTERVAL = 0.02

_NAMES = {channel.message_type.encode(): channel.name for channel in CHANNELS}
_INTERVALS = {channel.message_type.encode(): channel.interval_ms / 1_000 for channel in CHANNELS}
_SUBSCRIPTIONS = b"".join(
    encode_frame(Opcode.TEXT, json.dumps({"type": SUBSCRIBE, "channel": channel.name}).encode())
    for channel in CHANNELS
    if channel is not INITIAL_CHANNEL
)
_TYPE_PREFIX = b'{"type":"'


class Tally:
    """What all clients together saw inside the window."""

    def __init__(self) -> None:
        self.open = False
        self.messages = 0
        #: Bytes on the wire, frame headers included: of all messages, and of each type's updates.
        self.bytes = 0
        self.update_bytes = dict.fromkeys(_INTERVALS, 0)
        self.updates = dict.fromkeys(_INTERVALS, 0)
        #: Updates that were due and did not come, seen as gaps of more than one interval.
        self.missed = dict.fromkeys(_INTERVALS, 0)
        #: Of every tick that was due, those that did not come included.
        self.lateness_ms = array("d")


class Client(asyncio.Protocol):
    """One client: connects, subscribes to the other channels, and notes when updates come."""

    def __init__(self, tally: Tally, request: bytes, up: "asyncio.Future[float]") -> None:
        self._tally = tally
        self._request = request
        self._up = up
        self._head = b""
        self._began = time.monotonic()
        self._frames = FrameReader()
        #: When the last update of each type came.
        self.last: dict[bytes, float] = {}
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._up.done():
            self._read(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        if b" 101 " not in head.partition(b"\r\n")[0]:
            self._up.set_exception(ConnectionError(head.partition(b"\r\n")[0].decode("latin-1")))
            return
        self._up.set_result(time.monotonic() - self._began)
        assert self.transport is not None
        self.transport.write(_SUBSCRIPTIONS)
        self._read(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._up.done():
            self._up.set_exception(ConnectionError("closed before the handshake was answered"))

    def _read(self, data: bytes) -> None:
        now = time.monotonic()
        tally = self._tally
        for frame in self._frames.feed(data):
            size = len(frame.payload) + (2 if len(frame.payload) < 126 else 4)
            if tally.open:
                tally.messages += 1
                tally.bytes += size
            message_type = frame.payload[len(_TYPE_PREFIX):frame.payload.find(b'"', len(_TYPE_PREFIX))]
            if message_type in _INTERVALS:
                self._note_update(message_type, now, size)

    def _note_update(self, message_type: bytes, now: float, size: int) -> None:
        last = self.last.get(message_type)
        self.last[message_type] = now
        if last is None or not self._tally.open:
            return
        tally, interval = self._tally, _INTERVALS[message_type]
        tally.updates[message_type] += 1
        tally.update_bytes[message_type] += size
        tally.missed[message_type] += missed_ticks(now - last, interval)
        tally.lateness_ms.extend(late_ticks_ms(now - last, interval))

    def note_missing(self, now: float) -> None:
        """Into the tally: the updates that should have come by now and have not, and how late they are."""
        for message_type, last in self.last.items():
            gap, interval = now - last, _INTERVALS[message_type]
            self._tally.missed[message_type] += missed_ticks(gap, interval)
            if gap > interval:
                self._tally.lateness_ms.extend(late_ticks_ms(gap, interval))


async def run(url: str, clients: int, seconds: float, rate: float) -> dict[str, Any]:
    """Opens `clients` connections, `rate` a second, and measures `seconds` once all are subscribed."""
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or 80
    request = handshake_request(f"{host}:{port}", path=parts.path or STREAM_PATH)
    tally = Tally()
    swarm, connect_times, failures = await _connect(host, port, request, tally, clients, rate)
    # Every channel has sent at least twice when the slowest has: only then gaps are steady.
    await asyncio.sleep(max(_INTERVALS.values()))
    used = time.process_time()
    began = time.monotonic()
    _say({"event": "window"})
    tally.open = True
    lags = await _watch_own_lag(began + seconds)
    tally.open = False
    ended = time.monotonic()
    _say({"event": "window"})
    own = (time.process_time() - used) / (ended - began)
    for client in swarm:
        client.note_missing(ended)
        if client.transport is not None:
            client.transport.abort()
    lag = _quantiles(lags)
    found = doubts(own, lag["p99"])
    updates, missed = sum(tally.updates.values()), sum(tally.missed.values())
    each = (ended - began) * max(1, len(swarm))
    return {
        "clients": clients,
        "up": len(swarm),
        "failures": failures[:3],
        "connect_s": _quantiles(sorted(connect_times)),
        "messages": tally.messages,
        "delivered": updates / max(1, updates + missed),
        "bytes_per_second_and_client": tally.bytes / each,
        "channels": {
            _NAMES[kind]: {
                "updates": tally.updates[kind],
                "missed": tally.missed[kind],
                "bytes_per_second_and_client": tally.update_bytes[kind] / each,
            }
            for kind in _INTERVALS
        },
        "lateness_ms": _quantiles(sorted(tally.lateness_ms)),
        "own_cpu": own,
        "own_lag_ms": lag,
        "doubts": found,
        "valid": not found,
    }


async def _watch_own_lag(until: float) -> list[float]:
    """Waits until then; in ms, sorted, how late this loop woke each time."""
    lags = [0.0]
    while (now := time.monotonic()) < until:
        pause = min(LAG_INTERVAL, until - now)
        await asyncio.sleep(pause)
        lags.append(max(0.0, (time.monotonic() - now - pause) * 1_000))
    return sorted(lags)


def doubts(own_cpu: float, lag_ms: float) -> list[str]:
    """Why these figures may be the load's and not the server's, one sentence each."""
    found = []
    if own_cpu >= OWN_LIMIT:
        found.append(f"The load used {own_cpu:.0%} of a processor.")
    if lag_ms >= LAG_LIMIT_MS:
        found.append(f"The load's own event loop was {lag_ms:.0f} ms late (p99).")
    return found


async def _connect(
    host: str, port: int, request: bytes, tally: Tally, clients: int, rate: float
) -> tuple[list[Client], list[float], list[str]]:
    loop = asyncio.get_running_loop()
    swarm: list[Client] = []
    times: list[float] = []
    failures: list[str] = []

    async def one(number: int) -> None:
        await asyncio.sleep(number / rate)
        up: asyncio.Future[float] = loop.create_future()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, client = await loop.create_connection(lambda: Client(tally, request, up), host, port)
                times.append(await up)
        except (OSError, TimeoutError) as error:
            failures.append(str(error) or "timed out")
            return
        swarm.append(client)

    await asyncio.gather(*(one(number) for number in range(clients)))
    return swarm, times, failures


def missed_ticks(gap: float, interval: float) -> int:
    """How many updates a gap of so many seconds swallowed; a late one is not missed."""
    return max(0, round(gap / interval) - 1)


def late_ticks_ms(gap: float, interval: float) -> Iterator[float]:
    """How late each tick in a gap came, in ms: a stall of five ticks is five late ones, not one.

    Without the swallowed ones a server that stalls would look better than one that is always a little late.
    """
    for tick in range(1, missed_ticks(gap, interval) + 2):
        yield (gap - tick * interval) * 1_000


def _quantiles(ordered: list[float]) -> dict[str, float]:
    if not ordered:
        return {}
    points = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
    last = len(ordered) - 1
    values = {name: ordered[min(last, int(len(ordered) * share))] for name, share in points.items()}
    return values | {"max": ordered[-1]}


def _say(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


def main() -> None:
    """The command line of the load process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=100, help="connections opened per second")
    options = parser.parse_args()
    result = asyncio.run(run(options.url, options.clients, options.seconds, options.rate))
    _say({"event": "result", **result})


if __name__ == "__main__":
    main()
