"""For every pair of eyes and hands: keyboard alone, light and dark, from 360 to 1,920 pixels."""

import pytest

from tests.support import wait_until

FOCUSED = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  return {
    name: element.getAttribute('aria-label') || element.textContent.trim() || element.id,
    key: element.id || element.getAttribute('aria-label') || element.dataset.thread || element.value
         || element.textContent,
    tag: element.tagName,
    outline: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
  };
}"""

#: Every text on the page with the background behind it: the lowest contrast (WCAG 2, 1.4.3).
CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, under) => {
    const mix = (key) => top[key] * top.a + under[key] * (1 - top.a);
    return { r: mix('r'), g: mix('g'), b: mix('b'), a: 1 };
  };
  const background = (element) => {
    if (!element) return { r: 255, g: 255, b: 255, a: 1 };
    const own = parse(getComputedStyle(element).backgroundColor);
    return own.a === 1 ? own : over(own, background(element.parentElement));
  };
  const light = ({ r, g, b }) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const box = element.getBoundingClientRect();
    if (!walker.currentNode.textContent.trim() || !box.width) continue;
    if (element.closest(':disabled, .unseen, .skip')) continue;
    const style = getComputedStyle(element);
    const under = background(element);
    const colour = parse(style.color);
    colour.a *= Number(style.opacity);
    const [high, low] = [light(over(colour, under)), light(under)].sort((one, other) => other - one);
    found.push([(high + 0.05) / (low + 0.05), walker.currentNode.textContent.trim()]);
  }
  return found.sort(([one], [other]) => one - other).slice(0, 5);
}"""


def tab_to(visit, name):
    """Presses Tab until what is focused is called so; the way there must be visible at every step."""
    for _ in range(80):
        visit.page.keyboard.press("Tab")
        focused = visit.page.evaluate(FOCUSED)
        if focused["tag"] != "BODY":
            assert focused["outline"] >= 2, focused
        if name in (focused["name"], focused["key"]):
            return focused
    raise AssertionError(f"no Tab leads to {name}")


def test_everything_can_be_done_with_the_keyboard(server, visit):
    page = visit(server(time_scale=0.2))
    page.wait("document.querySelectorAll('#lanes .cell').length === 2")
    keyboard = page.page.keyboard
    tab_to(page, "ping")
    keyboard.press("Enter")
    page.wait_text("#round-trip", " ms")
    tab_to(page, "Subscribe block_updates")
    keyboard.press("Space")
    page.wait_text(".card[data-channel=block_updates] .counts", "confirmed 1×")
    tab_to(page, "open-one")
    keyboard.press("Enter")
    page.wait("document.querySelectorAll('#lanes .lane').length === 2")
    own = page.page.evaluate("livestream.stream.connectionId.slice(0, 8)")
    tab_to(page, f"Channel for {own}")
    keyboard.press("ArrowDown")
    tab_to(page, f"Subscribe, connection {own}")
    keyboard.press("Enter")
    page.wait("document.querySelectorAll('#lanes .cell').length === 6")
    thread = f"stream-{own}-tps_updates-1"
    tab_to(page, thread)
    keyboard.press("Enter")
    assert page.text("#detail-mirrors") == "broadcastTPSUpdates"
    # The list is drawn anew all the time; who is on a cell stays there.
    page.page.evaluate("() => { livestream.looks = livestream.theatre.latest; }")
    page.wait("livestream.theatre.latest !== livestream.looks")
    assert page.page.evaluate(FOCUSED)["key"] == thread
    tab_to(page, "original")
    keyboard.press("ArrowRight")
    assert page.text("#profile-summary").startswith("shipped: 8 ")
    tab_to(page, "filter")
    keyboard.type("pong")
    wait_until(lambda: page.page.locator("#messages li").count() == 1)
    tab_to(page, "pause")
    keyboard.press("Space")
    assert page.page.locator("#pause").get_attribute("aria-pressed") == "true"


def test_every_control_has_a_name_and_news_are_told(server, visit):
    page = visit(server())
    page.wait("document.querySelectorAll('#lanes .cell').length === 2")
    nameless = page.page.evaluate("""() => [...document.querySelectorAll('button, input, select, a')]
      .filter((one) => !(one.ariaLabel || one.labels?.length || one.textContent.trim()))
      .map((one) => one.outerHTML)""")
    assert nameless == []
    live = page.page.evaluate("() => ['state', 'announce', 'round-trip', 'outage-title'].map((id) => {"
                              " const e = document.getElementById(id); return e.ariaLive ?? e.role; })")
    assert live == ["status", "polite", "polite", "alert"]
    page.press("Open a connection")
    page.wait_text("#announce", "Opening 1 connection")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_nothing_sticks_out_at_any_width(server, visit, width, colours):
    page = visit(server(time_scale=0.2), size=(width, 800), colours=colours)
    page.wait_state("open")
    page.press("Open five")
    for channel in ("block_updates", "network_status", "validator_metrics"):
        page.press(f"Subscribe {channel}")
    page.wait("document.querySelectorAll('#lanes .cell').length === 15")
    page.page.locator("#lanes .cell").nth(1).click()
    assert page.page.evaluate("document.documentElement.scrollWidth") == width
    outside = page.page.evaluate("""() => [...document.querySelectorAll('main *')]
      .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 && one.offsetParent)
      .map((one) => one.outerHTML)""")
    assert outside == []
    chart = page.page.locator("#chart").bounding_box()
    canvas = page.page.locator("#chart canvas").bounding_box()
    assert abs(chart["width"] - canvas["width"]) < 2 and abs(chart["height"] - canvas["height"]) < 2


def test_the_chart_follows_a_window_that_changes(server, visit):
    page = visit(server(time_scale=0.05))
    page.wait("livestream.chart.times.length > 3")
    for width in (500, 1600):
        page.page.set_viewport_size({"width": width, "height": 800})
        page.wait("Math.abs(document.querySelector('#chart canvas').getBoundingClientRect().width"
                  " - document.querySelector('#chart').clientWidth) < 2")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_every_text_is_legible(server, visit, colours):
    page = visit(server(profile="original", time_scale=0.3), colours=colours, scale=0.3)
    page.wait_state("open")
    page.press("Open five")
    page.press("Subscribe validator_metrics")
    page.wait("document.querySelectorAll('#lanes .cell').length === 13")
    page.page.locator("#lanes .cell").nth(1).click()
    page.press("Close all of them")
    page.wait("document.querySelector('#lanes .cell[data-state=ended]') !== null")
    # The outage's banner too.
    page.page.evaluate("""() => {
      document.getElementById('outage').hidden = false;
      document.getElementById('polled').hidden = false;
      for (const id of ['outage-text', 'outage-title']) document.getElementById(id).textContent = 'Gone';
    }""")
    lowest = page.page.evaluate(CONTRAST)
    assert lowest[0][0] >= 4.5, lowest
    paper = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in paper.strip("rgb()").split(",")) / 3
    assert brightness > 200 if colours == "light" else brightness < 60
