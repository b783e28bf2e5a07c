"""simple-websocket's client, made safe for several threads and bounded in time.

The library's own connects and shakes hands without a time limit, to one address of several, with a Host
header that lacks the port, and leaves the socket open when that fails. Its `send` has no lock and writes
once, its reader thread writes pongs past any lock of ours, answers no Close frame, lets frames wait that
came with the handshake's answer, and stays behind in `recv` when another thread closes. So here: one lock
over the protocol's state and every complete write, reading in the caller's thread, no reader thread. The
protocol itself is wsproto's. Source: RFC 6455.
"""

import select
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Final, NoReturn

import simple_websocket
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Pong, RejectConnection, Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from livestream import contract
from livestream.client.opening import Deadline, Door, Lost, Stop, encoded, shut_down, words
from livestream.client.pieces import Assembler, MessageTooBig
from livestream.client.settings import ClientSettings

#: Read at once, in bytes: no TLS record is longer.
READ_SIZE: Final = 16_384
#: What a socket raises that isn't ready; with TLS a read may have to write first, and a write to read.
_WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _NoThread(threading.Thread):
    """Stands where simple-websocket would start its reader thread."""

    def start(self) -> None:
        """Starts nothing."""


class Connection(simple_websocket.Client):  # type: ignore[misc]
    """One WebSocket connection after its handshake. Any thread may send and close; one receives."""

    def __init__(self, door: Door, settings: ClientSettings, stop: Stop) -> None:
        """Connects and shakes hands. Lost when that fails or takes too long, CalledOff when `stop` is set."""
        self._door = door
        self._settings = settings
        self._stop = stop
        self._deadline = Deadline(settings.connect_timeout)
        # Guards the protocol's state, `connected`, the socket's reads and every write.
        self._lock = threading.Lock()
        self._message = Assembler(settings.max_message_size)
        #: Why the connection is over, one sentence.
        self.problem = ""
        #: When whatever it is came last, and when a Ping frame went out since.
        self._heard = time.monotonic()
        self._pinged: float | None = None
        #: When the peer's answer to our Close frame is no longer waited for.
        self._close_deadline: Deadline | None = None
        sock = door.open(self._deadline, stop)
        try:
            # Past Client's own __init__, which would connect once more.
            super(simple_websocket.Client, self).__init__(
                sock, ConnectionType.CLIENT, thread_class=_NoThread, event_class=object)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        finally:
            # An open connection is closed politely before it is cut.
            stop.forget(sock)

    # Opening (RFC 6455, section 4.1).

    def handshake(self) -> None:
        """Asks for the stream and reads the answer; no subprotocol and no extension is offered."""
        address = self._door.address
        request = Request(
            host=address.host_header, target=address.target,
            extra_headers=[encoded(header) for header in self._door.headers])
        try:
            self.sock.settimeout(self._deadline.timeout)
            self.sock.sendall(self.ws.send(request))
            while not (event := next(self.ws.handshake.events(), None)):
                self._read_answer()
        except TimeoutError as error:
            raise Lost(f"{address.url} did not answer the handshake in time.") from error
        except (RemoteProtocolError, LocalProtocolError, ValueError) as error:
            self._stop.check()
            why = words(error)
            raise Lost(f"{address.url} did not answer the handshake as a WebSocket: {why}.") from error
        except OSError as error:
            self._stop.check()
            raise Lost(f"{address.url} broke the handshake off: {words(error)}.") from error
        self._stop.check()
        if isinstance(event, RejectConnection):
            raise Lost(f"{address.url} answered the handshake with status {event.status_code}, not 101.")
        assert isinstance(event, AcceptConnection)
        self.connected = True

    def _read_answer(self) -> None:
        if not self._deadline.left:
            raise TimeoutError
        self.sock.settimeout(self._deadline.timeout)
        data = self.sock.recv(READ_SIZE)
        if not data:
            raise ConnectionAbortedError("it closed the connection")
        self.ws.receive_data(data)

    # Sending: any thread.

    def send(self, data: str) -> None:
        """Sends one text message, whole. Lost when the connection is over or takes nothing in time."""
        with self._lock:
            self._require_open()
            self._say(TextMessage(data=data))

    def close(self, reason: int | None = None, message: str | None = None, timeout: float = 0.25) -> None:
        """Sends a Close frame with code `reason` (1000 when None); the receiving thread waits for the answer.

        It waits no longer than `timeout` seconds, and so does this method when
        another thread is stuck in a send. Does nothing on a connection that is over.
        """
        if not self._lock.acquire(timeout=timeout):
            self.abort()
            return
        try:
            if not self.connected or self._close_deadline is not None:
                return
            self._close_deadline = Deadline(timeout)
            with suppress(Lost):
                self._say(CloseConnection(reason or contract.CLOSE_NORMAL, message), self._close_deadline)
        finally:
            self._lock.release()

    def abort(self) -> None:
        """Ends the connection without a word; every thread that waits on it wakes."""
        self.connected = False
        shut_down(self.sock)

    # Receiving: one thread.

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """The next message; None when none comes in `timeout` seconds. Lost when the connection is over.

        Sends a Ping frame when the line is silent, and gives the connection
        up when it stays silent (see ClientSettings).
        """
        deadline = None if timeout is None else Deadline(timeout)
        while True:
            with self._lock:
                message = self._next_message()
                if message is None:
                    self._require_open()
                    ready = self._feed()
            if message is not None:
                return message
            if not ready and not self._wait(deadline):
                return None

    def release(self) -> None:
        """Gives the socket back; by the receiving thread, when the connection is over."""
        self.abort()
        with self._lock:
            self._message.clear()
            self.sock.close()

    def _wait(self, deadline: Deadline | None) -> bool:
        """Waits for data; False when the caller's time is up."""
        due = self._beat()
        if deadline is not None:
            due = min(due, deadline.left)
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(due * 1000)) or deadline is None or bool(deadline.left)

    def _beat(self) -> float:
        """Seconds until something must have come; sends the Ping frame that asks for it."""
        now = time.monotonic()
        if self._close_deadline is not None:
            if not self._close_deadline.left:
                self._lose("did not answer the Close frame")
            return self._close_deadline.timeout
        if self._pinged is None:
            due = self._heard + self._settings.ping_interval - now
            if due > 0:
                return due
            with self._lock:
                self._require_open()
                self._say(Ping())
            self._pinged = now = time.monotonic()
        due = self._pinged + self._settings.ping_timeout - now
        if due <= 0:
            self._lose("does not answer a Ping frame")
        return max(due, 0.001)

    # Reading and events; the lock is held.

    def _feed(self) -> bool:
        """Reads what there is; False when there is nothing yet."""
        try:
            data = self.sock.recv(READ_SIZE)
        except _WOULD_BLOCK:
            return False
        except OSError as error:
            self._lose(f"broke the connection: {words(error)}", error)
        if not data:
            self._lose("ended the connection without a Close frame")
        self._heard, self._pinged = time.monotonic(), None
        self.ws.receive_data(data)
        return True

    def _next_message(self) -> str | bytes | None:
        """Acts on the frames that have come, up to the first complete message."""
        if not self.connected:
            return None
        for event in self.ws.connection.events():
            message: str | bytes | None = self._HANDLERS[type(event)](self, event)
            if message is not None or not self.connected:
                return message
        return None

    def _on_data(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        try:
            return self._message.add(event.data, event.message_finished)
        except MessageTooBig:
            what = f"sent a message of more than {self._message.limit} bytes"
            self._refuse(contract.CLOSE_MESSAGE_TOO_BIG, what)
            return None

    def _on_ping(self, event: Ping) -> None:
        if self._close_deadline is None:
            self._say(event.response())

    def _on_pong(self, event: Pong) -> None:
        """Something came: that is all a pong says here."""

    def _on_close(self, event: CloseConnection) -> None:
        """A Close frame of the peer, or wsproto's refusal of what it sent."""
        self.close_reason, self.close_message = event.code, event.reason
        if self.ws.state in (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED):
            told = f" ({event.reason!r})" if event.reason else ""
            self._refuse(int(event.code), f"closed the connection with {int(event.code)}{told}")
        else:
            self._refuse(int(event.code), f"broke the protocol: {event.reason}")

    # A table of the class: bound methods in each object would make it refer to itself.
    _HANDLERS: ClassVar[dict[type[Event], Callable[..., str | bytes | None]]] = {
        TextMessage: _on_data,
        BytesMessage: _on_data,
        Ping: _on_ping,
        Pong: _on_pong,
        CloseConnection: _on_close,
    }

    # Writing and ending; the lock is held, but where `_beat` finds silence.

    def _require_open(self) -> None:
        if not self.connected:
            raise Lost(self.problem or f"The connection to {self._door.address.url} is closed.")

    def _say(self, event: Event, deadline: Deadline | None = None) -> None:
        """Writes one event, whole. Lost when that fails, and after the Close frame."""
        try:
            unsent = memoryview(self.ws.send(event))
        except LocalProtocolError as error:
            raise Lost(f"The connection to {self._door.address.url} is closed.") from error
        deadline = deadline or Deadline(self._settings.send_timeout)
        while unsent:
            try:
                unsent = unsent[self.sock.send(unsent):]
            except _WOULD_BLOCK as error:
                self._wait_until_writable(error, deadline)
            except OSError as error:
                self._lose(f"broke the connection: {words(error)}", error)

    def _wait_until_writable(self, error: Exception, deadline: Deadline) -> None:
        poll = select.poll()
        poll.register(self.sock, select.POLLIN if isinstance(error, ssl.SSLWantReadError) else select.POLLOUT)
        if not deadline.left or not poll.poll(deadline.timeout * 1000):
            self._lose("takes nothing any more")

    def _refuse(self, code: int, what: str) -> None:
        """Answers with a Close frame, if that may still be done, and ends the connection."""
        self.problem = self.problem or f"{self._door.address.url} {what}."
        with suppress(Lost):
            # A code that may not be sent becomes 1000: wsproto sees to it.
            self._say(CloseConnection(code, ""), Deadline(0))
        self.connected = False

    def _lose(self, what: str, error: OSError | None = None) -> NoReturn:
        """The connection is over. Raises Lost, always."""
        self.problem = self.problem or f"{self._door.address.url} {what}."
        self.abort()
        raise Lost(self.problem) from error
