"""A headless Chromium at the live page, and a server that can go away and come back at its address."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from livestream.app import LiveServer
from livestream.settings import Settings
from livestream.stream.profiles import PROFILES
from tests.support import wait_until

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    # So that the heap can be read exactly.
    "--enable-precise-memory-info",
]
#: How long the page may take for what should take no time, in milliseconds.
PATIENCE_MS = 20_000
#: How the browser itself complains that a server is away; a page can't keep it from doing so.
AWAY = (
    "WebSocket connection to", "Failed to load resource: net::ERR_", "Failed to load resource: the server",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Server:
    """A server of ours on one port, however often it is stopped and started."""

    def __init__(self, **settings: Any) -> None:
        self._server = self._listen(0, settings)
        self.port = self._server.address[1]
        self.host = f"127.0.0.1:{self.port}"
        self.running = True

    @staticmethod
    def _listen(port: int, settings: dict[str, Any]) -> LiveServer:
        profile = PROFILES[settings.pop("profile", "original")]
        server = LiveServer(Settings(host="127.0.0.1", port=port, profile=profile, **settings))
        server.start()
        return server

    def page(self, **query: object) -> str:
        text = "&".join(f"{key}={value}" for key, value in query.items())
        return f"http://{self.host}/lab/?{text}"

    @property
    def stream(self) -> str:
        return f"ws://{self.host}/api/v11/live/stream"

    def stop(self) -> None:
        if self.running:
            self.running = False
            assert self._server.stop() == []

    def start_again(self, **settings: Any) -> None:
        self._server = self._listen(self.port, settings)
        self.running = True


class Visit:
    """One page, and what it did that it should not have done."""

    def __init__(self, page: Page, hosts: set[str]) -> None:
        self.page = page
        self.hosts = hosts
        #: What the console may say: `AWAY`, once a server is away.
        self.forgiven: tuple[str, ...] = ()
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._on_request)
        page.on("websocket", lambda socket: self._check(socket.url))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _on_request(self, request: Request) -> None:
        self._check(request.url)

    def _check(self, url: str) -> None:
        if urlsplit(url).netloc not in self.hosts:
            self.elsewhere.append(url)

    def problems(self) -> list[str]:
        """Complaints that nothing excuses, and requests that left the host."""
        unforgiven = [text for text in self.complaints if not text.startswith(self.forgiven)]
        return unforgiven + self.elsewhere

    # What the tests look at.

    def wait(self, expression: str, timeout: float = PATIENCE_MS / 1000) -> None:
        """Until the JavaScript expression holds; asked from outside: the page's policy forbids `eval`."""
        try:
            wait_until(lambda: self.page.evaluate(expression), timeout)
        except AssertionError as error:
            says = self.text("body")[:2000]
            raise AssertionError(f"never so: {expression}; the page says {says}") from error

    def wait_state(self, state: str) -> None:
        self.wait(f"livestream.stream.state === '{state}'")

    def wait_text(self, selector: str, part: str) -> None:
        self.wait(f"document.querySelector({selector!r})?.textContent.includes({part!r})")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
