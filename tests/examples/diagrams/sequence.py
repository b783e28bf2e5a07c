"""Draws a recorded session as a sequence diagram: each message an arrow, in its order, with its time."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

from livestream import contract
from livestream.parity.cases import Session, SessionStep
from tests.examples.diagrams.drawing import MARGIN, WIDTH, Sheet

TIME_X: Final = 100
CLIENT_X: Final = 140
SERVER_X: Final = WIDTH - 40
#: Where the first row begins, how high a row is, and what follows the last one.
TOP: Final = 78
ROW: Final = 28
BOTTOM: Final = 34
#: Who gets nothing but updates for so long gets no answer, in seconds.
ANSWER_TIME: Final = 0.2
NO_ANSWER: Final = "no answer"
#: Which channel sends an update of this type.
CHANNEL_OF: Final = {channel.message_type: channel.name for channel in contract.CHANNELS}
#: How a connection's end is called that comes without a frame.
EVENTS: Final = {"eof": "TCP FIN", "reset": "TCP RST"}


class Arrow(NamedTuple):
    """One message or the connection's end: who sent it, what it is, a detail, and what it is drawn as."""

    at: float
    by_client: bool
    what: str
    detail: str
    css: str


class Fold(NamedTuple):
    """Updates that are only counted: how many of each type, and when the last one came."""

    until: float
    counts: dict[str, int]


def draw_sequence(session: Session, shown: int) -> str:
    """The SVG; of more updates in a row than `shown` the rest is folded."""
    drawn = list(rows(session, shown))
    bottom = TOP + ROW * len(drawn)
    title = f"The session “{session.name}”, recorded from the original on {session.header.recorded_on}"
    sheet = Sheet(bottom + BOTTOM, title, "Messages between client and server as arrows, in their order.")
    sheet.text(TIME_X, 66, "time [s]", "faint", "end")
    for x, name in ((CLIENT_X, "client"), (SERVER_X, "server")):
        sheet.text(x, 66, name, "ink", "middle")
    for number, row in enumerate(drawn):
        _draw(sheet, row, TOP + ROW * number)
    sheet.text(MARGIN, bottom + 22, _note(drawn), "faint")
    return sheet.svg()


def rows(session: Session, shown: int) -> Iterator[Arrow | Fold]:
    """The session's steps in their order."""
    for updates, group in groupby(session.steps, is_update):
        steps = list(group)
        # What is folded is at least two: one takes no more room than its fold.
        kept = shown if updates and len(steps) > shown + 1 else len(steps)
        yield from (_arrow(step, session) for step in steps[:kept])
        if kept < len(steps):
            yield Fold(steps[-1].at, dict(Counter(_message(step)["type"] for step in steps[kept:])))


def is_update(step: SessionStep) -> bool:
    """Whether it came unasked, from a channel."""
    return step.dir == "recv" and step.text is not None and _message(step)["type"] in CHANNEL_OF


def is_answered(sent: SessionStep, session: Session) -> bool:
    """Whether anything but updates came soon after it."""
    return any(step.dir == "recv" and not is_update(step) and 0 <= step.at - sent.at < ANSWER_TIME
               for step in session.steps)


def _note(drawn: list[Arrow | Fold]) -> str:
    note = "Time in seconds since the handshake; the rows are not to scale."
    if any(isinstance(row, Arrow) and row.detail == NO_ANSWER for row in drawn):
        note += f" “{NO_ANSWER.capitalize()}”: nothing but updates for {ANSWER_TIME} s."
    return note


def _arrow(step: SessionStep, session: Session) -> Arrow:
    by_client = step.dir == "send"
    what, detail, css = _words(step)
    if by_client and not is_answered(step, session):
        detail = NO_ANSWER
    return Arrow(step.at, by_client, what, detail, css)


def _words(step: SessionStep) -> tuple[str, str, str]:
    """What it is, a detail, and the class of its arrow."""
    if step.close is not None:
        return f"Close {step.close}", "", "ink"
    if step.event is not None:
        return EVENTS.get(step.event, step.event), "", "faint"
    if step.dir == "send":
        return step.text or "", "", "ink"
    message = _message(step)
    name, value = next(iter(message["payload"].items()))
    return message["type"], f"{name} {json.dumps(value)}", CHANNEL_OF.get(message["type"], "ink")


def _message(step: SessionStep) -> Any:
    return json.loads(step.text or "")


def _draw(sheet: Sheet, row: Arrow | Fold, top: int) -> None:
    if isinstance(row, Fold):
        _draw_lifelines(sheet, top, "faint dotted")
        _draw_fold(sheet, row, top)
    else:
        _draw_lifelines(sheet, top, "faint")
        _draw_arrow(sheet, row, top)


def _draw_lifelines(sheet: Sheet, top: int, css: str) -> None:
    for x in (CLIENT_X, SERVER_X):
        sheet.line((x, top), (x, top + ROW), css)


def _draw_fold(sheet: Sheet, fold: Fold, top: int) -> None:
    counts = ", ".join(f"{count} more {name}" for name, count in fold.counts.items())
    sheet.text(TIME_X, top + 18, f"… {fold.until:.3f}", "faint code", "end")
    sheet.text((CLIENT_X + SERVER_X) / 2, top + 18, f"… {counts}", "faint code", "middle")


def _draw_arrow(sheet: Sheet, arrow: Arrow, top: int) -> None:
    start, end, anchor = (CLIENT_X, SERVER_X, "start") if arrow.by_client else (SERVER_X, CLIENT_X, "end")
    inwards = 14 if arrow.by_client else -14
    sheet.text(TIME_X, top + 26, f"{arrow.at:.3f}", "faint code", "end")
    sheet.text(start + inwards, top + 16, arrow.what, "ink code", anchor, (arrow.detail, "faint"))
    sheet.arrow(top + 22, start, end, arrow.css)
