"""Where a server is and how to get a socket to it, within a time limit and until somebody calls it off.

Source: RFC 6455, sections 3 (URLs) and 4.1 (connecting).
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import h11

from livestream import contract
from livestream.client.settings import StreamError

#: Name and value.
Header = tuple[str, str]

#: Whether a scheme means TLS, and the port that it means.
_SCHEMES: Final = {"ws": (False, 80), "http": (False, 80), "wss": (True, 443), "https": (True, 443)}


#: How much of an error is told, in characters: part of it may be the server's own words.
_MOST_WORDS: Final = 200


class Lost(StreamError):
    """There is no connection, or none any more; the text is one sentence that names the URL."""


class CalledOff(Lost):
    """The client was closed meanwhile."""


class Address(NamedTuple):
    """A URL taken apart: where to connect, what to ask for, and where REST lives."""

    url: str
    secure: bool
    host: str
    port: int
    target: str
    statistics: str

    @property
    def host_header(self) -> str:
        """The Host header's value (section 4.1, point 4): with the port unless it is the scheme's own."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if (self.secure, self.port) in _SCHEMES.values() else f"{name}:{self.port}"


def parse_url(url: str) -> Address:
    """Takes a ws, wss, http or https URL apart; without a path it means contract.STREAM_PATH. StreamError."""
    try:
        parts = urlsplit(url)
        port = parts.port
        parts.path.encode("ascii")
        parts.query.encode("ascii")
    except ValueError as error:
        raise StreamError(f"{url!r} is not a URL: {error}.") from None
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise StreamError(f"{url!r} is not a URL that begins with ws://, wss://, http:// or https://.")
    if parts.fragment or parts.username is not None:
        raise StreamError("The URL of a WebSocket has no fragment and no user: a login goes into a header.")
    secure, usual_port = _SCHEMES[parts.scheme]
    path = contract.STREAM_PATH if parts.path in ("", "/") else parts.path
    # A proxy may have moved both by the same prefix.
    prefix = path.removesuffix(contract.STREAM_PATH) if path.endswith(contract.STREAM_PATH) else ""
    target = f"{path}?{parts.query}" if parts.query else path
    port = usual_port if port is None else port
    return Address(url, secure, parts.hostname, port, target, prefix + contract.BLOCKCHAIN_STATS_PATH)


def check_headers(headers: Iterable[Header]) -> tuple[Header, ...]:
    """Headers that HTTP allows (RFC 9110, section 5). StreamError, which keeps the value to itself."""
    checked = []
    for number, header in enumerate(headers, 1):
        try:
            name, value = header
            h11.Request(method="GET", target="/", headers=[(b"Host", b"-"), encoded((name, value))])
        except (h11.LocalProtocolError, ValueError, TypeError, AttributeError):
            raise StreamError(f"Header {number} is not a name and a value that HTTP allows.") from None
        checked.append((name, value))
    return tuple(checked)


def encoded(header: Header) -> tuple[bytes, bytes]:
    """A header as bytes; ValueError when it has characters beyond Latin-1."""
    name, value = header
    return name.encode("ascii"), value.encode("latin-1")


class Deadline:
    """One time limit across several steps, in seconds."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - time.monotonic())

    @property
    def timeout(self) -> float:
        """Seconds left as a socket's timeout, where 0 would mean something else."""
        return max(0.001, self.left)


class Stop:
    """Says that a client is to end, and ends what its threads wait for: sleeps and sockets."""

    def __init__(self) -> None:
        #: For sleeps.
        self.event = threading.Event()
        # Guards the set: a socket that is in it is open.
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()

    def is_set(self) -> bool:
        """Whether the client is to end."""
        return self.event.is_set()

    def set(self) -> None:
        """From now on nothing is waited for."""
        self.event.set()
        with self._lock:
            for sock in self._sockets:
                shut_down(sock)

    def watch(self, sock: socket.socket) -> None:
        """Ends this socket too when the time comes. CalledOff when it has come."""
        with self._lock:
            self._sockets.add(sock)
        self.check()

    def forget(self, sock: socket.socket) -> None:
        """Whoever closes a socket forgets it first."""
        with self._lock:
            self._sockets.discard(sock)

    def check(self) -> None:
        """CalledOff when the client is to end."""
        if self.is_set():
            raise CalledOff("The client was closed.")


def shut_down(sock: socket.socket) -> None:
    """Ends a connection under the hands of whoever waits on it: the wait ends, the descriptor stays."""
    with suppress(OSError):
        # An SSLSocket's own method would throw its TLS state away while another thread uses it.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


@dataclass(frozen=True)
class Door:
    """Everything it takes to reach a server."""

    address: Address
    headers: tuple[Header, ...] = ()
    #: For TLS; None where the URL doesn't ask for it.
    ssl_context: ssl.SSLContext | None = None

    @classmethod
    def to(cls, url: str, headers: Iterable[Header], ssl_context: ssl.SSLContext | None) -> "Door":
        """Checks all of it. Without a context those are trusted whom the system trusts. StreamError."""
        address = parse_url(url)
        # Made once: to read the system's certificates takes longer than all the rest of a handshake.
        context = (ssl_context or ssl.create_default_context()) if address.secure else None
        return cls(address, check_headers(headers), context)

    def open(self, deadline: Deadline, stop: Stop) -> socket.socket:
        """A connected socket, with TLS where the URL asks for it; `stop` watches it.

        Tries every address that the name has. Lost when none answers in time, CalledOff when `stop` is set.
        """
        error = Lost(f"{self.address.host!r} has no address.")
        for family, address in self._resolve():
            stop.check()
            try:
                return self._connect(family, address, deadline, stop)
            except CalledOff:
                raise
            except Lost as failure:
                error = failure
        raise error

    def _resolve(self) -> list[tuple[int, tuple[object, ...]]]:
        host, port = self.address.host, self.address.port
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Lost(f"Could not find {host!r}: {words(error)}.") from error
        return [(family, address) for family, _, _, _, address in found]

    def _new_socket(self, family: int) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        if self.ssl_context is None:
            return sock
        # Before it connects: a reset in between would make CPython lose the descriptor.
        return self.ssl_context.wrap_socket(
            sock, server_hostname=self.address.host, do_handshake_on_connect=False)

    def _connect(
        self, family: int, address: tuple[object, ...], deadline: Deadline, stop: Stop,
    ) -> socket.socket:
        sock = None
        doing = "connect to"
        try:
            sock = self._new_socket(family)
            stop.watch(sock)
            sock.settimeout(deadline.timeout)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if isinstance(sock, ssl.SSLSocket):
                doing = "set up TLS with"
                sock.settimeout(deadline.timeout)
                sock.do_handshake()
            stop.check()
        except BaseException as error:
            if sock is not None:
                stop.forget(sock)
                sock.close()
            if isinstance(error, (OSError, ValueError)):
                stop.check()
                raise Lost(f"Could not {doing} {self.address.url}: {words(error)}.") from error
            raise
        return sock


def words(error: BaseException) -> str:
    """What went wrong, also for errors that say nothing: one printable line without a full stop."""
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:_MOST_WORDS].rstrip(". ")
