"""`WebSocket` and `Sock` by themselves, on a small Flask application: many senders, limits, bad bytes."""

import queue
import socket
import threading
from contextlib import suppress

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from simple_websocket import ConnectionClosed

from livestream.contract import MAX_FRAME_BYTES
from livestream.transport import linger
from livestream.transport.container import Sock
from livestream.transport.http import HttpServer
from livestream.transport.websocket import Limits, SessionClosed, WebSocket
from livestream.wire.client import WireClient
from livestream.wire.events import EventReader, Kind
from livestream.wire.frames import Opcode, encode_close, encode_frame
from livestream.wire.handshake import SAMPLE_KEY, handshake_request
from tests.hostile import complaints
from tests.support import PATIENCE, wait_until

MAX_MESSAGE = 200_000
SENDERS = 8
#: More than the kernel's buffers of both sides hold.
ENDLESS = b"x" * 64_000_000
ENDINGS = (Kind.EOF, Kind.RESET)


class Place:
    """A running server with an echo route, and routes that hand their connection to the test."""

    def __init__(
        self, max_connections=50, message=MAX_MESSAGE, send_seconds=0, compression=False, **server_options
    ):
        app = Flask("place")
        limits = Limits(message=message, send_seconds=send_seconds)
        sock = Sock(app, max_connections, limits, compression=compression)
        #: Connections of `/lent`, which their handler thread only reads.
        self.lent = queue.Queue()
        #: What `receive` raised there, at last.
        self.ends = queue.Queue()

        @sock.route("/echo")
        def echo(ws):
            while True:
                ws.send(ws.receive())

        @sock.route("/impatient")
        def impatient(ws):
            while True:
                ws.send(repr(ws.receive(timeout=0.05)))

        @sock.route("/lent")
        def lent(ws):
            self.lent.put(ws)
            try:
                while True:
                    ws.receive()
            except ConnectionClosed as end:
                self.ends.put(end)
                raise

        @sock.route("/fails")
        def fails(ws):
            ws.receive()
            raise ValueError("on purpose")

        self.server = HttpServer(app, "127.0.0.1", 0, 100, **server_options)
        self.server.start()
        scheme = "https" if server_options.get("tls") else "http"
        self.url = "%s://%s:%d" % (scheme, *self.server.address)

    def connect(self, path="/echo", **options):
        return WireClient.connect(self.url + path, timeout=PATIENCE, **options)

    def lend(self, **options):
        """A client and the server's side of its connection."""
        client = self.connect("/lent", **options)
        return client, self.lent.get(timeout=PATIENCE)

    def end(self):
        """Why the handler of a lent connection ended."""
        return self.ends.get(timeout=PATIENCE)

    def stop(self):
        self.server.stop_accepting()
        self.server.drop_connections()
        wait_until(lambda: not self.server.threads())


@pytest.fixture
def place():
    one = Place()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def lasting_place():
    one = Place()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def thread_faults():
    """Exceptions that ended a thread; pytest would hear of them only after the test."""
    faults = []
    hook, threading.excepthook = threading.excepthook, faults.append
    yield faults
    threading.excepthook = hook


def text(data, **options):
    return encode_frame(Opcode.TEXT, data, **options)


def close(code=1000, reason=""):
    return encode_frame(Opcode.CLOSE, encode_close(code, reason))


def until_end(client):
    """Every event up to the end of the connection, which must be a proper one."""
    events = client.receive_until(lambda event: event.kind in ENDINGS, PATIENCE)
    client.release()
    assert events and events[-1].kind is Kind.EOF, events
    assert client.faults == []
    assert client.pending == 0
    return events[:-1]


def in_thread(function, *args):
    """Runs it beside the test; returns a function that waits for its result."""
    results = queue.Queue()

    def run():
        try:
            results.put(function(*args))
        except Exception as error:
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    return lambda: results.get(timeout=6 * PATIENCE)


# Messages.

@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_echo(place, opcode, size):
    with place.connect() as client:
        client.send_frame(opcode, b"x" * size)
        event = client.receive()
        assert (event.kind.name, event.payload) == (opcode.name, b"x" * size)


def test_echo_of_a_message_larger_than_any_frame(place):
    with place.connect() as client:
        pieces = [b"%05d" % number * 10_000 for number in range(3)]
        client.send_frame(Opcode.TEXT, pieces[0], fin=False)
        client.send_frame(Opcode.CONTINUATION, pieces[1], fin=False)
        client.send_frame(Opcode.CONTINUATION, pieces[2])
        assert client.receive().payload == b"".join(pieces)


