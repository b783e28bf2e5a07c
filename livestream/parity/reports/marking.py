"""Two sides next to each other: where they differ, cut out so that one sees it."""

import json
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, NamedTuple

from livestream.parity.judging.difference import NOTHING

#: How much of a long equal part is shown on either side of a difference, in characters.
CONTEXT: Final = 60
#: Above so many pairs of words nothing is aligned: all from the first difference to the last is marked.
MOST_PAIRS: Final = 250_000
_WORD: Final = re.compile(r"\w+|\W", re.DOTALL)


class Piece(NamedTuple):
    """A part of one side; `differs` when the other side has something else in its place."""

    text: str
    differs: bool


class Sides(NamedTuple):
    """Both sides, cut into pieces."""

    expected: list[Piece]
    got: list[Piece]


def marked(expected: Any, got: Any) -> Sides:
    """Both sides of a difference as text, cut where they differ; long equal parts are shortened."""
    one, other = shown(expected), shown(got)
    if one == other and type(expected) is not type(got):
        # A text that looks like a number, beside the number.
        one, other = json.dumps(expected), json.dumps(got)
    sides = Sides([], [])
    for equal, left, right in _parts(one, other):
        for side, text in ((sides.expected, left), (sides.got, right)):
            if text:
                side.append(Piece(_shortened(text) if equal else text, not equal))
    return sides


def shown(value: Any) -> str:
    """A value of an observation as one reads it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def plain(pieces: list[Piece]) -> str:
    """Pieces as text without colours: what differs stands between ⟦ and ⟧."""
    return "".join(f"⟦{piece.text}⟧" if piece.differs else piece.text for piece in pieces)


def _parts(one: str, other: str) -> Iterator[tuple[bool, str, str]]:
    """Alternately what is equal and what is not: (equal?, of the one, of the other)."""
    if NOTHING in (one, other):
        yield False, one, other
        return
    # Word by word, so that no word is cut in two.
    words, others = _WORD.findall(one), _WORD.findall(other)
    start = _common_start(words, others)
    end = _common_start(words[start:][::-1], others[start:][::-1])
    yield True, "".join(words[:start]), "".join(others[:start])
    yield from _aligned(words[start:len(words) - end], others[start:len(others) - end])
    yield True, "".join(words[len(words) - end:]), "".join(others[len(others) - end:])


def _aligned(words: Sequence[str], others: Sequence[str]) -> Iterator[tuple[bool, str, str]]:
    if len(words) * len(others) > MOST_PAIRS:
        yield False, "".join(words), "".join(others)
        return
    matcher = SequenceMatcher(None, words, others, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        yield tag == "equal", "".join(words[a:b]), "".join(others[c:d])


def _common_start(one: Sequence[str], other: Sequence[str]) -> int:
    for at, (left, right) in enumerate(zip(one, other)):
        if left != right:
            return at
    return min(len(one), len(other))


def _shortened(text: str) -> str:
    if len(text) <= 2 * CONTEXT + 20:
        return text
    return f"{text[:CONTEXT]} … {len(text) - 2 * CONTEXT} more … {text[-CONTEXT:]}"
