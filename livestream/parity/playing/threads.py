"""How many threads a connection starts and ends, and when (SPEC, "Life of a connection", 1 to 3 and 7).

For a server on this machine. They are counted, not named: the names are the server's own affair.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from livestream import contract
from livestream.parity.cases import Case, Record
from livestream.parity.playing.target import NoAnswer, Target
from livestream.parity.playing.waiting import WATCH, settled
from livestream.wire.client import WireClient, handshake_request, parse_url

#: Connections that do the same at once: what the process does besides is small beside them.
THREAD_CLIENTS: Final = 8
#: The same update comes to all of them within so many seconds.
SPREAD: Final = 0.1
#: Before the counting; one that changes nothing is enough.
_MOST_ROUNDS: Final = 5
_LONGEST_INTERVAL: Final = max(channel.interval_ms for channel in contract.CHANNELS) / 1000
_FIRST_INTERVAL: Final = contract.INITIAL_CHANNEL.interval_ms / 1000


class Stage(NamedTuple):
    """One thing that THREAD_CLIENTS connections do at once, after which threads are counted."""

    name: str
    do: Callable[["_Group"], None]
    #: How long at most until all that should start or end has.
    seconds: float = 1.0
    #: How often it is done while threads stay: those of a pool stay once, those of a leak each time.
    rounds: int = 1


class _Group:
    """Connections that do the same at the same time."""

    def __init__(self, target: Target, stack: ExitStack) -> None:
        self._target = target
        self._stack = stack
        self.clients: list[WireClient] = []

    def connect(self) -> None:
        limits = self._target.limits
        for _ in range(THREAD_CLIENTS):
            client = WireClient.open(
                self._target.url, timeout=limits.answer, ssl_context=self._target.ssl_context)
            self._stack.callback(client.release)
            self.clients.append(client)

    def open(self) -> None:
        address = parse_url(self._target.url)
        request = handshake_request(
            address.host_header, path=address.target, add=self._target.headers)
        for client in self.clients:
            client.handshake(request)

    def say(self, message_type: str) -> None:
        """One message about the slowest channel, to which all but the threads that it stops answer late."""
        text = json.dumps({"type": message_type, "channel": contract.VALIDATOR_METRICS.name})
        for client in self.clients:
            client.send_text(text)

    def close(self) -> None:
        """Just after an update, so that no thread of the first channel is about to wake by itself."""
        clock = self.clients[0]
        while clock.receive(0) is not None:
            pass  # What came before doesn't count.
        first = f'{{"type":"{contract.INITIAL_CHANNEL.message_type}"'
        clock.receive_until(lambda event: event.text.startswith(first), _FIRST_INTERVAL)
        time.sleep(SPREAD)
        for client in self.clients:
            client.close(timeout=self._target.limits.answer)

    def reset(self) -> None:
        """A whole life more, which ends by a TCP reset: nothing of it may stay."""
        self.clients.clear()
        self.connect()
        self.open()
        for client in self.clients:
            client.receive(self._target.limits.missing)
            client.abort()


STAGES: Final = (
    Stage("connect", _Group.connect),
    Stage("open", _Group.open),
    Stage("subscribe", lambda group: group.say(contract.SUBSCRIBE)),
    Stage("subscribe again", lambda group: group.say(contract.SUBSCRIBE)),
    Stage("unsubscribe", lambda group: group.say(contract.UNSUBSCRIBE)),
    Stage("close", _Group.close, seconds=0.0),
    Stage("one interval after close", lambda group: None, seconds=_LONGEST_INTERVAL + 1.0),
    Stage("one interval after a reset", _Group.reset, seconds=_FIRST_INTERVAL + 1.0, rounds=3),
)


def count_threads(pid: int) -> int:
    """How many threads a process of this machine has. NoAnswer when there is no such process."""
    try:
        return len(os.listdir(Path("/proc") / str(pid) / "task"))
    except OSError as error:
        raise NoAnswer(f"There is no process {pid} to count threads of.") from error


def play_thread_cases(cases: Iterable[Case], target: Target, pid: int) -> dict[str, dict[str, int]]:
    """All stages in a row, by name {"threads": n}: how many threads a connection gained or lost in it.

    What a plain TCP connection costs is the stage `connect`; `close` is without it, so all others are
    threads of channels. Takes about ten seconds, and nobody else may come or go meanwhile. WireError when
    the server or its process is gone.
    """
    expected = {case.name: case.observed for case in cases}
    changes: dict[str, dict[str, int]] = {}
    _warm_up(target, pid)
    with ExitStack() as stack:
        group = _Group(target, stack)
        for stage in STAGES:
            transport = changes["connect"]["threads"] if stage.name == "close" else 0
            changes[stage.name] = change_in(stage, group, pid, transport, expected.get(stage.name))
    return changes


def change_in(
    stage: Stage, group: _Group, pid: int, transport: int, expected: Record | None,
) -> dict[str, int]:
    """What the stage changes beside `transport` threads of each connection; of its rounds, the last."""
    change = {}
    for _ in range(stage.rounds):
        before = count_threads(pid) - transport * THREAD_CLIENTS
        stage.do(group)
        change = settled(partial(_gained, pid, before), expected, stage.seconds)
        if change["threads"] <= 0:
            break
    return change


def _gained(pid: int, before: int) -> dict[str, int]:
    return {"threads": round((count_threads(pid) - before) / THREAD_CLIENTS)}


def _warm_up(target: Target, pid: int) -> None:
    """Lives and ends until a container's own pools grow no more: they would look like channels' threads."""
    for _ in range(_MOST_ROUNDS):
        before = count_threads(pid)
        _live_and_end(target)
        if count_threads(pid) <= before:
            return


def _live_and_end(target: Target) -> None:
    """Once through a life and its two ends; these are awaited."""
    with ExitStack() as stack:
        group = _Group(target, stack)
        group.connect()
        group.open()
        for client in group.clients:
            client.send_text(json.dumps({"type": contract.PING}))
        for client in group.clients:
            client.receive_until(lambda event: contract.PONG in event.text, target.limits.missing)
            client.close(timeout=target.limits.answer)
        group.reset()
    time.sleep(_FIRST_INTERVAL + WATCH)
