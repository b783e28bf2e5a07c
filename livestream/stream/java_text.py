"""What Java's characters, strings and doubles do that Python's do not.

Source: SPEC, "JSON as the original reads it". Java's strings are UTF-16: a
character beyond U+FFFF is two units there, the halves of a surrogate pair.
"""

import re
from decimal import Decimal
from math import isfinite, isnan
from typing import Final
from unicodedata import category

_BEYOND_ONE_UNIT: Final = re.compile("[\U00010000-\U0010ffff]")
#: Java's `Character.isJavaIdentifierPart`, control characters beyond U+007E included.
#: CPython 3.11 has Unicode 14, JDK 25 Unicode 16: they differ in the letters added since.
_IDENTIFIER_CATEGORIES: Final = frozenset("Lu Ll Lt Lm Lo Nl Nd Mn Mc Sc Pc Cf Cc".split())


def double_text(number: float) -> str:
    """The number as Java 19 and newer print a double: `1.5`, `1.0E7`, `-0.0`, `NaN`, `Infinity`."""
    if isnan(number):
        return "NaN"
    if not isfinite(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return repr(number)
    return _scientific(number)


def is_identifier_part(character: str) -> bool:
    """Whether a Java identifier may hold this character, which is none of the first 32."""
    return category(character) in _IDENTIFIER_CATEGORIES


def with_pairs_joined(text: str) -> str:
    """The text with each high surrogate and the low one behind it as one character."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def with_pairs_split(text: str) -> str:
    """The text with each character beyond U+FFFF as its two surrogates."""
    return text if text.isascii() else _BEYOND_ONE_UNIT.sub(_split_pair, text)


def utf16_units(text: str) -> int:
    """The text's length as Java counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _split_pair(character: re.Match[str]) -> str:
    offset = ord(character[0]) - 0x10000
    return chr(0xD800 + (offset >> 10)) + chr(0xDC00 + (offset & 0x3FF))


def _scientific(number: float) -> str:
    # Java prints two digits where two are enough, even if one would do: 4.9E-324, not 5E-324.
    two_digits = f"{number:.1e}"
    shortest = Decimal(two_digits if float(two_digits) == number else repr(number))
    digits = "".join(map(str, shortest.as_tuple().digits)).rstrip("0")
    sign = "-" if number < 0 else ""
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{shortest.adjusted()}"
