"""What the transport adds to wsproto's frames: the original's size limit and its idea of an error.

Source: SPEC, "Frames" and "Life of a connection", 8; RFC 6455, sections 5.2 and 5.5.1.
"""

import io
import struct
from typing import Any, Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

_NO_RSV: Final = RsvBits(False, False, False)
_RSV1: Final = RsvBits(True, False, False)
_FIN_BIT: Final = 0x80
_MASK_BIT: Final = 0x80
#: FIN and the text opcode; the server's frames are never masked.
_TEXT_HEADER: Final = 0x81
#: wsproto refuses this code, the original echoes it: no error there.
_ECHOED_BY_THE_ORIGINAL: Final = 1014


def text_frame(payload: bytes) -> bytes:
    """A whole text message as one unmasked frame (RFC 6455, section 5.2).

    Written here because it is on the path of every update: a tenth of the
    time that wsproto's general writer takes.
    """
    size = len(payload)
    if size < 126:
        return bytes((_TEXT_HEADER, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", _TEXT_HEADER, 126, size) + payload
    return struct.pack("!BBQ", _TEXT_HEADER, 127, size) + payload


class MessageTooBig(Exception):
    """A message has more bytes than its `limit`; the text is the reason for the Close frame."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Max message length of {limit} has been exceeded.")


class MessageAssembler:
    """Puts a message of up to `limit` bytes (0: no limit) together from its pieces.

    It writes them into one buffer: a list would grow with their number, and
    a fragment may be empty.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._buffer: Any = None

    def add(self, piece: str | bytes | bytearray, is_last: bool) -> str | bytes | None:
        """The whole message after its last piece, else None. Raises MessageTooBig."""
        self._size += _utf8_size(piece) if isinstance(piece, str) else len(piece)
        if 0 < self._limit < self._size:
            raise MessageTooBig(self._limit)
        if self._buffer is None:
            self._buffer = io.StringIO() if isinstance(piece, str) else io.BytesIO()
        self._buffer.write(piece)
        if not is_last:
            return None
        message: str | bytes = self._buffer.getvalue()
        self.clear()
        return message

    def clear(self) -> None:
        """Forgets what has come so far."""
        self._size = 0
        self._buffer = None


def _utf8_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


class FrameWatch(Extension):
    """Sees every frame before wsproto acts on it. It is never negotiated and changes nothing.

    It refuses a frame beyond `max_frame` bytes (0: no limit) at its header,
    and remembers what it must to tell a protocol error, which the original
    closes, from what its `onError` hears of.
    """

    name = "livestream-frame-watch"

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        #: RSV1 begins a compressed message (RFC 7692, section 6); not without the extension.
        self.compression = False
        self._in_message = False
        self._too_big = False
        self._close_payload: bytes | None = None

    def enabled(self) -> bool:
        """Always: wsproto drops extensions that are not."""
        return True

    def offer(self) -> bool:
        """Never offered."""
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Refuses a frame that is too big, if nothing else is wrong with it: 1002 comes before 1009."""
        legal = self._is_legal(rsv, opcode) and _is_masked(proto) and self._continues_rightly(opcode)
        if 0 < self._max_frame < payload_length and legal:
            self._too_big = True
            return CloseReason.MESSAGE_TOO_BIG
        self._close_payload = b"" if opcode is Opcode.CLOSE else None
        if not opcode.iscontrol():
            self._in_message = not _is_final(proto)
        return _NO_RSV

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes:
        """Remembers a Close frame's payload."""
        if self._close_payload is not None:
            self._close_payload += data
        return data

    def reason(self, otherwise: str) -> str:
        """The Close reason for what was refused."""
        if self._too_big:
            return f"Max frame length of {self._max_frame} has been exceeded."
        return otherwise

    def on_error_reason(self) -> str | None:
        """Why `onError` hears of the frame that was refused; None for a plain protocol error."""
        if self._too_big:
            return self.reason("")
        if self._close_payload is None or len(self._close_payload) < 2:
            return None
        (code,) = struct.unpack("!H", self._close_payload[:2])
        if code == _ECHOED_BY_THE_ORIGINAL:
            return None
        return f"illegal Close frame with code {code}"

    def _is_legal(self, rsv: RsvBits, opcode: Opcode) -> bool:
        if rsv == _RSV1:
            return self.compression and opcode in (Opcode.TEXT, Opcode.BINARY)
        return rsv == _NO_RSV

    def _continues_rightly(self, opcode: Opcode) -> bool:
        return self._in_message is (opcode is Opcode.CONTINUATION)


def _is_masked(proto: FrameDecoder | FrameProtocol) -> bool:
    return bool(_header(proto)[1] & _MASK_BIT)


def _is_final(proto: FrameDecoder | FrameProtocol) -> bool:
    return bool(_header(proto)[0] & _FIN_BIT)


def _header(proto: FrameDecoder | FrameProtocol) -> bytearray:
    """The frame's first bytes: the decoder drops them only after the extensions have seen them."""
    assert isinstance(proto, FrameDecoder)
    return proto.buffer.buffer
