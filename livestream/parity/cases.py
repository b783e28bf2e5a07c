"""The corpus: what the original answered, as cases and whole sessions.

Format `livestream-corpus/1`: JSON lines, the first one the header, every other one a case or a session's
step (SPEC's corpus/README.md). A file is one of the package's own, by name, or a user's, by path.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

from livestream import contract
from livestream.wire.frames import Opcode, encode_frame

#: A step or an observation, as it stands in the file.
Record = Mapping[str, Any]

SESSION_PREFIX: Final = "session-"
SUFFIX: Final = ".jsonl"


class CorpusError(ValueError):
    """A corpus file can't be used; the text names the file and, where there is one, the line."""


@dataclass(frozen=True)
class Header:
    """The first line of a file: what it was recorded from, and when (a date)."""

    format: str
    recorded_from: str
    recorded_on: str
    #: Whether the recording ended before its end.
    partial: bool = False


@dataclass(frozen=True)
class Case:
    """One case. Messages, frames and silence have steps to `send`, handshakes and http a `request`."""

    name: str
    kind: str
    observed: Record
    send: tuple[Record, ...] = ()
    request: Record | None = None


@dataclass(frozen=True)
class SessionStep:
    """One thing in a session: `at` seconds since the handshake, sent or received (`dir` "send", "recv").

    Just one of `text`, `close` (its code) and `event` ("eof", "reset", …) is set.
    """

    at: float
    dir: str
    text: str | None = None
    close: int | None = None
    event: str | None = None

    def record(self) -> dict[str, Any]:
        """The step as it stands in a file."""
        content = {"text": self.text, "close": self.close, "event": self.event}
        said = {key: value for key, value in content.items() if value is not None}
        return {"at": self.at, "dir": self.dir, **said}


@dataclass(frozen=True)
class Session:
    """A whole session, its steps in the order in which they happened."""

    name: str
    header: Header
    steps: tuple[SessionStep, ...]


class KindShape(NamedTuple):
    """What a case of one kind must have: the field that says what to do, and what was observed."""

    input: str
    observed: frozenset[str]


_CONVERSATION: Final = KindShape("send", frozenset(
    ("replies", "updates_started", "control", "close", "connection_ended", "answers_ping_after")))
KINDS: Final[Mapping[str, KindShape]] = {
    "message": _CONVERSATION,
    "frame": _CONVERSATION,
    "silence": KindShape("send", frozenset(("frames",))),
    "handshake": KindShape("request", frozenset(("status", "headers", "stream_opens"))),
    "http": KindShape("request", frozenset(
        ("status", "content_type", "allow", "access_control_allow_origin", "body"))),
}


def corpus_files() -> list[str]:
    """The names of the packaged files, sessions included, in alphabetical order."""
    return sorted(entry.name for entry in _package().iterdir() if entry.name.endswith(SUFFIX))


def load_header(file: str | Path) -> Header:
    """The header of a file. CorpusError when it isn't one of this format."""
    return _load(file)[0]


def load_cases(file: str | Path) -> list[Case]:
    """The cases of a packaged file, by name (`messages.jsonl`), or of a user's, by any other path.

    CorpusError names file and line of what can't be used.
    """
    _, lines = _load(file)
    cases: dict[str, Case] = {}
    for number, record in lines:
        try:
            case = _case(record)
            if case.name in cases:
                raise ValueError(f"there is a case {case.name!r} before")
        except ValueError as error:
            raise CorpusError(f"{file}, line {number}: {error}.") from error
        cases[case.name] = case
    return list(cases.values())


def load_session(name: str | Path) -> Session:
    """A packaged session by short name (`tps-only`) or file name, or a user's by path. CorpusError too."""
    packaged = f"{SESSION_PREFIX}{name}{SUFFIX}"
    file = packaged if packaged in corpus_files() else name
    header, lines = _load(file)
    steps = []
    for number, record in lines:
        try:
            steps.append(_session_step(record))
        except ValueError as error:
            raise CorpusError(f"{file}, line {number}: {error}.") from error
    return Session(Path(file).name.removeprefix(SESSION_PREFIX).removesuffix(SUFFIX), header, tuple(steps))


def wire_bytes(step: Record) -> bytes:
    """The bytes that a step puts on the wire: `text`, `frame`, `padded_ping` or `raw_hex`.

    ValueError, or KeyError, TypeError or AttributeError, for a step that is not of this form.
    """
    sort = _sort(step)
    return _STEPS[sort](step)


def _package() -> Any:
    return files("livestream.parity") / "corpus"


