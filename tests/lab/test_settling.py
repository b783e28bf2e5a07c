"""Thread counts that hold still, of servers of every kind."""

import os
import ssl
import time

import pytest
import trustme

from livestream.lab import settling
from livestream.lab.probe import Probe, ProbeError
from livestream.lab.settling import settled_threads, transport_threads, wait_for_threads
from livestream.wire.client import WireError
from tests.lab import child
from tests.support import PATIENCE, Command

#: An event-loop server that prints its port.
EVENT_LOOP = """
import asyncio
from websockets.asyncio.server import serve

async def main():
    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

asyncio.run(main())
"""
#: A server without a thread per connection, too, but its pool of 8 threads starts one with each of the first.
LAZY_POOL = """
import concurrent.futures, socket, threading
pool = concurrent.futures.ThreadPoolExecutor(8)
gate = threading.Event()
server = socket.create_server(("127.0.0.1", 0), backlog=100)
print(server.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(server.accept())
    pool.submit(gate.wait)
"""
#: A thread for each connection, which goes on for a while after the connection has ended.
SLOW_TO_END = """
import socket, threading
def handle(connection):
    connection.recv(1)
    threading.Event().wait(0.25)
server = socket.create_server(("127.0.0.1", 0), backlog=100)
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    threading.Thread(target=handle, args=(connection,), daemon=True).start()
"""


#: Two threads for each connection that speaks TLS.
TLS = """
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
def handle(connection):
    with context.wrap_socket(connection, server_side=True) as secure:
        threading.Thread(target=gate.wait, daemon=True).start()
        secure.recv(1)
gate = threading.Event()
threading.excepthook = lambda refused: None
server = socket.create_server(("127.0.0.1", 0), backlog=100)
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    threading.Thread(target=handle, args=(connection,), daemon=True).start()
"""


class Counted:
    """Has these counts of threads in turn, and then the last one for good."""

    def __init__(self, *counts):
        self._counts = list(counts)

    def threads(self):
        return self._counts.pop(0) if len(self._counts) > 1 else self._counts[0]


@pytest.fixture
def worker():
    with child() as running:
        assert running.do("threads", 0) == 1
        yield running


def test_an_idle_connection_costs_our_server_one_thread_and_nothing_is_left_of_it():
    command = Command()
    try:
        probe = Probe(command.process.pid)
        before, own = probe.sample(), len(os.listdir("/proc/self/fd"))
        assert transport_threads(command.url, command.process.pid) == 1
        assert len(os.listdir("/proc/self/fd")) == own
        after = probe.sample()
        assert (after.threads, after.descriptors) == (before.threads, before.descriptors)
        command.stop()
    finally:
        command.kill()


@pytest.mark.parametrize("server", [EVENT_LOOP, LAZY_POOL], ids=["event loop", "lazy pool"])
def test_an_idle_connection_costs_an_event_loop_no_thread(server):
    """Nor does one whose pool has as many threads as connections are counted, and grows with the first."""
    with child(server) as running:
        assert transport_threads(f"ws://127.0.0.1:{running.read()}/", running.pid) == 0


def test_the_threads_of_its_connections_have_ended_when_it_returns():
    with child(SLOW_TO_END) as running:
        assert transport_threads(f"ws://127.0.0.1:{running.read()}/", running.pid) == 1
        assert Probe(running.pid).threads() == 1


def test_it_connects_with_tls(tmp_path):
    """A server that wraps each connection: what it costs shows only if the client speaks TLS."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with child(TLS, str(tmp_path / "cert.pem")) as running:
        url = f"wss://127.0.0.1:{running.read()}/"
        assert transport_threads(url, running.pid, context) == 2
        with pytest.raises(WireError, match="certificate verify failed"):
            transport_threads(url, running.pid)


def test_a_count_has_settled_once_it_holds_still():
    """Threads that come one after the other for longer than that are waited for, to the last."""
    assert settled_threads(Counted(*range(30), 40)) == 40


def test_a_count_that_never_holds_still_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(settling, "PATIENCE", 0.3)
    restless = Counted(*range(1_000_000))
    began = time.monotonic()
    assert 1 < settled_threads(restless) < 300
    assert 0.3 <= time.monotonic() - began < PATIENCE


def test_threads_are_waited_for_until_so_few_are_left():
    assert wait_for_threads(Counted(9, 7, 5, 3), 4, PATIENCE)
    assert wait_for_threads(Counted(4), 4, 0.0)
    assert not wait_for_threads(Counted(5), 4, 0.05)


def test_the_threads_of_a_real_process_are_waited_for(worker):
    probe = Probe(worker.pid)
    worker.do("threads", 20)
    assert not wait_for_threads(probe, 1, 0.05)
    worker.do("end_threads")
    assert wait_for_threads(probe, 1, PATIENCE)
    assert len(os.listdir(f"/proc/{worker.pid}/task")) == 1


def test_a_process_that_ends_while_it_is_waited_for_is_an_error(worker):
    probe = Probe(worker.pid)
    worker.do("threads", 20)
    worker.end()
    for wait in (lambda: wait_for_threads(probe, 1, PATIENCE), lambda: settled_threads(probe)):
        with pytest.raises(ProbeError, match="has ended"):
            wait()


def test_a_server_that_is_not_there_is_an_error(worker):
    with pytest.raises(WireError):
        transport_threads("ws://127.0.0.1:1/", worker.pid)


def test_a_server_whose_process_ended_is_an_error(worker):
    worker.end()
    with pytest.raises(ProbeError):
        transport_threads("ws://127.0.0.1:1/", worker.pid)
    assert worker.process.wait(PATIENCE) != 0
