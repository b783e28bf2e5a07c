"""What comes before the frames: URLs, the opening handshake as raw bytes, and plain HTTP requests.

RFC 6455, section 4. The request is put together by hand, so that each part of it can be dropped,
added or replaced; the answer is read by h11.
"""

import base64
import hashlib
import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import h11

from livestream import contract

#: Name and value.
Header = tuple[str, str]

#: The key of the corpus's handshake cases: the example of RFC 6455, section 1.3.
SAMPLE_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: Whether a scheme means TLS.
_SCHEMES: Final = {"ws": False, "http": False, "wss": True, "https": True}
_DEFAULT_PORTS: Final = {False: 80, True: 443}


class WireError(OSError):
    """Talking to a server failed; the text is one sentence that names the URL."""


class Address(NamedTuple):
    """A URL taken apart: where to connect, and which target to ask for."""

    url: str
    secure: bool
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """The Host header's value: the port stands in it unless it is the scheme's own."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _DEFAULT_PORTS[self.secure] else f"{name}:{self.port}"


class Deadline:
    """One time limit across several steps, in seconds on the clock given."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - self._clock())

    @property
    def timeout(self) -> float:
        """Seconds left as a socket's timeout, where 0 would mean something else."""
        return max(0.001, self.left)


class HttpAnswer(NamedTuple):
    """An answer to an HTTP request; header names are in lower case."""

    status: int
    headers: tuple[Header, ...]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of a header, None when it isn't there. `name` in lower case."""
        return next((value for key, value in self.headers if key == name), None)


def parse_url(url: str) -> Address:
    """A ws, wss, http or https URL taken apart; without a path it means contract.STREAM_PATH.

    WireError when it is no such URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise WireError(f"{url!r} is not a URL: {error}.") from None
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise WireError(f"{url!r} is not a URL that begins with ws://, wss://, http:// or https://.")
    secure = _SCHEMES[parts.scheme]
    path = contract.STREAM_PATH if parts.path in ("", "/") else parts.path
    target = f"{path}?{parts.query}" if parts.query else path
    return Address(url, secure, parts.hostname, port or _DEFAULT_PORTS[secure], target)


def open_socket(address: Address, deadline: Deadline, ssl_context: ssl.SSLContext | None) -> socket.socket:
    """A connected TCP socket, with TLS where the URL asks for it. WireError when that fails."""
    try:
        plain = socket.create_connection((address.host, address.port), timeout=deadline.timeout)
    except UnicodeError as error:
        raise WireError(f"{address.host!r} is no name of a host.") from error
    except OSError as error:
        raise WireError(f"Could not connect to {address.url}: {error.strerror or error}.") from error
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not address.secure:
        return plain
    try:
        return (ssl_context or ssl.create_default_context()).wrap_socket(plain, server_hostname=address.host)
    except OSError as error:
        plain.close()
        raise WireError(f"Could not set up TLS with {address.url}: {error}.") from error


def handshake_request(
    host: str,
    *,
    method: str = "GET",
    path: str = contract.STREAM_PATH,
    version: str = "1.1",
    drop: Iterable[str] = (),
    add: Iterable[Header] = (),
    replace: Iterable[Header] = (),
    key: str = SAMPLE_KEY,
) -> bytes:
    """The bytes of an opening handshake (section 4.1), changed as a corpus case asks.

    `drop` names headers to leave out, `replace` gives some another value (or adds them), `add` appends more.
    """
    headers = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
    ]
    dropped = {name.lower() for name in drop}
    values = {name.lower(): value for name, value in replace}
    kept = [(name, values.pop(name.lower(), value)) for name, value in headers if name.lower() not in dropped]
    lines = [f"{method} {path} HTTP/{version}"]
    lines += [f"{name}: {value}" for name, value in (*kept, *values.items(), *add)]
    return "\r\n".join((*lines, "", "")).encode()


def random_key() -> str:
    """A fresh Sec-WebSocket-Key (section 4.1, point 7)."""
    return base64.b64encode(os.urandom(16)).decode()


def accept_value(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a key (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + _ACCEPT_GUID).encode()).digest()).decode()


def read_answer(receive: Callable[[], bytes], url: str) -> tuple[HttpAnswer, bytes]:
    """The head of the answer to a handshake request, and the bytes that came after it.

    `receive` gives the next bytes of the connection, b"" at its end. WireError when what comes is not HTTP.
    """
    parser = h11.Connection(h11.CLIENT)
    # h11 must believe that it asked for an upgrade, or it takes a 101 for an error.
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "-"), ("Upgrade", "websocket")]))
    parser.send(h11.EndOfMessage())
    try:
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = receive()
                if not data and not parser.trailing_data[0]:
                    raise WireError(f"{url} closed the connection instead of answering the handshake.")
                parser.receive_data(data)
            elif isinstance(event, h11.Response) or (
                isinstance(event, h11.InformationalResponse) and event.status_code == 101
            ):
                return _answer(event), parser.trailing_data[0]
    except h11.RemoteProtocolError as error:
        raise WireError(f"{url} did not answer the handshake in HTTP: {error}.") from error


def _answer(event: h11.Response | h11.InformationalResponse) -> HttpAnswer:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
    return HttpAnswer(event.status_code, headers)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket within one deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        """It is: io.BufferedReader asks."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads what there is within the time left; 0 at the end."""
        self._sock.settimeout(self._deadline.timeout)
        return self._sock.recv_into(buffer)


class _DeadlineSocket:
    """Gives http.client one time limit for the whole answer; its own starts anew with every read."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Sends all within the time left."""
        self._sock.settimeout(self._deadline.timeout)
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._deadline))

    def close(self) -> None:
        """Nothing: the answer may still be read, and http_request closes the socket."""


def http_request(
    base_url: str,
    method: str,
    path: str,
    headers: Iterable[Header] = (),
    timeout: float = 10.0,
    ssl_context: ssl.SSLContext | None = None,
) -> HttpAnswer:
    """One HTTP/1.1 request on a connection of its own; `timeout` in seconds for all of it.

    Of `base_url` only scheme, host and port count. `path` goes out as it is; no header goes out
    besides Host, `Accept-Encoding: identity` and those given. WireError when there is no answer, or
    HTTP forbids such a request.
    """
    address = parse_url(base_url)
    deadline = Deadline(timeout)
    with open_socket(address, deadline, ssl_context) as sock:
        connection = http.client.HTTPConnection(address.host_header)
        connection.sock = _DeadlineSocket(sock, deadline)
        connection.auto_open = 0
        try:
            connection.putrequest(method, path)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            with connection.getresponse() as response:
                body = response.read()
                return HttpAnswer(response.status, _lower(response.getheaders()), body)
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise WireError(f"{method} {path} at {base_url} got no answer: {_words(error)}.") from error


def _words(error: Exception) -> str:
    """What went wrong, also for the exceptions of http.client that say nothing."""
    return str(error).rstrip(".") or type(error).__name__


def _lower(headers: Iterable[Header]) -> tuple[Header, ...]:
    return tuple((name.lower(), value) for name, value in headers)