def test_control_frames_are_answered_between_the_fragments_of_a_message(place):
    with place.connect() as client:
        client.send_raw(
            text(b"a", fin=False) + encode_frame(Opcode.PING, b"1") + encode_frame(Opcode.PONG, b"?")
            + encode_frame(Opcode.CONTINUATION, b"b", fin=False) + encode_frame(Opcode.PING, b"2")
            + encode_frame(Opcode.CONTINUATION, b"c")
        )
        events = [client.receive() for _ in range(3)]
        assert [(event.kind, event.payload) for event in events] == [
            (Kind.PONG, b"1"), (Kind.PONG, b"2"), (Kind.TEXT, b"abc"),
        ]


def test_what_came_before_a_close_is_answered_before_it(place):
    client = place.connect()
    client.send_raw(text(b"a") + text(b"b") + close(4000, "bye") + text(b"too late"))
    events = until_end(client)
    assert [event.text for event in events] == ["a", "b", ""]
    assert (events[-1].code, events[-1].reason) == (4000, "bye")


def test_receive_gives_none_when_nothing_comes_in_time(place):
    with place.connect("/impatient") as client:
        assert client.receive().text == "None"
        client.send_text("now")
        events = client.receive_until(lambda event: event.text != "None", PATIENCE)
        assert events[-1].text == "'now'"


def test_a_lone_surrogate_is_sent_as_a_question_mark(place):
    client, ws = place.lend()
    with client:
        ws.send("a\ud800b\udfffc \U0001f600")
        ws.send_text("\udc00")
        assert [client.receive().text for _ in range(2)] == ["a?b?c \U0001f600", "?"]


def test_many_threads_send_whole_messages(place):
    client, ws = place.lend(read_size=1_000)
    sizes = (1, 125, 126, 65_535, 65_536, 70_000)
    messages = [bytes([97 + n]) * size for n in range(SENDERS) for size in sizes]

    def send_all(n):
        for message in messages[n::SENDERS]:
            ws.send(message)
            ws.send(message.decode())

    waits = [in_thread(send_all, n) for n in range(SENDERS)]
    received = [client.receive() for _ in range(2 * len(messages))]
    assert [wait() for wait in waits] == [None] * SENDERS
    assert sorted(event.payload for event in received) == sorted(messages * 2)
    client.send_raw(close())
    assert [event.kind for event in until_end(client)] == [Kind.CLOSE]


# The end of a connection, and what sending does then.

def assert_closed(ws, code):
    assert not ws.is_open
    for data in ("text", b"binary"):
        with pytest.raises(OSError) as caught:
            ws.send(data)
        assert isinstance(caught.value, SessionClosed)
        assert caught.value.reason == code
    assert ws.close(1000) is True  # which does nothing


def test_after_our_close_a_send_raises_its_code(place):
    client, ws = place.lend()
    assert ws.close(4001, "enough") is True
    assert_closed(ws, 4001)
    assert client.receive().code == 4001
    client.send_raw(close(4001))
    assert until_end(client) == []
    assert place.end().reason == 4001


@pytest.mark.parametrize("sent, code", [(close(4002), 4002), (close(None), 1005), (b"", 1006)],
                         ids=["4002", "1005", "1006"])
def test_after_the_peer_s_end_a_send_raises_its_code(place, sent, code):
    client, ws = place.lend()
    client.send_raw(sent)
    client.half_close()
    assert [event.kind for event in until_end(client)] == ([Kind.CLOSE] if sent else [])
    assert place.end().reason == code
    assert_closed(ws, code)


def test_after_a_reset_a_send_raises_1006(place):
    client, ws = place.lend()
    client.abort()
    assert place.end().reason == 1006
    assert str(ws.error) == "connection reset by peer"
    assert_closed(ws, 1006)


def test_after_abort_every_thread_is_free(place):
    client, ws = place.lend()
    ws.abort()
    assert place.end().reason == 1006
    assert_closed(ws, 1006)
    assert until_end(client) == []


def never_reading(place):
    return place.lend(read_size=1)


def test_close_gives_up_when_a_sender_is_stuck_and_abort_frees_it(place):
    client, ws = never_reading(place)
    stuck = in_thread(ws.send, ENDLESS)
    wait_until(lambda: ws._lock.locked() and not ws._ready(2 | 4, 0))
    assert ws.close(1001, "", 0.05) is False
    assert ws.is_open
    ws.abort()
    assert isinstance(stuck(), SessionClosed)
    client.release()


