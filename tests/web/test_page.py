"""The live page's files, headers and JSON through Flask's test client."""

import json
import re
from pathlib import Path

import pytest
from flask import Flask

from livestream import contract
from livestream.stream.jackson import to_json
from livestream.web import page
from livestream.web.page import STATIC, content_security_policy, lab_page, static_files
from livestream.web.rest import install_error_pages

LAB = contract.LAB_PATH
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())
PROFILES = {"running": "original", "profiles": [], "faults": []}


@pytest.fixture
def asked():
    """What the thread list was asked for."""
    return []


@pytest.fixture
def client(asked):
    def snapshot(first):
        asked.append(first)
        return {"lanes": []}

    app = Flask("test", static_folder=None)
    app.register_blueprint(lab_page(snapshot, PROFILES, to_json))
    install_error_pages(app)
    return app.test_client()


def test_the_page(client):
    answer = client.get(LAB)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.data == (STATIC / "index.html").read_bytes()


def test_without_its_slash_it_leads_to_the_page(client):
    answer = client.get("/lab")
    assert (answer.status_code, answer.headers["Location"]) == (308, "/lab/")


@pytest.mark.parametrize("name", [name for name in FILES if name != "index.html"])
def test_every_file_is_served_as_what_it_is(client, name):
    answer = client.get(LAB + name)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == page.CONTENT_TYPES[Path(name).suffix]
    assert answer.data == (STATIC / name).read_bytes()


@pytest.mark.parametrize("path", ["", "main.js", "vendor/uPlot.esm.js"])
def test_the_headers_of_a_file(client, path):
    headers = client.get(LAB + path).headers
    assert headers["Content-Security-Policy"] == f"{page.POLICY} ws://localhost wss://localhost"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"
    assert "Access-Control-Allow-Origin" not in headers and "Set-Cookie" not in headers


