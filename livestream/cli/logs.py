"""The log: one line for each record, whatever a client sent, as text or as JSON, on standard error."""

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

#: Text lines begin as they always did.
TEXT_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"
#: What would break a line or act on a terminal: control characters, Unicode's line and paragraph separators
#: and marks of direction, and what UTF-8 can't write.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: How the name of a connection's thread begins, its own and its channels'.
_THREAD: Final = re.compile(r"stream-([0-9a-f]{8})\b")
#: How a line begins that another thread writes about a connection.
_LINE: Final = re.compile(r"connection ([0-9a-f]{8})\b")


def escaped(text: str) -> str:
    """The text on one line, with nothing that a terminal would act on; it is Python's way to escape."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def connection_of(record: logging.LogRecord, message: str) -> str | None:
    """The short id of the connection that a record is about; None when it is about none."""
    found = _LINE.match(message) or _THREAD.match(record.threadName or "")
    return found[1] if found else None


class TextFormatter(logging.Formatter):
    """`time LEVEL message`; a line about a connection begins with its id."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Told by the base class when `message` and `asctime` are set."""
        connection = connection_of(record, record.message)
        if connection is not None and connection not in record.message:
            record.message = f"connection {connection}: {record.message}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback too is on it."""
        return escaped(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object: `time` (ISO 8601, UTC), `level`, `logger`, `message`; `connection`, `error` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """JSON in ASCII escapes all that could break the line, but for DEL, which breaks none."""
        message = record.getMessage()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        connection = connection_of(record, message)
        if connection is not None:
            line["connection"] = connection
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Lines(logging.Handler):
    """Writes each line at once, past Python's buffer: what a full disk refuses is gone and forgotten."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        #: Whether the last line is there in part: the disk was full in the middle of it.
        self._is_cut = False

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: the service goes on without its log."""
        try:
            line = self.format(record) + "\n"
        except Exception:
            self.handleError(record)
            return
        data = line.encode("utf-8", "backslashreplace")
        if self._is_cut:
            data = b"\n" + data
        with suppress(OSError):
            self._is_cut = os.write(self._descriptor, data) < len(data)


FORMATTERS: Final[Mapping[str, type[logging.Formatter]]] = {"text": TextFormatter, "json": JsonFormatter}


def log_to_standard_error(level: str, log_format: str) -> None:
    """From now on every record of `level` and above; nothing where standard error is closed.

    The descriptor would then be the next client's.
    """
    handler: logging.Handler = logging.NullHandler() if sys.stderr is None else Lines(sys.stderr.fileno())
    handler.setFormatter(FORMATTERS[log_format]())
    logging.basicConfig(level=level.upper(), handlers=[handler])
