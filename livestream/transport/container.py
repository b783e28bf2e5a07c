"""What the original's container does: checks the handshake, and tells the endpoint of events.

`Sock` is Flask-Sock with the connection class, the refusals and the ending
that this service needs; a route's function still takes a `ws` with `send`,
`receive` and `close`. Source: RFC 6455, section 4.2; SPEC, "Service" and "Frames".
"""

import base64
import binascii
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import flask_sock
from flask import Flask, Response, abort, request
from simple_websocket import ConnectionClosed
from werkzeug.exceptions import HTTPException

from livestream.contract import (
    CLOSE_INTERNAL_ERROR, REFUSED_FULL, REFUSED_HANDSHAKE, REFUSED_ORIGIN, REFUSED_RATE, REFUSED_TOKEN,
)
from livestream.transport.compression import open_compressed
from livestream.transport.refusals import Refused, nobody
from livestream.transport.session import Limits
from livestream.transport.tls import UnsafeTls
from livestream.transport.websocket import WebSocket

log = logging.getLogger(__name__)


#: RFC 6455, section 4.1: the key is 16 bytes in base64.
KEY_BYTES = 16
WEBSOCKET_VERSION = "13"

#: Why a refusal refuses, by its status.
_REASONS = {401: REFUSED_TOKEN, 403: REFUSED_ORIGIN, 429: REFUSED_RATE}

#: How a WSGI server is told that its socket is used up and nothing may be answered any more.
_ENDINGS: dict[str, type[Exception]] = {
    "werkzeug": ConnectionAbortedError,
    "gunicorn": StopIteration,
}


class _Upgraded(Response):
    """The answer after a WebSocket: none. Anything written now would follow the Close frame."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self._ending = _ENDINGS.get(mode, ConnectionAbortedError)

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        raise self._ending


class _Places:
    """So many connections at once, and no more."""

    def __init__(self, number: int) -> None:
        # Guards the number.
        self._lock = threading.Lock()
        self._free = number

    def take(self) -> bool:
        """False when all are taken."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        """One that was taken."""
        with self._lock:
            self._free += 1

    @property
    def are_taken(self) -> bool:
        """Whether there is none left."""
        with self._lock:
            return self._free == 0


class Sock(flask_sock.Sock):  # type: ignore[misc]
    """Flask-Sock with checked handshakes, at most `max_connections` at once, and safe connections."""

    def __init__(
        self,
        app: Flask,
        max_connections: int,
        limits: Limits = Limits(),
        refusal: Callable[[], Response | None] = lambda: None,
        subprotocols: Sequence[str] = (),
        compression: bool = False,
        refused: Refused = nobody,
    ) -> None:
        """`refusal` is asked before a handshake is answered: None, or in place of it a 401, 403 or 429.

        Of the `subprotocols` the first that a client offers is agreed on,
        and `compression` if it offers that.
        `refused` is told the reason whenever a connection is refused.
        """
        super().__init__(app)
        self._refusal = refusal
        self._subprotocols = subprotocols
        self._max_connections = max_connections
        self._places = _Places(max_connections)
        self._limits = limits
        self._open = open_compressed if compression else WebSocket
        self._refused = refused

    @property
    def is_full(self) -> bool:
        """Whether the next connection would be refused."""
        return self._places.are_taken

    def route(self, path: str, bp: Any = None, **options: Any) -> Callable[[Callable[..., None]], Any]:
        """Registers a function that is called with the connection, as Flask-Sock's `route` does.

        A failed handshake is answered 404, or 400 for a malformed key; a
        connection too many gets 503, one by another server's own TLS 501.
        """

        def decorator(function: Callable[..., None]) -> Callable[..., Response]:
            @wraps(function)
            def websocket_route(*args: Any, **kwargs: Any) -> Response:
                self._check_handshake()
                refusal = self._refusal()
                if refusal is not None:
                    self._refused(_REASONS[refusal.status_code])
                    return refusal
                if not self._places.take():
                    return self._full()
                # A container's pool uses the thread again, for another request.
                thread = threading.current_thread()
                name = thread.name
                try:
                    return self._serve(function, *args, **kwargs)
                finally:
                    thread.name = name
                    self._places.give_back()

            # Flask would answer OPTIONS by itself, handshake or not.
            options.setdefault("provide_automatic_options", False)
            (bp or self.app).add_url_rule(path, view_func=websocket_route, websocket=True, **options)
            return websocket_route

        return decorator

    def _serve(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> Response:
        try:
            session = self._open(request.environ, self._limits, self._subprotocols)
        except UnsafeTls as error:
            log.error("%s: %s", request.path, error)
            return Response(f"{error}\n", 501, mimetype="text/plain")
        except OSError as error:
            log.debug("%s: lost before the handshake was answered: %s", request.path, error)
            return _Upgraded("werkzeug")
        try:
            function(session, *args, **kwargs)
        except ConnectionClosed:
            pass
        except Exception as error:
            log.error("%s: %r", request.path, error)
            session.close(CLOSE_INTERNAL_ERROR, "internal error")
        session.finish()
        return _Upgraded(session.mode)

    def _check_handshake(self) -> None:
        try:
            _check_handshake()
        except HTTPException:
            self._refused(REFUSED_HANDSHAKE)
            raise

    def _full(self) -> Response:
        self._refused(REFUSED_FULL)
        log.warning("connection refused: all %d are taken (--max-connections)", self._max_connections)
        return Response(f"All {self._max_connections} connections are taken.\n", 503, mimetype="text/plain")


def _check_handshake() -> None:
    """RFC 6455, section 4.2.1; what Flask's router has checked already is left out."""
    headers = request.headers
    if request.method != "GET" or request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        abort(404)
    if headers.get("Sec-WebSocket-Version") != WEBSOCKET_VERSION or "Sec-WebSocket-Key" not in headers:
        abort(404)
    if not _is_key(headers["Sec-WebSocket-Key"]):
        abort(400)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.strip(), validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False
