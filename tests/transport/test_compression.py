"""permessage-deflate against the `websockets` library, wsproto's client and frames made by hand."""

import json
import os
import socket
import zlib

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Message, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from livestream.contract import MAX_MESSAGE_BYTES
from livestream.transport.compression import PIECE
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_frame
from livestream.wire.handshake import handshake_request
from tests.support import PATIENCE, Command
from tests.transport.test_websocket import (
    HUGE, MAX_MESSAGE, START, Place, close, in_thread, text, until_end,
)

RSV1 = 4
SENDERS, MESSAGES = 6, 200
#: What zlib makes of a gibibyte of zeros, and what the server's memory may grow by.
BOMB_BYTES, MOST_GROWTH = 2**30, 60 * 2**20


@pytest.fixture
def place():
    one = Place(compression=True)
    yield one
    one.stop()


def deflated(data, level=9):
    squeezer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (squeezer.compress(data) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(data):
    return zlib.decompressobj(-15).decompress(data + b"\0\0\xff\xff")


def offering(place, *offers, path="/echo"):
    """A raw client and what the server answered to these offers."""
    client = WireClient.open(place.url, timeout=PATIENCE)
    headers = [("Sec-WebSocket-Extensions", offer) for offer in offers]
    answer = client.handshake(handshake_request("x", path=path, add=headers))
    assert answer.status == 101
    return client, answer.header("sec-websocket-extensions")


def speaking(place, **options):
    """A raw client that has agreed to compress."""
    client, agreed = offering(place, "permessage-deflate", **options)
    assert agreed
    return client


# What is agreed on (RFC 7692, section 7.1).

OURS = "permessage-deflate; client_no_context_takeover; "
ANSWERS = {
    "permessage-deflate": "server_max_window_bits=11",
    "permessage-deflate; client_max_window_bits": "client_max_window_bits=15; server_max_window_bits=11",
    "permessage-deflate;client_max_window_bits=10": "client_max_window_bits=10; server_max_window_bits=11",
    "permessage-deflate; server_max_window_bits=15": "server_max_window_bits=11",
    'permessage-deflate; server_max_window_bits="9"': "server_max_window_bits=9",
    "permessage-deflate; server_no_context_takeover":
        "server_no_context_takeover; server_max_window_bits=11",
    "permessage-deflate; client_no_context_takeover": "server_max_window_bits=11",
    "x-unknown; a=b, permessage-deflate": "server_max_window_bits=11",
    "permessage-deflate; server_max_window_bits=8, permessage-deflate": "server_max_window_bits=11",
}


@pytest.mark.parametrize("offer", ANSWERS)
def test_the_first_offer_that_can_be_met_is_accepted(place, offer):
    client, agreed = offering(place, offer)
    assert sorted(agreed.split("; ")) == sorted((OURS + ANSWERS[offer]).split("; "))
    client.send_frame(Opcode.TEXT, deflated(b"x" * 100), rsv=RSV1)
    client.socket.settimeout(PATIENCE)
    first, size = client.socket.recv(2)
    assert first == 0xC1  # FIN, RSV1 and text
    assert inflated(client.socket.recv(size)) == b"x" * 100
    client.release()


REFUSED = [
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=ten",
    "permessage-deflate; client_max_window_bits=8",
    "permessage-deflate; client_max_window_bits=07",
    "permessage-deflate; client_max_window_bits=10; client_max_window_bits=11",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; unheard_of",
    "permessage-deflate; ",
    "permessage-deflatex",
    "x-webkit-deflate-frame",
    "",
]


@pytest.mark.parametrize("offer", REFUSED)
def test_an_offer_that_is_wrong_or_strange_is_no_offer(place, offer):
    client, agreed = offering(place, offer)
    assert agreed is None
    client.send_text("plain")
    assert client.receive().text == "plain"
    client.send_frame(Opcode.TEXT, deflated(b"x"), rsv=RSV1)
    assert client.receive().code == 1002
    client.release()


def test_without_the_option_nothing_is_agreed_on():
    place = Place()
    client, agreed = offering(place, "permessage-deflate")
    assert agreed is None
    client.release()
    place.stop()


# Messages.

def wordy(number, turn):
    return json.dumps({"sender": number, "turn": turn, "words": "the same again and again " * (turn % 7)})


PARAMETERS = [
    {}, {"server_no_context_takeover": True}, {"client_no_context_takeover": True},
    {"client_max_window_bits": 9}, {"server_max_window_bits": 9}, {"client_max_window_bits": True},
]


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_websockets_client_and_many_senders(place, parameters):
    extensions = [ClientPerMessageDeflateFactory(**parameters)]
    url = f"{place.url.replace('http', 'ws')}/lent"
    with connect(url, compression=None, extensions=extensions) as client:
        ws = place.lent.get(timeout=PATIENCE)

        def send_all(number):
            for turn in range(MESSAGES):
                ws.send(wordy(number, turn))

        waits = [in_thread(send_all, number) for number in range(SENDERS)]
        pongs = [client.ping(b"%d" % number) for number in range(50)]
        turns = [0] * SENDERS
        for _ in range(SENDERS * MESSAGES):
            message = client.recv(PATIENCE)
            number = json.loads(message)["sender"]
            assert message == wordy(number, turns[number])
            turns[number] += 1
        assert all(pong.wait(PATIENCE) for pong in pongs)
        assert [wait() for wait in waits] == [None] * SENDERS


def test_websockets_client_is_answered_whatever_it_sends(place):
    messages = ["", "", "a", "ä" * 1_000, os.urandom(50_000), b"", b"x" * 60_000, wordy(1, 2), wordy(1, 2)]
    with connect(f"{place.url.replace('http', 'ws')}/echo") as client:
        for message in messages:
            client.send(message)
        client.send(["in ", "three ", "fragments"])
        assert [client.recv(PATIENCE) for _ in messages] == messages
        assert client.recv(PATIENCE) == "in three fragments"
        client.send(os.urandom(70_000))  # beyond a frame on the wire
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE)
        assert caught.value.rcvd.code == 1009


