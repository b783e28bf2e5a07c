"""When the server goes away the page says so, tries again as the report's client does, and polls."""

import pytest

from livestream.wire.client import WireClient
from tests.browser.support import AWAY
from tests.client.support import accept, message, scripted
from tests.support import next_text, wait_until

#: The report's pauses, in seconds; afterwards the last one again.
PAUSES = [3, 6, 12, 24, 48]

RECORD = """() => {
  window.states = [];
  window.countdown = [];
  window.announced = [];
  const note = (list, id) => new MutationObserver(() => list.push(document.getElementById(id).textContent))
    .observe(document.getElementById(id), { childList: true, characterData: true, subtree: true });
  note(window.countdown, 'countdown');
  note(window.announced, 'outage-text');
  livestream.stream.addEventListener('state', ({ detail }) => {
    const pause = (detail.at - performance.now()) / 1000 / livestream.stream.scale;
    window.states.push([detail.state, detail.attempt, Math.round(pause)]);
  });
}"""


def recording(visit):
    visit.forgiven = AWAY
    visit.wait_state("open")
    visit.page.evaluate(RECORD)


def countdown(visit):
    """What the countdown has said while it counted."""
    return [text for text in visit.page.evaluate("countdown") if text.startswith("Next")]


def seconds(text):
    return int(text.removeprefix("Next attempt in ").removesuffix(" s."))


def states(visit):
    return visit.page.evaluate("states")


def test_a_restarted_server_is_found_again_and_the_subscriptions_restored(server, visit):
    host = server()
    page = visit(host, scale=0.1)
    recording(page)
    page.press("Subscribe tps_updates")
    page.press("Subscribe block_updates")
    page.wait_text(".card[data-channel=block_updates] .rate", "one update")
    host.stop()
    page.wait_state("reconnecting")
    page.wait_text("#state-text", "Disconnected")
    assert page.text("#outage-title") == "The server is gone."
    assert page.page.locator("#ping").is_disabled()
    host.start_again(profile="corrected")
    page.wait_state("open")
    # The line has a gap where nobody knows.
    assert page.page.evaluate("livestream.chart.values[0].includes(null)")
    page.wait_text(".card[data-channel=block_updates] .counts", "asked 1×, confirmed 1×")
    page.wait_text("#running", "this server runs corrected")
    assert page.page.locator("#outage").is_hidden()
    # The initial channel starts by itself; asking for it again would double it in the original.
    assert page.text(".card[data-channel=tps_updates] .counts") == "asked 0×, confirmed 0×"
    running = "#lanes .cell[data-role=channel]:not([data-state=ended])"
    page.wait(f"document.querySelectorAll('{running}').length === 2")


def test_an_outage_of_30_seconds_is_counted_down_and_survived(server, visit):
    host = server()
    page = visit(host, scale=0.1)
    recording(page)
    page.page.evaluate("() => { window.away = performance.now(); }")
    host.stop()
    # The attempts after 3, 9 and 21 seconds fail, the one after 45 finds the server that came back after 30.
    page.wait("performance.now() - away > 30 * 1000 * livestream.stream.scale")
    assert page.page.evaluate("livestream.stream.attempt") == 4
    host.start_again(time_scale=0.05)
    page.wait_state("open")
    told = [seconds(text) for text in countdown(page)]
    fourth = told[told.index(24):]
    assert len(fourth) > 5 and fourth == sorted(fourth, reverse=True)
    assert "Attempt 4 of 5 is due." in page.page.evaluate("announced")
    assert states(page) == [
        ["reconnecting", 1, 3], ["reconnecting", 2, 6], ["reconnecting", 3, 12], ["reconnecting", 4, 24],
        states(page)[-1]]
    page.wait("livestream.chart.times.length > 3")


