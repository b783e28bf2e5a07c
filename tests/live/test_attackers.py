"""An attacker's list against the server as it is started, everything logged.

Doors that options close have tests of their own.
"""

import json
import re
import socket
from contextlib import suppress

import psutil
import pytest

from livestream.contract import (
    BLOCKCHAIN_STATS_PATH, LAB_PATH, MAX_MESSAGE_BYTES, MAX_THREADS_PER_CONNECTION, VALIDATORS_PATH)
from livestream.wire.client import Kind, WireClient, WireError
from livestream.wire.frames import Opcode, encode_frame
from livestream.wire.handshake import http_request
from tests.support import PATIENCE, SUBSCRIBE, Command, next_text

MASK = bytes(4)
#: What would be a header, a line of the log or a page of one's own, if it were let through.
INJECTED = (
    "\r\nX-Injected: yes", "\n2026-11-23 00:00:00 ERROR all is lost", "\x1b[2J", "\u2028", "<script>")
LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) [ -~\xa0-\U0010ffff]*")


@pytest.fixture(scope="module")
def server():
    """Afterwards it must have written no traceback, no line that an attacker made, and stop as ever."""
    command = Command("--log-level", "debug")
    yield command
    code, out, err = command.stop()
    assert (code, out.splitlines()[-1]) == (0, "stopped")
    assert [line for line in err.split("\n")[:-1] if not LOG_LINE.fullmatch(line)] == []
    assert "\u2028" not in err


def raw(server, request):
    """The bytes that come back for these, until the server has ended the connection."""
    host, port = server.url.split("/")[2].split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as sock:
        with suppress(ConnectionError):  # It has read enough.
            sock.sendall(request)
        with suppress(ConnectionError):
            while data := sock.recv(65_536):
                answer += data
    return answer


def alive(server):
    with WireClient.connect(server.url, timeout=PATIENCE) as client:
        return next_text(client, "tps_update")


@pytest.mark.parametrize("text", INJECTED)
def test_headers_and_pages_can_not_be_injected_by_names(server, text):
    quoted = "".join(f"%{byte:02X}" for byte in text.encode())
    for path in (f"{VALIDATORS_PATH}/{quoted}", f"/{quoted}", f"{LAB_PATH}?url=ws://{quoted}"):
        answer = http_request(server.url, "GET", path, timeout=PATIENCE)
        assert answer.header("x-injected") is None
        assert all(value.isprintable() for _, value in answer.headers)
        if "html" in (answer.header("content-type") or ""):
            assert text.encode() not in answer.body or path.startswith(LAB_PATH) and text == "<script>"


@pytest.mark.parametrize("text", INJECTED)
def test_nothing_can_be_injected_by_channels(server, text):
    with WireClient.connect(server.url, timeout=PATIENCE) as client:
        next_text(client, "tps_update")
        client.send_text(json.dumps({"type": "subscribe", "channel": text}))
        answer = next_text(client, "subscription_confirmed").text
        assert json.loads(answer)["payload"]["channel"] == text
        assert "\n" not in answer and "\x1b" not in answer


@pytest.mark.parametrize("head", [
    b"X: " + b"a" * 1_000_000, b"".join(b"X-%d: a\r\n" % number for number in range(50_000)),
    b"a" * 1_000_000 + b": x", b"X: a\r\n " * 50_000,
], ids=["long", "many", "long name", "folded"])
def test_giant_headers(server, head):
    answer = raw(server, b"GET / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    assert alive(server)


@pytest.mark.parametrize("line", [
    b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX\x1b: a\r\n\r\n",
    b"GET /\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nhello",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    b"\r\n" * 50_000,
], ids=[
    "zero", "escape in a name", "escape in the path", "two lengths", "a list of lengths", "version", "TLS",
    "nothing",
])
def test_broken_requests(server, line):
    answer = raw(server, line + b"\r\n" * 40_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert b"HTTP/1.1 2" not in answer
    assert alive(server)


#: A request for a resource that is there, in the body of another.
SMUGGLED = f"GET {BLOCKCHAIN_STATS_PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("lengths", [
    "Content-Length: 0\r\nContent-Length: {}", "Content-Length: {}\r\nContent-Length: 0",
    "Content-Length: {}\r\nTransfer-Encoding: chunked", "Transfer-Encoding: xchunked\r\nContent-Length: {}",
    "Content-Length: +{}", "Content-Length : {}",
])
def test_no_request_is_smuggled_in_by_two_readings_of_a_length(server, lengths):
    head = f"POST {BLOCKCHAIN_STATS_PATH} HTTP/1.1\r\nHost: x\r\n{lengths.format(len(SMUGGLED))}\r\n\r\n"
    answer = raw(server, head.encode() + SMUGGLED)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.split(b" ", 2)[1] in (b"400", b"501")
    assert raw(server, SMUGGLED).startswith(b"HTTP/1.1 200 ")


PATHS = (
    "../settings.py", "..%2fsettings.py", "%2e%2e/settings.py", "..\\settings.py", "....//settings.py",
    "//etc/passwd", "/etc/passwd", "index.html%00.txt", "index.html/", "static/../../app.py",
    "%c0%ae%c0%ae/app.py", "file:///etc/passwd", ".", "..", "~root", "index.html~", ".git/config",
    "__init__.py",
)


@pytest.mark.parametrize("path", PATHS)
def test_path_tricks_on_the_static_files(server, path):
    answer = raw(server, f"GET {LAB_PATH}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] in (b"404", b"400"), answer[:200]
    assert b"import" not in answer and b"root:" not in answer


def test_a_thread_bomb(server):
    threads = psutil.Process(server.process.pid).num_threads
    with WireClient.connect(server.url, timeout=PATIENCE) as client:
        next_text(client, "tps_update")
        before = threads()
        once = encode_frame(Opcode.TEXT, (SUBSCRIBE % "validator_metrics").encode(), mask=MASK)
        client.send_raw(once * 2_000)
        client.send_text('{"type":"ping"}')
        events = client.receive_until(lambda event: '"pong"' in event.text, PATIENCE)
        refused = sum('"Too many channel threads"' in event.text for event in events)
        assert refused == 2_000 - (MAX_THREADS_PER_CONNECTION - 1)
        assert threads() - before <= MAX_THREADS_PER_CONNECTION
    assert alive(server)


def test_a_message_bomb(server):
    """Fragments without end."""
    piece = encode_frame(Opcode.CONTINUATION, b" " * 60_000, fin=False, mask=MASK)
    rss = psutil.Process(server.process.pid).memory_info
    with WireClient.connect(server.url, timeout=PATIENCE) as client:
        next_text(client, "tps_update")
        before = rss().rss
        client.send_frame(Opcode.TEXT, b"{", fin=False)
        try:
            for _ in range(2 * MAX_MESSAGE_BYTES // 60_000):
                client.send_raw(piece, read_meanwhile=True)
        except WireError:
            pass  # It has closed already.
        events = client.receive_until(
            lambda event: event.kind in (Kind.CLOSE, Kind.EOF, Kind.RESET), PATIENCE)
        assert (events[-1].kind, events[-1].code) == (Kind.CLOSE, 1009)
        assert rss().rss - before < 4 * MAX_MESSAGE_BYTES
    assert alive(server)
