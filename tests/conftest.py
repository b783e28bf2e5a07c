"""Real servers on real sockets: started on port 0, stopped, and checked for what they leave behind."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import Served

# A runner in the background ignores Ctrl-C, and under nohup a hang-up: every command that the tests start
# would inherit that. A handler they don't inherit, and the runner goes on under nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that may take long come first: the file that ends last decides how long all of them take."""
    allowed: dict[Any, float] = {}
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker is not None else 0
        allowed[item.path] = max(allowed.get(item.path, 0), seconds)
    items.sort(key=lambda item: -allowed[item.path])
