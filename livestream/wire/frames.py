"""WebSocket frames as bytes (RFC 6455, section 5.2), legal or not.

`encode_frame` writes any frame one may want to try on a server, `FrameReader`
reads whatever comes back without judging it, and `ServerStreamCheck` is the
judge: it knows what a server may send.
"""

import codecs
import os
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple

from livestream import contract


class Opcode(IntEnum):
    """RFC 6455, section 5.2; the other ten values are reserved."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


RSV1: Final = 4
MAX_CONTROL_BYTES: Final = 125
#: What a FrameReader accepts unless told otherwise, in bytes of payload.
DEFAULT_FRAME_LIMIT: Final = 64 * 1024 * 1024
#: Stands for "draw four random bytes", as section 5.3 asks of a client.
RANDOM_MASK: Final = b""

_FIN: Final = 0x80
_MASKED: Final = 0x80
#: The 7-bit length that announces a longer one, and how many bytes follow it.
_EXTENDED_LENGTHS: Final = {126: 2, 127: 8}
_LENGTH_MARKS: Final = {size: mark for mark, size in _EXTENDED_LENGTHS.items()}
#: Every 4-bit opcode: the enum's member where there is one, else the number.
_OPCODES: Final = tuple(Opcode(n) if n in set(Opcode) else n for n in range(16))
#: Codes below 3000 that may stand in a Close frame (section 7.4.1 and the IANA registry).
_LEGAL_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class Frame(NamedTuple):
    """One frame as it was on the wire; `payload` is already unmasked, `rsv` is 4 for RSV1."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False
    #: Whether its length was written in the shortest of the three forms.
    minimal: bool = True


class FrameError(ValueError):
    """The bytes can't be cut into frames within the limit; `frames` came complete before them."""

    def __init__(self, message: str, frames: list[Frame]) -> None:
        super().__init__(message)
        self.frames = frames


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """The payload XOR the repeated 4-byte mask (section 5.3); applied twice it is the payload again."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    # One operation on long integers is some hundred times faster than one per byte.
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def _shortest_length_size(length: int) -> int:
    if length < 126:
        return 0
    return 2 if length < 65_536 else 8


def encode_frame(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = RANDOM_MASK,
    length_size: int | None = None,
) -> bytes:
    """One frame as bytes, legal or not.

    `opcode` 0 to 15, `rsv` 0 to 7 (4 is RSV1), `mask` four bytes, None for an unmasked frame.
    `length_size` forces the form of the length: 0, 2 or 8 bytes after the first seven bits.
    ValueError for what can't be written so.
    """
    if not (0 <= opcode <= 15 and 0 <= rsv <= 7):
        raise ValueError(f"opcode {opcode} or RSV {rsv} doesn't fit into its bits")
    if mask == RANDOM_MASK:
        mask = os.urandom(4)
    if mask is not None and len(mask) != 4:
        raise ValueError(f"a mask has 4 bytes, not {len(mask)}")
    length = len(payload)
    size = _shortest_length_size(length) if length_size is None else length_size
    if size < _shortest_length_size(length):
        raise ValueError(f"a length of {length} doesn't fit into {size} more bytes")
    mask_bit = 0 if mask is None else _MASKED
    first = (_FIN if fin else 0) | rsv << 4 | opcode
    header = bytes([first, mask_bit | _LENGTH_MARKS.get(size, length)])
    extended = length.to_bytes(size, "big") if size else b""
    if mask is None:
        return header + extended + payload
    return header + extended + mask + apply_mask(payload, mask)


class FrameReader:
    """Cuts a byte stream into frames, however it arrives. It judges nothing but a frame's size.

    `limit` is the largest payload in bytes that it reads; FrameError beyond it.
    """

    def __init__(self, limit: int = DEFAULT_FRAME_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        # How many bytes the buffer must hold before looking at it again is worth while.
        self._needed = 2

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame that were read so far."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes, in order. FrameError carries those before the bad one."""
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._needed:
            return []
        frames: list[Frame] = []
        start = 0
        try:
            while (end := self._frame_end(start, frames)) <= len(buffer):
                frames.append(self._read(start, end))
                start = end
        finally:
            del buffer[:start]
        self._needed = end - start
        return frames

    def _frame_end(self, start: int, frames: list[Frame]) -> int:
        """Where the frame that begins at `start` ends, or a lower bound while its header is short."""
        available = len(self._buffer) - start
        if available < 2:
            return start + 2
        second = self._buffer[start + 1]
        length = second & 0x7F
        header = 2
        if length in _EXTENDED_LENGTHS:
            header += _EXTENDED_LENGTHS[length]
            if available < header:
                return start + header
            length = int.from_bytes(self._buffer[start + 2:start + header], "big")
        if length > self._limit:
            raise FrameError(f"a frame of {length} bytes is over the limit of {self._limit}", frames)
        return start + header + (4 if second & _MASKED else 0) + length

    def _read(self, start: int, end: int) -> Frame:
        """The complete frame between `start` and `end`."""
        first, second = self._buffer[start:start + 2]
        masked = bool(second & _MASKED)
        size = _EXTENDED_LENGTHS.get(second & 0x7F, 0)
        body = start + 2 + size + (4 if masked else 0)
        payload = bytes(self._buffer[body:end])
        if masked:
            payload = apply_mask(payload, bytes(self._buffer[body - 4:body]))
        minimal = size == _shortest_length_size(len(payload))
        return Frame(_OPCODES[first & 0x0F], payload, bool(first & _FIN), first >> 4 & 7, masked, minimal)


