"""The server that is played against, and how to get in."""

import re
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from livestream.wire.client import Header, WireClient, WireError, handshake_request, parse_url

#: Whoever waits for a server looks so often whether it should stop, in seconds.
STOP_LATENCY: Final = 0.25

#: Is shown every text message that a server sends, as it comes; may be called by many threads.
Watch = Callable[[str], None]


def unwatched(_text: str) -> None:
    """Nobody looks at the messages one by one."""


class NoAnswer(WireError):
    """A case could not be played: the server is silent, gone or flooding. One sentence with the URL."""


@dataclass(frozen=True)
class Limits:
    """How long to wait for what, in seconds."""

    #: For anything that every server must do: connect, open the stream, answer the closing ping.
    answer: float = 5.0
    #: For what was recorded or promised and has not come, once the closing ping was answered.
    missing: float = 1.0
    #: For what nobody announced, after a subscription or where nothing is recorded.
    settle: float = 0.3
    #: The same, when everything is as recorded.
    grace: float = 0.05
    #: How long a silence case listens.
    silence: float = 3.0


#: RFC 9110, section 5: a token, and printable characters of Latin-1.
_HEADER: Final = re.compile(
    r"(?P<name>[\w!#$%&'*+.^`|~-]+):[ \t]*(?P<value>[\t -~\xa0-\xff]*?)[ \t]*", re.ASCII)


class TargetError(ValueError):
    """A server can't be addressed so; the text is one sentence that says what is wrong."""


@dataclass(frozen=True)
class Target:
    """The server to play against: its URL, what it wants besides, and how long to wait for it."""

    url: str
    headers: tuple[Header, ...] = ()
    ssl_context: ssl.SSLContext | None = None
    limits: Limits = Limits()
    #: Sees every text message that comes, whatever case it belongs to.
    watch: Watch = unwatched
    #: Set by another thread, ends what is being played.
    stop: threading.Event = field(default_factory=threading.Event)

    def reach(self, needs_stream: bool = True) -> None:
        """Connects once and goes. WireError when that, or the handshake where a stream is needed, fails."""
        if needs_stream:
            self.connect().close()
        else:
            self._open().release()

    def ask(self) -> None:
        """Asks for the stream, and takes any answer: a dying server takes connections, but answers none.

        WireError when there is none.
        """
        address = parse_url(self.url)
        request = handshake_request(address.host_header, path=address.target, add=self.headers)
        client = self._open()
        try:
            client.handshake(request)
        finally:
            client.release()

    def _open(self) -> WireClient:
        return WireClient.open(self.url, timeout=self.limits.answer, ssl_context=self.ssl_context)

    def connect(self) -> WireClient:
        """A client after its handshake. NoAnswer when there is none to be had."""
        try:
            return WireClient.connect(
                self.url, timeout=self.limits.answer, headers=self.headers, ssl_context=self.ssl_context)
        except WireError as error:
            raise NoAnswer(str(error)) from error


def check_url(url: str) -> str:
    """The URL, if it is one; TargetError when it is none."""
    try:
        parse_url(url)
    except WireError as error:
        raise TargetError(str(error)) from error
    return url


def read_headers(lines: Iterable[str]) -> tuple[Header, ...]:
    """Headers from lines such as `Authorization: Bearer …`. TargetError, which keeps the value to itself."""
    headers = []
    for number, line in enumerate(lines, 1):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise TargetError(f"Header {number} is not of the form 'Name: value', in Latin-1, on one line.")
        headers.append((match["name"], match["value"]))
    return tuple(headers)


def trusting(path: str) -> ssl.SSLContext:
    """TLS that trusts the certificates of a PEM file. TargetError when there are none."""
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        raise TargetError(f"{path} holds no certificate that can be read: {error}.") from error
