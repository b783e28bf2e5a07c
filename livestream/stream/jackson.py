"""JSON text to value and value to text, as the original's JSON library does it.

The original reads a message with Jackson's `ObjectMapper.readTree(String)` and turns
its members into text with `asText()`; this module follows both, oddities included.
Source: SPEC, "JSON as the original reads it". Java's strings are UTF-16, so lengths
and escapes count in UTF-16 units here too.
"""

import re
from enum import Enum
from functools import lru_cache
from itertools import count
from math import isfinite
from time import sleep
from typing import Callable, Final, TypeAlias, Union

from livestream.contract import MAX_NAME_UNITS, MAX_NESTING, MAX_NUMBER_DIGITS
from livestream.stream.java_text import (
    double_text,
    is_identifier_part,
    utf16_units,
    with_pairs_joined,
    with_pairs_split,
)

JsonValue: TypeAlias = Union[dict[str, "JsonValue"], list["JsonValue"], str, int, float, bool, None]
_Container: TypeAlias = dict[str, JsonValue] | list[JsonValue]


class JsonError(ValueError):
    """The text is not JSON by the original's rules."""


class Missing(Enum):
    """The type of `MISSING`, so that a type checker can tell it from the values."""

    MISSING = "missing"


#: What an empty or blank text holds; the original answers it with silence.
MISSING: Final = Missing.MISSING


def read_tree(text: str) -> JsonValue | Missing:
    """The first JSON value of the text, or `MISSING` when the text is blank.

    Objects become dict (of a repeated key the last wins), arrays list, integers int, other
    numbers float (infinite when out of range), strings str (lone surrogates stay).
    What follows the value is ignored when it begins a new token.
    Raises JsonError for all else (SPEC, "JSON as the original reads it").
    """
    text = with_pairs_joined(text)
    if _BLANK.fullmatch(text):
        return MISSING
    token = _match(_VALUE, text, 0)
    return _lone_scalar(token) if token.lastgroup in _SCALARS else _read_container(text)


def as_text(value: object) -> str:
    """A value of `read_tree` as the original's `asText()` gives it (SPEC, the same part)."""
    text_of = _SCALAR_TEXTS.get(type(value))
    return "" if text_of is None else text_of(value)


def to_json(value: object) -> str:
    """Compact JSON text of dict, list, str, int, float, bool and None, as the original writes it.

    Lone surrogates stay: whoever encodes the text for the wire makes each a `?`.
    Raises TypeError for any other type. It recurses, because what the server sends is flat.
    """
    try:
        return _WRITERS[type(value)](value)
    except KeyError as unknown:
        raise TypeError(f"not a JSON value: {unknown.args[0]}") from None


# Tokens. `*+`, `++` and `}+` never give a character back, so a hostile text costs linear time.

_SPACE: Final = r"[ \t\n\r]*+"
_STRING: Final = r'(?:[^"\\\x00-\x1f]++|\\.)*+'
_SHORT_WHOLE: Final = rf"-?(?:0|[1-9][0-9]{{0,{MAX_NUMBER_DIGITS - 1}}}+)"
_WHOLE: Final = r"-?(?:0|[1-9][0-9]*+)"

_BLANK: Final = re.compile(_SPACE)
#: A scalar, an empty container or the opening of another one, with the white space on both sides.
_VALUE: Final = re.compile(
    _SPACE + r"(?:"
    r'"(?P<string>' + _STRING + r')"'
    r"|(?P<integer>" + _SHORT_WHOLE + r"(?![0-9.eE]))"
    r"|(?P<real>" + _WHOLE + r"(?=[.eE])(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)"
    r"|\[(?:(?P<empty_array>" + _SPACE + r"\])|(?P<array>))"
    r"|\{(?:(?P<empty_object>" + _SPACE + r"\})|(?P<object>))"
    r"|(?P<literal>true|false|null)"
    r")" + _SPACE,
    re.DOTALL,
)
_NAME: Final = re.compile(_SPACE + r'"(' + _STRING + r')"' + _SPACE + r":", re.DOTALL)


def _match(pattern: re.Pattern[str], text: str, position: int) -> re.Match[str]:
    token = pattern.match(text, position)
    if token is None:
        raise JsonError(f"unexpected text at {position}")
    return token


# Reading. Open containers wait in a list, so that no nesting can exhaust the stack.


#: A long text pauses now and then, in seconds: reading it holds Python's lock, and nobody else could send.
_TOKENS_AT_A_STRETCH: Final = 4_096
_PAUSE: Final = 0.000_5


def _read_container(text: str) -> JsonValue:
    around: list[tuple[_Container | None, str]] = []
    container: _Container | None = None
    name = ""
    position = 0
    tokens = 0
    while True:
        tokens += 1
        if tokens % _TOKENS_AT_A_STRETCH == 0:
            sleep(_PAUSE)
        if isinstance(container, dict):
            name, position = _read_name(text, position)
        token = _VALUE.match(text, position)  # not by `_match`: this line runs for every token
        if token is None:
            raise JsonError(f"value expected at {position}")
        kind = token.lastgroup or ""
        position = token.end()
        if kind in _SCALARS:
            value = _SCALARS[kind](token[kind])
        else:
            value = _new_container(kind, len(around) + 1)
            if kind in _LEFT_OPEN:
                around.append((container, name))
                container = value
                continue
        while True:  # once for the value, and once for every container that it completes
            if container is None:
                return value
            if isinstance(container, list):
                container.append(value)
            else:
                container[name] = value
            if text.startswith(",", position):
                break
            position = _match(_CLOSINGS[type(container)], text, position).end()
            value = container
            container, name = around.pop()
        position += 1


