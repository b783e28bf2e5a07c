"""Pictures of the live page in every state: light, dark, and on a phone. Run by `make pictures`."""

import io
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Browser

from livestream.wire.client import WireClient
from tests.browser.support import Server, Visit, chromium
from tests.client.support import Script, accept, message, scripted
from tests.support import next_text

PICTURES = Path(__file__).parents[2] / "examples" / "pictures"
#: Colours of one picture; flat areas and text need no more.
PALETTE = 256
#: A fifth of every time, of the server's and of the page's.
SCALE = 0.2


class Look(NamedTuple):
    """How the page is looked at."""

    name: str
    colours: str
    width: int
    height: int
    scale: float


LOOKS = (
    Look("light", "light", 1440, 1000, 1), Look("dark", "dark", 1440, 1000, 1),
    Look("phone", "light", 360, 760, 2), Look("phone-dark", "dark", 360, 760, 2),
)


class State(NamedTuple):
    """What the page shows: how its server runs, what is done first, and which part is looked at."""

    name: str
    settings: dict[str, object]
    arrange: Callable[[Visit, Server], None]
    part: str = "body"
    height: int = 0
    scale: float = SCALE


def _lane(visit: Visit, whose: str) -> str:
    visit.wait(f"[...document.querySelectorAll('.whose')].some((one) => one.textContent === '{whose}')")
    return f"#lanes .lane:has(.whose:text-is('{whose}'))"


def _all_channels(visit: Visit, server: Server) -> None:
    for channel in ("block_updates", "network_status", "validator_metrics"):
        visit.press(f"Subscribe {channel}")
    visit.press("Ping")
    visit.wait("livestream.chart.times[0] < performance.now() - livestream.chart.span * 0.98", 60)


def _repeated_subscribes(visit: Visit, server: Server) -> None:
    visit.press("Open a connection")
    visit.press("Open a connection")
    for channel in ("tps_updates", "tps_updates", "tps_updates", "block_updates", "validator_metrics"):
        visit.press(f"Subscribe {channel}")
    visit.press("Unsubscribe tps_updates")
    visit.wait("document.querySelectorAll('#lanes .cell').length === 11")
    visit.page.locator(f"{_lane(visit, 'this page')} .cell").nth(1).click()
    visit.wait("livestream.chart.times.length > 20")


def _left_over(visit: Visit, server: Server) -> None:
    visit.press("Open a connection")
    lane = visit.page.locator(_lane(visit, "opened here"))
    for channel in ("block_updates", "network_status", "validator_metrics"):
        lane.get_by_role("combobox").select_option(channel)
        lane.get_by_role("button", name="Subscribe").first.click()
    visit.wait("document.querySelectorAll('#lanes .cell').length === 7")
    lane.get_by_role("button", name="Close").click()
    visit.wait("document.querySelectorAll('.cell[data-state=lingering]').length > 0"
               " && document.querySelectorAll('.cell[data-state=ended]').length > 1")


def _profile(visit: Visit, server: Server) -> None:
    visit.wait("document.querySelectorAll('#profile-choice input').length === 3")
    visit.page.locator("#profile-choice input[value=corrected]").check()


def _messages(visit: Visit, server: Server) -> None:
    for channel in ("block_updates", "network_status", "validator_metrics"):
        visit.press(f"Subscribe {channel}")
    visit.press("Ping")
    visit.wait("document.querySelectorAll('#messages li').length > 30")
    visit.press("Pause")


def _reconnecting(visit: Visit, server: Server) -> None:
    visit.wait("livestream.chart.times.length > 30")
    server.stop()
    visit.wait("livestream.stream.attempt === 2")


def _polling(visit: Visit, server: Server) -> None:
    visit.page.evaluate("livestream.stream.scale = 0.05")
    server.stop()
    server.start_again(max_connections=1, time_scale=SCALE)
    with WireClient.connect(f"http://{server.host}", timeout=20) as only_one:
        next_text(only_one, "tps_update")
        visit.wait_state("polling")
        visit.wait("livestream.chart.times.length > 12")
        visit.page.evaluate(f"livestream.stream.scale = {SCALE}")
        visit.wait("document.getElementById('countdown').textContent.startsWith('Next')")
        visit.wait_text("#outage-text", "polled once a second")


def _unanswered(visit: Visit, server: Server) -> None:
    visit.page.evaluate("livestream.stream.scale = 0.05")
    server.stop()
    visit.wait_text("#outage-text", "gets no answer either")
    visit.wait("document.getElementById('countdown').textContent.startsWith('Next')")


def _stranger(visit: Visit, server: Server) -> None:
    visit.wait("livestream.chart.times.length > 12")
    server.stop()
    with tempfile.NamedTemporaryFile("w") as tokens:
        print("a-token-nobody-has", file=tokens, flush=True)
        server.start_again(auth_token_file=tokens.name)
    visit.wait_text("#outage-title", "wants a token")


