"""Inputs that a deviation is about, recognised in cases that were made up: they have no name to excuse."""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from livestream.parity.cases import Case
from livestream.wire.frames import Opcode, close_payload, is_legal_close_code

#: Registered after the others, so not every library knows it (IANA registry of close codes).
_BAD_GATEWAY: Final = 1014
#: Stands for bytes that are no text (Unicode, U+FFFD).
_GARBLED: Final = "\ufffd"

#: An escaped high surrogate, then a character of the first plane beyond ASCII that is no surrogate.
_LONE_HIGH: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}"
    r"(?:[\x80-\ud7ff\ue000-\uffff]|\\u(?!00[0-7]|[dD][89a-fA-F])[0-9a-fA-F]{4})")

#: Texts or control frames, in the order in which they came.
Said = Sequence[Any]


def _messages(case: Case, opcode: int) -> Iterator[tuple[list[bytes], bool]]:
    """What the fragments of each message of this opcode carry, and whether it was finished."""
    fragments: list[bytes] = []
    for step in case.send:
        frame = step.get("frame")
        if frame is None or frame["opcode"] not in (opcode, Opcode.CONTINUATION):
            continue
        if frame["opcode"] == opcode and fragments:
            yield fragments, False
            fragments = []
        if frame["opcode"] != opcode and not fragments:
            continue
        fragments.append(bytes.fromhex(frame["payload_hex"]))
        if frame.get("fin", True):
            yield fragments, True
            fragments = []
    if fragments:
        yield fragments, False


def _payloads(case: Case, opcode: int) -> Iterator[tuple[bytes, bool]]:
    """What each message of this opcode carries, and whether it was finished."""
    return ((b"".join(fragments), finished) for fragments, finished in _messages(case, opcode))


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


def _has_cut_code_point(case: Case) -> bool:
    """A character of a text that begins in one fragment and ends in another."""
    texts = [fragments for fragments, finished in _messages(case, Opcode.TEXT) if finished]
    return any(
        _is_utf8(b"".join(fragments), True) and not all(_is_utf8(one, True) for one in fragments)
        for fragments in texts)


def _ends_after_a_message(case: Case) -> bool:
    """The other side ended it, and there was a message that it may have been about to answer."""
    spoken = any("text" in step or "padded_ping" in step for step in case.send)
    spoken = spoken or any(finished for _, finished in _payloads(case, Opcode.TEXT))
    ended = bool(case.observed.get("connection_ended")) or _has_illegal_close_code(case)
    return spoken and ended


def _has_lone_high_surrogate(case: Case) -> bool:
    """Before a character that has two bytes or three in UTF-8, as it is or escaped."""
    return any(_LONE_HIGH.search(step.get("text", "")) for step in case.send)


def _as_ever(reference: Said, observed: Said) -> Said:
    """The odd input changes nothing of it."""
    return reference


def _before_it(reference: Said, observed: Said) -> Said:
    """Nothing comes after the odd input, and what came before it comes all the same."""
    return reference[:len(observed)]


def _until_the_end(reference: Said, observed: Said) -> Said:
    """Either may have been ended earlier; what both said must be the same."""
    shorter = min(len(reference), len(observed))
    return [*reference[:shorter], *observed[shorter:]]


def _as_observed(reference: Said, observed: Said) -> Said:
    """As many of them; what the reference wrote in its place can be anything."""
    return observed if len(observed) == len(reference) else reference


def _unless_garbled(reference: Said, observed: Said) -> Said:
    """What the reference garbled can't be expected: the characters that it lost are not known."""
    pairs = zip(reference, observed)
    kept = [text if _GARBLED in one else one for one, text in pairs]
    return [*kept, *reference[len(kept):]]


class Habit(NamedTuple):
    """An input that a deviation is about, and what is to be expected of it."""

    recognises: Callable[[Case], bool]
    #: From what the reference said and what the subject said: what the subject should have said.
    said: Callable[[Said, Said], Said] = _as_ever


#: What `input` in a file of deviations may say.
HABITS: Final[Mapping[str, Habit]] = {
    "illegal close code": Habit(_has_illegal_close_code),
    "close code 1014": Habit(_has_bad_gateway),
    "text that is not UTF-8": Habit(_has_text_that_is_not_utf8, _before_it),
    "close reason that is not UTF-8": Habit(_has_reason_that_is_not_utf8),
    "code point in two fragments": Habit(_has_cut_code_point, _unless_garbled),
    "lone high surrogate": Habit(_has_lone_high_surrogate, _as_observed),
    "message before the end": Habit(_ends_after_a_message, _until_the_end),
}