def test_wsproto_s_client(place):
    ws = WSConnection(ConnectionType.CLIENT)
    with socket.create_connection(place.server.address, timeout=PATIENCE) as sock:
        sock.sendall(ws.send(Request(host="x", target="/echo", extensions=[PerMessageDeflate()])))
        sent = [wordy(0, turn) for turn in range(50)] + [b"binary" * 100]
        got = []
        part = ""
        while len(got) < len(sent):
            ws.receive_data(sock.recv(4_096))
            for event in ws.events():
                if isinstance(event, AcceptConnection):
                    assert [type(extension) for extension in event.extensions] == [PerMessageDeflate]
                    sock.sendall(b"".join(ws.send(Message(data=data)) for data in sent))
                elif isinstance(event, (TextMessage, BytesMessage)):
                    part = part + event.data if part else event.data
                    if event.message_finished:
                        got.append(bytes(part) if isinstance(event, BytesMessage) else part)
                        part = ""
        assert got == sent


def test_a_lone_surrogate_is_a_question_mark_here_too(place):
    with connect(f"{place.url.replace('http', 'ws')}/lent") as client:
        place.lent.get(timeout=PATIENCE).send("a\ud800b")
        assert client.recv(PATIENCE) == "a?b"


def test_control_frames_between_compressed_fragments_change_nothing(place):
    client = speaking(place)
    words = b"in two halves " * 10
    payload = deflated(words)
    ping = encode_frame(Opcode.PING, b"?")
    client.send_raw(ping + encode_frame(Opcode.BINARY, payload[:5], fin=False, rsv=RSV1) + ping
                    + encode_frame(Opcode.CONTINUATION, payload[5:]) + ping)
    events = [client.receive() for _ in range(4)]
    assert [event.kind for event in events] == [Kind.PONG, Kind.PONG, Kind.BINARY, Kind.PONG]
    assert inflated(events[2].payload) == words
    client.release()


FAULTS = {
    "RSV1 in a ping": (encode_frame(Opcode.PING, b"", rsv=RSV1), 1002),
    "RSV1 in a continuation": (START + encode_frame(Opcode.CONTINUATION, b"x", rsv=RSV1), 1002),
    "RSV2": (encode_frame(Opcode.TEXT, b"x", rsv=2), 1002),
    "RSV3 beside RSV1": (encode_frame(Opcode.TEXT, b"x", rsv=RSV1 | 1), 1002),
    "not deflated": (encode_frame(Opcode.TEXT, b"\xff" * 100, rsv=RSV1), 1007),
    "deflated, but no UTF-8": (encode_frame(Opcode.TEXT, deflated(b"\xff\xff"), rsv=RSV1), 1007),
    "too big on the wire": (encode_frame(Opcode.BINARY, bytes(HUGE), rsv=RSV1), 1009),
    "too big and RSV1 in a continuation":
        (START + encode_frame(Opcode.CONTINUATION, bytes(HUGE), rsv=RSV1), 1002),
    "legal": (encode_frame(Opcode.TEXT, deflated(b""), rsv=RSV1) + close(4001), 4001),
}


