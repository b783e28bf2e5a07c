"""Which diagrams there are, and what each is drawn from."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from livestream.parity.cases import load_session
from tests.examples.diagrams.life import Life
from tests.examples.diagrams.sequence import draw_sequence
from tests.examples.diagrams.timeline import draw_timeline

FOLDER = Path(__file__).parents[3] / "examples" / "diagrams"
#: Recorded sessions, and how many updates in a row each shows before it folds the rest.
SESSIONS = {"tps-only": 2, "all-channels": 4, "repeat-subscribe": 5, "mixed": 2}
#: Profiles under which one client's life is recorded.
LIVES = ("original", "corrected")


def recorded_life(profile: str) -> Path:
    """Where the life under this profile is kept."""
    return FOLDER / f"life-{profile}.json"


def _sequence(session: str, shown: int) -> str:
    return draw_sequence(load_session(session), shown)


def _timeline(profile: str) -> str:
    return draw_timeline(Life.read(recorded_life(profile)))


#: What draws each diagram, by the name of its file.
DIAGRAMS: dict[str, Callable[[], str]] = {
    **{f"sequence-{name}.svg": partial(_sequence, name, shown) for name, shown in SESSIONS.items()},
    **{f"threads-{profile}.svg": partial(_timeline, profile) for profile in LIVES},
}
