"""Clients that read nothing for the time limit: dropped, or told if that needs no waiting."""

import socket
import ssl
import time
from contextlib import suppress

import pytest

from livestream.transport.session import Limits, SessionClosed
from livestream.transport.sockets import ImpatientSocket, NotRead
from livestream.transport.tls import UnsafeTls, for_many_senders, server_context
from livestream.transport.websocket import WebSocket
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode
from tests.certificates import make_certificate
from tests.hostile import complaints
from tests.support import PATIENCE, wait_until
from tests.transport.test_websocket import ENDLESS, ENDINGS, Place, close, in_thread

#: In seconds.
LIMIT = 0.3
#: What a slow client reads, in bytes, and in how many pieces.
SIZE, SIPS = 20_000_000, 20
WORDS = f"the client read nothing for {LIMIT} s"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["plain", "TLS"])
def lend(request, certificate):
    """Makes connections with the time limit, plain or by TLS."""
    secure = request.param == "TLS"
    tls = server_context(certificate.cert, certificate.key) if secure else None
    place = Place(send_seconds=LIMIT, tls=tls)
    yield lambda **options: (place, *place.lend(ssl_context=certificate.client, **options))
    place.stop()


def test_a_client_that_stops_reading_is_dropped_at_the_limit(lend, caplog):
    place, client, ws = lend(read_size=1)
    began = time.monotonic()
    with pytest.raises(SessionClosed, match=WORDS):
        ws.send(ENDLESS)
    assert LIMIT <= time.monotonic() - began < LIMIT + PATIENCE / 2
    assert (place.end().reason, ws.complaint) == (1013, f"closed with 1013: {WORDS}")
    assert ws.error is None
    assert not ws.is_open
    wait_until(lambda: not place.server.threads())
    client.read_size = 65_536
    events = client.receive_until(lambda event: event.kind in ENDINGS, PATIENCE)
    client.release()
    assert [event.kind in ENDINGS for event in events] == [True]
    assert complaints(caplog) == []


@pytest.mark.parametrize("seconds, kind", [(0, socket.socket), (LIMIT, ImpatientSocket)])
def test_a_server_that_ends_tls_itself_is_refused(certificate, seconds, kind):
    ours, other = socket.socketpair()
    with ours, other:
        assert isinstance(for_many_senders(ours, seconds), kind)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.cert, certificate.key)
        with context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False) as secure, \
                pytest.raises(UnsafeTls, match="end TLS at a proxy before it"):
            for_many_senders(secure, seconds)


def full(sock):
    """Until nobody takes any more of it."""
    sock.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sock.send(bytes(65_536))


def test_the_limit_holds_for_the_answer_of_the_handshake_too():
    ours, other = socket.socketpair()
    with ours, other:
        full(ours)
        environ = {"werkzeug.socket": ours, "HTTP_SEC_WEBSOCKET_KEY": "AAAAAAAAAAAAAAAAAAAAAA=="}
        with pytest.raises(NotRead):
            WebSocket(environ, Limits(send_seconds=LIMIT))


def test_a_socket_that_is_closed_under_a_waiting_sender_is_an_oserror():
    ours, other = socket.socketpair()
    with other:
        sock = ImpatientSocket(ours, LIMIT)
        ours.close()
        with pytest.raises(OSError, match="closed"):
            sock._writable()


def test_all_threads_that_wait_to_send_are_free_at_the_limit(lend):
    place, client, ws = lend(read_size=1)
    waits = [in_thread(ws.send, ENDLESS) for _ in range(4)]
    assert {type(wait()) for wait in waits} == {SessionClosed}
    assert place.end().reason == 1013
    client.release()


def test_a_client_that_reads_slowly_is_not_dropped(lend):
    _, client, ws = lend()
    sending = in_thread(ws.send, b"x" * SIZE)
    began = time.monotonic()
    for _ in range(SIPS):
        pause = time.monotonic() + LIMIT / 5
        wait_until(lambda: time.monotonic() > pause)
        left = SIZE // SIPS
        while left:
            left -= len(client.socket.recv(left))
    assert time.monotonic() - began > 2 * LIMIT
    assert sending() is None
    client.release()


def test_a_client_that_is_quiet_but_reads_is_not_dropped(lend):
    _, client, ws = lend()
    assert client.receive(2 * LIMIT) is None
    ws.send("still there?")
    assert client.receive().text == "still there?"
    client.close()


class Script:
    """Stands for the kernel in one send: takes so many bytes, then nothing, then all again."""

    def __init__(self, monkeypatch, takes):
        self._takes = list(takes)
        self._really = ImpatientSocket._send_some
        monkeypatch.setattr(ImpatientSocket, "_send_some", lambda sock, data: self._send(sock, data))
        monkeypatch.setattr(ImpatientSocket, "_writable", lambda sock: False)

    def _send(self, sock, data):
        if not self._takes:
            return self._really(sock, data)
        most = self._takes.pop(0)
        return self._really(sock, data[:most]) if most else 0


def ended_by(monkeypatch, certificate, takes, secure=False):
    """What the client gets when a send is taken as the script says; its threads end either way."""
    tls = server_context(certificate.cert, certificate.key) if secure else None
    place = Place(send_seconds=LIMIT, tls=tls)
    client, ws = place.lend(ssl_context=certificate.client)
    Script(monkeypatch, takes)
    with pytest.raises(SessionClosed):
        ws.send("never whole")
    assert place.end().reason == 1013
    events = client.receive_until(lambda event: event.kind in ENDINGS, PATIENCE)
    client.release()
    place.stop()
    return events


def test_at_the_border_of_a_frame_the_client_is_told(monkeypatch, certificate):
    told, end = ended_by(monkeypatch, certificate, [0])
    assert (told.kind, told.code, told.reason) == (Kind.CLOSE, 1013, WORDS)
    assert end.kind is Kind.EOF


def test_a_close_frame_that_finds_no_room_is_left_out(monkeypatch, certificate):
    (end,) = ended_by(monkeypatch, certificate, [0, 0])
    assert end.kind in ENDINGS


def test_nothing_is_written_into_a_frame_that_was_sent_in_part(monkeypatch, certificate):
    (end,) = ended_by(monkeypatch, certificate, [3, 0])
    assert end.kind in ENDINGS


def test_nothing_is_written_after_a_tls_record_that_was_not_sent(monkeypatch, certificate):
    told = []
    monkeypatch.setattr(ImpatientSocket, "send_at_once", lambda sock, data: told.append(data))
    (end,) = ended_by(monkeypatch, certificate, [0], secure=True)
    assert end.kind in ENDINGS
    assert told == []


def test_a_close_frame_that_is_not_taken_ends_the_connection_too(monkeypatch, certificate):
    place = Place(send_seconds=LIMIT)
    client, ws = place.lend()
    Script(monkeypatch, [0])
    client.send_raw(close(4000))
    assert place.end().reason == 1013
    assert ws.complaint == f"closed with 1013: {WORDS}"
    assert client.receive().kind in ENDINGS
    client.release()
    place.stop()


def test_without_a_limit_the_socket_is_left_as_it_is():
    place = Place()
    client, ws = place.lend()
    assert type(ws.sock) is socket.socket
    client.send_frame(Opcode.PING, b"?")
    assert client.receive().kind is Kind.PONG
    client.close()
    place.stop()
