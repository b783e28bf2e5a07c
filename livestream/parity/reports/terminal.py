"""A report for the terminal: what matters most in the first line, and no more than one can read."""

from typing import Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from livestream.parity.judging.deviations import LAYERS
from livestream.parity.judging.difference import Difference
from livestream.parity.judging.verdict import Report, Result, Verdict
from livestream.parity.reports.headline import Group, counted, flags_told, groups, headline
from livestream.parity.reports.marking import Piece, marked, plain
from livestream.parity.reports.sent import sent, visible

#: Of each group so many cases are shown in full, and of a case so many differences and lines sent.
MOST_CASES: Final = 3
MOST_DIFFERENCES: Final = 4
MOST_LINES: Final = 6
_STYLES: Final = {
    Verdict.SAME: "green", Verdict.EXPLAINED: "cyan", Verdict.DIFFERENT: "bold red",
    Verdict.NO_ANSWER: "bold yellow",
}


def print_report(report: Report, console: Console) -> None:
    """Everything, on this console; without colours the differing parts stand between ⟦ and ⟧."""
    console.print(Text(visible(headline(report)), style=_STYLES[report.verdict]), soft_wrap=True)
    told = f"{report.subject}, judged by {report.reference}, in {report.seconds:.1f} s"
    console.print(Text(told), soft_wrap=True)
    console.print(_layers(report))
    for note in report.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    for group in groups(report):
        _print_group(report, group, console)


def _layers(report: Report) -> Table:
    table = Table("layer", "verdict", *(verdict.value for verdict in Verdict), box=None, pad_edge=False)
    for layer in report.layers:
        counts = [str(layer.counts.get(verdict, 0) or "") for verdict in Verdict]
        table.add_row(layer.name, Text(layer.verdict.value, style=_STYLES[layer.verdict]), *counts)
    return table


def _print_group(report: Report, group: Group, console: Console) -> None:
    console.print()
    console.print(Text(visible(_heading(group)), style="bold"), soft_wrap=True)
    if group.reason:
        _print_names(group.results, console)
        return
    for result in group.results[:MOST_CASES]:
        _print_result(report, result, console)
    _print_names(group.results[MOST_CASES:], console, "also")


def _heading(group: Group) -> str:
    count = counted(len(group.results))
    if group.reason:
        return f"{count}, no answer: {group.reason}"
    return f"{count}, {flags_told(group.flags)}" if group.flags else f"{count}, not explained"


def _print_names(results: list[Result], console: Console, before: str = "") -> None:
    """By layer, in one line each."""
    for layer in dict.fromkeys(LAYERS.values()):
        names = [result.case.name for result in results if result.layer == layer]
        if names:
            console.print(Text(f"{before} {layer}: {', '.join(names)}".strip()), soft_wrap=True)


def _print_result(report: Report, result: Result, console: Console) -> None:
    console.print()
    console.print(Text(result.name, style="underline"))
    lines = sent(result.case)
    for line in lines[:MOST_LINES]:
        console.print(Text(f"  sent  {visible(line)}"), soft_wrap=True)
    if len(lines) > MOST_LINES:
        console.print(Text(f"        and {len(lines) - MOST_LINES} more"))
    console.print(_differences(result.differences[:MOST_DIFFERENCES], console))
    if len(result.differences) > MOST_DIFFERENCES:
        console.print(Text(f"  and {len(result.differences) - MOST_DIFFERENCES} more differences"))
    console.print(Text(f"  again: {report.replay(result)}"), soft_wrap=True)


def _differences(differences: tuple[Difference, ...], console: Console) -> Table:
    """Both sides next to each other."""
    columns = (Column(header, overflow="fold") for header in ("where", "expected", "got"))
    table = Table(*columns, show_lines=len(differences) > 1)
    for difference in differences:
        sides = marked(difference.expected, difference.got)
        expected = _side(sides.expected, "green", console)
        got = _side(sides.got, "red", console)
        table.add_row(Text(visible(difference.where)), expected, got)
    return table


def _side(pieces: list[Piece], style: str, console: Console) -> Text:
    if console.color_system is None:
        return Text(visible(plain(pieces)))
    text = Text()
    for piece in pieces:
        text.append(visible(piece.text), f"bold reverse {style}" if piece.differs else "")
    return text
