"""The load: many clients of a live stream in one process, one event loop and no thread per client.

Run as `python -m livestream.lab.swarm URL --clients N --seconds S`: prints one
JSON object per line, events as they happen and the result last. Times are in
seconds, but for lateness and connecting, which are in milliseconds. With `-`
for the URL a whole `Load` comes as a line of JSON on standard input, and before
and after the window nothing happens until another line comes.

Events: `connecting` and `up` (with `up`, the clients so far), `settled`, `window` and
`slice` (with `messages`, those of the window so far), `measured`, `closing`, `closed`
(with `open`, those that the server did not close), `result` (see `Swarm.run`).
"""

import argparse
import asyncio
import json
import os
import resource
import ssl
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import count
from typing import Any, Final

from livestream.contract import CHANNELS, INITIAL_CHANNEL, SUBSCRIBE
from livestream.lab.client import Client
from livestream.lab.load import PAUSES, Load, load_from_json
from livestream.lab.tally import NAMES, Tally, Watch, late_ticks_ms, quantiles
from livestream.wire.frames import Opcode, encode_frame
from livestream.wire.handshake import handshake_request, parse_url

BEFORE, AFTER = PAUSES
#: How long one client may take to come up, in seconds, and all of them to close.
CONNECT_TIMEOUT: Final = 30.0
CLOSE_TIMEOUT: Final = 30.0
#: After the server was looked at and before the window opens, in seconds.
RECOVERY: Final = 0.5
#: The window has so many parts, for whoever wants to see whether it was steady.
SLICES: Final = 5
#: How often is told how far connecting is, in seconds.
TELL_INTERVAL: Final = 0.5
#: Where the load's own processor time makes its figures doubtful, as a share of one processor.
OWN_LIMIT: Final = 0.85
#: And how late its own event loop may be at p99, in milliseconds, and as a share of what it saw.
LAG_LIMIT_MS: Final = 20.0
LAG_SHARE: Final = 0.25
#: Where so many of the updates come too early, the load waits for another rhythm than the server's.
EARLY_LIMIT: Final = 0.05
#: Between two looks at that, in seconds.
LAG_INTERVAL: Final = 0.02

_SUBSCRIPTIONS: Final = b"".join(
    encode_frame(Opcode.TEXT, json.dumps({"type": SUBSCRIBE, "channel": channel.name}).encode())
    for channel in CHANNELS
    if channel is not INITIAL_CHANNEL
)


