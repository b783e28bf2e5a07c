"""One HTTP/1.1 connection: requests by h11 on one side, a WSGI application on the other.

Source: PEP 3333; RFC 9112. The WebSocket takes the socket over through the
`werkzeug.socket` entry of the environ, as Flask-Sock expects.
"""

import io
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

import h11

from livestream.transport.linger import end_gently
from livestream.transport.sockets import Stream

log = logging.getLogger(__name__)

RECEIVE_BYTES = 16_384
#: The largest request body that is read, in bytes; no resource here takes one.
MAX_BODY_BYTES = 65_536

Environ = dict[str, Any]
_UNPREFIXED = {"CONTENT_TYPE", "CONTENT_LENGTH"}
#: From here on an error of h11 shows what the client sent.
_QUOTED_BYTES = re.compile(r""":? *(?:bytearray\()?b?['"]""")


class _RequestRefused(Exception):
    """The request can't be served; the connection ends with this status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class HttpConnection:
    """Serves the requests of one TCP connection in turn, on the calling thread."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        sock: Stream,
        client: Any,
        server: tuple[str, int],
        timeout: float,
        scheme: str = "http",
    ) -> None:
        """`timeout` in seconds: for the pause before a request, for all of a request, for each answer."""
        self._app = app
        self._sock = sock
        self._client = client
        self._server = server
        self._timeout = timeout
        self._scheme = scheme
        self._deadline = 0.0
        self._http = h11.Connection(h11.SERVER)

    def serve(self) -> None:
        """Until the client closes, asks to close, errs, or becomes a WebSocket. Raises OSError when lost."""
        try:
            while self._serve_one():
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, _without_quotes(str(error)))
        except _RequestRefused as refusal:
            self._refuse(refusal.status, str(refusal))

    def _serve_one(self) -> bool:
        """One request and its answer; False when the connection is used up."""
        self._deadline = time.monotonic() + self._timeout
        request = self._next_event()
        if not isinstance(request, h11.Request):
            return False
        environ = self._environ(request, self._read_body())
        try:
            self._answer(environ, request.method == b"HEAD")
        except ConnectionAbortedError:
            return False  # it became a WebSocket, and that is over
        except OSError:
            raise
        except Exception as error:
            raise _RequestRefused(500, f"the application failed: {error!r}") from error
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            return True
        end_gently(self._sock)
        return False

    def _next_event(self) -> Any:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(self._receive())

    def _receive(self) -> bytes:
        """The next bytes. Raises TimeoutError where none of a request has come yet, else refuses it."""
        if self._http.their_state is h11.IDLE and not self._http.trailing_data[0]:
            data = self._receive_within(self._timeout)
            self._deadline = time.monotonic() + self._timeout
            return data
        try:
            return self._receive_within(self._deadline - time.monotonic())
        except TimeoutError as error:
            raise _RequestRefused(408, f"a request may take {self._timeout} s") from error

    def _receive_within(self, seconds: float) -> bytes:
        if seconds <= 0:
            raise TimeoutError
        self._sock.settimeout(seconds)
        return self._sock.recv(RECEIVE_BYTES)

    def _read_body(self) -> bytes:
        body = bytearray()
        while True:
            event = self._next_event()
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise _RequestRefused(413, f"a request body may have {MAX_BODY_BYTES} bytes")

    def _environ(self, request: h11.Request, body: bytes) -> Environ:
        target = request.target.decode("latin-1")
        path, _, query = _origin_form(target).partition("?")
        environ: Environ = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self._scheme,
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "werkzeug.socket": self._sock,
            "REQUEST_METHOD": _method(request),
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": target,
            "REMOTE_ADDR": self._client[0],
            "REMOTE_PORT": str(self._client[1]),
            "SERVER_NAME": self._server[0],
            "SERVER_PORT": str(self._server[1]),
            "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode('ascii')}",
        }
        _add_headers(environ, request)
        return environ

    def _answer(self, environ: Environ, head: bool) -> None:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            started[:] = [(status, headers)]
            return body.append

        body: list[bytes] = []
        answer = self._app(environ, start_response)
        try:
            body.extend(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        status, headers = started[0]
        code, _, reason = status.partition(" ")
        self._send(
            h11.Response(status_code=int(code), headers=headers, reason=reason.encode("latin-1")),
            h11.Data(data=b"" if head else b"".join(body)),
            h11.EndOfMessage(),
        )

    def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        self._sock.settimeout(self._timeout)
        self._sock.sendall(data)

    def _refuse(self, status: int, why: str) -> None:
        log.warning("%s: %d: %s", self._client[0], status, why)
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [("Content-Length", "0"), ("Connection", "close")]
        self._send(h11.Response(status_code=status, headers=headers), h11.EndOfMessage())
        end_gently(self._sock)


def _without_quotes(complaint: str) -> str:
    """What h11 complains of, without the bytes that it quotes: a header's value may be a secret."""
    return _QUOTED_BYTES.split(complaint, maxsplit=1)[0]


def _method(request: h11.Request) -> str:
    """The method, which is case-sensitive (RFC 9110, section 9.1); Flask would take `get` for GET."""
    method = request.method.decode("ascii")
    return method if method == method.upper() else f"{method}-in-another-case"


def _origin_form(target: str) -> str:
    """The path and query of a request target (RFC 9112, section 3.2); proxies get the whole URL."""
    if target.startswith("/"):
        return target
    authority_and_path = target.partition("://")[2]
    return "/" + authority_and_path.partition("/")[2]


def _add_headers(environ: Environ, request: h11.Request) -> None:
    """Header fields as CGI variables; a repeated one is joined by a comma (RFC 9110, section 5.3)."""
    for name, value in request.headers:
        key = name.decode("ascii").upper()
        if "_" in key:
            continue  # it would pass for the field with a hyphen
        key = key.replace("-", "_")
        if key not in _UNPREFIXED:
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
