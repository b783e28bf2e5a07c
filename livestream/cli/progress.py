"""How far a long command is, on standard error and only where somebody looks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn,
)
from rich.progress_bar import ProgressBar
from rich.text import Text


@contextmanager
def showing(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar of `total` steps; each call is one step, and says what was done."""
    console = Console(stderr=True)
    columns = (
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, advance=1, description=done)


class _TimeBar(BarColumn):
    """Moves by itself: what there is to tell comes seconds or minutes apart."""

    def __init__(self, passed: Callable[[], float]) -> None:
        super().__init__()
        self._passed = passed

    def render(self, task: Task) -> ProgressBar:
        task.completed = self._passed()
        return super().render(task)


class _TimeLeft(ProgressColumn):
    """After the bar: of its seconds those that have not passed."""

    def render(self, task: Task) -> Text:
        left = timedelta(seconds=round(max(0.0, (task.total or 0.0) - task.completed)))
        return Text(f"{left} left")


@contextmanager
def showing_time(seconds: float, passed: Callable[[], float]) -> Iterator[Callable[[str], None]]:
    """A bar of so many seconds, and the time left; `passed` is asked how many are over.

    Each call says what is done now. Lines may be printed meanwhile.
    """
    console = Console(stderr=True)
    columns = (_TimeBar(passed), _TimeLeft(), TextColumn("{task.description}"))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal,
        # Seldom: what is measured runs beside it.
        refresh_per_second=2,
        # Else lines meant for a file would be shown here.
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        task = progress.add_task("", total=seconds)
        yield lambda doing: progress.update(task, description=doing)
