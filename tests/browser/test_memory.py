"""The page may stay open for a day: half a minute, at a twentieth of all times, leaves nothing behind."""

from tests.browser.memory import held, work_the_page

#: Bytes that the collector and the browser's own tables may differ by.
SLACK = 600_000


def test_half_a_minute_of_messages_leaves_nothing_behind(server, visit):
    page = visit(server(time_scale=0.05), scale=0.05)
    page.wait_state("open")
    for channel in ("tps_updates", "block_updates", "network_status", "validator_metrics"):
        page.press(f"Subscribe {channel}")
    # About 61 messages a second: five seconds to fill all that is bounded, then the rest of the half minute.
    work_the_page(page, messages=360, rounds=2)
    before = held(page)
    work_the_page(page, messages=1_500, rounds=3)
    after = held(page)
    assert after.heap - before.heap < SLACK, (before, after)
    assert after.nodes - before.nodes < 400, (before, after)
    assert after.listeners - before.listeners < 20, (before, after)
    kept = page.page.evaluate(
        "() => [livestream.chart.times.length, livestream.log.kept.length, livestream.theatre.lanes.size]")
    assert kept[0] < 250 and kept[1] < 500 and kept[2] == 1
