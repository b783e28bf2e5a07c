"""The thread theatre: threads appear, stay, linger and end as the profile says."""

import pytest

from livestream.contract import STREAM_PATH
from livestream.stream.profiles import FAULTS, PROFILES
from livestream.wire.client import WireClient
from tests.live.test_source import Failing, Stalling
from tests.parity.independent_server import independent_server
from tests.support import next_text, wait_until

OWN = "#lanes .lane:has(.whose:text-is('this page'))"
EXTRA = "#lanes .lane:has(.whose:text-is('opened here'))"


def cells(visit, channel):
    """How many threads of a channel the lanes show, ended ones left out."""
    return visit.page.evaluate(
        "channel => [...document.querySelectorAll('#lanes .cell:not([data-state=ended]) .role')]"
        ".filter(role => role.textContent.startsWith(channel)).length", channel)


def wait_cells(visit, channel, count):
    wait_until(lambda: cells(visit, channel) == count, 20)


def totals(visit):
    return {name: visit.text(f"#total-{name}") for name in ("clients", "channels", "formula", "handlers")}


def test_a_lane_has_a_cell_for_the_handler_and_one_for_each_channel_thread(server, visit):
    page = visit(server())
    wait_cells(page, "tps_updates", 1)
    wait_cells(page, "handler", 1)
    handler = page.page.locator(f"{OWN} .cell[data-role=handler]")
    assert "reading" in handler.inner_text()
    page.wait_text("#lanes .cell[data-role=channel] .doing", "sleeping")
    page.wait_text("#lanes .cell[data-role=channel] .meta", "2 sent")
    assert totals(page) == {"clients": "1", "channels": "1", "formula": "4 × 1 = 4", "handlers": "1"}


def test_threads_appear_with_every_subscribe_and_stay_in_spite_of_unsubscribe(server, visit):
    page = visit(server())
    wait_cells(page, "tps_updates", 1)
    lane = page.page.locator(OWN)
    lane.get_by_role("combobox").select_option("validator_metrics")
    for count in (1, 2, 3):
        lane.get_by_role("button", name="Subscribe").first.click()
        wait_cells(page, "validator_metrics", count)
    lane.get_by_role("button", name="Unsubscribe").click()
    page.press("Ping")
    page.wait_text("#round-trip", "ms")
    # The pong came after the unsubscribe was handled; two more looks see what it left.
    page.page.evaluate("() => { livestream.looks = livestream.theatre.latest; }")
    page.wait("livestream.theatre.latest !== livestream.looks")
    assert cells(page, "validator_metrics") == 3
    assert totals(page)["channels"] == "4"


def test_extra_connections_open_and_their_threads_linger_and_die_at_their_next_wake_up(server, visit):
    page = visit(server(time_scale=0.3), scale=0.3)
    wait_cells(page, "tps_updates", 1)
    page.press("Open a connection")
    page.press("Open five")
    wait_cells(page, "handler", 7)
    page.wait_text("#total-formula", "4 × 7 = 28")
    extra = page.page.locator(EXTRA).first
    extra.get_by_role("combobox").select_option("validator_metrics")
    extra.get_by_role("button", name="Subscribe").first.click()
    wait_cells(page, "validator_metrics", 1)
    extra.get_by_role("button", name="Close").click()
    page.wait("document.querySelector('#lanes .cell[data-state=lingering]') !== null")
    lane = page.page.locator("#lanes .lane[data-open=false]").first
    assert "left over" in lane.inner_text()
    page.wait_text("#total-clients", "6")
    wait_cells(page, "validator_metrics", 0)
    page.press("Close all of them")
    wait_cells(page, "handler", 1)
    wait_cells(page, "tps_updates", 1)
    page.wait("document.querySelectorAll('#lanes .lane').length === 1")


def test_one_sends_and_the_others_wait_while_a_client_does_not_read(server, visit):
    host = server(time_scale=0.001)
    page = visit(host)
    with WireClient.connect(host.stream, timeout=20) as deaf:
        next_text(deaf, "tps_update")
        for _ in range(2):
            deaf.send_text('{"type":"subscribe","channel":"tps_updates"}')
        page.wait("document.querySelectorAll('#lanes .cell[data-state=waiting]').length >= 2"
                  " && document.querySelector('#lanes .cell[data-state=sending]') !== null")


def test_connections_that_are_closed_while_they_connect_leave_no_complaint(server, visit):
    """Nor any other trace: the visit looks at the console."""
    page = visit(server())
    page.wait_state("open")
    page.page.evaluate("() => { livestream.extras.open(5); livestream.extras.closeAll(); }")
    page.wait("livestream.extras.sockets.size === 0")


