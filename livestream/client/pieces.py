"""Puts a message together from the pieces in which it comes (RFC 6455, section 5.4)."""

import io
from typing import Any


class MessageTooBig(Exception):
    """A message has more bytes than it may."""


class Assembler:
    """One message after the other, of `limit` bytes at most."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._size = 0
        self._buffer: Any = None

    def add(self, piece: str | bytes | bytearray, is_last: bool) -> str | bytes | None:
        """The whole message after its last piece, else None. MessageTooBig."""
        self._size += len(piece.encode() if isinstance(piece, str) else piece)
        if self._size > self.limit:
            raise MessageTooBig
        if self._buffer is None:
            # Written into one: a list would grow with the number of pieces, and a fragment may be empty.
            self._buffer = io.StringIO() if isinstance(piece, str) else io.BytesIO()
        self._buffer.write(piece)
        if not is_last:
            return None
        message: str | bytes = self._buffer.getvalue()
        self.clear()
        return message

    def clear(self) -> None:
        """Forgets what has come so far."""
        self._size, self._buffer = 0, None
