"""What the tests of bad input and used-up resources share: raw sockets, limits, and what is left behind."""

import logging
import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import h11

from tests.support import PATIENCE

#: No address space has room for it, so the system refuses every thread that asks.
IMPOSSIBLE_STACK = 2**47
#: How many descriptors stay free until the test takes them.
FEW = 16


def tcp(address: tuple[str, int]) -> socket.socket:
    """A plain connection to a server of ours; every wait has a limit."""
    sock = socket.create_connection(address[:2], timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def reset(sock: socket.socket) -> None:
    """Ends a connection by a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock: socket.socket) -> bytes:
    """What comes until the server's end; a reset or the time limit fails the test."""
    parts = []
    while data := sock.recv(65_536):
        parts.append(data)
    return b"".join(parts)


def answers(data: bytes, *methods: str) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of every answer in `data`, to requests with these methods (GET)."""
    found = []
    for method in methods or ("GET",):
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "-")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(data)
        found.append(_answer(parser))
        data = parser.trailing_data[0]
    assert data == b"", f"more than was asked for: {data!r}"
    return found


def _answer(parser: h11.Connection) -> tuple[int, dict[str, str], bytes]:
    head, body = parser.next_event(), b""
    while isinstance(event := parser.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return head.status_code, headers, body


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def all_descriptors_taken() -> Iterator[list[int]]:
    """Lowers this process's limit and takes what is left; closing one from the list gives it back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + FEW, hard))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in taken:
            os.close(number)


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Until it is left, `Thread.start` fails in the system, as it does when threads are used up."""
    size = threading.stack_size(IMPOSSIBLE_STACK)
    try:
        yield
    finally:
        threading.stack_size(size)


def complaints(caplog) -> list[str]:
    """The log lines from WARNING up; none may carry a traceback."""
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [record for record in records if record.exc_info]
    lines = [record.getMessage() for record in records]
    assert not [line for line in lines if "\n" in line]
    return lines
