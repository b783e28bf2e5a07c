"""A server that wants a token lets the page load, and the page in once it is given one."""

import pytest

from tests.browser.support import AWAY

TOKEN = "a-token-of-the-browser-test"


@pytest.fixture
def guarded(server, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(TOKEN)
    return server(auth_token_file=str(file))


def shown_address(visit):
    return visit.page.evaluate("location.href")


def is_inside(visit):
    """The stream, and what is asked for by HTTP: the theatre and the profiles."""
    visit.wait_state("open")
    visit.wait("livestream.stream.connectionId !== null && livestream.theatre.latest !== undefined")
    visit.wait_text("#running", "this server runs original")


def test_a_token_in_the_fragment_is_taken_and_forgotten_at_once(guarded, visit):
    page = visit(guarded, fragment=f"token={TOKEN}")
    is_inside(page)
    assert shown_address(page) == guarded.page().rstrip("?")
    page.press("Open a connection")
    page.wait("livestream.extras.ids.length === 1")


def test_without_one_the_page_asks_for_it(guarded, visit):
    page = visit(guarded)
    page.forgiven = AWAY
    page.wait_text("#outage-title", "The server wants a token.")
    field = page.page.get_by_label("Token")
    for given, wanted in (("not a token", True), ("a-wrong-token-of-the-test", True), (TOKEN, False)):
        field.fill(given)
        field.press("Enter")
        assert field.input_value() == ""
        assert page.page.locator("#token-form").is_visible() or not wanted
    is_inside(page)
    page.wait("document.getElementById('outage').hidden")
    assert TOKEN not in page.page.content()
    assert page.page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_a_server_that_is_gone_asks_for_none(server, visit):
    host = server()
    page = visit(host, fragment="token=is/no=token")
    page.forgiven = AWAY
    page.wait_state("open")
    host.stop()
    page.wait_text("#outage-title", "The server is gone.")
    assert page.page.locator("#token-form").is_hidden()
