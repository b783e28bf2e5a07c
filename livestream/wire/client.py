"""A blocking WebSocket client with its hands on every byte, for instruments and tests.

It does what it is told, legal or not, reports what arrives as events, and keeps a list of what the
server did wrong (`faults`). One thread at a time may use a client. Every wait has a limit in seconds.
Source: RFC 6455.
"""

import select
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final

from livestream import contract
from livestream.wire.events import Event, EventReader, Kind
from livestream.wire.frames import RANDOM_MASK, Opcode, encode_close, encode_frame
from livestream.wire.handshake import (
    SAMPLE_KEY, Deadline, Header, HttpAnswer, WireError, accept_value, handshake_request, http_request,
    open_socket, parse_url, random_key, read_answer,
)

__all__ = [
    "SAMPLE_KEY", "Deadline", "Event", "Header", "HttpAnswer", "Kind", "WireClient", "WireError",
    "handshake_request", "http_request", "parse_url",
]

#: Gives seconds that never run backwards.
Clock = Callable[[], float]

#: In seconds.
DEFAULT_TIMEOUT: Final = 10.0
#: Read at once, in bytes.
READ_SIZE: Final = 65_536
#: How long leaving a `with` block waits for the server's Close frame, in seconds.
CLOSE_TIMEOUT: Final = 1.0
#: SO_LINGER with no time to linger: closing the socket sends a TCP reset.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class WireClient:
    """One connection. `connect` makes it ready for messages; `open` leaves the handshake to the caller.

    Each `timeout` is in seconds; None means the one that the client was made with. Whatever sends raises
    WireError when the connection fails or that time passes first. Leaving a `with` block closes politely, or
    just drops the connection when an exception leaves it.
    """

    def __init__(
        self, sock: socket.socket, url: str, *, timeout: float, clock: Clock, read_size: int = READ_SIZE,
    ) -> None:
        self.socket = sock
        self.url = url
        #: True once the stream has ended, by EOF or reset; what came before it may still be waiting.
        self.ended = False
        #: How many bytes one read asks for.
        self.read_size = read_size
        self._timeout = timeout
        self._clock = clock
        self._reader = EventReader()
        self._events: deque[Event] = deque()
        self._upgraded = False
        self._close_sent = False

    @classmethod
    def open(
        cls,
        url: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock = time.monotonic,
        read_size: int = READ_SIZE,
    ) -> "WireClient":
        """Connects TCP (and TLS) and sends nothing. WireError when that fails, or not within `timeout` s."""
        sock = open_socket(parse_url(url), Deadline(timeout), ssl_context)
        return cls(sock, url, timeout=timeout, clock=clock, read_size=read_size)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        headers: Iterable[Header] = (),
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock = time.monotonic,
        read_size: int = READ_SIZE,
    ) -> "WireClient":
        """Connects and completes the handshake (RFC 6455, section 4).

        WireError unless a right 101 comes within `timeout` seconds; the same limit then holds for every send.
        """
        client = cls.open(url, timeout=timeout, ssl_context=ssl_context, clock=clock, read_size=read_size)
        address, key = parse_url(url), random_key()
        try:
            request = handshake_request(address.host_header, path=address.target, add=headers, key=key)
            answer = client.handshake(request)
            if answer.status != 101:
                raise WireError(f"{url} answered the handshake with status {answer.status}, not 101.")
            if answer.header("sec-websocket-accept") != accept_value(key):
                raise WireError(f"{url} answered the handshake with a wrong Sec-WebSocket-Accept.")
        except BaseException:
            client.release()
            raise
        return client

    def handshake(self, request: bytes, timeout: float | None = None) -> HttpAnswer:
        """Sends a request and reads the head of its answer; after a 101 what follows is frames.

        WireError when the connection fails, the time passes, or what comes is not HTTP.
        """
        deadline = self._deadline(timeout)
        self.send_raw(request)
        answer, rest = read_answer(lambda: self._receive_bytes(deadline), self.url)
        self._upgraded = answer.status == 101
        if self._upgraded:
            self._take_in(rest)
        return answer

    @property
    def exhausted(self) -> bool:
        """Whether the connection has ended and all that came before its end was received."""
        return self.ended and not self._events

    @property
    def faults(self) -> list[str]:
        """What the server did wrong so far, one sentence each (see frames.ServerStreamCheck)."""
        return self._reader.faults

    @property
    def pending(self) -> int:
        """Bytes of a frame that began and did not end yet."""
        return self._reader.pending

    def send_text(self, text: str) -> None:
        """One masked text message in one frame. ValueError for a lone surrogate, which UTF-8 lacks."""
        self.send_raw(encode_frame(Opcode.TEXT, text.encode()))

    def send_frame(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        mask: bytes | None = RANDOM_MASK,
    ) -> None:
        """One frame, legal or not; see `encode_frame`."""
        self.send_raw(encode_frame(opcode, payload, fin=fin, rsv=rsv, mask=mask))
        self._close_sent = self._close_sent or opcode == Opcode.CLOSE

    def send_raw(self, data: bytes, *, read_meanwhile: bool = False) -> None:
        """These bytes. WireError when the connection fails or the client's time limit passes first.

        `read_meanwhile` takes in what arrives, so that a server that waits for us to read goes on.
        """
        if self.socket.fileno() < 0:
            raise WireError(f"Could not send to {self.url}: this client is closed.")
        deadline = self._deadline(None)
        try:
            if read_meanwhile:
                self._send_and_read(memoryview(data), deadline)
            else:
                self.socket.settimeout(deadline.timeout)
                self.socket.sendall(data)
        except OSError as error:
            raise WireError(f"Could not send to {self.url}: {error.strerror or error}.") from error

    def receive(self, timeout: float | None = None) -> Event | None:
        """The next event, in order; None when none comes in `timeout` seconds, or after EOF or RESET."""
        deadline = self._deadline(timeout)
        while not self._events and not self.ended:
            # The second half is for bytes that trickle in and never make an event.
            if not self._read_some(deadline) or (not self._events and not deadline.left):
                return None
        return self._events.popleft() if self._events else None

    def receive_until(self, predicate: Callable[[Event], bool], timeout: float | None = None) -> list[Event]:
        """The events up to the first that `predicate` accepts, or all until time or connection end."""
        deadline = self._deadline(timeout)
        events: list[Event] = []
        while (event := self.receive(deadline.left)) is not None:
            events.append(event)
            # A flood always has one more event ready, so the limit is looked at here too.
            if predicate(event) or not deadline.left:
                break
        return events

    def close(
        self, code: int | None = contract.CLOSE_NORMAL, reason: str = "", timeout: float = CLOSE_TIMEOUT,
    ) -> None:
        """Says goodbye (RFC 6455, section 7.1), waits for the connection to end, gives the socket back."""
        try:
            if self._upgraded and not self.ended:
                if not self._close_sent:
                    self.send_frame(Opcode.CLOSE, encode_close(code, reason))
                self.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), timeout)
        except WireError:
            pass  # It is gone already, which is what was wanted.
        finally:
            self.release()

    def release(self) -> None:
        """Closes the socket without a word. May be called again."""
        self.ended = True
        self.socket.close()

    def abort(self) -> None:
        """Resets the TCP connection and closes the socket."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        except OSError:
            pass  # It was closed before, so there is nothing left to reset.
        self.release()

    def half_close(self) -> None:
        """Sends TCP FIN; the server may still send. Not for TLS. WireError when the connection is gone."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise WireError(f"Could not half-close {self.url}: {error.strerror or error}.") from error

    def __enter__(self) -> "WireClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.release()

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._timeout if timeout is None else timeout)

    def _send_and_read(self, unsent: memoryview, deadline: Deadline) -> None:
        while unsent:
            events = self._wait(deadline)
            if not events:
                raise TimeoutError("it takes nothing more and the time is up")
            if events & select.POLLIN and not self.ended:
                self._read_some(deadline)
            if events & ~select.POLLIN:
                unsent = unsent[self.socket.send(unsent):]

    def _wait(self, deadline: Deadline) -> int:
        """What the socket is ready for: a mask of poll's constants, 0 when the time is up."""
        if not deadline.left:
            return 0
        poller = select.poll()
        poller.register(self.socket, select.POLLOUT | (0 if self.ended else select.POLLIN))
        return next((mask for _, mask in poller.poll(deadline.timeout * 1000)), 0)

    def _read_some(self, deadline: Deadline) -> bool:
        """Reads once and queues what that completes; False when the time is up."""
        try:
            self.socket.settimeout(deadline.timeout)
            data = self.socket.recv(self.read_size)
        except TimeoutError:
            return False
        except ssl.SSLEOFError:
            data = b""
        except OSError as error:
            self._end(Kind.RESET, error.strerror or str(error))
            return True
        if data:
            self._take_in(data)
        else:
            self._end(Kind.EOF)
        return True

    def _end(self, kind: Kind, reason: str = "") -> None:
        self.ended = True
        self._events.append(Event(kind, self._clock(), reason=reason))

    def _take_in(self, data: bytes) -> None:
        """Queues the events of the frames that these bytes complete."""
        self._events += self._reader.feed(data, self._clock())
        self.ended = self._reader.broken

    def _receive_bytes(self, deadline: Deadline) -> bytes:
        """The next bytes, b"" at the end of the connection. WireError when the time is up."""
        try:
            if not deadline.left:
                raise TimeoutError("its answer trickled in")
            self.socket.settimeout(deadline.timeout)
            return self.socket.recv(self.read_size)
        except TimeoutError as error:
            raise WireError(f"{self.url} gave no complete answer within the time limit.") from error
        except OSError as error:
            raise WireError(f"{self.url} broke the connection: {error.strerror or error}.") from error
