"""Real servers on real sockets: started on port 0, stopped, and checked for what they leave behind."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import Served

# A runner in the background ignores Ctrl-C, and every command that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts servers; at the end each must stop and leave no thread."""
    running: list[Served] = []

    def start(**settings: Any) -> Served:
        running.append(Served(**settings))
        return running[-1]

    yield start
    for served in running:
        assert served.server.stop() == []
