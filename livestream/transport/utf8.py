"""Text as the original's container writes it: UTF-8, and `?` for a lone surrogate.

It looks at UTF-16 units, two at a time from a high surrogate on. So a lone one takes the first half of
what follows it, and of a pair nothing is left: three `?`. Source: SPEC, "JSON as the original reads it".
"""

import codecs
from typing import Final

_UNKNOWN: Final = "?"
#: The name under which Python finds the handler.
_HANDLER: Final = "livestream.container"


def encode_text(text: str) -> bytes:
    """The bytes of a text message. Where the container would break UTF-8, the character stays whole."""
    return text.encode("utf-8", _HANDLER)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """What stands for a run of lone surrogates, and where encoding goes on."""
    assert isinstance(error, UnicodeEncodeError)
    at = error.start
    while at < error.end:
        at += 2 if _is_high(error.object[at]) else 1
    # The last one is a high surrogate, and takes the first half of the pair behind it.
    if at > error.end and error.object[error.end:at] > "\uffff":
        return _UNKNOWN * (error.end - error.start + 2), at
    return _UNKNOWN * (error.end - error.start), error.end


def _is_high(unit: str) -> bool:
    return "\ud800" <= unit <= "\udbff"


codecs.register_error(_HANDLER, _replace)
