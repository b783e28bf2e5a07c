"""permessage-deflate, for clients that offer it and only when asked for: the original never compresses.

The negotiation and the frames are wsproto's; what is added keeps the memory
of a connection small and bounded. Source: RFC 7692.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Any, Final

from wsproto.events import TextMessage
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from livestream.transport.frames import MessageTooBig
from livestream.transport.session import Limits
from livestream.transport.utf8 import encode_text
from livestream.transport.websocket import WebSocket

#: What we compress with: a window of 2 kB and a small table hold the last ten messages, which is all that the
#: next one resembles. Measured on the four channels: 31 bytes a second instead of 285, for 22 kB a client.
#: zlib's defaults save one byte more, for 206 kB; forgetting after each message leaves 234, for no memory.
WINDOW_BITS: Final = 11
MEMORY_LEVEL: Final = 4
#: So much is decompressed at once, in bytes: it becomes a thousand times as much at most.
PIECE: Final = 256

_WINDOW = r'= *"?(?:[89]|1[0-5])"?'
#: RFC 7692, section 7.1: an offer with anything else in it is declined.
_OFFER: Final = re.compile(
    r"permessage-deflate(?: *; *(?:(?:server|client)_no_context_takeover"
    rf"|server_max_window_bits *{_WINDOW}|client_max_window_bits *(?:{_WINDOW})?))*"
)


class Deflate(PerMessageDeflate):
    """One connection's compression. `max_message` bounds the decompressed size in bytes (0: no limit).

    Raises MessageTooBig in the midst of a message that grows beyond, whatever is still to come of it.
    """

    def __init__(self, max_message: int) -> None:
        # The client's few messages are small: its window need not be kept between them.
        super().__init__(client_no_context_takeover=True)
        self._max_message = max_message
        self._size = 0
        self._in_control_frame = False
        self._squeezer: Any = None

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Control frames are never compressed (section 6.1), and wsproto would lose its place at them."""
        self._in_control_frame = opcode.iscontrol()
        if self._in_control_frame:
            return RsvBits(False, False, False)
        if opcode is not Opcode.CONTINUATION:
            self._size = 0
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        """Decompresses in small pieces, so that a bomb is found out before it has grown."""
        if self._in_control_frame:
            return data
        whole = bytearray()
        for start in range(0, len(data), PIECE):
            piece = super().frame_inbound_payload_data(proto, data[start:start + PIECE])
            if isinstance(piece, CloseReason):
                return piece
            if self._has_ended():
                return CloseReason.INVALID_FRAME_PAYLOAD_DATA
            self._size += len(piece)
            if 0 < self._max_message < self._size:
                raise MessageTooBig(self._max_message)
            whole += piece
        return bytes(whole)

    def _has_ended(self) -> bool:
        """Whether data come after the last block, which zlib would hoard; one byte may (section 7.2.3.4)."""
        return self._decompressor is not None and len(self._decompressor.unused_data) > 1

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        """The end of a control frame is not the end of the message around it."""
        return None if self._in_control_frame else super().frame_inbound_complete(proto, fin)

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        """Compresses a whole message; the lock that orders the frames is held."""
        if opcode.iscontrol():
            return rsv, data
        if self._squeezer is None or self.server_no_context_takeover:
            self._squeezer = zlib.compressobj(
                zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -self.server_max_window_bits, MEMORY_LEVEL
            )
        squeezed = self._squeezer.compress(bytes(data)) + self._squeezer.flush(zlib.Z_SYNC_FLUSH)
        return RsvBits(True, False, False), squeezed[:-4]  # section 7.2.1, step 3


class CompressedWebSocket(WebSocket):
    """A connection whose data messages are compressed, in both directions as each side likes."""

    def __init__(
        self,
        environ: dict[str, Any],
        limits: Limits,
        subprotocols: Sequence[str],
        deflate: Deflate,
        parameters: str,
    ) -> None:
        self._deflate = deflate
        self._agreed = f"Sec-WebSocket-Extensions: {deflate.name}; {parameters}\r\n".encode()
        super().__init__(environ, limits, subprotocols)

    def _extensions(self) -> tuple[list[Extension], bytes]:
        self._watch.compression = True
        return [self._watch, self._deflate], self._agreed

    def send_text(self, text: str) -> None:
        """As WebSocket's; one lock over the compressor and the writing, so that both have the same order."""
        message = TextMessage(data=encode_text(text).decode())
        with self._lock:
            self._require_open()
            self._write(self.ws.send(message))


def open_compressed(
    environ: dict[str, Any], limits: Limits, subprotocols: Sequence[str] = ()
) -> WebSocket:
    """A connection with the first acceptable offer of the client's, or without compression.

    Raises what WebSocket raises.
    """
    for offer in environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "").split(","):
        deflate = Deflate(limits.message)
        parameters = _accept(deflate, offer.strip())
        if parameters is not None:
            return CompressedWebSocket(environ, limits, subprotocols, deflate, parameters)
    return WebSocket(environ, limits, subprotocols)


def _accept(deflate: Deflate, offer: str) -> str | None:
    """The parameters of the answer; None to an offer that is wrong or can't be met (zlib has no 8 bits)."""
    if not _OFFER.fullmatch(offer):
        return None
    given = [part.replace(" ", "").replace('"', "").partition("=") for part in offer.split(";")]
    parameters = {name: value for name, _, value in given}
    if len(parameters) < len(given):
        return None
    # Also unasked the server may say how little the client need keep (section 7.1.2.1).
    most = int(parameters.get("server_max_window_bits", WINDOW_BITS))
    parameters["server_max_window_bits"] = str(min(most, WINDOW_BITS))
    answer = deflate.accept("; ".join(f"{name}={value}".rstrip("=") for name, value in parameters.items()))
    return answer if isinstance(answer, str) else None
