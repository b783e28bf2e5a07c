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
        self.bytes = 0
        self.updates = 0
        #: Updates that were due and did not come, seen as gaps of more than one interval.
        self.missed = 0
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
            if tally.open:
                tally.messages += 1
                tally.bytes += len(frame.payload) + (2 if len(frame.payload) < 126 else 4)
            message_type = frame.payload[len(_TYPE_PREFIX):frame.payload.find(b'"', len(_TYPE_PREFIX))]
            if message_type in _INTERVALS:
                self._note_update(message_type, now)

    def _note_update(self, message_type: bytes, now: float) -> None:
        last = self.last.get(message_type)
        self.last[message_type] = now
        if last is None or not self._tally.open:
            return
        interval = _INTERVALS[message_type]
        self._tally.updates += 1
        self._tally.missed += _missed(now - last, interval)
        self._tally.lateness_ms.append((now - last - interval) * 1_000)

    def overdue(self, now: float) -> Iterator[float]:
        """Lateness in ms of the updates that should have come by now and have not."""
        for message_type, last in self.last.items():
            late = (now - last - _INTERVALS[message_type]) * 1_000
            if late > 0:
                yield late

    def missing(self, now: float) -> int:
        """How many updates should have come since the last ones and have not."""
        return sum(_missed(now - last, _INTERVALS[message_type]) for message_type, last in self.last.items())


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
    await asyncio.sleep(seconds)
    tally.open = False
    ended = time.monotonic()
    _say({"event": "window"})
    own = (time.process_time() - used) / (ended - began)
    late = sorted([*tally.lateness_ms, *(late for client in swarm for late in client.overdue(ended))])
    missed = tally.missed + sum(client.missing(ended) for client in swarm)
    for client in swarm:
        if client.transport is not None:
            client.transport.abort()
    return {
        "clients": clients,
        "up": len(swarm),
        "failures": failures[:3],
        "connect_s": _quantiles(sorted(connect_times)),
        "messages": tally.messages,
        "delivered": tally.updates / max(1, tally.updates + missed),
        "bytes_per_second_and_client": tally.bytes / (ended - began) / max(1, len(swarm)),
        "lateness_ms": _quantiles(late),
        "own_cpu": own,
        "valid": own < OWN_LIMIT,
    }


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


def _missed(gap: float, interval: float) -> int:
    """How many updates a gap of so many seconds swallowed; a late one is not missed."""
    return max(0, round(gap / interval) - 1)


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
