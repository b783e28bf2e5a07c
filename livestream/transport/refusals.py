"""Who is told that a connection was refused, and why."""

from collections.abc import Callable

#: Is told the reason: a word of the contract's REFUSALS.
Refused = Callable[[str], None]


def nobody(reason: str) -> None:
    """Is told, and does nothing."""