class Swarm:
    """All clients of one load, through its phases."""

    def __init__(self, load: Load, waits: bool) -> None:
        self._load = load
        self._waits = waits
        # Made before the clients come: they may use up all descriptors.
        self._reader = ThreadPoolExecutor(1)
        self._address = parse_url(load.url)
        self._request = handshake_request(
            self._address.host_header, path=self._address.target, add=load.headers)
        self._context = ssl.create_default_context(cafile=load.authority) if self._address.secure else None
        self._tally = Tally(load.time_scale)
        self._clients: list[Client] = []
        self._connect_ms: list[float] = []
        self._failures: list[str] = []
        self._passing_failures: list[str] = []
        self._not_closed = 0
        self._came_and_went = 0

    async def run(self) -> dict[str, Any]:
        """Connects, warms up, measures, leaves; returns what is printed as the result:

        - `clients` that were asked for, `up`; `failed` to come up, with `failures`, three reasons at most;
          `lost` before the window closed; `not_closed` by the server after their goodbye.
        - `seconds` of the window, and what came in it: `messages`, `updates`, `missed` updates, `delivered`
          (a share, 0 to 1), `bytes_per_second_and_client`; `channels`: by name `updates`, `missed` and
          `bytes_per_second_and_client`.
        - `connect_ms`, `lateness_ms`, `own_lag_ms`: by the names of QUANTILES, {} of nothing.
        - `closed_connections` that came and went in the window, `passing_failed` that could not be made.
        - `own_cpu`, the load's own, as a share of one processor; `doubts`, one sentence each.
        """
        await self._open_all()
        _say("up", up=len(self._clients))
        churn = asyncio.create_task(self._churn())
        await asyncio.sleep(self._load.warm_up)
        await self._pause(BEFORE)
        used, began, churned = time.process_time(), time.monotonic(), self._came_and_went
        lags = await self._measure()
        seconds, used = time.monotonic() - began, time.process_time() - used
        churned = self._came_and_went - churned
        lost = sum(client.over.done() for client in self._clients)
        churn.cancel()
        await self._pause(AFTER)
        await self._leave()
        return self._result(seconds, used / seconds, lags) | {"closed_connections": churned, "lost": lost}

    async def _open_all(self) -> None:
        telling = asyncio.create_task(self._tell_how_many())
        opening = (self._open_later(number / self._load.rate) for number in range(self._load.clients))
        await asyncio.gather(*opening)
        telling.cancel()

    async def _tell_how_many(self) -> None:
        while True:
            await asyncio.sleep(TELL_INTERVAL)
            _say("connecting", up=len(self._clients))

    async def _open_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        client = await self._open(Watch(self._tally), _SUBSCRIPTIONS, self._failures)
        if client is not None:
            self._connect_ms.append(client.up.result())
            self._clients.append(client)

    async def _open(self, watch: Watch, subscriptions: bytes, failures: list[str]) -> Client | None:
        """One client that is up; None, and the reason among the failures, when it isn't in time."""
        client = Client(watch, self._request, subscriptions)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_connection(
                    lambda: client, self._address.host, self._address.port, ssl=self._context)
                await client.up
        except (OSError, TimeoutError) as error:
            failures.append(_reason(error))
            client.drop()
            return None
        return client

    async def _measure(self) -> list[float]:
        """The window, with a word at each slice's end; in ms, how late this loop woke each time."""
        tally, began = self._tally, time.monotonic()
        for client in self._clients:
            client.watch.note_begin(began)
        tally.open = True
        _say("window", messages=0)
        lags, woke = [0.0], began
        for part in range(1, SLICES + 1):
            until = began + self._load.seconds * part / SLICES
            while woke < until:
                due = min(woke + LAG_INTERVAL, until)
                await asyncio.sleep(due - time.monotonic())
                woke = time.monotonic()
                # A long stall is many late looks, not one.
                lags.extend(late_ticks_ms(LAG_INTERVAL + woke - due, LAG_INTERVAL))
            _say("slice", messages=tally.messages)
        tally.open = False
        for client in self._clients:
            client.watch.note_end(time.monotonic())
        return lags

    async def _pause(self, event: str) -> None:
        """Until whoever measures has looked at the server: looking at many threads disturbs it."""
        _say(event)
        if self._waits:
            await asyncio.get_running_loop().run_in_executor(self._reader, sys.stdin.readline)
            await asyncio.sleep(RECOVERY)

    async def _churn(self) -> None:
        """Connections that come, get the welcome and go, at an even rate."""
        passing: set[asyncio.Task[None]] = set()
        began = time.monotonic()
        for number in count(1) if self._load.churn else ():
            await asyncio.sleep(began + number / self._load.churn - time.monotonic())
            task = asyncio.create_task(self._come_and_go())
            passing.add(task)
            task.add_done_callback(passing.discard)

    async def _come_and_go(self) -> None:
        client = await self._open(Watch(Tally()), b"", self._passing_failures)
        if client is None:
            return
        await asyncio.wait(
            [client.greeted, client.over], timeout=CONNECT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if client.greeted.done():
            client.say_goodbye()
            await _all_over([client])
            self._came_and_went += 1
        else:
            self._passing_failures.append("no welcome came")
        client.drop()

    async def _leave(self) -> None:
        if self._load.says_goodbye:
            _say("closing")
            for client in self._clients:
                client.say_goodbye()
            await _all_over(self._clients)
            self._not_closed = sum(not client.over.done() for client in self._clients)
            _say("closed", open=self._not_closed)
        for client in self._clients:
            client.drop()

    def _result(self, seconds: float, own_cpu: float, lags: list[float]) -> dict[str, Any]:
        tally, up = self._tally, len(self._clients)
        updates, missed = sum(tally.updates.values()), sum(tally.missed.values())
        # Who didn't come up got nothing of what was due.
        missed += round((self._load.clients - up) * sum(seconds / each for each in tally.intervals.values()))
        late, lag = quantiles(tally.lateness_ms), quantiles(lags)
        each = seconds * max(1, up)
        return {
            "clients": self._load.clients,
            "up": up,
            "failures": self._failures[:3],
            "failed": len(self._failures),
            "passing_failed": len(self._passing_failures),
            "not_closed": self._not_closed,
            "connect_ms": quantiles(self._connect_ms),
            "seconds": seconds,
            "messages": tally.messages,
            "updates": updates,
            "missed": missed,
            "delivered": updates / max(1, updates + missed),
            "bytes_per_second_and_client": tally.bytes / each,
            "channels": {
                NAMES[kind]: {
                    "updates": tally.updates[kind],
                    "missed": tally.missed[kind],
                    "bytes_per_second_and_client": tally.update_bytes[kind] / each,
                }
                for kind in NAMES
            },
            "lateness_ms": late,
            "own_cpu": own_cpu,
            "own_lag_ms": lag,
            "doubts": doubts(own_cpu, lag["p99"], late.get("p99", 0.0), tally.early / max(1, updates)),
        }


def _reason(error: OSError) -> str:
    """Why a client didn't come up, without addresses."""
    if error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return str(error) or f"no answer within {CONNECT_TIMEOUT:.0f} s"


async def _all_over(clients: Iterable[Client]) -> None:
    over = [client.over for client in clients]
    if over:
        await asyncio.wait(over, timeout=CLOSE_TIMEOUT)


def doubts(own_cpu: float, lag_ms: float, late_ms: float, early: float) -> list[str]:
    """Why these figures may be the load's and not the server's, one sentence each.

    `own_cpu` of one processor; the load's own lateness and the one that it saw, both at p99; of all updates
    the share that came long before they were due. A server that uses up the machine makes its load late
    too: that doesn't count as long as it is much later itself.
    """
    found = []
    if early >= EARLY_LIMIT:
        found.append(f"{early:.0%} of the updates came long before they were due: is the time scale right?")
    if own_cpu >= OWN_LIMIT:
        found.append(f"The load used {own_cpu:.0%} of a processor.")
    if lag_ms >= LAG_LIMIT_MS and lag_ms >= late_ms * LAG_SHARE:
        found.append(f"The load's own event loop was {lag_ms:.0f} ms late (p99).")
    return found


def _say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


def _asked() -> tuple[Load, bool]:
    """The load, and whether it waits for lines before and after the window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="the server's URL, or -")
    for entry in fields(Load):
        if isinstance(entry.default, (int, float)) and not isinstance(entry.default, bool):
            name = "--" + entry.name.replace("_", "-")
            parser.add_argument(name, type=type(entry.default), default=entry.default)
    options = parser.parse_args()
    if options.url == "-":
        return load_from_json(sys.stdin.readline()), True
    return Load(**vars(options)), False


def main() -> None:
    """The command line of the load process."""
    load, waits = _asked()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _say("result", **asyncio.run(Swarm(load, waits).run()))


if __name__ == "__main__":
    main()
