"""Inputs that a deviation is about, recognised in cases that were made up: they have no name to excuse."""

import codecs
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from livestream.parity.cases import Case
from livestream.wire.frames import Opcode, close_payload, is_legal_close_code

#: Registered after the others, so not every library knows it (IANA registry of close codes).
_BAD_GATEWAY: Final = 1014


def _payloads(case: Case, opcode: int) -> Iterator[tuple[bytes, bool]]:
    """What each message of this opcode carries, and whether it was finished."""
    payload: bytes | None = None
    for step in case.send:
        frame = step.get("frame")
        if frame is None or frame["opcode"] not in (opcode, Opcode.CONTINUATION):
            continue
        if frame["opcode"] == opcode and payload is not None:
            yield payload, False
        started = b"" if frame["opcode"] == opcode else payload
        if started is None:
            continue
        payload = started + bytes.fromhex(frame["payload_hex"])
        if frame.get("fin", True):
            yield payload, True
            payload = None
    if payload is not None:
        yield payload, False


def _close_codes(case: Case) -> list[int]:
    return [close_payload(payload)[0] for payload, _ in _payloads(case, Opcode.CLOSE) if len(payload) > 1]


def _has_illegal_close_code(case: Case) -> bool:
    return any(not is_legal_close_code(code) for code in _close_codes(case))


def _has_bad_gateway(case: Case) -> bool:
    return _BAD_GATEWAY in _close_codes(case)


def _has_text_that_is_not_utf8(case: Case) -> bool:
    return any(not _is_utf8(*text) for text in _payloads(case, Opcode.TEXT))


def _has_reason_that_is_not_utf8(case: Case) -> bool:
    return any(not _is_utf8(payload[2:], True) for payload, _ in _payloads(case, Opcode.CLOSE))


def _is_utf8(payload: bytes, finished: bool) -> bool:
    """Whether it is, or may yet become so: a server may refuse a message before its end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(payload, finished)
    except UnicodeDecodeError:
        return False
    return True


#: What `input` in a file of deviations may say.
RECOGNISED: Final[Mapping[str, Callable[[Case], bool]]] = {
    "illegal close code": _has_illegal_close_code,
    "close code 1014": _has_bad_gateway,
    "text that is not UTF-8": _has_text_that_is_not_utf8,
    "close reason that is not UTF-8": _has_reason_that_is_not_utf8,
}
