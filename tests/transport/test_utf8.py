"""Text on its way out, against the container's rule told on UTF-16 units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.transport.utf8 import encode_text

PIECES = ("a", "é", "中", "😀", "\ud800", "\udbff", "\udc00", "\udfff", '"', "?")


def by_units(text):
    """A high surrogate goes with the unit after it: a pair, or `?` and what is left of the other."""
    raw = text.encode("utf-16-le", "surrogatepass")
    units = [int.from_bytes(raw[at:at + 2], "little") for at in range(0, len(raw), 2)]
    written = []
    while units:
        unit = units.pop(0)
        if not 0xD800 <= unit <= 0xDFFF:
            written.append(chr(unit))
        elif unit >= 0xDC00 or not units:
            written.append("?")
        else:
            written.append(pair(unit, units.pop(0)))
    return "".join(written).encode()


def pair(high, other):
    if 0xDC00 <= other <= 0xDFFF:
        return chr(0x10000 + ((high - 0xD800) << 10) + other - 0xDC00)
    # The container would write one byte here, whatever the character; we write the character.
    return "??" if 0xD800 <= other <= 0xDBFF else f"?{chr(other)}"


@pytest.mark.parametrize("text, written", [
    ("x\udc00", "x?"), ("\ud800", "?"), ("\ud800a", "?a"), ("\ud800😀", "???"), ("\ud800\ud800😀", "??😀"),
    ("\ud800\ud800\ud800😀😀", "?????😀"), ("\udc00😀", "?😀"), ("\udc00\ud800", "??"), ("é😀", "é😀"),
])
def test_lone_surrogates(text, written):
    assert encode_text(text) == written.encode() == by_units(text)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text(text):
    # Whoever joins pieces may have made a pair of two halves.
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert encode_text(joined) == by_units(joined)
