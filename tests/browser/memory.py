"""How much memory a page holds, and a run that shows whether it grows."""

from typing import NamedTuple

from tests.browser.support import Visit


class Held(NamedTuple):
    """What a page holds after its garbage is collected."""

    heap: int
    nodes: int
    listeners: int


def held(visit: Visit) -> Held:
    """The page's JavaScript heap in bytes, its DOM nodes and its listeners."""
    session = visit.page.context.new_cdp_session(visit.page)
    try:
        session.send("HeapProfiler.enable")
        session.send("HeapProfiler.collectGarbage")
        heap = session.send("Runtime.getHeapUsage")["usedSize"]
        counted = session.send("Memory.getDOMCounters")
    finally:
        session.detach()
    return Held(round(heap), counted["nodes"], counted["jsEventListeners"])


def work_the_page(visit: Visit, messages: int, rounds: int) -> None:
    """Opens and closes connections, subscribes and filters, for so many messages more."""
    start = visit.page.evaluate("livestream.log.total")
    for number in range(1, rounds + 1):
        visit.press("Open five")
        visit.wait("livestream.extras.byId.size === 5")
        visit.press("Ping")
        visit.press("Close all of them")
        visit.wait("livestream.extras.sockets.size === 0")
        visit.page.get_by_label("Filter").fill("tps" if number % 2 else "")
        visit.wait(f"livestream.log.total > {start + messages * number // rounds}", 120)
    visit.page.get_by_label("Filter").fill("")
    visit.wait("document.querySelectorAll('#lanes .lane').length === 1")
