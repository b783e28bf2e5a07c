"""A sheet of SVG: lines, bars and text that look right on a light ground and on a dark one.

The same calls give the same bytes. Text is text, in the reader's own fonts, so it is given room to spare.
"""

from typing import Final
from xml.etree import ElementTree as ET

#: A sheet is as wide as a README's column, in pixels.
WIDTH: Final = 900
MARGIN: Final = 16
#: The ground and everything on it, by CSS class: on light, on dark. Channels have their colours from the
#: palette of Okabe and Ito; validator_metrics is darker on light, where the palette's has no contrast.
GROUND: Final = ("#ffffff", "#0d1117")
INKS: Final = {"ink": ("#1a1a1a", "#e6edf3"), "faint": ("#5a5f66", "#9aa4ae"), "grid": ("#dddddd", "#30363d")}
MARKS: Final = {
    "handler": ("#666666", "#9a9a9a"),
    "tps_updates": ("#0072b2", "#56b4e9"),
    "block_updates": ("#d55e00", "#e69f00"),
    "network_status": ("#009e73", "#009e73"),
    "validator_metrics": ("#b0588a", "#cc79a7"),
}
_SHAPES: Final = """\
text, tspan, rect, path { fill: currentColor; }
line { stroke: currentColor; }
text { font: 13px system-ui, "DejaVu Sans", sans-serif; }
.title { font-weight: bold; font-size: 15px; }
.code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12px; }
.dashed { stroke-dasharray: 4 3; }
.dotted { stroke-dasharray: 2 5; }
.pale { fill-opacity: 0.35; }
"""


def _colours(of: int) -> str:
    """The rules for light (0) or dark (1)."""
    every = {"ground": GROUND} | INKS | MARKS
    return "".join(f".{name} {{ color: {colours[of]}; }}\n" for name, colours in every.items())


STYLE: Final = (
    f"\n{_colours(0)}@media (prefers-color-scheme: dark) {{\n{_colours(1)}}}\n{_SHAPES}")


class Sheet:
    """A drawing while it is drawn. `css` is one or more classes, places are pixels from the top left."""

    def __init__(self, height: int, title: str, description: str) -> None:
        """With its title on it; the description is for who can't see it."""
        self._svg = ET.Element("svg", {
            "xmlns": "http://www.w3.org/2000/svg", "role": "img",
            "width": str(WIDTH), "height": str(height), "viewBox": f"0 0 {WIDTH} {height}"})
        ET.SubElement(self._svg, "title").text = title
        ET.SubElement(self._svg, "desc").text = description
        ET.SubElement(self._svg, "style").text = STYLE
        self.bar(0, 0, WIDTH, height, "ground")
        self.text(MARGIN, 28, title, "ink title")

    def text(
        self, x: float, y: float, text: str, css: str, anchor: str = "start",
        more: tuple[str, str] = ("", ""),
    ) -> None:
        """On the base line y; `anchor` is start, middle or end. `more` follows it: a text and its classes."""
        added = self._add("text", css, x=x, y=y, text_anchor=anchor)
        added.text = text
        if more[0]:
            ET.SubElement(added, "tspan", {"class": more[1], "dx": "10"}).text = more[0]

    def line(self, start: tuple[float, float], end: tuple[float, float], css: str, width: float = 1) -> None:
        (x1, y1), (x2, y2) = start, end
        self._add("line", css, x1=x1, y1=y1, x2=x2, y2=y2, stroke_width=width)

    def bar(self, x: float, y: float, width: float, height: float, css: str) -> None:
        self._add("rect", css, x=x, y=y, width=width, height=height)

    def arrow(self, y: float, start: float, end: float, css: str) -> None:
        """From one place to another, on a level."""
        back = -9 if end > start else 9
        self.line((start, y), (end + back / 2, y), css, 1.6)
        self._add("path", css, d=f"M{end} {y}l{back} -4.5v9z")

    def svg(self) -> str:
        ET.indent(self._svg, "")
        return ET.tostring(self._svg, encoding="unicode") + "\n"

    def _add(self, tag: str, css: str, **attributes: object) -> ET.Element:
        written = {key.replace("_", "-"): _number(value) for key, value in attributes.items()}
        return ET.SubElement(self._svg, tag, {"class": css, **written})


def _number(value: object) -> str:
    """As short as a tenth of a pixel needs."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
