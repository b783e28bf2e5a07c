"""Lives of connections in both processes: threads side by side, and what their ends do to the counter."""

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from livestream.contract import CHANNELS, INITIAL_CHANNEL, SUBSCRIPTION_CONFIRMED, VALIDATORS_PATH
from livestream.lab.probe import Probe
from livestream.lab.server import own_server
from livestream.lab.settling import settled_threads, transport_threads
from livestream.parity.playing.stats import ENDINGS, read_statistics
from livestream.parity.playing.target import Target
from livestream.wire.client import Kind, WireClient, WireError, http_request
from tests.scaling import run_scale
from tests.support import PATIENCE, SUBSCRIBE, next_text, wait_until
from tests.twin.jvm import running_twin

pytestmark = pytest.mark.timeout(300)

OTHER_CHANNELS = [channel.name for channel in CHANNELS if channel is not INITIAL_CHANNEL]
SLOWEST = max(CHANNELS, key=lambda channel: channel.interval_ms)
#: The kernel cuts names of threads short.
NAMES = tuple(channel.name[:15] for channel in CHANNELS)
#: So many lives at most until a race has ended both ways; each way comes at least every fourth time.
LIVES = 60


# --- threads


class Counted(NamedTuple):
    """A server whose threads are counted from outside."""

    url: str
    pid: int
    #: What a connection costs beside its channels: the port's thread that reads.
    transport: int
    #: Before the first client.
    idle: int

    @property
    def tasks(self):
        return list(Path(f"/proc/{self.pid}/task").iterdir())

    def channel_threads(self, clients):
        """Java's by their names, as a container's pools grow; Python's by what nothing else explains."""
        if not self.transport:
            return sum(name.startswith(NAMES) for name in map(_name, self.tasks))
        return len(self.tasks) - self.idle - self.transport * clients


def _name(task):
    try:
        return (task / "comm").read_text()
    except OSError:
        return "ended meanwhile"


@pytest.fixture(scope="module")
def both(twin):
    """The port, and the twin beside it."""
    with own_server() as port:
        yield counted(port), counted(twin)


def counted(server):
    http_request(server.url, "GET", VALIDATORS_PATH)  # The service behind it starts with its first use.
    transport = transport_threads(server.url, server.pid)
    return Counted(server.url, server.pid, transport, settled_threads(Probe(server.pid)))


def connected(server, clients, stack):
    return [stack.enter_context(WireClient.connect(server.url, timeout=PATIENCE)) for _ in range(clients)]


def subscribe(clients, channel):
    for client in clients:
        client.send_text(SUBSCRIBE % channel)
    for client in clients:
        next_text(client, SUBSCRIPTION_CONFIRMED)


@pytest.mark.parametrize("clients", [1, 10, 100])
def test_threads_of_both_processes_side_by_side(both, clients):
    with ExitStack() as stack:
        sides = [(server, connected(server, clients, stack)) for server in both]

        def each_has(threads, there=clients):
            for server, _ in sides:
                wait_until(lambda: server.channel_threads(there) == threads * clients)

        each_has(1)
        for _, side in sides:
            for channel in OTHER_CHANNELS:
                subscribe(side, channel)
        each_has(len(CHANNELS))
        for _, side in sides:
            subscribe(side, SLOWEST.name)
        each_has(len(CHANNELS) + 1)
        for server, side in sides:
            for client in side:
                client.close()
            # They sleep on: the slowest channel's, which have sent just now, are all there still.
            assert server.channel_threads(0) >= clients
        each_has(0, there=0)


def test_the_lab_takes_it_as_any_server(tmp_path):
    clients = 10
    # A fresh one: workers that other tests have left would end meanwhile.
    with running_twin() as twin:
        run = run_scale(
            tmp_path, "--seconds", "5", "--clients", clients, "--url", twin.url, "--pid", twin.pid,
            beside=twin.pid)
    run.assert_whole(("", clients))
    figures = run.step["figures"]
    # A worker or two may come with the load.
    assert 4 * clients <= figures["channel_threads"] <= 6 * clients
    assert (figures["up"], figures["transport_threads"]) == (clients, 0)
    assert figures["delivered"] > 99
    # SPEC, "Figures": 286 with frame headers; five seconds are no multiple of every interval.
    assert 286 * 0.85 <= figures["bytes_per_client"] <= 286 * 1.15


# --- counters (SPEC, "Life of a connection", 8)


def change(server, ending):
    """How far the counter is from where it was, once a connection has come and ended so."""
    target = Target(server.url)
    before = read_statistics(target)
    with target.connect() as client:
        wait_until(lambda: read_statistics(target)["total_connections"] > before["total_connections"])
        with suppress(WireError):  # It may be quicker than we are.
            ending.end(client)
            client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), PATIENCE)
    seen = []

    def settled():
        seen.append(read_statistics(target)["active_connections"] - before["active_connections"])
        return len(seen) > 4 and len(set(seen[-5:])) == 1 and seen[-1] <= 0

    wait_until(settled)
    return seen[-1]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_what_an_end_does_to_the_counter_of_the_original_it_does_here(twin, ending):
    observed = -1 if ending.is_error else 0
    seen = []
    while observed not in seen and len(seen) < LIVES:
        seen.append(change(twin, ending))
    assert seen[-1] == observed
    races = ending.is_error or ending.name == "protocol error"
    assert set(seen) <= ({-1, 0} if races else {0})


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_on_io_threads_only_a_reset_is_counted_twice(shipped_twin, ending):
    changes = {change(shipped_twin, ending) for _ in range(5)}
    assert changes == {-1 if ending.name == "reset" else 0}


def test_the_registry_keeps_everybody(twin):
    target = Target(twin.url)
    before = read_statistics(target)["total_connections"]
    for _ in range(5):
        with target.connect() as client:
            next_text(client)
            client.close()
    wait_until(lambda: read_statistics(target)["total_connections"] == before + 5)
