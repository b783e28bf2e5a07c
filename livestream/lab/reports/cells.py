"""How the report's tables and sentences write a figure: digits, thousands separators, unit."""

import math
from typing import Final

from livestream.lab.results import FIGURES, Step

#: A cell without a figure.
NOTHING: Final = "–"
#: A ratio below it is not written out.
_LEAST_RATIO: Final = 0.0001


def measured(step: Step, figure: str) -> float | None:
    """A step's figure; None when it lacks it or has no finite number there."""
    value = step.figures.get(figure)
    return value if value is not None and math.isfinite(value) else None


def clients_told(clients: int) -> str:
    """In words: "1 client", "1,000 clients"."""
    return Step("", clients, {}).name


def shown(figure: str, value: float) -> str:
    """A measured value with the decimals and unit of its figure: "4,081", "0.44 ms", "99.90%"."""
    return _with_unit(figure, number(figure, value))


def given(figure: str, value: float, about: bool = False) -> str:
    """A value of the packaged file with the decimals that were given: "454", "4.8 ms", "~550 B/s"."""
    return _with_unit(figure, given_number(value, about))


def number(figure: str, value: float) -> str:
    """A measured value without its unit, never "-0"."""
    text = f"{value:,.{FIGURES[figure].digits}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text


def given_number(value: float, about: bool = False) -> str:
    """A value of the packaged file without its unit."""
    return f"{'~' if about else ''}{value:,.12g}"


def _with_unit(figure: str, text: str) -> str:
    unit = FIGURES[figure].unit
    return f"{text}{'' if unit in ('', '%') else ' '}{unit}"


def ratio(value: float, original: float | None) -> str:
    """`value` ÷ `original`; NOTHING where that says nothing."""
    if not original or value < 0:
        return NOTHING
    share = value / original
    if 0 < share < _LEAST_RATIO:
        return f"< {_LEAST_RATIO:.4f}"
    return f"{share:,.2f}" if share >= 0.1 or not share else f"{share:#.2g}"
