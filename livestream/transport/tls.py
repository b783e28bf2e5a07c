"""TLS for connections on which one thread reads while others write, and the context that all of them share.

OpenSSL allows one call at a time on a connection, and a call that waits for
the network would keep all others out. So OpenSSL never sees the socket: it
works in memory, under a lock that is never held while waiting, and plain
blocking calls carry the bytes. Source: ssl(7), "Thread safety"; RFC 8446.
"""

import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from livestream.transport.linger import end_gently
from livestream.transport.sockets import ImpatientSocket, NotRead

#: How long a client has for the handshake, in seconds.
HANDSHAKE_TIMEOUT: Final = 10.0
#: Encrypted at once, in bytes: a message of many megabytes isn't held twice.
PIECE: Final = 65_536
#: What a client may make OpenSSL answer, in bytes, before it reads any of it: key updates and the like.
MAX_UNSENT: Final = 65_536

_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY: Final = "PRIVATE KEY-----"


class TlsError(ValueError):
    """The certificate or the key can't be used; the message is one line that says why."""


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """What a server needs, from two PEM files; TLS 1.2 or newer. Raises TlsError."""
    _require(certificate, _CERTIFICATE, "certificate")
    _require(key, _PRIVATE_KEY, "private key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def no_passphrase() -> str:
        # Without an answer of ours OpenSSL would ask at the terminal.
        raise TlsError(f"the key in {key} is encrypted: give one without a passphrase")

    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"the key in {key} does not belong to the certificate in {certificate}") from error
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise TlsError(f"{certificate} and {key} can't be used: {reason}") from error
    return context


def _require(path: str, mark: str, what: str) -> None:
    try:
        text = Path(path).read_bytes().decode("latin-1")
    except OSError as error:
        raise TlsError(f"cannot read {path}: {error.strerror}") from error
    if mark not in text:
        raise TlsError(f"{path} holds no {what} in PEM")


class LowerSocket(Protocol):
    """What carries the encrypted bytes outwards."""

    def sendall(self, data: bytes, /) -> None:
        """All of them. Raises OSError."""


class TlsSocket:
    """The server's side of a TLS connection: one thread may read while another writes.

    A `sockets.Stream`. Writers take turns by a lock of their own, as WebSocket's do.
    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, timeout: float = HANDSHAKE_TIMEOUT
    ) -> None:
        """Does the handshake, `timeout` seconds at most. Raises OSError; the caller closes `sock`."""
        self.sock = sock
        #: Where encrypted bytes go: the socket, or one that gives up.
        self.lower: LowerSocket = sock
        # Guards the state of TLS and both buffers; never held while waiting.
        self._lock = threading.Lock()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._timeout: float | None = timeout
        #: Decrypted and not asked for yet.
        self._ahead = b""
        self._ended = False
        self._shake_hands(time.monotonic() + timeout)

    def fileno(self) -> int:
        """The socket's: poll shows whether more can be written, but not what is decrypted already."""
        return self.sock.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """For `recv` as a whole, however slowly its bytes come, and for each piece of `sendall`."""
        self._timeout = seconds
        self.sock.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end. Raises TimeoutError, or another OSError when it is lost."""
        if self._ended:
            return self.sock.recv(size)
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while (decrypted := self._decrypt(size)) is None:
            if not self._take_in(size, deadline):
                return b""
        return decrypted

    def wait_for_data(self, seconds: float) -> bool:
        """Whether `recv` has something to give within so many seconds; the reading thread asks."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        while not self._ahead:
            decrypted = self._decrypt(PIECE)
            if decrypted is not None:
                self._ahead = decrypted
                return True
            if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
                return False
            if not self._take_in(PIECE, None):
                return True
        return True

    def sendall(self, data: bytes) -> None:
        """All of them. Raises OSError; what was written in part can't be mended then."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            with self._lock:
                self._tls.write(view[start:start + PIECE])
                records = self._outgoing.read()
            self._send_records(records)

    def shutdown(self, how: int) -> None:
        """As TCP's; what the peer still sends is then for throwing away. TLS's own end goes before ours."""
        if how == socket.SHUT_WR:
            self._say_goodbye()
        self.sock.shutdown(how)

    def _shake_hands(self, deadline: float) -> None:
        try:
            while not self._handshake_is_done():
                self._flush()
                if not self._take_in(PIECE, deadline):
                    raise ConnectionAbortedError("ended in the handshake")
        except ssl.SSLError:
            # The alert says why, or the client speaks no TLS at all.
            self._flush()
            end_gently(self.sock)
            raise
        self._flush()

    def _handshake_is_done(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _send_records(self, records: bytes) -> None:
        try:
            self.lower.sendall(records)
        except NotRead as error:
            # What is encrypted must go out in order: nothing can follow what didn't.
            error.partly = True
            raise

    def _flush(self) -> None:
        self.sock.sendall(self._outgoing.read())

    def _take_in(self, size: int, deadline: float | None) -> bool:
        """Waits for encrypted bytes, and gives them to OpenSSL; False at TCP's end.

        OpenSSL is not told of an end without TLS's own: it would answer with an alert and write no more.
        """
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:  # however fast a trickle is
                raise TimeoutError("timed out")
            self.sock.settimeout(left)
        encrypted = self.sock.recv(size)
        with self._lock:
            self._incoming.write(encrypted)
        return bool(encrypted)

    def _decrypt(self, size: int) -> bytes | None:
        """What is there, b"" at the end of it all; None when more must come first."""
        with self._lock:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if self._outgoing.pending > MAX_UNSENT:
                    raise ConnectionAbortedError("asks for much and reads nothing") from None
                return None
            except ssl.SSLZeroReturnError:
                return b""

    def _say_goodbye(self) -> None:
        """RFC 8446, section 6.1. A client that takes nothing goes without."""
        self._ended = True
        with self._lock:
            with suppress(ssl.SSLError):
                self._tls.unwrap()  # whose answer is not waited for
            farewell = self._outgoing.read()
        with suppress(OSError):
            self.sock.send(farewell, socket.MSG_DONTWAIT)


class UnsafeTls(Exception):
    """A server's own TLS socket, which OpenSSL allows only one thread at a time."""


def for_many_senders(sock: Any, seconds: float) -> Any:
    """The same connection; a send on it raises NotRead once the client takes nothing for `seconds`.

    0: it waits for ever. Raises UnsafeTls.
    """
    if isinstance(sock, ssl.SSLSocket):
        raise UnsafeTls("this server's own TLS can't carry the stream: end TLS at a proxy before it")
    if not seconds:
        return sock
    if not isinstance(sock, TlsSocket):
        return ImpatientSocket(sock, seconds)
    sock.lower = ImpatientSocket(sock.sock, seconds)
    return sock