def _read_name(text: str, position: int) -> tuple[str, int]:
    """A name of an object, and the position behind its colon."""
    token = _match(_NAME, text, position)
    name = _unescaped(token[1])
    # A character is one unit or two: only a long name is worth counting.
    if 2 * len(name) > MAX_NAME_UNITS and utf16_units(name) > MAX_NAME_UNITS:
        raise JsonError("name too long")
    return name, token.end()


def _new_container(kind: str, depth: int) -> _Container:
    if depth > MAX_NESTING:
        raise JsonError("nested too deeply")
    return _NEW_CONTAINERS[kind]()


_NEW_CONTAINERS: Final[dict[str, Callable[[], _Container]]] = {
    "array": list, "empty_array": list, "object": dict, "empty_object": dict,
}
_LEFT_OPEN: Final = frozenset({"array", "object"})
_CLOSINGS: Final[dict[type, re.Pattern[str]]] = {
    list: re.compile(r"\]" + _SPACE), dict: re.compile(r"\}" + _SPACE),
}


# A value that stands alone must not run on into the text behind it.


def _lone_scalar(token: re.Match[str]) -> JsonValue:
    kind = token.lastgroup or ""
    end = token.end(kind)
    if kind in _RUNS_ON and _RUNS_ON[kind](token.string[end:end + 1]):
        raise JsonError(f"the {kind} runs on")
    if kind == "real":
        return _real(token[kind], ends_the_text=end == len(token.string))
    return _SCALARS[kind](token[kind])


def _number_runs_on(following: str) -> bool:
    return following not in ("", " ", "\t", "\n", "\r")


def _literal_runs_on(following: str) -> bool:
    # The original looks at one UTF-16 unit: beyond U+FFFF it sees half a pair, which is no letter.
    return "0" <= following <= "\uffff" and is_identifier_part(following)


_RUNS_ON: Final[dict[str, Callable[[str], bool]]] = {
    "integer": _number_runs_on, "real": _number_runs_on, "literal": _literal_runs_on,
}


# Scalars, from the token's text to the value.


def _real(number: str, ends_the_text: bool = False) -> float:
    if len(number) > MAX_NUMBER_DIGITS:
        _check_digits(number, ends_the_text)
    return float(number)


def _check_digits(number: str, ends_the_text: bool) -> None:
    # After a lone zero and at the end of the text, the original counts a missing part as -1 digits.
    # (So it does where one of its 4,000-unit chunks of a text over 32,768 units ends: not followed here.)
    counts_missing_part = ends_the_text or number.lstrip("-").startswith("0")
    has_both_parts = "." in number and "e" in number.lower()
    uncounted = 1 if counts_missing_part and not has_both_parts else 0
    if sum(map(number.count, "0123456789")) - uncounted > MAX_NUMBER_DIGITS:
        raise JsonError("number too long")


def _unescaped(body: str) -> str:
    if "\\" not in body:
        return body
    escapes = count(1)

    def unit(escape: re.Match[str]) -> str:
        if next(escapes) % _TOKENS_AT_A_STRETCH == 0:
            sleep(_PAUSE)
        return _escaped_unit(escape)

    return with_pairs_joined(_ESCAPE.sub(unit, with_pairs_split(body)))


def _escaped_unit(escape: re.Match[str]) -> str:
    try:
        return _hex_unit(escape[1]) if escape[1] else _ESCAPED[escape[2]]
    except KeyError:
        raise JsonError(f"unknown escape {escape[0]!r}") from None


def _hex_unit(digits: str) -> str:
    unit = 0
    for digit in digits:
        # The original looks at the low byte of a digit only: U+0131 passes for U+0031, "1".
        unit = 16 * unit + _HEX_DIGITS[ord(digit) & 0xFF]
    return chr(unit)


_ESCAPE: Final = re.compile(r"\\(?:u(.{4})|(.))", re.DOTALL)
_ESCAPED: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX_DIGITS: Final = {ord(digit): int(digit, 16) for digit in "0123456789abcdefABCDEF"}
_LITERALS: Final[dict[str, JsonValue]] = {"true": True, "false": False, "null": None}
_SCALARS: Final[dict[str | None, Callable[[str], JsonValue]]] = {
    "string": _unescaped, "integer": int, "real": _real, "literal": _LITERALS.__getitem__,
}


# Writing.


def _quoted(text: str) -> str:
    return f'"{_MUST_ESCAPE.sub(_escape, text)}"'


def _escape(character: re.Match[str]) -> str:
    return _ESCAPES[character[0]]


#: The names are few and come again with every message: each is quoted once.
_quoted_name: Final = lru_cache(maxsize=256)(_quoted)


def _object_json(members: dict[str, object]) -> str:
    texts = [f"{_quoted_name(name)}:{_WRITERS[type(value)](value)}" for name, value in members.items()]
    return "{" + ",".join(texts) + "}"


def _array_json(values: list[object]) -> str:
    return "[" + ",".join([_WRITERS[type(value)](value) for value in values]) + "]"


def _double_json(number: float) -> str:
    return double_text(number) if isfinite(number) else _quoted(double_text(number))


_MUST_ESCAPE: Final = re.compile(r'["\\\x00-\x1f]')
_ESCAPES: Final = {chr(code): f"\\u{code:04X}" for code in range(0x20)} | {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r",
}
_SCALAR_TEXTS: Final[dict[type, Callable[..., str]]] = {
    str: str, int: str, float: double_text,
    bool: {True: "true", False: "false"}.__getitem__, type(None): {None: "null"}.__getitem__,
}
_WRITERS: Final[dict[type, Callable[..., str]]] = _SCALAR_TEXTS | {
    str: _quoted, float: _double_json, dict: _object_json, list: _array_json,
}
