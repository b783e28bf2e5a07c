"""The raw client, against servers written here: one script per connection, on a plain socket."""

import itertools
import socket
import threading
from collections.abc import Callable

import pytest

from livestream import contract
from livestream.wire.client import Kind, WireClient, WireError, handshake_request, http_request, parse_url
from livestream.wire.frames import FrameReader, Opcode, encode_close, encode_frame
from livestream.wire.handshake import accept_value

# Long enough for a busy machine, and only ever waited out where nothing must come.
LIMIT = 10.0
SHORT = 0.1


class ScriptedServer:
    """Accepts connections one after the other and runs `script(conn, request_head)` on each."""

    def __init__(self, script: Callable[[socket.socket, bytes], None]) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.requests: list[bytes] = []
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "ScriptedServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(LIMIT)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            with conn:
                conn.settimeout(LIMIT)
                try:
                    head = read_head(conn)
                    self.requests.append(head)
                    self._script(conn, head)
                except OSError:
                    pass


def read_head(conn: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += conn.recv(1) or b"\r\n\r\n"
    return head


def accept(conn: socket.socket, head: bytes, then: bytes = b"") -> None:
    """Answers the handshake, and sends more bytes in the same packet."""
    key = next(line[19:] for line in head.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    conn.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_value(key).encode() + b"\r\n\r\n" + then
    )


def wait_for_end(conn: socket.socket) -> bytes:
    """Everything the client sends until it ends the connection."""
    received = b""
    while data := conn.recv(65_536):
        received += data
    return received


def text(message: str, **options) -> bytes:
    return encode_frame(Opcode.TEXT, message.encode(), mask=None, **options)


def sends(data: bytes) -> Callable[[socket.socket, bytes], None]:
    """A script: accepts, sends these bytes, waits for the client to go."""
    def script(conn: socket.socket, head: bytes) -> None:
        accept(conn, head, data)
        wait_for_end(conn)
    return script


def answers(data: bytes) -> Callable[[socket.socket, bytes], None]:
    """A script: answers the request with these bytes and closes."""
    return lambda conn, _head: conn.sendall(data)


def kinds(client: WireClient) -> list[Kind]:
    """What comes until nothing more can."""
    last = (Kind.EOF, Kind.RESET, Kind.ILLEGAL)
    return [event.kind for event in client.receive_until(lambda event: event.kind in last, LIMIT)]


# --- URLs and requests


@pytest.mark.parametrize("url, expected", [
    ("ws://host", (False, "host", 80, contract.STREAM_PATH, "host")),
    ("http://host:9003/", (False, "host", 9003, contract.STREAM_PATH, "host:9003")),
    ("wss://host/x?a=b", (True, "host", 443, "/x?a=b", "host")),
    ("https://[::1]:1/a%2Fb", (True, "::1", 1, "/a%2Fb", "[::1]:1")),
])
def test_urls(url, expected):
    address = parse_url(url)
    assert (address.secure, address.host, address.port, address.target, address.host_header) == expected


@pytest.mark.parametrize("url", ["", "host:9003", "ftp://host", "ws://", "ws://host:port", "ws://[::1"])
def test_what_is_no_url_is_named(url):
    with pytest.raises(WireError) as caught:
        parse_url(url)
    assert repr(url) in str(caught.value)


def test_the_plain_handshake_request():
    assert handshake_request("h:1") == (
        b"GET /api/v11/live/stream HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )


def test_a_handshake_request_with_every_change():
    request = handshake_request(
        "h", method="POST", path="/%73", version="1.0", drop=["connection", "Sec-WebSocket-Key"],
        replace=[("upgrade", "h2c"), ("Pragma", "x")], add=[("Upgrade", "again")],
    )
    assert request == (
        b"POST /%73 HTTP/1.0\r\nHost: h\r\nUpgrade: h2c\r\nSec-WebSocket-Version: 13\r\n"
        b"pragma: x\r\nUpgrade: again\r\n\r\n"
    )


# --- connecting


def test_connecting_sends_a_right_handshake_with_the_extra_headers():
    with ScriptedServer(sends(b"")) as server:
        for _ in range(2):
            with WireClient.connect(server.url, headers=[("Authorization", "secret")]) as client:
                client.release()
    first, second = server.requests
    assert first.startswith(b"GET /api/v11/live/stream HTTP/1.1\r\nHost: 127.0.0.1:")
    assert first.endswith(b"Authorization: secret\r\n\r\n")
    assert first != second, "the key must be a new one each time"


def test_bytes_in_the_packet_of_the_handshake_are_kept():
    with ScriptedServer(sends(text("early"))) as server, WireClient.connect(server.url) as client:
        assert client.receive(LIMIT).text == "early"


def refusing_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_nobody_there():
    url = f"ws://127.0.0.1:{refusing_port()}"
    with pytest.raises(WireError, match=f"Could not connect to {url}: Connection refused."):
        WireClient.connect(url)


@pytest.mark.parametrize("answer, words", [
    (b"", "closed the connection instead of answering"),
    (b"SSH-2.0-OpenSSH\r\n", "did not answer the handshake in HTTP"),
    (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404, not 101"),
    (b"HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
     "wrong Sec-WebSocket-Accept"),
])
def test_a_handshake_that_fails_is_one_sentence_with_the_url(answer, words):
    with ScriptedServer(answers(answer)) as server, pytest.raises(WireError, match=words) as caught:
        WireClient.connect(server.url)
    assert server.url in str(caught.value)


def test_a_server_that_accepts_and_says_nothing():
    with ScriptedServer(lambda conn, _: wait_for_end(conn)) as server:
        with pytest.raises(WireError, match="no complete answer within the time limit"):
            WireClient.connect(server.url, timeout=SHORT)


def test_a_server_whose_answer_trickles():
    def script(conn: socket.socket, _head: bytes) -> None:
        for _ in itertools.count():
            conn.sendall(b"x")
    with ScriptedServer(script) as server, pytest.raises(WireError):
        WireClient.connect(server.url, timeout=SHORT)


def test_an_open_client_reads_any_answer():
    with ScriptedServer(answers(b"HTTP/1.1 405 No\r\nAllow: GET\r\n\r\n")) as server:
        with WireClient.open(server.url) as client:
            answer = client.handshake(handshake_request("h", method="PUT"))
    assert (answer.status, answer.header("allow"), answer.header("etag")) == (405, "GET", None)


# --- receiving


def test_every_kind_of_event():
    data = b"".join((
        text("hel", fin=False), encode_frame(Opcode.PING, b"p", mask=None),
        encode_frame(Opcode.CONTINUATION, b"lo", mask=None), encode_frame(Opcode.BINARY, b"\xff", mask=None),
        encode_frame(Opcode.PONG, b"q", mask=None), encode_frame(3, b"r", mask=None),
        encode_frame(Opcode.CONTINUATION, b"s", mask=None),
        encode_frame(Opcode.CLOSE, encode_close(1001, "bye"), mask=None),
    ))

    def script(conn: socket.socket, head: bytes) -> None:
        accept(conn, head, data)

    with ScriptedServer(script) as server, WireClient.connect(server.url, clock=lambda: 42.0) as client:
        events = client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), LIMIT)
        assert client.receive(SHORT) is None
    assert [event.kind for event in events] == [
        Kind.PING, Kind.TEXT, Kind.BINARY, Kind.PONG, Kind.ILLEGAL, Kind.ILLEGAL, Kind.CLOSE, Kind.EOF,
    ]
    assert events[1].text == "hello"
    assert [event.payload for event in events[:6]] == [b"p", b"hello", b"\xff", b"q", b"r", b"s"]
    assert (events[6].code, events[6].reason) == (1001, "bye")
    assert {event.at for event in events} == {42.0}
    assert len(client.faults) == 2


def test_text_that_is_not_utf8_is_a_fault_and_still_read():
    with ScriptedServer(sends(encode_frame(Opcode.TEXT, b"a\xff", mask=None))) as server:
        with WireClient.connect(server.url) as client:
            assert client.receive(LIMIT).text == "a\N{REPLACEMENT CHARACTER}"
            assert len(client.faults) == 1


def test_nothing_comes():
    with ScriptedServer(sends(b"")) as server, WireClient.connect(server.url) as client:
        assert client.receive(SHORT) is None
        assert not client.ended


def test_half_a_frame_stays_pending():
    with ScriptedServer(sends(text("hello")[:4])) as server, WireClient.connect(server.url) as client:
        assert client.receive(SHORT) is None
        assert client.pending == 4


def test_bytes_that_never_make_an_event_do_not_hold_the_client():
    def script(conn: socket.socket, head: bytes) -> None:
        accept(conn, head, bytes.fromhex("82 7f 0000000003000000"))
        for _ in itertools.count():
            conn.sendall(bytes(10))
    with ScriptedServer(script) as server, WireClient.connect(server.url, read_size=10) as client:
        assert client.receive(SHORT) is None
        client.release()


def test_a_frame_of_absurd_size_ends_the_stream():
    with ScriptedServer(sends(text("ok") + bytes.fromhex("82 7f 7fffffffffffffff"))) as server:
        with WireClient.connect(server.url) as client:
            assert kinds(client) == [Kind.TEXT, Kind.ILLEGAL]
            assert "over the limit" in client.faults[0]


def test_a_reset_is_an_event():
    def script(conn: socket.socket, head: bytes) -> None:
        accept(conn, head)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    with ScriptedServer(script) as server, WireClient.connect(server.url) as client:
        assert kinds(client) == [Kind.RESET]


def flood(conn: socket.socket, head: bytes) -> None:
    accept(conn, head)
    for _ in itertools.count():
        conn.sendall(text("flood") * 1000)


def test_waiting_within_a_flood_ends_in_time():
    with ScriptedServer(flood) as server, WireClient.connect(server.url) as client:
        events = client.receive_until(lambda event: False, SHORT)
        client.release()
    assert {event.text for event in events} == {"flood"}


# --- sending


def received_frames(action: Callable[[WireClient], object]) -> list:
    """The frames that a server sees while `action` runs."""
    reader, frames = FrameReader(), []

    def script(conn: socket.socket, head: bytes) -> None:
        accept(conn, head)
        frames.extend(reader.feed(wait_for_end(conn)))

    with ScriptedServer(script) as server, WireClient.connect(server.url) as client:
        action(client)
        client.release()
    return frames


def test_what_is_sent_arrives():
    def action(client: WireClient) -> None:
        client.send_text("é")
        client.send_frame(Opcode.PING, b"p", mask=None)
        client.send_raw(encode_frame(5, b"", rsv=3, fin=False))
    first, second, third = received_frames(action)
    assert (first.opcode, first.payload, first.masked) == (Opcode.TEXT, "é".encode(), True)
    assert (second.opcode, second.payload, second.masked) == (Opcode.PING, b"p", False)
    assert (third.opcode, third.rsv, third.fin) == (5, 3, False)


def test_a_with_block_ends_with_a_close_frame():
    frames = []

    def script(conn: socket.socket, head: bytes) -> None:
        accept(conn, head)
        frames.extend(FrameReader().feed(conn.recv(100)))
        conn.sendall(encode_frame(Opcode.CLOSE, frames[0].payload, mask=None))

    with ScriptedServer(script) as server, WireClient.connect(server.url):
        pass
    assert [(frame.opcode, frame.payload) for frame in frames] == [(Opcode.CLOSE, encode_close(1000))]


def test_closing_twice_or_after_a_reset_is_fine():
    def action(client: WireClient) -> None:
        client.close(timeout=SHORT)
        client.close()
        client.abort()
    assert len(received_frames(action)) == 1


def test_sending_on_a_closed_client_is_an_error():
    with ScriptedServer(sends(b"")) as server, WireClient.connect(server.url) as client:
        client.release()
        with pytest.raises(WireError, match=server.url):
            client.send_text("x")


def test_abort_resets():
    seen = []

    def script(conn: socket.socket, head: bytes) -> None:
        accept(conn, head)
        try:
            conn.recv(1)
        except ConnectionResetError as error:
            seen.append(error)

    with ScriptedServer(script) as server, WireClient.connect(server.url) as client:
        client.abort()
    assert len(seen) == 1


def test_half_close_still_receives():
    def script(conn: socket.socket, head: bytes) -> None:
        accept(conn, head)
        assert wait_for_end(conn) == b""
        conn.sendall(text("after"))
    with ScriptedServer(script) as server, WireClient.connect(server.url) as client:
        client.half_close()
        assert client.receive(LIMIT).text == "after"


def test_a_server_that_takes_nothing_more_runs_into_the_limit():
    gone = threading.Event()

    def script(conn: socket.socket, head: bytes) -> None:
        accept(conn, head)
        gone.wait(LIMIT)

    with ScriptedServer(script) as server, WireClient.connect(server.url, timeout=SHORT) as client:
        for read_meanwhile in (False, True):
            with pytest.raises(WireError, match=f"Could not send to {server.url}"):
                client.send_raw(bytes(50_000_000), read_meanwhile=read_meanwhile)
        client.abort()
        gone.set()


def test_sending_while_reading_does_not_deadlock():
    size = 20_000_000

    def script(conn: socket.socket, head: bytes) -> None:
        # Sends all before it reads anything, so a client that only sends would wait for ever.
        accept(conn, head, encode_frame(Opcode.BINARY, bytes(size), mask=None))
        wait_for_end(conn)

    with ScriptedServer(script) as server, WireClient.connect(server.url) as client:
        client.send_raw(bytes(size), read_meanwhile=True)
        assert len(client.receive(LIMIT).payload) == size
        client.abort()


# --- HTTP


def test_an_http_request_adds_nothing():
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
    with ScriptedServer(answers(answer)) as server:
        got = http_request(server.url + "/ignored", "POST", "/a%2Fb?x=1", [("Origin", "o")])
        host = server.url.removeprefix("ws://").encode()
    assert server.requests == [
        b"POST /a%2Fb?x=1 HTTP/1.1\r\nHost: " + host + b"\r\nAccept-Encoding: identity\r\nOrigin: o\r\n\r\n"
    ]
    assert (got.status, got.header("content-type"), got.body) == (200, "text/plain", b"ok")


@pytest.mark.parametrize("answer, body", [
    (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
])
def test_bodies_end_as_the_server_says(answer, body):
    with ScriptedServer(answers(answer)) as server:
        assert http_request(server.url, "GET", "/").body == body


@pytest.mark.parametrize("answer", [
    b"", b"no http\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
])
def test_a_broken_http_answer_is_an_error_that_names_the_url(answer):
    with ScriptedServer(answers(answer)) as server, pytest.raises(WireError, match="GET /x at ws://127"):
        http_request(server.url, "GET", "/x")


def test_an_http_answer_that_trickles_runs_into_the_limit():
    def script(conn: socket.socket, _head: bytes) -> None:
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in itertools.count():
            conn.sendall(b"x")
    with ScriptedServer(script) as server, pytest.raises(WireError, match="no answer"):
        http_request(server.url, "GET", "/", timeout=SHORT)


@pytest.mark.parametrize("path, headers", [
    ("/\u00e4", []), ("/a b", []), ("/", [("A", "b\r\nC: d")]), ("/", [("A", "\u20ac")]),
])
def test_a_request_that_http_forbids_is_an_error_like_any_other(path, headers):
    with ScriptedServer(answers(b"")) as server, pytest.raises(WireError, match="GET .* got no answer"):
        http_request(server.url, "GET", path, headers)
