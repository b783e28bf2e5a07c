"""One difference between what was recorded and what was observed."""

from typing import Any, Final, NamedTuple

#: Stands for a thing that one side lacks.
NOTHING: Final = "(nothing)"


class Difference(NamedTuple):
    """`where` names the field, such as `replies[0]`; both sides with their varying parts masked."""

    where: str
    expected: Any
    got: Any

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected!r}, got {self.got!r}"