def test_close_gives_up_when_the_client_takes_nothing_and_nobody_is_sending(place):
    client, ws = never_reading(place)
    with suppress(BlockingIOError):
        while True:
            ws.sock.send(text(b"x" * 1000, mask=None), socket.MSG_DONTWAIT)
    assert in_thread(ws.close, 1001, "", 0)() is False
    assert in_thread(ws.close, 1001, "", 0.05)() is False
    ws.abort()
    client.release()


def test_nothing_follows_the_close_frame_however_many_send(place):
    client, ws = place.lend()

    def send_for_ever():
        while True:
            ws.send("more" * 5_000)  # large: the client must get through all that is under way

    waits = [in_thread(send_for_ever) for _ in range(SENDERS)]
    for _ in range(100):
        client.receive()
    client.send_raw(close(4003), read_meanwhile=True)
    assert until_end(client)[-1].code == 4003
    assert {type(wait()) for wait in waits} == {SessionClosed}


def test_a_half_closed_client_still_gets_its_answers(place):
    client = place.connect()
    client.send_raw(text(b"a" * 60_000) + text(b"b"))
    client.half_close()
    assert [len(event.text) for event in until_end(client)] == [60_000, 1]


def test_a_handler_that_raises_closes_with_1011_and_one_log_line(place, caplog):
    client = place.connect("/fails")
    client.send_text("go")
    (event,) = until_end(client)
    assert (event.code, event.reason) == (1011, "internal error")
    assert complaints(caplog) == ["/fails: ValueError('on purpose')"]


def test_a_client_that_is_gone_before_the_101_costs_no_log_line(place, monkeypatch, caplog):
    def lost(self):
        raise ConnectionResetError("on purpose")

    monkeypatch.setattr(WebSocket, "handshake", lost)
    with WireClient.open(place.url, timeout=PATIENCE) as client:
        client.send_raw(handshake_request("x", path="/echo"))
        assert client.socket.recv(1) == b""
    assert complaints(caplog) == []


# Limits of size.

