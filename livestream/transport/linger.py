"""How a TCP connection ends without losing what was written last.

Closing a socket with unread input makes the kernel send a reset, and a reset
can overtake the Close frame or the answer. Source: RFC 6455, section 7.1.1;
RFC 9112, section 9.6.
"""

import socket
import time
from contextlib import suppress

from livestream.transport.sockets import Stream

#: How long the peer's end is waited for, in seconds.
LINGER = 2.0
#: How much input is read and thrown away meanwhile, in bytes.
LINGER_BYTES = 16 * 1024 * 1024


def end_gently(sock: Stream) -> None:
    """Sends TCP's end, then reads and drops input until the peer's end or a limit; the caller closes."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        _drain(sock)


def _drain(sock: Stream) -> None:
    deadline = time.monotonic() + LINGER
    left = LINGER_BYTES
    while left > 0 and time.monotonic() < deadline:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        data = sock.recv(65_536)
        if not data:
            return
        left -= len(data)
