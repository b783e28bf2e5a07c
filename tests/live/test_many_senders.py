"""Many threads send on one connection: every frame whole and in legal order, and the plain library's are not.

Channels run a thousand times too fast while the client floods pings and reads in small pieces.
"""

import socket
from contextlib import suppress
from urllib.parse import urlsplit

import flask_sock
import pytest
from simple_websocket import ConnectionClosed
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, Pong, Request, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import ProtocolError

from livestream.contract import CHANNELS, STREAM_PATH
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_close, encode_frame
from tests.support import PATIENCE

FRAMES = 100_000
PINGS_AT_ONCE = 50
#: A size that cuts most frames in two.
PIECE = 61
#: How many frames the plain library gets to show its fault; it takes a few hundred.
PLAIN_FRAMES = 20_000


def subscriptions():
    return ['{"type":"subscribe","channel":"%s"}' % channel.name for channel in CHANNELS]


def test_a_hundred_thousand_frames_arrive_whole_and_nothing_follows_the_close(serve):
    served = serve(time_scale=0.001)
    client = served.connect(read_size=PIECE)
    for text in subscriptions():
        client.send_text(text)
    pings = b"".join(encode_frame(Opcode.PING, b"%d" % number) for number in range(PINGS_AT_ONCE))
    counts = dict.fromkeys(Kind, 0)
    client.send_raw(pings)
    awaited = 0
    while sum(counts.values()) < FRAMES:
        event = client.receive(PATIENCE)
        assert event is not None and event.kind in (Kind.TEXT, Kind.PONG), event
        counts[event.kind] += 1
        if event.kind is Kind.PONG:
            assert event.payload == b"%d" % awaited
            awaited = (awaited + 1) % PINGS_AT_ONCE
            if awaited == 0:
                client.send_raw(pings)
        else:
            assert event.text.startswith('{"type":"') and event.text.endswith("}")
    assert counts[Kind.TEXT] > FRAMES / 100
    assert counts[Kind.PONG] > FRAMES / 100
    client.send_raw(encode_frame(Opcode.CLOSE, encode_close(1000)), read_meanwhile=True)
    events = client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), PATIENCE)
    assert [event.kind for event in events[-2:]] == [Kind.CLOSE, Kind.EOF]
    assert client.faults == []
    assert client.pending == 0
    client.release()


class PlainSession:
    """simple-websocket's own connection, given to the endpoint as it is."""

    def __init__(self, ws):
        self._ws = ws

    @property
    def is_open(self):
        return self._ws.connected

    def send_text(self, text):
        try:
            self._ws.send(text)
        except Exception as error:
            raise OSError(str(error)) from error

    def close(self, code, reason, timeout):
        with suppress(ConnectionClosed):
            self._ws.close(code, reason)
        return True


def add_plain_route(served):
    """The same endpoint behind plain Flask-Sock, at /plain."""
    endpoint = served.server.parts.endpoint
    sock = flask_sock.Sock(served.server.app)

    @sock.route("/plain")
    def plain(ws):
        connection = endpoint.on_open(PlainSession(ws))
        try:
            while True:
                endpoint.on_message(connection, ws.receive())
        finally:
            endpoint.on_close(connection)


def count_whole_frames(url, path, wanted):
    """Reads until `wanted` frames came whole; returns how many did before the first that did not.

    The client is wsproto's. It offers permessage-deflate, which the port
    refuses and the plain library accepts.
    """
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE) as sock:
        ws = WSConnection(ConnectionType.CLIENT)
        sock.sendall(ws.send(Request(host=parts.netloc, target=path, extensions=[PerMessageDeflate()])))
        seen = 0
        while seen < wanted:
            data = sock.recv(PIECE)
            if not data:
                return seen
            try:
                ws.receive_data(data)
                for event in ws.events():
                    if isinstance(event, CloseConnection):
                        return seen
                    if isinstance(event, AcceptConnection):
                        for text in subscriptions():
                            sock.sendall(ws.send(Message(data=text)))
                        sock.sendall(ws.send(Ping()) * PINGS_AT_ONCE)
                    if isinstance(event, TextMessage) and event.message_finished:
                        seen += 1
                    if isinstance(event, Pong):
                        seen += 1
                        sock.sendall(ws.send(Ping()))
            except (ProtocolError, UnicodeDecodeError):
                return seen
        return seen


# The library's own reader thread may be what dies of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_plain_library_fails_where_the_port_does_not(serve):
    served = serve(time_scale=0.001)
    add_plain_route(served)
    assert count_whole_frames(served.url, STREAM_PATH, PLAIN_FRAMES) >= PLAIN_FRAMES
    assert count_whole_frames(served.url, "/plain", PLAIN_FRAMES) < PLAIN_FRAMES
