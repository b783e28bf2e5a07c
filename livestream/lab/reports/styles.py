"""How the plots look: who is who by marker, line and colour, the last from the palette of Okabe and Ito."""

from typing import Any, Final

Style = dict[str, Any]

#: A plot's width, and what one panel, one row of the legend and the rest add to its height; inches.
WIDTH: Final = 5.4
PANEL_HEIGHT: Final = 2.6
ROW_HEIGHT: Final = 0.22
REST_HEIGHT: Final = 0.9
#: Of the PNG.
DOTS_PER_INCH: Final = 150
#: An axis's width in points, about: what the labels beside each other have to share.
AXIS_WIDTH: Final = 305.0

_BLACK, _ORANGE = "#000000", "#E69F00"
GREY: Final = "#666666"
#: By the names of SOURCES.
SOURCE_STYLES: Final[dict[str, Style]] = {
    # Below everything, and wide: where this run agrees with it, it can still be seen.
    "report": {
        "color": _ORANGE, "linestyle": (0, (5, 1.5)), "linewidth": 4.5, "marker": "D", "markersize": 8,
        "zorder": 2,
    },
    # Above this run, and thin: a hollow square around a point of it.
    "original": {
        "color": _BLACK, "linestyle": ":", "linewidth": 1.4, "marker": "s", "markersize": 8,
        "markerfacecolor": "none", "markeredgewidth": 1.6, "zorder": 6,
    },
}
_RUN: Final = (
    ("#0072B2", "o"), ("#D55E00", "^"), ("#009E73", "v"), ("#CC79A7", "P"), ("#56B4E9", "<"),
    ("#F0E442", "*"),
)
#: Beside the colour of its line: what does not count.
INVALID: Final[Style] = {
    "linestyle": "none", "marker": "X", "markersize": 10, "markerfacecolor": "white", "markeredgewidth": 1.3,
    "zorder": 7,
}
NO_LINE: Final[Style] = {"linestyle": "none"}
NO_MARKER: Final[Style] = {"marker": ""}
#: What happened on a time line.
MARK: Final[Style] = {"color": GREY, "linestyle": "-.", "linewidth": 1, "zorder": 3}
#: Names of ticks that have no room beside each other.
SLANTED: Final[Style] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}

#: What matplotlib is told beside its defaults. Outlines in place of text look the same everywhere.
SETTINGS: Final[dict[str, Any]] = {
    "svg.hashsalt": "livestream",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 3.2,
}


def run_style(at: int) -> Style:
    """Of this run's line of that number; over again when there are more lines than colours.

    Each lies below the one before and is wider: where they agree, all can be seen.
    """
    color, marker = _RUN[at % len(_RUN)]
    return {
        "color": color, "linestyle": "-", "linewidth": 1.6 + 1.4 * at, "marker": marker,
        "markersize": 5.5 + 2 * at, "zorder": 5 - at / 100,
    }
