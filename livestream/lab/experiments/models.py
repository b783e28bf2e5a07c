"""`models`: would a shared pool or a shared ticker do better than a thread per channel per client?

The same contract, served by three broadcasters; one whose messages differ
from the recorded original's has no figures that count.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Final

from livestream.lab.experiment import Planned, Setup
from livestream.lab.load import OnEvent
from livestream.lab.results import Step
from livestream.lab.server import ServerError

#: `serve --broadcaster`: the original's, and the two that the report wonders about.
MODELS: Final = ("threads", "pool", "ticker")
#: Playing the message corpus to a server that is started for it takes about so long, in seconds.
CORPUS_SECONDS: Final = 5.0


def models(setup: Setup, names: Sequence[str] = MODELS) -> list[Planned]:
    """One step for each broadcaster and each number of clients. For a server of ours only."""

    @cache
    def complaint(name: str) -> str:
        return corpus_complaint(setup, _options(name))

    def step(name: str, clients: int, on_event: OnEvent) -> Step:
        measured = setup.step(clients, on_event, condition=name, options=_options(name))
        wrong = complaint(name)
        return replace(measured, invalid=(*measured.invalid, wrong)) if wrong else measured

    extra = CORPUS_SECONDS / len(setup.clients)
    plan = [
        setup.planned(name, clients, partial(step, name, clients))
        for name in names
        for clients in setup.clients
    ]
    return [planned._replace(expected_seconds=planned.expected_seconds + extra) for planned in plan]


def corpus_complaint(setup: Setup, options: Sequence[str]) -> str:
    """Plays the message corpus against a server with these options: one sentence, empty when it passes.

    The contract is played with it: by the corpus alone an update could say anything.
    """
    try:
        return _played(setup, options)
    except ServerError as error:
        return f"The message corpus could not be played: {error}"


def _played(setup: Setup, options: Sequence[str]) -> str:
    with setup.open_server(options) as server:
        command = [sys.executable, "-m", "livestream", "parity", server.url]
        layers = ["--only", "messages", "--only", "contract"]
        played = subprocess.run([*command, *layers], capture_output=True, text=True, start_new_session=True)
    if played.returncode == 0:
        return ""
    lines = (played.stdout or played.stderr).strip().splitlines()
    return f"It doesn't pass the message corpus: {lines[0] if lines else 'no answer'}"


def _options(name: str) -> tuple[str, ...]:
    return ("--broadcaster", name)
