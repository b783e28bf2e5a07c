"""The page as a client: figures, chart, cards, switches, ping, messages."""

import json
import re

from livestream.contract import CHANNELS
from tests.parity.independent_server import serving
from tests.support import wait_until


def sent(visit):
    """What the page has sent, by its log."""
    rows = visit.page.locator("#messages li[data-kind=out] code").all_inner_texts()
    return [json.loads(text) for text in rows]


def card(visit, channel):
    return visit.page.locator(f".card[data-channel={channel}]")


def number(text):
    return int(text.replace(",", ""))


def test_the_figures_and_the_chart_follow_the_stream(server, visit):
    page = visit(server(time_scale=0.05))
    page.wait("livestream.chart.times.length > 5")
    assert page.text("#state-text") == "Connected"
    assert 776_000 <= number(page.text("#tps-current")) < 826_000
    assert (page.text("#tps-average"), page.text("#tps-peak")) == ("750,000", "800,000")
    assert 40 <= int(page.text("#tps-latency").removesuffix(" ms")) < 60
    assert page.page.locator("#chart canvas").count() == 1
    assert page.page.locator("#chart").get_attribute("aria-label").startswith("The last 60 seconds. Current ")
    # Something is drawn in the line's colour: the canvas isn't one colour.
    assert page.page.evaluate("""() => {
      const canvas = document.querySelector('#chart canvas');
      const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      return new Set(new Uint32Array(data.buffer)).size;
    }""") > 10


def test_the_charts_axis_fits_large_and_small_figures(server, visit):
    page = visit(server()).page
    ends = "([least, most]) => import('./chart.js').then((chart) => chart.padded(least, most))"
    for least, most in ((750_000, 825_999), (200, 240), (0, 0), (0.5, 0.5)):
        low, high = page.evaluate(ends, [least, most])
        assert low < least <= most < high
        assert high - low < max(5 * (most - least), 0.02 * most, 2.1)
    low, high = page.evaluate(ends, [800_000, 800_000])
    assert high - low > 5_000, "noise would look like more"


def test_the_charts_ticks_are_apart_and_in_one_unit(server, visit):
    page = visit(server()).page
    labels = "(ticks) => import('./chart.js').then((chart) => chart.short(ticks))"
    assert page.evaluate(labels, [740_000, 750_000]) == ["740 k", "750 k"]
    assert page.evaluate(labels, [11_940, 11_960, 12_000]) == ["11,940", "11,960", "12,000"]
    assert page.evaluate(labels, [9_000, 9_500]) == ["9,000", "9,500"]


def test_a_rate_is_told_from_the_second_update_on(server, visit):
    page = visit(server())
    page.wait_text(".card[data-channel=tps_updates] .rate", "updates a second")
    rate = float(page.text(".card[data-channel=tps_updates] .rate").partition(" ")[0])
    # Of the whole window, ten seconds, it would be 0.2.
    assert rate > 0.4


def test_60_seconds_are_kept_and_no_more(server, visit):
    page = visit(server(time_scale=0.02), scale=0.02)
    page.wait("livestream.log.total > 200")
    span = 60_000 * 0.02
    kept = page.page.evaluate(
        "() => { livestream.chart.draw(); livestream.log.draw(); const now = performance.now();"
        " return [now - livestream.chart.times[0], now - livestream.log.kept[0].at]; }")
    assert max(kept) < span + 50
    assert "in the last 60 seconds" in page.text("#log-count")


def test_every_channel_has_a_card_that_shows_its_values_when_subscribed(server, visit):
    page = visit(server(time_scale=0.02))
    page.wait_state("open")
    expected = {
        "block_updates": ["Block height", "12,345", "Producer", "validator-1"],
        "network_status": ["Active nodes", "64", "Network health", "healthy"],
        "validator_metrics": ["Total validators", "20", "Jailed validators", "2"],
    }
    assert card(page, "block_updates").locator(".rate").inner_text() == "no updates"
    for channel, words in expected.items():
        page.press(f"Subscribe {channel}")
        card(page, channel).locator(".values dd").first.wait_for()
        text = card(page, channel).inner_text()
        assert [word for word in words if word not in text] == []
        assert "asked 1×, confirmed 1×" in text
    asked = [{"type": "subscribe", "channel": channel} for channel in expected]
    wait_until(lambda: sent(page)[::-1] == asked)


def test_in_the_original_a_repeated_subscribe_multiplies_and_unsubscribe_does_nothing(server, visit):
    page = visit(server(time_scale=0.05))
    page.wait_state("open")
    for _ in range(3):
        page.press("Subscribe tps_updates")
    page.press("Unsubscribe tps_updates")
    page.press("Ping")
    page.wait_text("#round-trip", " ms")
    counts = card(page, "tps_updates").locator(".counts").inner_text()
    assert counts == "asked 3×, confirmed 3×; unsubscribed 1×, no answer"
    page.wait("document.querySelectorAll('#lanes .cell[data-role=channel]').length === 4")


def test_in_corrected_unsubscribe_is_answered_and_the_updates_end(server, visit):
    page = visit(server(profile="corrected"), scale=0.05)
    page.wait_state("open")
    page.press("Subscribe tps_updates")
    page.press("Unsubscribe tps_updates")
    page.wait_text(".card[data-channel=tps_updates] .counts", "unsubscribed 1×, answered 1×")
    page.wait_text(".card[data-channel=tps_updates] .rate", "no updates")
    page.wait("document.querySelectorAll('#lanes .cell[data-state=sleeping]').length === 0")


