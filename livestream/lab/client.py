"""One client of the load: a protocol on the load's event loop, no thread."""

import asyncio
import time
import zlib
from typing import Any, Final

from livestream.contract import CLOSE_NORMAL, MAX_MESSAGE_BYTES
from livestream.lab.tally import Watch
from livestream.wire.frames import Frame, FrameReader, Opcode, encode_close, encode_frame

#: Of a compressed message the end that is not sent (RFC 7692, section 7.2.2).
_FLUSH: Final = b"\x00\x00\xff\xff"
#: What a client must answer, and with what: the payload comes back (RFC 6455, sections 5.5.1 and 5.5.2).
_ANSWERS: Final[dict[int, Opcode]] = {Opcode.PING: Opcode.PONG, Opcode.CLOSE: Opcode.CLOSE}


class Client(asyncio.Protocol):
    """One client: connects, sends what it is given, and has its messages watched."""

    def __init__(self, watch: Watch, request: bytes, subscriptions: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.watch = watch
        #: Done once the handshake is answered: how long it took, in milliseconds.
        self.up: asyncio.Future[float] = loop.create_future()
        #: Done once the first message is there, the welcome.
        self.greeted: asyncio.Future[None] = loop.create_future()
        #: Done once the connection is over.
        self.over: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport | None = None
        self._request = request
        self._subscriptions = subscriptions
        self._head = b""
        self._began = time.monotonic()
        self._frames = FrameReader()
        self._inflater: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected: asks for the handshake."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """The handshake's answer, then frames; `up` gets the time it took, in milliseconds."""
        if self.up.done():
            self._read(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        status = head.partition(b"\r\n")[0]
        if b" 101 " not in status:
            self.up.set_exception(ConnectionError(status.decode("latin-1")))
            return
        self.up.set_result((time.monotonic() - self._began) * 1_000)
        self._send(self._subscriptions)
        self._read(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, whoever brought it about: `over` is done."""
        if not self.up.done():
            self.up.set_exception(ConnectionError("closed before the handshake was answered"))
        self.over.set_result(None)

    def say_goodbye(self) -> None:
        """The server answers with its own Close frame and ends the connection (RFC 6455, section 7.1.1)."""
        self._send(encode_frame(Opcode.CLOSE, encode_close(CLOSE_NORMAL)))

    def drop(self) -> None:
        """Ends the connection without a word."""
        if self.transport is not None:
            self.transport.abort()

    def _send(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def _read(self, data: bytes) -> None:
        now = time.monotonic()
        for frame in self._frames.feed(data):
            if frame.opcode == Opcode.TEXT:
                self._note(frame, now)
            elif frame.opcode in _ANSWERS:
                self._send(encode_frame(_ANSWERS[frame.opcode], frame.payload))

    def _note(self, frame: Frame, now: float) -> None:
        """A message in one frame; one that can't be inflated ends the connection."""
        header = 2 if len(frame.payload) < 126 else 4
        try:
            text = self._text(frame)
        except zlib.error:
            self.drop()
            return
        if not self.greeted.done():
            self.greeted.set_result(None)
        self.watch.note(text, header + len(frame.payload), now)

    def _text(self, frame: Frame) -> bytes:
        """A message's text, or its beginning; compressed when RSV1 says so (RFC 7692, section 6)."""
        if not frame.rsv:
            return frame.payload
        if self._inflater is None:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        text: bytes = self._inflater.decompress(frame.payload + _FLUSH, MAX_MESSAGE_BYTES)
        return text
