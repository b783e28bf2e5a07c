"""Thread counts that hold still: what an idle connection costs, and when the threads of a load are gone."""

import os
import ssl
import time
from contextlib import ExitStack
from typing import Final

from livestream.lab.probe import Probe
from livestream.wire.client import WireClient

#: Idle connections that `transport_threads` counts the threads of.
IDLE_CONNECTIONS: Final = 8
#: Held open before those: an event-loop server starts up to two loops per processor as connections come.
WARM_UP_CONNECTIONS: Final = 8 + 2 * (os.cpu_count() or 1)
#: A thread count that has stayed the same for so many seconds has settled.
QUIET: Final = 0.4
#: How long at most until it has, in seconds.
PATIENCE: Final = 5.0
_POLL: Final = 0.02


def transport_threads(url: str, pid: int, ssl_context: ssl.SSLContext | None = None) -> int:
    """How many threads a connection costs the server before its handshake: 0 for an event loop, 1 for ours.

    Counts what IDLE_CONNECTIONS add to a server whose own pools other idle connections have filled. Takes two
    to three seconds, during which nobody else may come or go; all its connections are closed when it returns,
    and the server has had time to end their threads. ProbeError, or WireError when it can't connect.
    """
    probe = Probe(pid)
    with ExitStack() as stack:
        stack.callback(settled_threads, probe)

        def connect(connections: int) -> int:
            for _ in range(connections):
                stack.callback(WireClient.open(url, ssl_context=ssl_context).release)
            return settled_threads(probe)

        before = connect(WARM_UP_CONNECTIONS)
        return max(0, round((connect(IDLE_CONNECTIONS) - before) / IDLE_CONNECTIONS))


def wait_for_threads(probe: Probe, most: int, patience: float) -> bool:
    """Waits until there are at most so many threads, `patience` seconds at the longest; False if not then."""
    deadline = time.monotonic() + patience
    while probe.threads() > most:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def settled_threads(probe: Probe) -> int:
    """How many threads there are once they have stayed as many for QUIET seconds, PATIENCE at the most."""
    threads = probe.threads()
    began = since = time.monotonic()
    while time.monotonic() - since < QUIET and time.monotonic() - began < PATIENCE:
        time.sleep(_POLL)
        now = probe.threads()
        if now != threads:
            threads, since = now, time.monotonic()
    return threads