def encode_close(code: int | None, reason: str = "") -> bytes:
    """The payload of a Close frame (section 5.5.1); None for an empty one."""
    if code is None:
        return b""
    return code.to_bytes(2, "big") + reason.encode()


def close_payload(payload: bytes) -> tuple[int, str]:
    """Code and reason of a Close frame's payload. No code, or half a one, reads as 1005 (section 7.1.5)."""
    if len(payload) < 2:
        return contract.CLOSE_NO_STATUS, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")


def is_legal_close_code(code: int) -> bool:
    """Whether a Close frame may carry this code (section 7.4)."""
    return code in _LEGAL_CLOSE_CODES or 3000 <= code <= 4999


def server_stream_faults(frames: Iterable[Frame], *, allow_rsv1: bool = False) -> list[str]:
    """What a server did wrong in these frames, one sentence each; empty when all is well.

    `allow_rsv1` is for connections with permessage-deflate (RFC 7692, section 6).
    """
    check = ServerStreamCheck(allow_rsv1=allow_rsv1)
    for frame in frames:
        check.look_at(frame)
    return check.faults


class ServerStreamCheck:
    """Judges a server's frames one by one; `faults` grows by a sentence for each thing wrong."""

    def __init__(self, *, allow_rsv1: bool = False) -> None:
        self.faults: list[str] = []
        self._allow_rsv1 = allow_rsv1
        self._count = 0
        self._name = ""
        self._closed = False
        self._in_message = False
        # Set while the message is text that can be read, which a compressed one can't.
        self._text: codecs.IncrementalDecoder | None = None

    def look_at(self, frame: Frame) -> None:
        """The stream's next frame; what is wrong with it is added to `faults` (RFC 6455, section 5)."""
        self._count += 1
        self._name = getattr(frame.opcode, "name", f"opcode {frame.opcode}")
        if self._closed:
            self._fault("comes after the Close frame", "5.5.1")
        self._check_header(frame)
        if frame.opcode >= Opcode.CLOSE:
            self._check_control(frame)
        else:
            self._check_data(frame)

    def _fault(self, what: str, section: str) -> None:
        self.faults.append(f"frame {self._count} ({self._name}) {what} (RFC 6455, {section})")

    def _check_header(self, frame: Frame) -> None:
        if frame.masked:
            self._fault("is masked", "5.1")
        if not frame.minimal:
            self._fault("has a length that is longer than it need be", "5.2")
        if not isinstance(frame.opcode, Opcode):
            self._fault("has a reserved opcode", "5.2")
        starts_message = frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        allowed = RSV1 if self._allow_rsv1 and starts_message else 0
        if frame.rsv & ~allowed:
            self._fault(f"has RSV {frame.rsv}", "5.2")

    def _check_control(self, frame: Frame) -> None:
        if len(frame.payload) > MAX_CONTROL_BYTES:
            self._fault(f"has {len(frame.payload)} bytes, more than a control frame may", "5.5")
        if not frame.fin:
            self._fault("is a fragmented control frame", "5.5")
        if frame.opcode == Opcode.CLOSE:
            self._closed = True
            self._check_close(frame.payload)

    def _check_close(self, payload: bytes) -> None:
        if not payload:
            return
        if len(payload) == 1:
            self._fault("has half a close code", "5.5.1")
            return
        code, _ = close_payload(payload)
        if not is_legal_close_code(code):
            self._fault(f"has the illegal close code {code}", "7.4")
        if not _is_utf8(payload[2:]):
            self._fault("has a reason that is not UTF-8", "5.5.1")

    def _check_data(self, frame: Frame) -> None:
        continues = frame.opcode == Opcode.CONTINUATION
        if continues and not self._in_message:
            self._fault("continues no message", "5.4")
            return
        if self._in_message and not continues:
            self._fault("begins inside a fragmented message", "5.4")
        if not continues:
            readable = frame.opcode == Opcode.TEXT and not frame.rsv
            self._text = codecs.getincrementaldecoder("utf-8")() if readable else None
        self._in_message = not frame.fin
        self._check_text(frame)

    def _check_text(self, frame: Frame) -> None:
        if self._text is None:
            return
        try:
            self._text.decode(frame.payload, frame.fin)
        except UnicodeDecodeError:
            self._fault("has text that is not UTF-8", "8.1")
            self._text = None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