def test_a_ping_shows_its_round_trip(server, visit):
    page = visit(server())
    page.wait_state("open")
    page.press("Ping")
    page.wait_text("#round-trip", " ms")
    assert 0 < float(page.text("#round-trip").removesuffix(" ms")) < 10_000
    wait_until(lambda: {"type": "ping"} in sent(page))


def test_the_log_shows_raw_text_filters_pauses_and_clears(server, visit):
    page = visit(server(time_scale=0.05))
    page.wait("livestream.log.total > 10")
    rows = page.page.locator("#messages li code")
    assert json.loads(rows.first.inner_text())["type"] == "tps_update"
    page.press("Ping")
    page.page.get_by_label("Filter").fill("PONG")
    page.wait("document.querySelectorAll('#messages li').length === 1")
    assert json.loads(rows.first.inner_text())["type"] == "pong"
    page.page.get_by_label("Filter").fill("")
    page.press("Pause")
    assert page.page.locator("#pause").get_attribute("aria-pressed") == "true"
    shown = page.text("#messages")
    page.wait("livestream.log.missed > 5")
    assert page.text("#messages") == shown
    page.wait_text("#log-count", "of them since the pause")
    page.press("Go on")
    page.wait("!livestream.log.paused && document.querySelectorAll('#messages li').length > 10")
    assert page.text("#messages") != shown
    page.press("Pause")
    page.press("Clear")
    page.wait("document.querySelectorAll('#messages li').length === 0")


def test_what_a_pause_shows_outlives_its_minute(server, visit):
    page = visit(server(time_scale=0.05))
    page.wait("livestream.log.total > 10")
    page.press("Pause")
    shown = page.page.locator("#messages li").count()
    page.page.evaluate("livestream.log.span = 200")
    page.wait("livestream.log.missed > 0 && livestream.log.kept[0].at < performance.now() - 1000")
    page.page.get_by_label("Filter").fill("tps")
    page.page.get_by_label("Filter").fill("")
    assert page.page.locator("#messages li").count() == shown > 5
    count, since = re.findall(r"\d+", page.text("#log-count").replace("60", ""))
    assert int(since) <= int(count) < shown


def test_a_ping_that_nobody_answers_says_so(server, visit):
    page = visit(server(profile="shipped"), scale=0.02)
    page.wait_state("open")
    page.press("Ping")
    page.wait_text("#round-trip", "no pong")


def test_what_a_server_sends_is_shown_as_text_and_never_as_markup(server, visit):
    page = visit(server())
    page.wait_state("open")
    evil = "<img src=x onerror=boom()>"
    page.page.evaluate("channel => livestream.stream.subscribe(channel)", evil)
    page.wait_text("#messages", evil)
    assert page.page.locator("#messages img").count() == 0


GARBAGE = [
    "not json", "5", "null", "[]", '"text"', "{}", '{"type":"tps_update"}',
    '{"type":"tps_update","payload":null}',
    '{"type":"tps_update","payload":{"currentTPS":"many","latency":{}}}', '{"type":"pong"}',
    '{"type":"subscription_confirmed"}',
    '{"type":"subscription_confirmed","payload":{"channel":"__proto__"}}',
    '{"type":"block_update","payload":{"x":{"toString":1,"valueOf":1}}}',
    '{"type":"block_update","payload":[1,[2],{"a":3}]}', '{"type":"block_update","payload":"text"}',
    '{"type":"connection_established"}', '{"type":"connection_established","payload":{"connectionId":7}}',
    b"binary", "x" * 100_000, "",
]


def test_a_server_that_sends_garbage_is_survived(server, visit):
    update = '{"type":"tps_update","payload":{"currentTPS":1234,"averageTPS":1,"peakTPS":2,"latency":3}}'

    def talk(connection):
        for message in [*GARBAGE, update]:
            connection.send(message)
        for _ in connection:
            pass

    with serving(talk) as url:
        page = visit(server(), url, url=url)
        page.wait_text("#tps-current", "1,234")
        page.wait(f"document.querySelectorAll('#messages li').length === {len(GARBAGE) + 1}")
        page.wait_text("#messages", "(100000 characters)")
        page.wait_text("#messages", "(a binary message)")


def test_a_mute_server_is_called_mute(server, visit):
    page = visit(server(profile="shipped"), scale=0.01)
    page.wait_text("#state-text", "Connected, but it says nothing")
    assert page.text("#chart-empty") == "No update yet."
    page.wait("document.querySelectorAll('#lanes .cell').length === 1")


def test_the_page_knows_the_channels_of_the_contract(server, visit):
    page = visit(server())
    page.wait_state("open")
    names = page.page.locator(".card h3").all_inner_texts()
    assert names == [channel.name for channel in CHANNELS]


def test_a_query_that_means_nothing_changes_nothing(server, visit):
    host = server()
    page = visit(host)
    for query in ("url=", "url=nonsense", "url=http://example.com", "scale=-1", "scale=x"):
        page.page.goto(f"http://{host.host}/lab/?{query}")
        page.wait_state("open")
        assert page.text("#address") == host.stream
        assert page.page.evaluate("livestream.stream.scale") == 1
