"""Which plots there are, and which of them a run has data for. What draws them is `plots`."""

from enum import Enum
from typing import Final, NamedTuple

from livestream.lab.results import FIGURES, Results, Step


class Scale(Enum):
    """How a plot's y axis counts."""

    #: From zero.
    LINEAR = "linear"
    LOG = "log"
    #: As the x axis does: a multiple of the clients is a straight line on either.
    LIKE_X = "like x"
    #: From about the least value: for a small change of something large.
    CLOSE = "close"


class Panel(NamedTuple):
    """One pair of axes."""

    #: A name of FIGURES, which has its unit and title.
    figure: str
    #: What the y axis counts; the unit is added.
    noun: str
    scale: Scale

    @property
    def title(self) -> str:
        """What stands above it."""
        title = FIGURES[self.figure].title
        return title[0].upper() + title[1:]

    @property
    def label(self) -> str:
        """What stands beside its y axis."""
        unit = FIGURES[self.figure].unit
        return f"{self.noun} [{unit}]" if unit else self.noun


class Picture(NamedTuple):
    """Panels below each other that share their x axis."""

    title: str
    panels: tuple[Panel, ...]


#: By the names of their files: every plot of figures against clients, or against what was varied. In this
#: order a page's two columns are about as long.
PICTURES: Final = {
    "threads": Picture("Threads of the server", (
        Panel("threads", "threads", Scale.LIKE_X),
        Panel("channel_threads", "threads", Scale.LIKE_X),
    )),
    "memory": Picture("Memory of the server", (
        Panel("rss_mb", "RSS", Scale.LIKE_X),
        Panel("rss_per_client_kb", "RSS per client", Scale.LINEAR),
    )),
    "cpu-per-message": Picture("What a message cost", (
        Panel("cpu_per_message_us", "time", Scale.LINEAR),
    )),
    "lateness": Picture("How late updates came", (
        Panel("late_p50", "lateness", Scale.LOG),
        Panel("late_p99", "lateness", Scale.LOG),
        Panel("late_max", "lateness", Scale.LOG),
    )),
    "delivered": Picture("How many of the updates came", (
        Panel("delivered", "share", Scale.LINEAR),
    )),
    "bytes-per-client": Picture("What one client receives", (
        Panel("bytes_per_client", "bytes", Scale.LINEAR),
    )),
}
#: The plot of one step's time line; a run with several of them has one for each, numbered.
OVER_TIME: Final = "threads-over-time"
#: Its panels; the figures are fields of `Moment`, too.
TIME_PANELS: Final = (
    Panel("threads", "threads", Scale.LINEAR),
    Panel("rss_mb", "RSS", Scale.CLOSE),
)


def pictures(results: Results) -> dict[str, Picture]:
    """The plots with a panel for each figure that any step has; a plot without one is left out."""
    measured = {figure for step in results.steps for figure in step.figures}
    kept = {
        name: Picture(title, tuple(panel for panel in panels if panel.figure in measured))
        for name, (title, panels) in PICTURES.items()
    }
    return {name: picture for name, picture in kept.items() if picture.panels}


def time_lines(results: Results) -> dict[str, Step]:
    """The steps that have a time line, by the names of their plots."""
    steps = [step for step in results.steps if step.timeline]
    if len(steps) == 1:
        return {OVER_TIME: steps[0]}
    return {f"{OVER_TIME}-{at}": step for at, step in enumerate(steps, 1)}


def titles(results: Results) -> dict[str, str]:
    """Every plot that the results have data for, with what it is called; time lines first."""
    against = {name: picture.title for name, picture in pictures(results).items()}
    lines = time_lines(results).items()
    return {name: f"Threads and memory over time, {step.name}" for name, step in lines} | against


def by_condition(results: Results) -> bool:
    """Whether what was varied is the x axis, as the clients are the same in every step."""
    return bool(results.varied) and len({step.clients for step in results.steps}) == 1