def test_a_file_is_sent_again_only_when_it_changed(client):
    tag = client.get(LAB).headers["ETag"]
    again = client.get(LAB, headers={"If-None-Match": tag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert client.get(LAB, headers={"If-None-Match": '"another"'}).status_code == 200
    assert client.get(LAB + "main.js").headers["ETag"] != tag


@pytest.mark.parametrize("path", ["", "lab.css", "threads", "profiles"])
def test_head_options_and_other_methods(client, path):
    head = client.head(LAB + path)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == client.get(LAB + path).headers["Content-Length"]
    options = client.options(LAB + path)
    assert (options.status_code, options.headers["Allow"], options.data) == (200, "HEAD, GET, OPTIONS", b"")
    for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
        answer = client.open(LAB + path, method=method)
        assert (answer.status_code, answer.data) == (405, b"")


#: Paths that lead nowhere, and ways out of the folder.
TRICKS = [
    "nope", "index.html", "main.js/", "MAIN.JS", "vendor", "vendor/", "..", "../", "../page.py",
    "../../app.py",
    "%2e%2e/page.py", "%2E%2E%2Fpage.py", "..%2fpage.py", "..%5cpage.py", "vendor/../main.js", "./main.js",
    "vendor//uPlot.esm.js", "//etc/passwd", "/etc/passwd",
    "main.js%00", "main.js%00.css",
    "main.js;x", "threads/x", "profiles//", "%ff", "__init__.py", "static/main.js",
]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", TRICKS)
def test_no_path_leads_anywhere_else(client, path, method):
    answer = client.open(LAB + path, method=method)
    assert (answer.status_code, answer.text) == (404, contract.NOT_FOUND_PAGE)


def test_the_root_stays_unknown(client):
    assert client.get("/").status_code == 404


def test_only_known_kinds_of_files_are_served(tmp_path):
    for name in ("a.js", "b.css~", ".secret", "c.py", "d"):
        (tmp_path / name).write_text(name)
    assert list(static_files(tmp_path)) == ["a.js"]


# The policy.

OWN = f"{page.POLICY} ws://own:9003 wss://own:9003"


@pytest.mark.parametrize(("url", "allowed"), [
    ("ws://example.com", "ws://example.com http://example.com"),
    ("ws://example.com:9003/api/v11/live/stream", "ws://example.com:9003 http://example.com:9003"),
    ("wss://a-b.example:443?x", "wss://a-b.example:443 https://a-b.example:443"),
    ("ws://127.0.0.1:1#x", "ws://127.0.0.1:1 http://127.0.0.1:1"),
    (" WS://A.example\n", "ws://a.example http://a.example"),
    ("ws://a/\n; script-src *", "ws://a http://a"),
])
def test_the_policy_lets_the_page_speak_to_the_server_that_the_query_names(client, url, allowed):
    assert content_security_policy("own:9003", url) == f"{OWN} {allowed}"
    answer = client.get(LAB, query_string={"url": url})
    assert answer.headers["Content-Security-Policy"] == content_security_policy("localhost", url)


@pytest.mark.parametrize("url", [
    "", "nonsense", "http://example.com", "ws:example.com", "ws://", "ws://*", "ws://*.com", "ws://a b",
    "ws://a;b",
    "ws://a,b", "ws://a\nb", "ws://a\r\nX: y", "ws://'self'", "ws://user@host", "ws://a:x", "ws://a:123456",
    "ws://-a", "javascript://a", "ws://\u00e4", "ws://[::1]:9003", "x ws://a",
])
def test_anything_else_changes_nothing(url):
    assert content_security_policy("own:9003", url) == OWN


@pytest.mark.parametrize("host", ["", "[::1]:9003", "a;b", "a b", "*", "a, b"])
def test_a_host_that_is_none_adds_nothing(host):
    assert content_security_policy(host, "") == page.POLICY


def test_the_policy_allows_nothing_by_default_and_no_inline_code():
    assert page.POLICY.startswith("default-src 'none'")
    assert "unsafe" not in page.POLICY and "*" not in page.POLICY and "http" not in page.POLICY
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", html)


# No request to other hosts, and names that agree with the contract.

@pytest.mark.parametrize("name", [name for name in FILES if "vendor" not in name])
def test_no_file_of_ours_names_another_host(name):
    text = (STATIC / name).read_text()
    found = set(re.findall(r"(?:https?:|wss?:)?//[a-z0-9.-]+\.[a-z]+", text))
    assert found - {"http://www.w3.org"} == set()


def test_the_script_agrees_with_the_contract():
    text = (STATIC / "contract.js").read_text()
    constants = dict(re.findall(r'export const (\w+) = "([^"]+)";', text))
    assert constants == {
        "STREAM_PATH": contract.STREAM_PATH,
        "STATS_PATH": contract.BLOCKCHAIN_STATS_PATH,
        "THREADS_PATH": contract.LAB_THREADS_PATH,
        "PROFILES_PATH": contract.LAB_PROFILES_PATH,
        "INITIAL_CHANNEL": contract.INITIAL_CHANNEL.name,
        "BEARER": contract.BEARER_SUBPROTOCOL,
    }
    rows = re.findall(r'\{ name: "(\w+)", type: "(\w+)", seconds: (\d+) \}', text)
    channels = [(name, kind, int(seconds) * 1000) for name, kind, seconds in rows]
    assert channels == list(contract.CHANNELS)


def test_the_chart_library_has_its_licence_beside_it():
    licence = (STATIC / "vendor" / "uPlot.LICENSE.txt").read_text()
    assert "MIT" in licence and "Leon Sorokin" in licence


def test_what_the_page_looks_for_is_there():
    """Every id that a script asks for."""
    html = (STATIC / "index.html").read_text()
    ids = set(re.findall(r'\sid="([^"]+)"', html))
    scripts = "".join(path.read_text() for path in STATIC.glob("*.js"))
    assert set(re.findall(r'byId\("([^"]+)"\)', scripts)) <= ids
    assert len(re.findall(r'\sid="', html)) == len(ids)


# The JSON.

def test_the_thread_list_is_json_that_nobody_keeps(client, asked):
    answer = client.get(contract.LAB_THREADS_PATH)
    assert json.loads(answer.data) == {"lanes": []}
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert asked == [set()]


@pytest.mark.parametrize(("query", "first"), [
    ("first=3f2a9c1e", {"3f2a9c1e"}),
    ("first=3f2a9c1e,00000001", {"3f2a9c1e", "00000001"}),
    ("first=", set()), ("first=xyz,3F2A9C1E,3f2a9c1", set()), ("first=3f2a9c1e%0a", set()),
    ("first=" + ",".join(f"{n:08x}" for n in range(1_000)), {f"{n:08x}" for n in range(page.MAX_WANTED)}),
])
def test_connections_may_be_asked_for(client, asked, query, first):
    assert client.get(f"{contract.LAB_THREADS_PATH}?{query}").status_code == 200
    assert asked == [first]


def test_who_accepts_no_json_gets_none(client):
    assert client.get(contract.LAB_THREADS_PATH, headers={"Accept": "text/html"}).status_code == 406
    # The page itself is asked for in whatever way.
    assert client.get(LAB, headers={"Accept": "image/png"}).status_code == 200


def test_the_profiles_are_as_they_were_given(client):
    assert client.get(contract.LAB_PROFILES_PATH).json == PROFILES
