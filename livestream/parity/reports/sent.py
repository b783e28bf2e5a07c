"""What a case sends, in words; and how texts from the wire are made fit to be read."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from livestream import contract
from livestream.parity.cases import Case, Record
from livestream.wire.frames import Opcode

#: How much of one text is shown, in characters.
LONGEST: Final = 400
#: Stands for an empty text, which nobody would see.
EMPTY: Final = "(empty text)"

_NONCHARACTERS: Final = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xfffe, 0xffff))
# What XML 1.0 (section 2.2) and HTML forbid, a carriage return, which reading XML would change, and what
# nobody sees: marks of no width, and those that turn the writing direction of the text around them.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff"
    f"{_NONCHARACTERS}]")
_OPCODES: Final = {int(opcode): opcode.name.lower() for opcode in Opcode}


def sent(case: Case) -> list[str]:
    """What a case sends, one line of words for each step or part of its request; long texts are shortened."""
    if case.request is not None:
        lines = _REQUESTS.get(case.kind, _facts)(case.request)
    elif case.kind == "session":
        lines = (f"at {step['at']:.2f} s: {_step(step)}" for step in case.send)
    else:
        lines = (_step(step) for step in case.send)
    return [shortened(line) for line in lines] or ["nothing"]


def shortened(text: str, longest: int = LONGEST) -> str:
    """A long text without its middle, which is counted instead."""
    if len(text) <= longest:
        return text
    start = longest * 3 // 4
    left_out = len(text) - longest
    return f"{text[:start]} … {left_out} more … {text[start + left_out:]}"


def visible(text: str) -> str:
    """The same text with control and other unseen characters and unpaired surrogates as `⟨U+0007⟩`.

    Line feeds and tabs stay. What comes out can stand in XML, in HTML, in UTF-8 and on a terminal.
    """
    return _UNSEEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def _step(step: Record) -> str:
    words = next((words for sort, words in _STEPS.items() if sort in step), None)
    return words(step) if words else ", ".join(_facts(step))


def _text(step: Record) -> str:
    return str(step["text"]) or EMPTY


def _frame(step: Record) -> str:
    frame = step["frame"]
    opcode, payload = frame["opcode"], frame["payload_hex"]
    said = [
        f"opcode {opcode} ({_OPCODES.get(opcode, 'reserved')})",
        "fin" if frame.get("fin", True) else "without fin",
        f"rsv={frame['rsv']}" if frame.get("rsv") else "",
        "" if frame.get("mask", True) else "unmasked",
    ]
    return f"{' '.join(word for word in said if word)}, {_bytes(payload)}"


def _bytes(payload_hex: str) -> str:
    size = len(payload_hex) // 2
    return f"{size} {'byte' if size == 1 else 'bytes'}{': ' if size else ''}{payload_hex}"


def _padded_ping(step: Record) -> str:
    size = step["padded_ping"]
    frames = f", in frames of {step['fragment']} bytes" if "fragment" in step else ""
    return f"a ping padded to {size} bytes{frames}"


def _raw(step: Record) -> str:
    return f"raw, {_bytes(step['raw_hex'])}"


def _close(step: Record) -> str:
    return f"close {step['close']}"


_STEPS: Final = {
    "text": _text, "frame": _frame, "padded_ping": _padded_ping, "raw_hex": _raw, "close": _close,
}


def _handshake(request: Record) -> Iterator[str]:
    """The request line, then what is otherwise than in every handshake."""
    yield _request_line({"method": "GET", "path": contract.STREAM_PATH, **request})
    yield from (f"without {name}" for name in request.get("drop", ()))
    yield from (f"{name}: {value} (in place of the usual)" for name, value in request.get("rep", ()))
    yield from (f"{name}: {value} (besides)" for name, value in request.get("add", ()))


def _http(request: Record) -> Iterator[str]:
    yield _request_line(request)
    yield from _facts(request.get("headers", {}))


def _request_line(request: Record) -> str:
    return f"{request['method']} {request['path']} HTTP/{request.get('version', '1.1')}"


def _facts(facts: Mapping[str, Any]) -> Iterator[str]:
    return (f"{name}: {value}" for name, value in facts.items())


_REQUESTS: Final = {"handshake": _handshake, "http": _http}
