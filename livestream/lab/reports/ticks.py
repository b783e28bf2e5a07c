"""Axes a person can read: ticks at the values that were measured, whole decades, no powers of ten."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

#: Up to so many decades are also ticked at 2 and 5.
_FEW_DECADES: Final = 2
#: The least room between two ticks' labels, and the width of a character, in points.
_GAP: Final = 8.0
_CHARACTER: Final = 6.4


def number(value: float, _position: int | None = None) -> str:
    """As a tick shows it: "4,000", "0.05"; also right for matplotlib's FuncFormatter."""
    return f"{value:,.10g}"


def spans_decades(values: Sequence[float]) -> bool:
    """Whether an axis with these values is better logarithmic: more than a decade, and all above zero."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > 10


def decades(values: Iterable[float]) -> tuple[float, float]:
    """The ends of a logarithmic axis: whole decades with a little room around the values."""
    known = list(values)
    low = math.floor(math.log10(min(known) * 0.93))
    high = math.ceil(math.log10(max(known) * 1.07))
    return 10.0 ** low, 10.0 ** high


def decade_ticks(low: float, high: float, *, dense: bool = True) -> list[float]:
    """Ticks for an axis of whole decades; `dense` has some between them when there are few."""
    first, last = round(math.log10(low)), round(math.log10(high))
    between = (1, 2, 5) if dense and last - first <= _FEW_DECADES else (1,)
    ticks = [factor * 10.0 ** power for power in range(first, last) for factor in between]
    return [*ticks, 10.0 ** last]


def roomy(values: Iterable[int], low: float, high: float, log: bool, width: float) -> list[int]:
    """Those of the values, round ones first, whose labels stand clear of each other on so many points."""
    scale = math.log10 if log else float
    per_unit = width / (scale(high) - scale(low))
    kept: list[int] = []
    taken: list[tuple[float, float]] = []
    for value in sorted(set(values), key=_roundness):
        half = _width(number(value)) / 2 + _GAP / 2
        middle = (scale(value) - scale(low)) * per_unit
        if all(middle + half <= start or end <= middle - half for start, end in taken):
            kept.append(value)
            taken.append((middle - half, middle + half))
    return sorted(kept)


def _roundness(value: int) -> tuple[int, bool, int]:
    """Sorts 1,000 before 2,000 before 3,000 before 1,100: what a reader would rather have on an axis."""
    digits = str(value).rstrip("0")
    return len(digits), digits not in ("1", "2", "5"), value


def crowded(names: Sequence[str], width: float) -> bool:
    """Whether names at even distances over so many points would touch."""
    return len(names) > 1 and (max(map(_width, names)) + _GAP) * len(names) > width


def rows(places: Sequence[tuple[float, str]], width: float) -> list[int]:
    """For labels that begin at places from left to right, in points: the lowest row where each is clear.

    A label that would run over the right edge ends at its place instead.
    """
    taken: list[float] = []
    found = []
    for place, text in places:
        start, end = label_span(place, text, width)
        row = next((at for at, until in enumerate(taken) if until <= start), len(taken))
        taken[row:row + 1] = [end + _GAP]
        found.append(row)
    return found


def label_span(place: float, text: str, width: float) -> tuple[float, float]:
    """From where to where a label goes, in points."""
    long = _width(text)
    return (place - long, place) if place + long > width else (place, place + long)


def _width(text: str) -> float:
    return len(text) * _CHARACTER
