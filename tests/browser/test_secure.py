"""The page by https: it takes its own server's wss:// address, and nothing on it asks without TLS."""

from tests.browser.support import Visit
from tests.certificates import make_certificate


def test_loaded_by_https_the_page_streams_by_wss(browser, server, tmp_path):
    host = server(compression=True, **make_certificate(tmp_path).settings)
    # Its authority is made up; what is trusted is not the question here.
    context = browser.new_context(ignore_https_errors=True)
    visit = Visit(context.new_page(), {host.host})
    sockets, requests = [], []
    visit.page.on("websocket", lambda socket: sockets.append(socket.url))
    visit.page.on("request", lambda request: requests.append(request.url))
    visit.page.goto(host.page().replace("http:", "https:"))
    visit.wait_state("open")
    visit.wait("livestream.stream.connectionId !== null")
    assert sockets == [f"wss://{host.host}/api/v11/live/stream"]
    assert [url for url in requests if not url.startswith("https://")] == []
    assert visit.problems() == []
    context.close()
