"""What a connection asks of its socket, and one that doesn't wait for ever for a client that doesn't read."""

import select
import socket
import struct
from contextlib import suppress
from typing import Any, Final, Protocol

#: For SO_LINGER: closing sends a reset.
_NO_LINGERING: Final = struct.pack("ii", 1, 0)


class Stream(Protocol):
    """The part of a socket that HTTP and WebSocket use; a TLS connection has it too."""

    def fileno(self) -> int:
        """Its descriptor, for poll."""

    def settimeout(self, value: float | None, /) -> None:
        """How long `recv` and `sendall` may take, in seconds; None: any time."""

    def recv(self, bufsize: int, /) -> bytes:
        """Some bytes, b"" at the end. Raises OSError."""

    def sendall(self, data: bytes, /) -> None:
        """All of them. Raises OSError."""

    def shutdown(self, how: int, /) -> None:
        """Ends one direction or both, as TCP does."""


class NotRead(OSError):
    """The peer took nothing for the time limit; `partly`: of the last data a part is on its way."""

    def __init__(self, sock: "ImpatientSocket", seconds: float, partly: bool) -> None:
        super().__init__(f"the client read nothing for {seconds:g} s")
        self.sock = sock
        self.partly = partly


class ImpatientSocket:
    """A plain socket whose `sendall` gives up once the peer takes nothing for `seconds`.

    A limit on the socket itself would hold for reading too, and cost a system call more for every send.
    """

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        """Raises NotRead, or another OSError when the connection is lost."""
        unsent = memoryview(data)
        while unsent:
            sent = self._send_some(unsent)
            if not sent and not self._writable():
                raise NotRead(self, self._seconds, len(unsent) < len(data))
            unsent = unsent[sent:]

    def send_at_once(self, data: bytes) -> bool:
        """Sends a few bytes if that needs no waiting; whether it did."""
        with suppress(OSError):
            return self._send_some(memoryview(data)) == len(data)
        return False

    def reset_on_close(self) -> None:
        """What the peer didn't take is thrown away then; the kernel would keep it for minutes."""
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)

    def _send_some(self, data: memoryview) -> int:
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def _writable(self) -> bool:
        poll = select.poll()
        try:
            poll.register(self._sock, select.POLLOUT)
        except ValueError as error:  # Another thread has closed it meanwhile.
            raise OSError("the socket is closed") from error
        return bool(poll.poll(self._seconds * 1000))