def test_after_the_fifth_failure_the_figures_are_polled_and_the_websocket_is_still_tried(server, visit):
    host = server()
    page = visit(host, scale=0.02)
    recording(page)
    host.stop()
    # It comes back, but its one place is taken: REST answers, the WebSocket gets 503.
    host.start_again(max_connections=1)
    with WireClient.connect(f"http://{host.host}", timeout=20) as squatter:
        next_text(squatter, "tps_update")
        page.wait_state("polling")
        page.wait_text("#outage-text", "Its figures are polled once a second.")
        assert page.page.locator("#polled").is_visible()
        assert page.text("#tps-current") == "1,808,267"
        assert page.text("#tps-latency") == "42.3 ms"
        page.wait("livestream.chart.times.length > 5")
        page.wait("document.querySelectorAll('#messages li[data-kind=polled]').length > 5")
        page.wait("livestream.stream.attempt > 7")
    page.wait_state("open")
    seen = states(page)
    assert [(state, pause) for state, _, pause in seen[:5]] == [("reconnecting", pause) for pause in PAUSES]
    assert {(state, pause) for state, _, pause in seen[5:-1]} == {("polling", 48)}
    wait_until(lambda: page.page.locator("#polled").is_hidden(), 20)
    assert page.page.evaluate("livestream.stream.pollTimer") is None


def test_without_any_server_it_says_that_polling_gets_no_answer_and_can_be_hurried(server, visit):
    host = server()
    page = visit(host, scale=0.01)
    recording(page)
    host.stop()
    page.wait_state("polling")
    page.wait_text("#outage-text", "gets no answer either")
    host.start_again()
    page.wait_state("open")


def test_try_now_does_not_wait(server, visit):
    host = server()
    page = visit(host)
    recording(page)
    host.stop()
    page.wait_state("reconnecting")
    host.start_again()
    page.press("Try now")
    page.wait_state("open")
    assert states(page)[0] == ["reconnecting", 1, 3]


def test_trying_in_vain_takes_none_of_the_five_attempts(server, visit):
    host = server()
    page = visit(host)
    recording(page)
    host.stop()
    page.wait_state("reconnecting")
    for _ in range(3):
        page.press("Try now")
        page.wait("livestream.stream.socket === null")
    assert states(page) == [["reconnecting", 1, 3]]
    page.wait("livestream.stream.attempt === 2")
    assert states(page)[1] == ["reconnecting", 2, 6]
    host.start_again()
    page.press("Try now")
    page.wait_state("open")


def falls_silent(connection, head):
    accept(connection, head, message("tps_update", currentTPS=4_711))
    while connection.recv(65_536):
        pass


def never_answers(connection, head):
    while connection.recv(65_536):
        pass


@pytest.mark.parametrize("script", [falls_silent, never_answers])
def test_a_server_that_hangs_is_given_up(server, visit, script):
    with scripted(script) as hung:
        page = visit(server(), hung.url, url=hung.url, scale=0.02)
        page.forgiven = AWAY
        page.wait_state("open" if script is falls_silent else "connecting")
        page.wait_state("reconnecting")
        page.page.evaluate("livestream.stream.close()")
        page.wait_text("#state-text", "Closed")


def test_that_another_servers_figures_cant_be_polled_is_said(server, visit):
    """It answers, but allows no other origin: the browser keeps the answer to itself."""
    other = server(max_connections=1)
    with WireClient.connect(f"http://{other.host}", timeout=20) as squatter:
        next_text(squatter, "tps_update")
        page = visit(server(), other.stream, url=other.stream, scale=0.01)
        page.forgiven = (*AWAY, "Access to fetch at")
        page.wait_state("polling")
        page.wait_text("#outage-text", "unless that server allows it")
    page.wait_state("open")


def test_a_server_that_is_away_when_the_page_opens(server, visit):
    host, other = server(), server()
    other.stop()
    page = visit(host, other.stream, url=other.stream, scale=0.01)
    page.forgiven = AWAY
    page.wait_state("reconnecting")
    other.start_again()
    page.wait_state("open")


def test_a_wanted_end_is_never_followed_by_a_reconnect(server, visit):
    page = visit(server(), scale=0.001)
    recording(page)
    page.page.evaluate("livestream.stream.close()")
    page.wait_text("#state-text", "Closed")
    # As long as all five pauses and more, at this scale.
    page.page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 400))")
    assert [state for state, *_ in states(page)] == ["closed"]


def test_extra_connections_end_with_the_server(server, visit):
    host = server()
    page = visit(host, scale=0.1)
    recording(page)
    page.press("Open five")
    page.wait("livestream.extras.sockets.size === 5")
    host.stop()
    page.wait("livestream.extras.sockets.size === 0")
    host.start_again()
    page.wait_state("open")
    page.wait_text("#total-clients", "1")
