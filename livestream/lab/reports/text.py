"""How text from outside is made fit to stand in a page, in SVG and in a picture."""

import unicodedata
from textwrap import shorten
from typing import Final

# Control characters, marks of no width or of direction, surrogates, private and unassigned ones, separators.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """The same text with every character that nobody sees as `⟨U+0007⟩`; line feeds and tabs stay."""
    return "".join(
        f"⟨U+{ord(character):04X}⟩" if _is_unseen(character) else character for character in text)


def label(text: str, longest: int = 52) -> str:
    """A text for a picture: visible, on one line, and shortened where it is too long."""
    return shorten(visible(text), longest, placeholder=" …")


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN and character not in "\n\t"
