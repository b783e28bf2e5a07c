"""Draws a recorded life as a timeline: a lane for each thread, from its beginning to its end."""

from math import ceil
from typing import Final

from tests.examples.diagrams.drawing import MARGIN, WIDTH, Sheet
from tests.examples.diagrams.life import Life, ThreadLife

#: The axis is at least so long, in seconds: one life can be held against another.
SECONDS: Final = 12
#: Lanes reach from LEFT to RIGHT; beside them stand the thread's name, its sends and its end.
LEFT: Final = 180
RIGHT: Final = WIDTH - 150
SENDS_X: Final = WIDTH - 84
END_X: Final = WIDTH - MARGIN
#: The first of the client's acts stands here, each other one a row lower.
ACTS_TOP: Final = 62
ACT_ROW: Final = 18
LANE: Final = 34
BAR: Final = 12
#: How high and wide the mark of an update is.
MARK: Final = 20
MARK_WIDTH: Final = 3
#: For the axis and the words below it.
BOTTOM: Final = 82


def draw_timeline(life: Life) -> str:
    """The SVG."""
    return _Timeline(life).draw()


class _Timeline:
    """One life on one sheet."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._seconds = max(SECONDS, *(ceil(_end(thread)) for thread in life.threads))
        self._top = ACTS_TOP + ACT_ROW * len(life.acts)
        self._bottom = self._top + LANE * len(life.threads)
        self._sheet = Sheet(
            self._bottom + BOTTOM, f"One client's threads under the profile “{life.profile}”",
            "A lane for each thread of the server, the client's acts as vertical lines.")

    def draw(self) -> str:
        self._draw_axis()
        self._draw_acts()
        for number, thread in enumerate(self._life.threads):
            self._draw_lane(thread, self._top + LANE * number + LANE // 2)
        self._draw_words()
        return self._sheet.svg()

    def _x(self, at: float) -> float:
        return LEFT + (RIGHT - LEFT) * at / self._seconds

    def _draw_axis(self) -> None:
        for second in range(self._seconds + 1):
            x = self._x(second)
            self._sheet.line((x, self._top), (x, self._bottom), "grid")
            self._sheet.text(x, self._bottom + 18, str(second), "faint", "middle")
        middle = (LEFT + RIGHT) / 2
        self._sheet.text(middle, self._bottom + 38, "time since the client opened [s]", "faint", "middle")

    def _draw_acts(self) -> None:
        """Each a row lower than the one before, so that no line crosses a word."""
        for row, act in enumerate(self._life.acts):
            x, y = self._x(act.at), ACTS_TOP + ACT_ROW * row
            self._sheet.line((x, y - 12), (x, self._bottom), "ink dashed")
            self._sheet.text(x + 5, y, act.what, "ink")

    def _draw_lane(self, thread: ThreadLife, middle: int) -> None:
        css = thread.name.rpartition("-")[0] or thread.name
        closed = self._life.acts[-1].at
        self._sheet.text(MARGIN, middle + 4, thread.name, "ink code")
        self._draw_bar(thread.began, min(_end(thread), closed), middle, css)
        if _end(thread) > closed:
            self._draw_bar(closed, _end(thread), middle, f"{css} pale")
        for at in thread.sends:
            x = self._x(at)
            self._sheet.line((x, middle - MARK / 2), (x, middle + MARK / 2), css, MARK_WIDTH)
        self._sheet.text(SENDS_X, middle + 4, str(len(thread.sends) or "–"), "ink", "end")
        self._sheet.text(END_X, middle + 4, f"{_end(thread):.1f}", "ink", "end")

    def _draw_bar(self, start: float, end: float, middle: int, css: str) -> None:
        x = self._x(start)
        self._sheet.bar(x, middle - BAR / 2, self._x(end) - x, BAR, css)

    def _draw_words(self) -> None:
        self._sheet.text(MARGIN, self._top - 6, "thread", "faint")
        self._sheet.text(SENDS_X, self._top - 6, "updates", "faint", "end")
        self._sheet.text(END_X, self._top - 6, "end [s]", "faint", "end")
        self._sheet.text(MARGIN, self._bottom + 66, "A bar: the thread runs; pale: its client has closed. "
                         "A mark on it: an update is sent. Recorded from a run of the port.", "faint")


def _end(thread: ThreadLife) -> float:
    assert thread.ended is not None
    return thread.ended
