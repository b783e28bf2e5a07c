"""A threaded WSGI server: one thread per TCP connection, which becomes the WebSocket's handler thread.

HTTP/1.1 is read and written by h11. Connections are kept alive (SPEC, "REST").
Every resource has a limit, and a client beyond it is told with a 503.
"""

import errno
import itertools
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from livestream.contract import REFUSED_FULL, REFUSED_NO_DESCRIPTOR, REFUSED_NO_THREAD
from livestream.transport.machine import make_room_for_a_thread
from livestream.transport.refusals import Refused, nobody
from livestream.transport.sockets import Stream
from livestream.transport.tls import HANDSHAKE_TIMEOUT, TlsSocket
from livestream.transport.wsgi import HttpConnection

log = logging.getLogger(__name__)

BACKLOG = 1024
#: How long a request, or the pause before the next one, may take, in seconds.
IDLE_TIMEOUT = 60.0
#: How long a client that is refused has to send its request, in seconds, and how long after a silent one:
#: the accepting thread waits, and many silent clients must not hold up the others.
REFUSAL_TIMEOUT = 0.25
REFUSAL_TIMEOUT_AFTER_SILENCE = 0.005
#: Pause after an accept that the system refused for want of memory, in seconds.
ACCEPT_PAUSE = 0.05

_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"
    b"Connection: close\r\n\r\n%s"
)


class HttpServer:
    """Listens at once; serves between `start` and `stop`.

    `max_connections` bounds the TCP connections, and with them the threads;
    `idle_timeout` is in seconds. With `tls` it speaks nothing else, and a
    client has `handshake_timeout` seconds to begin so. Raises OSError when the address can't be had.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        host: str,
        port: int,
        max_connections: int,
        idle_timeout: float = IDLE_TIMEOUT,
        refused: Refused = nobody,
        tls: ssl.SSLContext | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        """`refused` is told the reason whenever a connection is refused."""
        self._app = app
        self._refused = refused
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self._max_connections = max_connections
        self._idle_timeout = idle_timeout
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        #: One descriptor kept back, to answer 503 when all others are used up.
        self._spare = _SpareDescriptor()
        # Guards the dict of connections and the flag.
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._stopping = False
        self._numbers = itertools.count(1)
        self._refusal_timeout = REFUSAL_TIMEOUT
        self._acceptor = threading.Thread(target=self._accept_all, name="accept", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port as bound; the port is the real one when 0 was asked for."""
        host, port = self._listener.getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Starts answering; returns at once. Raises RuntimeError when called again, or no thread is left."""
        self._acceptor.start()

    def stop_accepting(self) -> None:
        """Refuses new connections from now on; the open ones go on."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        if self._acceptor.ident is not None:
            self._acceptor.join()
        self._listener.close()
        self._spare.give_back()

    def drop_connections(self) -> None:
        """Ends every TCP connection; the threads that wait on them wake."""
        with self._lock:
            connections = list(self._connections.values())
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def threads(self) -> list[threading.Thread]:
        """The threads of all open connections."""
        with self._lock:
            return list(self._connections)

    def _accept_all(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError as error:
                if self._stopping:
                    return
                self._on_accept_error(error)
                continue
            self._start_thread(connection, address)

    def _on_accept_error(self, error: OSError) -> None:
        """An accept that fails leaves the client in the queue: without an answer the loop would spin."""
        if error.errno in _OUT_OF_DESCRIPTORS and self._spare.give_back():
            self._accept_on_the_spare()
        else:
            time.sleep(ACCEPT_PAUSE)
        self._spare.take()

    def _accept_on_the_spare(self) -> None:
        """Linux wants a descriptor before it looks for a client, so this one may come much later."""
        try:
            connection, address = self._listener.accept()
        except OSError:
            return
        if self._spare.take():  # others have left meanwhile
            self._start_thread(connection, address)
        else:
            self._refuse(connection, REFUSED_NO_DESCRIPTOR, "The server has no file descriptor left.")

    def _start_thread(self, connection: socket.socket, address: Any) -> None:
        if len(self._connections) >= self._max_connections:
            self._refuse(connection, REFUSED_FULL, f"All {self._max_connections} connections are taken.")
            return
        thread = threading.Thread(
            target=self._serve, args=(connection, address), name=f"rest-{next(self._numbers)}", daemon=True
        )
        with self._lock:
            self._connections[thread] = connection
        try:
            make_room_for_a_thread()
            thread.start()
        except (RuntimeError, MemoryError):
            self._forget(thread)
            self._refuse(connection, REFUSED_NO_THREAD, "The server cannot start another thread.")

    def _serve(self, connection: socket.socket, address: Any) -> None:
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._converse(connection, address)
        except OSError as error:
            log.debug("%s: %s", address[0], error)
        except Exception as error:
            log.error("%s: %r", address[0], error)
        finally:
            self._forget(threading.current_thread())

    def _converse(self, connection: socket.socket, address: Any) -> None:
        stream: Stream = connection
        scheme = "http"
        if self._tls is not None:
            stream = TlsSocket(connection, self._tls, self._handshake_timeout)
            scheme = "https"
        HttpConnection(self._app, stream, address, self.address, self._idle_timeout, scheme).serve()

    def _refuse(self, connection: socket.socket, reason: str, why: str) -> None:
        log.warning("connection refused: %s", why)
        self._refused(reason)
        if self._tls is not None:
            connection.close()  # it has no thread, and the one that accepts can't wait for a handshake
            return
        spoke = _answer_503(connection, why, self._refusal_timeout)
        self._refusal_timeout = REFUSAL_TIMEOUT if spoke else REFUSAL_TIMEOUT_AFTER_SILENCE

    def _forget(self, thread: threading.Thread) -> None:
        with self._lock:
            del self._connections[thread]


class _SpareDescriptor:
    """A file descriptor that is held only to be given back when it is the last."""

    def __init__(self) -> None:
        self._held: int | None = None
        self.take()

    def take(self) -> bool:
        """False when there is none to be had; somebody else may have been faster."""
        if self._held is None:
            with suppress(OSError):
                self._held = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return self._held is not None

    def give_back(self) -> bool:
        """False when it was gone already."""
        if self._held is None:
            return False
        os.close(self._held)
        self._held = None
        return True


def _answer_503(connection: socket.socket, why: str, timeout: float) -> bool:
    """Reads the request first, or a reset would eat the answer; False when none came in time."""
    body = why.encode() + b"\n"
    spoke = False
    with connection, suppress(OSError):
        connection.settimeout(timeout)
        with suppress(TimeoutError):
            connection.recv(65_536)
            spoke = True
        connection.settimeout(REFUSAL_TIMEOUT)
        connection.sendall(_REFUSAL % (len(body), body))
        connection.shutdown(socket.SHUT_WR)
    return spoke