def in_fragments(size, opcode=Opcode.TEXT, unit=b"x", piece=60_000):
    data = unit * (size // len(unit))
    pieces = [data[start:start + piece] for start in range(0, len(data), piece)]
    frames = [encode_frame(opcode, pieces[0], fin=False)]
    frames += [encode_frame(Opcode.CONTINUATION, piece, fin=False) for piece in pieces[1:]]
    return b"".join([*frames, encode_frame(Opcode.CONTINUATION, b"")])


@pytest.mark.parametrize("unit", [b"x", "ä".encode(), "\U0001f600".encode()])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_the_size_of_a_message_is_counted_in_bytes(place, opcode, unit):
    client = place.connect()
    client.send_raw(in_fragments(MAX_MESSAGE, opcode, unit), read_meanwhile=True)
    assert len(client.receive().payload) == MAX_MESSAGE
    client.send_raw(in_fragments(MAX_MESSAGE + len(unit), opcode, unit), read_meanwhile=True)
    (event,) = until_end(client)
    assert (event.code, event.reason) == (1009, f"Max message length of {MAX_MESSAGE} has been exceeded.")


def test_a_message_too_big_by_its_fragments_is_an_error_for_the_endpoint(place):
    client, ws = place.lend()
    client.send_raw(in_fragments(MAX_MESSAGE + 1), read_meanwhile=True)
    assert until_end(client)[-1].code == 1009
    assert place.end().reason == 1009
    assert "Max message length" in str(ws.error)


def test_the_size_starts_anew_with_every_message(place):
    with place.connect() as client:
        for _ in range(5):
            client.send_raw(in_fragments(MAX_MESSAGE // 2), read_meanwhile=True)
            assert len(client.receive().payload) == MAX_MESSAGE // 2


#: A frame that is too big, and nothing of its payload.
HUGE = MAX_FRAME_BYTES + 1
START = text(b"a", fin=False)
PING = encode_frame(Opcode.PING, b"")


def header(opcode=Opcode.TEXT, **options):
    return encode_frame(opcode, bytes(HUGE), **options)[:-HUGE]


#: What is sent, and the code it is closed with. Of two faults in one frame the breach of the protocol counts.
PRECEDENCE = {
    "too big": (header(), 1009),
    "too big, binary": (header(Opcode.BINARY), 1009),
    "too big, the mask still to come": (header()[:-4], 1009),
    "too big, not the last": (header(fin=False), 1009),
    "too big, continuing": (START + header(Opcode.CONTINUATION), 1009),
    "too big, continuing after a ping": (START + PING + header(Opcode.CONTINUATION), 1009),
    "too big after a whole message": (START + encode_frame(Opcode.CONTINUATION, b"") + header(), 1009),
    "too big and unmasked": (header(mask=None), 1002),
    "too big and RSV1": (header(rsv=4), 1002),
    "too big and RSV3": (header(rsv=1), 1002),
    "too big and continuing nothing": (header(Opcode.CONTINUATION) + b"x", 1002),
    "too big and begun inside a message": (START + header() + b"x", 1002),
    "too big and a reserved opcode": (header(3), 1002),
    "too big and a control frame": (header(Opcode.PING), 1002),
}


@pytest.mark.parametrize("case", PRECEDENCE)
def test_which_fault_of_a_frame_counts(place, case):
    sent, code = PRECEDENCE[case]
    client = place.connect()
    client.send_raw(sent)
    event = until_end(client)[-1]
    assert (event.kind, event.code) == (Kind.CLOSE, code)
    if code == 1009:
        assert event.reason == "Max frame length of 65536 has been exceeded."


def test_the_close_frame_arrives_although_much_was_not_read(place):
    for _ in range(20):
        client = place.connect()
        client.send_raw(header() + bytes(HUGE) + text(b"x" * 60_000) * 20)
        (event,) = until_end(client)
        assert event.code == 1009


def test_a_trickle_after_the_end_is_not_waited_for_for_ever(monkeypatch):
    class Trickle:
        """A peer that always has one more byte."""

        bytes_read = 0

        def shutdown(self, how):
            pass

        def settimeout(self, seconds):
            pass

        def recv(self, size):
            self.bytes_read += 1
            return b"x"

    now = iter(range(1_000))
    monkeypatch.setattr(linger.time, "monotonic", lambda: next(now) / 100)
    peer = Trickle()
    linger.end_gently(peer)
    assert 0 < peer.bytes_read <= 100 * linger.LINGER


# Handshakes.

BAD_HANDSHAKES = {
    "HTTP/1.0": ({"version": "1.0"}, 404),
    "version 12": ({"replace": [("Sec-WebSocket-Version", "12")]}, 404),
    "version twice": ({"add": [("Sec-WebSocket-Version", "13")]}, 404),
    "no version": ({"drop": ["Sec-WebSocket-Version"]}, 404),
    "no key": ({"drop": ["Sec-WebSocket-Key"]}, 404),
    "short key": ({"key": "AAAAAAAAAAAAAAAAAAAA"}, 400),
    "no base64": ({"key": "!!!!!!!!!!!!!!!!!!!!!!=="}, 400),
    "not ASCII": ({"key": "dGhlIHNhbXBsZSBub25jZQ=é"}, 400),
    "empty key": ({"key": ""}, 400),
    "key twice": ({"add": [("Sec-WebSocket-Key", SAMPLE_KEY)]}, 400),
    "no Upgrade": ({"drop": ["Upgrade"]}, 400),
    "Upgrade to h2c": ({"replace": [("Upgrade", "h2c")]}, 400),
    "no Connection": ({"drop": ["Connection"]}, 400),
    "POST": ({"method": "POST"}, 405),
    "another path": ({"path": "/nowhere"}, 404),
}


@pytest.mark.parametrize("case", BAD_HANDSHAKES)
def test_a_bad_handshake_is_refused(place, case):
    changes, status = BAD_HANDSHAKES[case]
    with WireClient.open(place.url, timeout=PATIENCE) as client:
        assert client.handshake(handshake_request("x", **{"path": "/echo", **changes})).status == status
    with place.connect() as client:
        client.send_text("still here")
        assert client.receive().text == "still here"


def test_nothing_is_ever_negotiated(place):
    offers = [
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
    ]
    with WireClient.open(place.url, timeout=PATIENCE) as client:
        answer = client.handshake(handshake_request("x", path="/echo", add=offers))
        assert answer.status == 101
        assert sorted(name for name, _ in answer.headers) == ["connection", "sec-websocket-accept", "upgrade"]
        client.send_frame(Opcode.TEXT, b"x", rsv=4)
        assert client.receive().code == 1002


def test_a_connection_too_many_gets_503_before_the_handshake_and_the_place_comes_free(caplog):
    place = Place(max_connections=2)
    with place.connect(), place.connect() as second:
        with WireClient.open(place.url, timeout=PATIENCE) as third:
            assert third.handshake(handshake_request("x", path="/echo")).status == 503
        assert complaints(caplog) == ["connection refused: all 2 are taken (--max-connections)"]
        second.close()

        def enters():
            with WireClient.open(place.url, timeout=PATIENCE) as third:
                return third.handshake(handshake_request("x", path="/echo")).status == 101

        wait_until(enters)
    place.stop()


@pytest.mark.parametrize("bad", [{"version": "1.0"}, {"key": "no"}])
def test_a_failed_handshake_takes_no_place(bad):
    place = Place(max_connections=1)
    for _ in range(3):
        with WireClient.open(place.url, timeout=PATIENCE) as client:
            client.handshake(handshake_request("x", **{"path": "/echo", **bad}))
    with place.connect() as client:
        client.send_text("in")
        assert client.receive().text == "in"
    place.stop()


# Any bytes at all.

payloads = st.binary(max_size=130) | st.text(max_size=40).map(str.encode)
odd_frames = st.builds(
    encode_frame,
    st.sampled_from([0, 0, 1, 1, 1, 2, 2, 3, 8, 9, 9, 10, 11]),
    payloads,
    fin=st.sampled_from([True, True, False]),
    rsv=st.sampled_from([0] * 9 + [1, 2, 4]),
    mask=st.sampled_from([b""] * 9 + [None]),
)
hostile_bytes = st.lists(odd_frames | st.binary(max_size=20), max_size=12).map(b"".join)
cuts = st.lists(st.integers(0, 1_500), max_size=6).map(sorted)


def pieces_of(data, cuts):
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)])]


