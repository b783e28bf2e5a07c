"""One Chromium for all tests of the page; a page must not complain, and must not ask elsewhere."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser.support import Server, Visit, chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # Not for the session: while it runs, no other test could run an event loop in this thread.
    with chromium() as browser:
        yield browser


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    """Starts servers; at the end each must stop and leave no thread."""
    started: list[Server] = []

    def start(**settings: Any) -> Server:
        started.append(Server(**settings))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def visit(server: Callable[..., Server], browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens the page of a server; in the end nothing may be wrong with any of them."""
    visits: list[Visit] = []

    def go(
        host: Server, *others: str, size: tuple[int, int] = (1280, 900), fragment: str = "", **query: object,
    ) -> Visit:
        colours = query.pop("colours", "light")
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=colours, reduced_motion="reduce")
        visits.append(Visit(context.new_page(), {host.host, *(urlsplit(url).netloc for url in others)}))
        visits[-1].page.goto(host.page(**query) + (fragment and f"#{fragment}"))
        return visits[-1]

    yield go
    found = [problem for one in visits for problem in one.problems()]
    for one in visits:
        one.page.context.close()
    assert found == []