@pytest.mark.parametrize("case", FAULTS)
def test_which_fault_of_a_frame_counts(place, case):
    sent, code = FAULTS[case]
    client = speaking(place, path="/lent")
    client.send_raw(sent)
    event = until_end(client)[-1]
    assert (event.kind, event.code) == (Kind.CLOSE, code)


# Limits, and the bomb.

@pytest.mark.parametrize("extra, code", [(0, 4000), (1, 1009)])
@pytest.mark.parametrize("unit", [b"x", "ä".encode()])
def test_the_limit_is_on_the_decompressed_size(place, extra, code, unit):
    client = speaking(place, path="/lent")
    data = unit * (MAX_MESSAGE // len(unit) + extra)
    client.send_raw(encode_frame(Opcode.TEXT, deflated(data), rsv=RSV1) + close(4000))
    event = until_end(client)[-1]
    assert event.code == code
    if code == 1009:
        assert event.reason == f"Max message length of {MAX_MESSAGE} has been exceeded."
        assert str(place.end().reason) == "1009"


def test_the_size_starts_anew_with_every_message(place):
    client = speaking(place, path="/lent")
    frame = encode_frame(Opcode.BINARY, deflated(bytes(MAX_MESSAGE * 2 // 3)), rsv=RSV1)
    plain = text(b"x" * 60_000)
    client.send_raw((frame + plain) * 5 + close(4000))
    assert until_end(client)[-1].code == 4000


def test_a_bomb_is_decompressed_no_further_than_the_limit(place, monkeypatch):
    grown = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self, *args):
            self._real = real(*args)

        def __getattr__(self, name):
            return getattr(self._real, name)

        def decompress(self, data):
            grown.append(len(whole := self._real.decompress(data)))
            return whole

    monkeypatch.setattr("wsproto.extensions.zlib.decompressobj", Counting)
    client = speaking(place, path="/lent")
    client.send_raw(encode_frame(Opcode.BINARY, deflated(bytes(60_000_000)), rsv=RSV1))
    assert until_end(client)[-1].code == 1009
    assert MAX_MESSAGE < sum(grown) <= MAX_MESSAGE + PIECE * 1_100


@pytest.mark.parametrize("after, code", [(b"", 4000), (b"\0", 4000), (b"\0\0", 1007), (b"x" * 60_000, 1007)])
def test_nothing_comes_after_the_last_block_of_a_message(place, after, code):
    """But one byte (RFC 7692, section 7.2.3.4). What zlib would hoard counts for no limit."""
    client = speaking(place, path="/lent")
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    whole = squeezer.compress(b"hello") + squeezer.flush(zlib.Z_FINISH)
    client.send_raw(encode_frame(Opcode.TEXT, whole, fin=False, rsv=RSV1)
                    + encode_frame(Opcode.CONTINUATION, after) + close(4000))
    assert until_end(client)[-1].code == code


def bomb():
    """A gibibyte of zeros as a message of fragments that each fit into a frame."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(2**20)
    data = b"".join(squeezer.compress(block) for _ in range(BOMB_BYTES // len(block)))
    data += squeezer.flush(zlib.Z_SYNC_FLUSH)
    pieces = [data[start:start + 65_536] for start in range(0, len(data), 65_536)]
    first = encode_frame(Opcode.TEXT, pieces[0], fin=False, rsv=RSV1)
    return first + b"".join(encode_frame(Opcode.CONTINUATION, piece, fin=False) for piece in pieces[1:])


def most_memory(pid):
    """The most that a process ever had resident, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def test_a_gibibyte_of_zeros_stays_small_in_the_server():
    command = Command("--compression")
    try:
        before = most_memory(command.process.pid)
        data = bomb()
        assert len(data) < 2**20 * 1.1
        request = handshake_request("x", add=[("Sec-WebSocket-Extensions", "permessage-deflate")])
        with WireClient.open(command.url, timeout=PATIENCE) as client:
            assert client.handshake(request).header("sec-websocket-extensions")
            client.socket.sendall(data)
            # Updates come compressed: of what comes only the Close frame is of interest.
            events = client.receive_until(lambda event: event.kind in (Kind.CLOSE, Kind.EOF, Kind.RESET))
        assert events[-1].code == 1009
        assert events[-1].reason == f"Max message length of {MAX_MESSAGE_BYTES} has been exceeded."
        assert most_memory(command.process.pid) - before < MOST_GROWTH
        code, _, log = command.stop()
        assert code == 0
        assert "Traceback" not in log
    finally:
        command.kill()