@settings(max_examples=200, deadline=None)
@given(data=hostile_bytes, cuts=cuts)
def test_no_bytes_do_harm(lasting_place, thread_faults, data, cuts):
    client = lasting_place.connect()
    for piece in pieces_of(data, cuts):
        client.send_raw(piece, read_meanwhile=True)
    client.half_close()
    events = until_end(client)
    assert Kind.ILLEGAL not in {event.kind for event in events}
    assert [event.kind for event in events].count(Kind.CLOSE) <= 1
    assert thread_faults == []


parts = st.lists(st.text(max_size=30), min_size=1, max_size=4)
messages = st.lists(st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), parts), max_size=5)


def legal_stream(messages, pinged):
    """Frames of these messages, a ping after each, and what the server must answer in this order."""
    frames, expected = [], []
    for number, (opcode, parts) in enumerate(messages):
        for index, part in enumerate(parts):
            kind = opcode if index == 0 else Opcode.CONTINUATION
            frames.append(encode_frame(kind, part.encode(), fin=index == len(parts) - 1))
            if pinged:
                frames.append(encode_frame(Opcode.PING, b"%d" % number))
                expected.append((Kind.PONG, b"%d" % number))
        message = (Kind[opcode.name], "".join(parts).encode())
        expected.insert(len(expected) - pinged, message)
    return b"".join(frames), expected


@settings(max_examples=100, deadline=None)
@given(messages=messages, pinged=st.booleans(), cuts=cuts)
def test_what_is_legal_is_answered_in_order(lasting_place, thread_faults, messages, pinged, cuts):
    data, expected = legal_stream(messages, pinged)
    client = lasting_place.connect()
    for piece in pieces_of(data, cuts):
        client.send_raw(piece)
    events = [client.receive() for _ in expected]
    assert [(event.kind, event.payload) for event in events] == expected
    client.send_raw(close())
    assert [event.kind for event in until_end(client)] == [Kind.CLOSE]
    assert thread_faults == []


class Script:
    """A socket that gives these pieces one by one, then the end, and keeps what is sent."""

    def __init__(self, pieces):
        self.pieces = [piece for piece in pieces if piece]
        self.sent = b""

    def settimeout(self, seconds):
        pass

    def recv(self, size):
        return self.pieces.pop(0) if self.pieces else b""

    def sendall(self, data):
        self.sent += data


def conversation(pieces):
    """What an echo server received and what it sent, frame by frame."""
    script = Script(pieces)
    ws = WebSocket({"werkzeug.socket": script, "HTTP_SEC_WEBSOCKET_KEY": SAMPLE_KEY})
    head, received = len(script.sent), []
    with suppress(SessionClosed):
        while True:
            received.append(ws.receive())
            ws.send(received[-1])
    reader = EventReader()
    events = reader.feed(script.sent[head:], 0)
    assert reader.faults == []
    return received, [answer(event) for event in events], ws.close_reason, str(ws.error)


def answer(event):
    """Python's words for bad UTF-8 name a position in the piece, so only their code counts."""
    return (event.kind, event.code if event.code == 1007 else event.payload)


@settings(max_examples=200, deadline=None)
@given(data=hostile_bytes, cuts=cuts)
def test_how_the_bytes_are_cut_changes_nothing(data, cuts):
    assert conversation(pieces_of(data, cuts)) == conversation([data])


@settings(max_examples=30, deadline=None)
@given(data=hostile_bytes)
def test_byte_by_byte_changes_nothing(data):
    assert conversation([data[at:at + 1] for at in range(len(data))]) == conversation([data])
