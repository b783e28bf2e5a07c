"""simple-websocket's server connection, made safe for many senders.

The library's own `send` has no lock and writes once, its reader thread writes
pongs past any lock of ours, and it accepts permessage-deflate whenever it is
offered. So here: one lock over the protocol's state and every complete write,
reading in the handler thread, no reader thread, and no extension negotiated.
The protocol itself is wsproto's. Source: RFC 6455; SPEC, "Frames".
"""

import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import simple_websocket
from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.extensions import Extension
from wsproto.utilities import LocalProtocolError, generate_accept_token

from livestream.contract import (
    CLOSE_ABNORMAL,
    CLOSE_MESSAGE_TOO_BIG,
    CLOSE_NO_STATUS,
    CLOSE_NORMAL,
    CLOSE_TRY_AGAIN_LATER,
)
from livestream.transport.frames import FrameWatch, MessageAssembler, MessageTooBig, text_frame
from livestream.transport.linger import end_gently
from livestream.transport.session import Limits, NoThread, SessionClosed, SessionError
from livestream.transport.sockets import NotRead
from livestream.transport.tls import TlsSocket, for_many_senders
from livestream.transport.utf8 import encode_text

#: How long a Close frame of our own waits for a sender that is stuck, in seconds.
CLOSE_LOCK_TIMEOUT = 0.5
#: Read at once, in bytes: small, so that a flood of tiny frames lets other threads in between.
RECEIVE_BYTES = 4096