def _load(file: str | Path) -> tuple[Header, list[tuple[int, Record]]]:
    """Header, and the other lines with their numbers."""
    lines = _read(file).split("\n")
    records = [(number, _object(file, number, line)) for number, line in enumerate(lines, 1) if line.strip()]
    if not records:
        raise CorpusError(f"{file} is empty.")
    (number, first), *others = records
    if first.get("format") != contract.CORPUS_FORMAT:
        found = first.get("format", "none")
        raise CorpusError(f"{file}, line {number}: the format is {found!r}, not {contract.CORPUS_FORMAT!r}.")
    recorded = {key: str(first.get(key, "")) for key in ("recorded_from", "recorded_on")}
    return Header(contract.CORPUS_FORMAT, **recorded, partial=first.get("partial") is True), others


def _read(file: str | Path) -> str:
    entry = _package() / file if str(file) in corpus_files() else Path(file)
    try:
        return str(entry.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file} can't be read: {error}.") from error


def _object(file: str | Path, number: int, line: str) -> Record:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{file}, line {number} is not JSON: {error}.") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{file}, line {number} is not a JSON object.")
    return record


def _case(record: Record) -> Case:
    name, kind = _get(record, "case", str), _get(record, "kind", str)
    if kind not in KINDS:
        raise ValueError(f"the kind {kind!r} is none of {', '.join(KINDS)}")
    shape = KINDS[kind]
    observed = _get(record, "observed", dict)
    missing = shape.observed - observed.keys()
    if missing:
        raise ValueError(f"`observed` lacks {', '.join(sorted(missing))}")
    if shape.input == "request":
        return Case(name, kind, observed, request=_get(record, "request", dict))
    send = tuple(_get(record, "send", list))
    for step in send:
        _check_step(step)
    return Case(name, kind, observed, send=send)


def _session_step(record: Record) -> SessionStep:
    at, direction = _get(record, "at", int, float), _get(record, "dir", str)
    if direction not in ("send", "recv"):
        raise ValueError(f"`dir` is {direction!r}, not send or recv")
    said = [key for key in ("text", "close", "event") if key in record]
    if len(said) != 1:
        raise ValueError("a step has just one of text, close and event")
    _get(record, said[0], int if said[0] == "close" else str)
    return SessionStep(float(at), direction, **{said[0]: record[said[0]]})


def _get(record: Record, key: str, *types: type) -> Any:
    value = record.get(key)
    if not isinstance(value, types):
        raise ValueError(f"`{key}` is missing or not {' or '.join(wanted.__name__ for wanted in types)}")
    return value


def _sort(step: Record) -> str:
    """Which sort of step this is."""
    sorts = [sort for sort in _STEPS if sort in step] if isinstance(step, dict) else []
    if len(sorts) != 1:
        raise ValueError(f"a step has just one of {', '.join(_STEPS)}")
    return sorts[0]


def _check_step(step: Record) -> None:
    """ValueError when the step can't be put on the wire."""
    try:
        wire_bytes(step)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a step can't be sent: {error}") from error


def _text_bytes(step: Record) -> bytes:
    return encode_frame(Opcode.TEXT, step["text"].encode())


def _frame_bytes(step: Record) -> bytes:
    frame = step["frame"]
    # "mask" is only ever false: a masked frame gets a random mask.
    encode = encode_frame if frame.get("mask", True) else partial(encode_frame, mask=None)
    payload = bytes.fromhex(frame["payload_hex"])
    return encode(frame["opcode"], payload, fin=frame.get("fin", True), rsv=frame.get("rsv", 0))


def _padded_ping_bytes(step: Record) -> bytes:
    """A ping message padded with the key `a` to so many bytes, in frames of `fragment` bytes."""
    size = step["padded_ping"]
    start, end = b'{"type":"ping","a":"', b'"}'
    if size < len(start + end):
        raise ValueError(f"a padded ping has at least {len(start + end)} bytes")
    message = start.ljust(size - len(end), b"x") + end
    fragment = step.get("fragment", size)
    pieces = [message[at:at + fragment] for at in range(0, size, fragment)]
    last = len(pieces) - 1
    return b"".join(
        encode_frame(Opcode.CONTINUATION if number else Opcode.TEXT, piece, fin=number == last)
        for number, piece in enumerate(pieces)
    )


def _raw_bytes(step: Record) -> bytes:
    return bytes.fromhex(step["raw_hex"])


_STEPS: Final = {
    "text": _text_bytes, "frame": _frame_bytes, "padded_ping": _padded_ping_bytes, "raw_hex": _raw_bytes,
}
