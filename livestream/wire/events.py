"""From bytes to what they mean: messages, control frames, and what was wrong with them.

RFC 6455, sections 5.4 (fragments) and 5.5 (control frames). `EventReader` never fails: whatever a server
sends becomes events and, where it breaks a rule, sentences in `faults`.
"""

from enum import Enum
from typing import Final, NamedTuple

from livestream.wire.frames import (
    DEFAULT_FRAME_LIMIT, Frame, FrameError, FrameReader, Opcode, ServerStreamCheck, close_payload,
)


class Kind(Enum):
    """What an event is."""

    TEXT = "text"
    BINARY = "binary"
    PING = "ping"
    PONG = "pong"
    CLOSE = "close"
    #: A frame that belongs to no message: a reserved opcode, or a continuation of nothing.
    ILLEGAL = "illegal"
    EOF = "eof"
    RESET = "reset"


class Event(NamedTuple):
    """Something that arrived. `at` in seconds on the client's clock, when its last byte was read."""

    kind: Kind
    at: float
    #: A text message, its fragments joined; what is not UTF-8 is replaced, and a fault of the server.
    text: str = ""
    #: The bytes of a message or control frame.
    payload: bytes = b""
    #: Of a Close frame; 1005 when it has none.
    code: int | None = None
    reason: str = ""


_DATA_KINDS: Final[dict[int, Kind]] = {Opcode.TEXT: Kind.TEXT, Opcode.BINARY: Kind.BINARY}
_CONTROL_KINDS: Final[dict[int, Kind]] = {Opcode.PING: Kind.PING, Opcode.PONG: Kind.PONG}


class EventReader:
    """Turns the bytes after a handshake into events. `limit` as in FrameReader."""

    def __init__(self, limit: int = DEFAULT_FRAME_LIMIT) -> None:
        #: Set when a frame could not be read: nothing after it can be.
        self.broken = False
        self._reader = FrameReader(limit)
        self._check = ServerStreamCheck()
        self._fragments: list[bytes] = []
        self._message_kind: Kind | None = None

    @property
    def faults(self) -> list[str]:
        """What the server did wrong so far, one sentence each."""
        return self._check.faults

    @property
    def pending(self) -> int:
        """Bytes of a frame that began and did not end yet."""
        return self._reader.pending

    def feed(self, data: bytes, at: float) -> list[Event]:
        """The events that these bytes complete, in order; `at` is the time they arrived."""
        try:
            return self._events(self._reader.feed(data), at)
        except FrameError as error:
            self.broken = True
            self.faults.append(str(error))
            return [*self._events(error.frames, at), Event(Kind.ILLEGAL, at, reason=str(error))]

    def _events(self, frames: list[Frame], at: float) -> list[Event]:
        events = []
        for frame in frames:
            self._check.look_at(frame)
            event = self._event(frame, at)
            if event is not None:
                events.append(event)
        return events

    def _event(self, frame: Frame, at: float) -> Event | None:
        """The event that a frame makes; None while its message goes on."""
        if frame.opcode == Opcode.CLOSE:
            code, reason = close_payload(frame.payload)
            return Event(Kind.CLOSE, at, payload=frame.payload, code=code, reason=reason)
        if frame.opcode in _CONTROL_KINDS:
            return Event(_CONTROL_KINDS[frame.opcode], at, payload=frame.payload)
        return self._data_event(frame, at)

    def _data_event(self, frame: Frame, at: float) -> Event | None:
        if frame.opcode in _DATA_KINDS:
            self._message_kind = _DATA_KINDS[frame.opcode]
            self._fragments = []
        elif frame.opcode != Opcode.CONTINUATION or self._message_kind is None:
            return Event(Kind.ILLEGAL, at, payload=frame.payload)
        self._fragments.append(frame.payload)
        if not frame.fin:
            return None
        kind, payload = self._message_kind, b"".join(self._fragments)
        self._message_kind, self._fragments = None, []
        text = payload.decode(errors="replace") if kind is Kind.TEXT else ""
        return Event(kind, at, text=text, payload=payload)