def _closed(visit: Visit, server: Server) -> None:
    visit.wait("livestream.chart.times.length > 30")
    visit.page.evaluate("livestream.stream.close()")
    visit.wait_text("#state-text", "Closed")


def _mute(visit: Visit, server: Server) -> None:
    visit.wait_text("#state-text", "says nothing")


def _shared(visit: Visit, server: Server) -> None:
    visit.press("Open a connection")
    _lane(visit, "opened here")
    for channel in ("block_updates", "validator_metrics"):
        visit.press(f"Subscribe {channel}")
    visit.wait("document.querySelectorAll('#lanes .cell').length > 8")


STATES = (
    State("overview", {}, _all_channels, height=1060),
    State("threads", {}, _repeated_subscribes, "#theatre"),
    State("left-over", {"time_scale": 1}, _left_over, "#theatre"),
    State("profiles", {}, _profile, "#profiles"),
    State("messages", {}, _messages, "#log"),
    State("reconnecting", {}, _reconnecting, scale=1),
    State("polling", {}, _polling),
    State("unanswered", {}, _unanswered),
    State("stranger", {}, _stranger),
    State("closed", {}, _closed),
    State("mute", {"profile": "shipped"}, _mute),
    State("ticker", {"broadcaster": "ticker"}, _shared, "#theatre"),
)


class Elsewhere(NamedTuple):
    """Another server, and what is waited for."""

    server: Callable[[], AbstractContextManager[str]]
    until: str


@contextmanager
def _scripted(script: Script) -> Iterator[str]:
    with scripted(script) as server:
        yield server.url


ELSEWHERE = {
    "elsewhere": Elsewhere(lambda: _another(), "livestream.chart.times.length > 20"),
    "connecting": Elsewhere(lambda: _scripted(_hung), "livestream.stream.state === 'connecting'"),
    "silent": Elsewhere(
        lambda: _scripted(_silent),
        "document.getElementById('state-text').textContent.includes('silent for half a minute')"),
}


@contextmanager
def opened(browser: Browser, server: Server, look: Look, height: int = 0, **query: object) -> Iterator[Visit]:
    """The page of a server, looked at so."""
    context = browser.new_context(
        viewport={"width": look.width, "height": height if height and look.width > 1000 else look.height},
        color_scheme=look.colours, device_scale_factor=look.scale, reduced_motion="reduce")
    try:
        visit = Visit(context.new_page(), {server.host})
        visit.page.goto(server.page(**query))
        yield visit
    finally:
        context.close()


def take(visit: Visit, part: str, path: Path) -> None:
    """A picture of what is in the window, with `part` at its top; as few colours as will do."""
    visit.page.evaluate(
        "(part) => scrollTo(0, part === 'body' ? 0"
        " : document.querySelector(part).getBoundingClientRect().top + scrollY - 16)", part)
    image = Image.open(io.BytesIO(visit.page.screenshot())).convert("RGB")
    image.quantize(palette=_commonest(image), dither=Image.Dither.NONE).save(path, optimize=True)


def _commonest(image: Image.Image) -> Image.Image:
    """The picture's own most frequent colours as they are: a mixed one would be none of the page's."""
    counted = sorted(image.getcolors(image.width * image.height), reverse=True)[:PALETTE]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in counted for part in colour])
    return palette


def main() -> None:
    """Every state in every look, or those that are named."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for state in STATES:
            if sys.argv[1:] and state.name not in sys.argv[1:]:
                continue
            for look in LOOKS:
                server = Server(**{"time_scale": SCALE, **state.settings})
                with opened(browser, server, look, state.height, scale=state.scale) as visit:
                    if state.name != "mute":
                        visit.wait_state("open")
                        visit.wait("livestream.theatre.latest !== undefined")
                    state.arrange(visit, server)
                    path = PICTURES / f"{state.name}-{look.name}.png"
                    take(visit, state.part, path)
                server.stop()
                print(f"{path.relative_to(PICTURES.parents[1])}: {path.stat().st_size // 1024} kB")
        for name, serving in ELSEWHERE.items():
            if not sys.argv[1:] or name in sys.argv[1:]:
                _elsewhere(browser, name, serving)


@contextmanager
def _another() -> Iterator[str]:
    other = Server(time_scale=SCALE)
    try:
        yield other.stream
    finally:
        other.stop()


def _silent(connection: socket.socket, head: bytes) -> None:
    accept(connection, head, message("tps_update", currentTPS=801_402, peakTPS=826_000, averageTPS=750_000))
    _hung(connection, head)


def _hung(connection: socket.socket, head: bytes) -> None:
    while connection.recv(65_536):
        pass


def _elsewhere(browser: Browser, name: str, serving: Elsewhere) -> None:
    """The page of one server, at another's stream."""
    for look in LOOKS:
        server = Server(time_scale=SCALE)
        with serving.server() as url, opened(browser, server, look, scale=SCALE, url=url) as visit:
            visit.wait(serving.until)
            take(visit, "body", PICTURES / f"{name}-{look.name}.png")
        server.stop()


if __name__ == "__main__":
    main()