class WebSocket(simple_websocket.Server):  # type: ignore[misc]
    """One server-side connection: any thread may send, the handler thread receives.

    A drop-in for the object that Flask-Sock hands to a route: `send`,
    `receive`, `close`. It is also the port's `Session` (`send_text`,
    `is_open`). Nothing is sent after the Close frame.
    """

    sock: Any

    def __init__(
        self, environ: dict[str, Any], limits: Limits = Limits(), subprotocols: Sequence[str] = ()
    ) -> None:
        """Answers the handshake with 101; the request must have been checked.

        Of the `subprotocols` the first that the client offers is agreed on. Raises
        OSError when the client is gone, UnsafeTls for a server's own TLS socket,
        RuntimeError when the environ holds no socket.
        """
        # Guards the protocol's state, `connected`, and every write to the socket.
        self._lock = threading.Lock()
        self._watch = FrameWatch(limits.frame)
        self._message = MessageAssembler(limits.message)
        self._send_seconds = limits.send_seconds
        #: Why `on_error` is due, if it is.
        self.error: SessionError | None = None
        #: What else was wrong about the end, for the log.
        self.complaint: str | None = None
        super().__init__(
            environ, list(subprotocols), RECEIVE_BYTES, thread_class=NoThread, event_class=object)

    # Opening (RFC 6455, section 4.2.2).

    def handshake(self) -> None:
        """Writes the 101 answer: no subprotocol unless asked for, as the original."""
        extensions, agreed = self._extensions()
        self.ws = Protocol(ConnectionType.SERVER, extensions=extensions)
        accept = generate_accept_token(self.environ["HTTP_SEC_WEBSOCKET_KEY"].encode("latin-1"))
        self.sock = for_many_senders(self.sock, self._send_seconds)
        self.sock.settimeout(None)
        self.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Upgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n" + self._subprotocol_line() + agreed + b"\r\n"
        )
        self.connected = True

    def _subprotocol_line(self) -> bytes:
        """Never what the client sent, only a name of our own: an offer may be a secret."""
        offered = self.environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").replace(",", " ").split()
        self.subprotocol = next((ours for ours in self.subprotocols if ours in offered), None)
        return f"Sec-WebSocket-Protocol: {self.subprotocol}\r\n".encode() if self.subprotocol else b""

    def _extensions(self) -> tuple[list[Extension], bytes]:
        """What sees the frames, and the answer's header line: nothing is negotiated, as in the original."""
        return [self._watch], b""

    # Sending: any thread.

    @property
    def is_open(self) -> bool:
        """False from the first Close frame in either direction, or when the connection is lost."""
        return bool(self.connected)

    def send_text(self, text: str) -> None:
        """Sends one text message, whole. A lone surrogate becomes `?`, as in Java.

        Raises SessionClosed (an OSError) when the connection is over.
        """
        frame = text_frame(encode_text(text))
        with self._lock:
            self._write(frame)

    def send(self, data: str | bytes) -> None:
        """Sends one message: text for `str`, binary for `bytes`; otherwise as `send_text`."""
        if isinstance(data, str):
            self.send_text(data)
            return
        with self._lock:
            self._require_open()
            self._write(self.ws.send(BytesMessage(data=data)))

    def close(
        self, reason: int | None = None, message: str | None = None, timeout: float = CLOSE_LOCK_TIMEOUT
    ) -> bool:
        """Sends a Close frame with code `reason` (1000 when None); does nothing when closed already.

        False, and nothing sent, when the client takes nothing for `timeout`
        seconds: it doesn't read, and another thread may be stuck in a send.
        """
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=timeout):
            return False
        try:
            if self.connected:
                if not self._ready(select.POLLOUT, max(0, deadline - time.monotonic())):
                    return False
                self.close_reason, self.close_message = reason or CLOSE_NORMAL, message
                self._send_close(self.close_reason, message or "")
        finally:
            self._lock.release()
        return True

    def abort(self) -> None:
        """Ends the connection without a Close frame; every thread that waits on it wakes."""
        if self.connected:
            self.close_reason = CLOSE_ABNORMAL
        self.connected = False
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    # Receiving: the handler thread alone.

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """The next message; None when `timeout` seconds pass without data.

        Frames are acted on in order: what follows a message waits until the
        next call. Raises SessionClosed when the connection is over.
        """
        while True:
            message = self._next_message()
            if message is not None:
                return message
            if not self.connected:
                raise SessionClosed(self.close_reason, self.close_message)
            if timeout is not None and not self._arrives(timeout):
                return None
            self._feed(self._read())

    def finish(self) -> None:
        """Ends a connection that is over, with a Close frame if there was none yet."""
        if self.connected and not self.close():
            self.abort()
        end_gently(self.sock)
        self._message.clear()

    def _next_message(self) -> str | bytes | None:
        """Acts on the frames that have arrived, up to the first complete message."""
        with self._lock:
            if not self.connected:
                return None
            try:
                for event in self.ws.events():
                    message: str | bytes | None = self._HANDLERS[type(event)](self, event)
                    if message is not None or not self.connected:
                        return message
            except MessageTooBig as error:
                self._refuse_message(str(error))
        return None

    def _arrives(self, timeout: float) -> bool:
        """Whether there is something to read within `timeout` seconds: TLS may have read ahead."""
        if isinstance(self.sock, TlsSocket):
            return self.sock.wait_for_data(timeout)
        return self._ready(select.POLLIN, timeout)

    def _ready(self, what: int, timeout: float) -> bool:
        """Whether the socket is `what` (POLLIN, POLLOUT) within `timeout` seconds, or over."""
        poll = select.poll()
        poll.register(self.sock, what)
        return bool(poll.poll(timeout * 1000))

    def _read(self) -> bytes:
        try:
            data: bytes = self.sock.recv(self.receive_bytes)
        except OSError as error:
            self._lose(error)
            return b""
        return data

    def _feed(self, data: bytes) -> None:
        with self._lock:
            if not self.connected:
                return
            if data:
                self.ws.receive_data(data)
                return
            # RFC 6455, section 7.1.5.
            self.complaint = "ended without a Close frame"
            self.close_reason = CLOSE_ABNORMAL
            self.connected = False

    # Events of the protocol; the lock is held. Each returns a message or None.

    def _on_data(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        return self._message.add(event.data, event.message_finished)

    def _on_ping(self, event: Ping) -> None:
        self._write(self.ws.send(event.response()))

    def _on_pong(self, event: Pong) -> None:
        """Unsolicited pongs are allowed and mean nothing (RFC 6455, section 5.5.3)."""

    def _on_close(self, event: CloseConnection) -> None:
        """A Close frame of the peer, or wsproto's refusal of what it sent."""
        self.close_reason, self.close_message = event.code, event.reason
        if self.ws.state is ConnectionState.REMOTE_CLOSING:
            code = CLOSE_NORMAL if event.code == CLOSE_NO_STATUS else int(event.code)
            self._send_close(code, event.reason or "")
            return
        error = self._watch.on_error_reason()
        if error is not None:
            self.error = SessionError(error)
        reason = self._watch.reason(event.reason or "")
        self.complaint = f"closed with {int(event.code)}: {reason}"
        self._send_close(int(event.code), reason)

    # A table of the class: bound methods in each object would make it refer to itself.
    _HANDLERS: ClassVar[dict[type[Event], Callable[..., str | bytes | None]]] = {
        TextMessage: _on_data,
        BytesMessage: _on_data,
        Ping: _on_ping,
        Pong: _on_pong,
        CloseConnection: _on_close,
    }

    # Writing; the lock is held.

    def _require_open(self) -> None:
        if not self.connected:
            raise SessionClosed(self.close_reason, self.close_message)

    def _write(self, data: bytes) -> None:
        self._require_open()
        try:
            self.sock.sendall(data)
        except OSError as error:
            self._lose(error)
            raise SessionClosed(CLOSE_ABNORMAL, str(error)) from error

    def _send_close(self, code: int, reason: str) -> None:
        if not self.connected:
            return
        with suppress(SessionClosed, LocalProtocolError):
            self._write(self.ws.send(CloseConnection(code, reason)))
        self.connected = False

    def _refuse_message(self, reason: str) -> None:
        self.close_reason, self.close_message = CLOSE_MESSAGE_TOO_BIG, reason
        self.error = SessionError(reason)
        self._send_close(CLOSE_MESSAGE_TOO_BIG, reason)

    def _lose(self, error: OSError) -> None:
        """A reset, whoever saw it first, is an error; what was written in part can't be mended."""
        if isinstance(error, ConnectionResetError) and self.error is None:
            self.error = SessionError("connection reset by peer")
        if isinstance(error, NotRead) and self.connected:
            self._give_up(error)
        self.abort()

    def _give_up(self, error: NotRead) -> None:
        """A Close frame for a client that doesn't read, if it finds room and breaks into no other frame."""
        self.connected = False
        self.close_reason, self.close_message = CLOSE_TRY_AGAIN_LATER, str(error)
        self.complaint = f"closed with {CLOSE_TRY_AGAIN_LATER}: {error}"
        if not error.partly and self.ws.state is ConnectionState.OPEN:
            if error.sock.send_at_once(self.ws.send(CloseConnection(CLOSE_TRY_AGAIN_LATER, str(error)))):
                return
        error.sock.reset_on_close()
