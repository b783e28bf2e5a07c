"""Five minutes of the live page in a real browser, with connections that come and go. Run by `make soak`."""

import pytest

from tests.browser.conftest import browser, server, visit  # noqa: F401
from tests.browser.memory import held, work_the_page

#: Bytes in five minutes; half of what one message in fifty would leave behind.
SLACK = 800_000


@pytest.mark.timeout(900)
def test_five_minutes_of_messages_leave_nothing_behind(server, visit):  # noqa: F811
    page = visit(server(time_scale=0.05), scale=0.05)
    page.wait_state("open")
    for channel in ("tps_updates", "block_updates", "network_status", "validator_metrics"):
        page.press(f"Subscribe {channel}")
    work_the_page(page, messages=1_800, rounds=6)
    before = held(page)
    # About 61 messages a second.
    work_the_page(page, messages=17_000, rounds=60)
    after = held(page)
    print(f"{before} -> {after}")
    assert after.heap - before.heap < SLACK, (before, after)
    assert after.nodes - before.nodes < 400, (before, after)
    assert after.listeners - before.listeners < 20, (before, after)
