"""Noise, learned from two servers that are the same: what differs between them means nothing.

Every value that differed at a place (a key's path in messages of a type) in a way that no known rule covers
becomes a rule of `rules`, with a pattern of the shape that all its values had. What differs in another way,
such as one reply more, is noise for its case alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from livestream import contract
from livestream.parity.cases import Case, Record, Session
from livestream.parity.judging.cadence import session_differences
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.difference import Difference
from livestream.parity.judging.figures import received
from livestream.parity.judging.rules import (
    Rule, body_root, masked_token, message_root, tokens_with_paths,
)

#: One thing that both of the twins said: its root (see rules.Rule), and both texts.
Pair = tuple[str, str, str]
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_HEXADECIMAL: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Noise:
    """What was learned: rules for values, and of each case or session the places that don't count."""

    rules: tuple[Rule, ...]
    places: frozenset[tuple[str, str]]

    def without(self, name: str, found: Iterable[Difference]) -> list[Difference]:
        """The differences of one case that are none of this noise. `name` as in Result.name."""
        return [difference for difference in found if (name, difference.where) not in self.places]


#: Before anything was learned, or without a twin.
NO_NOISE: Final = Noise((), frozenset())

#: Of a case: how it is called, and what each twin answered.
CasePair = tuple[str, Case, Record, Record]
SessionPair = tuple[str, Session, Session]


def learn(
    cases: Sequence[CasePair], sessions: Sequence[SessionPair], known: Sequence[Rule] = (),
) -> Noise:
    """The noise of two servers that were asked the same, beside what is `known` to vary.

    What is learned comes before what is known, since it is only learned where that was not enough.
    """
    learned = _rules([*_case_texts(cases), *_session_texts(sessions)], known)
    rules = (*learned, *known)
    places = {
        (name, difference.where)
        for name, case, one, other in cases
        for difference in differences(replace(case, observed=one), dict(other), rules)
    }
    places |= {
        (name, difference.where)
        for name, one, other in sessions
        for difference in session_differences(one, other, rules)
    }
    return Noise(learned, frozenset(places))


def _case_texts(cases: Iterable[CasePair]) -> Iterator[Pair]:
    for _, case, one, other in cases:
        yield from _message_pairs(one.get("replies", ()), other.get("replies", ()))
        yield from _message_pairs(_texts(one), _texts(other))
        if "body" in one and "body" in other:
            yield body_root(case), one["body"], other["body"]


def _texts(observed: Record) -> list[str]:
    """The texts among the frames of a silence case."""
    return [frame[1] for frame in observed.get("frames", ()) if frame[0] == "TEXT"]


def _message_pairs(one: Sequence[str], other: Sequence[str]) -> Iterator[Pair]:
    """Nothing where one twin said more, or something else: its messages must not meet others of the other."""
    roots = [message_root(text) for text in one]
    if roots == [message_root(text) for text in other]:
        yield from zip(roots, one, other)


def _session_texts(sessions: Iterable[SessionPair]) -> Iterator[Pair]:
    """Messages of a type are paired in their order; of updates, which are all alike, one may be too many."""
    for _, one, other in sessions:
        texts: list[Mapping[str, list[str]]] = [_by_type(session) for session in (one, other)]
        for root in texts[0].keys() & texts[1].keys():
            if root in contract.UPDATE_TYPES or len(texts[0][root]) == len(texts[1][root]):
                for text, twin in zip(texts[0][root], texts[1][root]):
                    yield root, text, twin


def _by_type(session: Session) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for step, _ in received(session):
        if step.text is not None:
            texts.setdefault(message_root(step.text), []).append(step.text)
    return texts


def _rules(pairs: Iterable[Pair], known: Sequence[Rule]) -> tuple[Rule, ...]:
    """One rule for each place whose values differed in a pair; its pattern fits all values seen there."""
    values: dict[tuple[str, str], set[str]] = {}
    noisy: set[tuple[str, str]] = set()
    for root, text, twin in pairs:
        for token, path, other in _aligned(text, twin):
            values.setdefault((root, path), set()).update((token, other))
            if masked_token(token, root, path, known) != masked_token(other, root, path, known):
                noisy.add((root, path))
    return tuple(Rule("learned", root, path, _shape(values[root, path])) for root, path in sorted(noisy))


def _aligned(text: str, twin: str) -> Iterator[tuple[str, str, str]]:
    """The values of two texts of one structure, each with its path; nothing where the structures differ."""
    one, other = list(tokens_with_paths(text)), list(tokens_with_paths(twin))
    if [path for _, path in one] != [path for _, path in other]:
        return
    for (token, path), (twin_token, _) in zip(one, other):
        if path is not None:
            yield token, path, twin_token


def _shape(tokens: Iterable[str]) -> str:
    """A pattern for what these tokens have in common."""
    known = sorted(tokens)
    if not all(token.startswith('"') for token in known):
        return _number_shape(known)
    if len({len(token) for token in known}) > 1:
        return '"(?:[^"\\\\]|\\\\.)*"'
    return _string_shape(known)


def _number_shape(known: Sequence[str]) -> str:
    if not all(_NUMBER.fullmatch(token) for token in known):
        return "|".join(re.escape(token) for token in known)
    if all("." in token for token in known):
        return r"-?\d+\.\d+(?:[eE][+-]?\d+)?"
    if not all(token.removeprefix("-").isdigit() for token in known):
        return _NUMBER.pattern
    lengths = {len(token) for token in known}
    return r"\d{%d}" % lengths.pop() if len(lengths) == 1 and "-" not in "".join(known) else r"-?\d+"


def _string_shape(known: Sequence[str]) -> str:
    """Of strings that are equally long, position by position."""
    positions = [set(characters) for characters in zip(*known)]
    # What may stand at one position shows at all of them: few samples look like hexadecimal by chance.
    differing = {character for characters in positions if len(characters) > 1 for character in characters}
    varying = _class_of(differing)
    return "".join(
        varying if len(characters) > 1 else _constant_shape(min(characters), varying)
        for characters in positions)


def _constant_shape(character: str, varying: str) -> str:
    """Of a character that was the same every time: a mark stays, a letter or digit may be so by chance."""
    if not character.isalnum():
        return re.escape(character)
    return varying if re.fullmatch(varying, character) else _class_of({character})


def _class_of(characters: set[str]) -> str:
    if characters <= _HEXADECIMAL:
        return "[0-9a-f]"
    return r"\w" if all(character.isalnum() for character in characters) else "."