def test_in_corrected_threads_end_with_their_client(server, visit):
    # Their next wake-up would be 50 seconds away.
    page = visit(server(profile="corrected", time_scale=10), scale=0.3)
    wait_cells(page, "tps_updates", 1)
    page.press("Open a connection")
    wait_cells(page, "handler", 2)
    extra = page.page.locator(EXTRA)
    extra.get_by_role("combobox").select_option("validator_metrics")
    for _ in range(3):
        extra.get_by_role("button", name="Subscribe").first.click()
    wait_cells(page, "validator_metrics", 1)
    page.press("Close all of them")
    page.wait("document.querySelector('#lanes .cell[data-state=ended]') !== null")
    page.wait("document.querySelectorAll('#lanes .lane').length === 1")


@pytest.mark.parametrize(("role", "runs", "mirrors"), [
    ("handler", "livestream.transport.lifecycle.run_endpoint", "onOpen, onMessage, onClose, onError"),
    ("channel", "livestream.stream.broadcast.Broadcast.run", "broadcastTPSUpdates"),
])
def test_selecting_a_thread_tells_its_function_and_the_original_method(server, visit, role, runs, mirrors):
    page = visit(server())
    wait_cells(page, "tps_updates", 1)
    cell = page.page.locator(f"{OWN} .cell[data-role={role}]")
    cell.click()
    assert cell.get_attribute("aria-pressed") == "true"
    assert page.text("#detail-runs") == runs
    assert page.text("#detail-mirrors") == mirrors
    assert page.text("#detail-name") == cell.get_attribute("data-thread")
    assert ".py:" in page.text("#detail-at")
    cell.click()
    assert page.page.locator("#detail").is_hidden()


@pytest.mark.parametrize("running", PROFILES)
def test_switching_the_profile_explains_it_in_the_servers_own_sentences(server, visit, running):
    page = visit(server(profile=running))
    page.wait_text("#running", f"this server runs {running}")
    assert page.page.locator("#profile-choice input:checked").get_attribute("value") == running
    for name, profile in PROFILES.items():
        page.page.locator(f"#profile-choice input[value={name}]").check()
        present = [flag for flag in FAULTS if getattr(profile, flag)]
        shown = page.page.locator("#faults [data-present=true]")
        assert [one.get_attribute("data-fault") for one in shown.all()] == present
        assert page.text("#profile-summary").startswith(f"{name}: ")
    for flag, fault in FAULTS.items():
        text = page.text(f"#faults [data-fault={flag}]")
        assert fault.does in text and fault.promised in text and fault.shown_by in text


@pytest.mark.parametrize("broadcaster", ["pool", "ticker"])
def test_shared_threads_have_a_lane_of_their_own(server, visit, broadcaster):
    page = visit(server(broadcaster=broadcaster, time_scale=0.05))
    page.wait("document.querySelector('.lane[data-connection=shared] .cell') !== null")
    assert page.text("#total-channels-name") == "Shared threads"
    page.wait_text(f"{'.lane[data-open=true]'} .cell[data-role=channel] .doing", "served by a shared thread")
    sends = "parseInt(document.querySelector('.cell[data-role=channel] .meta').textContent.split('·')[1])"
    page.wait(f"{sends} > 20")
    # The handler, which is named late, comes before it and makes it no other one.
    assert page.page.locator(".cell[data-state=ended]").count() == 0


def test_more_connections_than_the_list_holds_are_counted(server, visit):
    host = server()
    clients = [WireClient.connect(f"http://{host.host}", timeout=20) for _ in range(60)]
    try:
        page = visit(host)
        for client in clients:
            next_text(client, "tps_update")
        page.wait_text("#total-clients", "61")
        page.wait_text("#more", "more connections, not listed")
        assert page.page.locator(OWN).count() == 1
    finally:
        for client in clients:
            client.release()


def test_another_server_shows_its_stream_and_offers_no_thread_list(server, visit):
    with independent_server(time_scale=0.05) as other:
        page = visit(server(), other, url=other)
        page.wait("livestream.chart.times.length > 5")
        page.press("Subscribe block_updates")
        page.wait_text(".card[data-channel=block_updates] .values", "validator-1")
        assert page.text("#address") == other + STREAM_PATH
        assert page.text("#no-theatre") == "This server offers no thread list."
        assert page.page.locator("#stage").is_hidden()
        page.wait_text("#running", "not known")


def test_what_a_source_cannot_give_is_said(server, visit):
    Failing.broken.set()
    page = visit(server(source="tests.live.test_source:Failing", time_scale=0.1))
    page.page.evaluate("livestream.stream.subscribe('block_updates')")
    page.wait_text("#source", "block_updates: ")
    page.wait_text("#source", "updates skipped, the last for ConnectionError")
    Failing.broken.clear()
    Stalling.over.clear()
    try:
        page = visit(server(source="tests.live.test_source:Stalling", time_scale=0.1))
        page.page.evaluate("livestream.stream.subscribe('block_updates')")
        page.wait_text("#source", "block_updates: the source stalls for ")
    finally:
        Stalling.over.set()


def test_the_recorder_of_the_extensions_has_a_lane(server, visit):
    page = visit(server(extensions=True, time_scale=0.1))
    page.wait_text("#lanes", "recorder")
    assert page.text("#total-clients") == "1"
    assert page.text("#source") == ""
