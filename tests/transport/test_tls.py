"""TLS by itself: the files it needs, the handshake, what is read ahead, and clients that end oddly."""

import logging
import socket
import ssl
import threading
import time

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key,
)

from livestream.transport.http import HttpServer
from livestream.transport.tls import MAX_UNSENT, TlsError, TlsSocket, server_context
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_close, encode_frame
from livestream.wire.handshake import http_request
from tests.certificates import make_certificate
from tests.hostile import complaints, descriptors, read_all, reset, tcp
from tests.support import PATIENCE, wait_until
from tests.transport.test_websocket import ENDLESS, Place, close, in_thread, text, until_end

#: A handshake's time limit for tests that wait for it, in seconds.
SHORT = 0.3
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
SENDERS, MESSAGES = 4, 300


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def context(certificate):
    return server_context(certificate.cert, certificate.key)


@pytest.fixture
def place(context):
    one = Place(tls=context, handshake_timeout=SHORT)
    yield one
    one.stop()


@pytest.fixture
def pair(certificate, context):
    """Both ends of a TLS connection: the client's SSLSocket and ours."""
    near, far = socket.socketpair()
    near.settimeout(PATIENCE)
    wait = in_thread(TlsSocket, far, context)
    client = certificate.client.wrap_socket(near, server_hostname="localhost")
    server = wait()
    server.settimeout(PATIENCE)
    yield client, server
    client.close()
    far.close()


# The files.

def encrypted(key):
    loaded = load_pem_private_key(key, None)
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


def test_a_certificate_and_its_key_make_a_context_for_tls_1_2_and_newer(context):
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE


BAD_FILES = {
    "no such certificate": ("missing.pem", "key.pem", "cannot read {0}: No such file or directory"),
    "no such key": ("cert.pem", "missing.pem", "cannot read {1}: No such file or directory"),
    "a folder": ("cert.pem", ".", "cannot read {1}: Is a directory"),
    "exchanged": ("key.pem", "cert.pem", "{0} holds no certificate in PEM"),
    "not PEM": ("cert.pem", "noise.pem", "{1} holds no private key in PEM"),
    "another's key": ("cert.pem", "other.pem", "the key in {1} does not belong to the certificate in {0}"),
    "encrypted": ("cert.pem", "locked.pem", "the key in {1} is encrypted: give one without a passphrase"),
    "cut off": ("cut.pem", "key.pem", "{0} and {1} can't be used: "),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_are_no_good_are_one_clear_line(tmp_path, case):
    made = make_certificate(tmp_path)
    key = (tmp_path / "key.pem").read_bytes()
    trustme.CA().issue_cert("x").private_key_pem.write_to_path(tmp_path / "other.pem")
    (tmp_path / "noise.pem").write_bytes(bytes(range(256)))
    (tmp_path / "locked.pem").write_bytes(encrypted(key))
    (tmp_path / "cut.pem").write_text((tmp_path / "cert.pem").read_text()[:200])
    cert, key, words = BAD_FILES[case]
    paths = str(tmp_path / cert), str(tmp_path / key)
    with pytest.raises(TlsError) as caught:
        server_context(*paths)
    assert str(caught.value).startswith(words.format(*paths))
    assert "\n" not in str(caught.value)
    assert made.cert.endswith("cert.pem")


# Reading and writing.

def test_what_is_read_ahead_is_neither_lost_nor_waited_for(pair):
    client, server = pair
    assert server.wait_for_data(0) is False
    client.sendall(b"abcdef")
    assert server.wait_for_data(PATIENCE) is True
    assert server.wait_for_data(0) is True  # which poll would not show
    assert [server.recv(2), server.recv(3), server.recv(99)] == [b"ab", b"cde", b"f"]
    assert server.wait_for_data(0) is False
    client.sendall(b"x" * 16_000)
    assert b"".join(server.recv(1_000) for _ in range(16)) == b"x" * 16_000


class OneAtATime:
    """Stands before OpenSSL's object: notices a call that begins while another is under way."""

    def __init__(self, tls):
        self._tls = tls
        self._calls = 0
        self.overlaps = 0
        self.total = 0

    def __getattr__(self, name):
        def call(*args):
            self._calls += 1
            self.total += 1
            self.overlaps += self._calls > 1
            threading.Event().wait(0.0005)  # lets the others run
            try:
                return getattr(self._tls, name)(*args)
            finally:
                self._calls -= 1

        return call


def test_openssl_never_sees_two_calls_at_once(pair):
    client, server = pair
    server._tls = watched = OneAtATime(server._tls)

    def write():
        for _ in range(MESSAGES):
            server.sendall(b"x" * 100)

    writing = in_thread(write)
    for _ in range(MESSAGES):
        client.sendall(b"y")
        assert (server.recv(100), client.recv(100)) == (b"y", b"x" * 100)
    assert writing() is None
    assert watched.total >= 2 * MESSAGES
    assert watched.overlaps == 0


def test_no_time_left_is_no_time_however_much_there_is_to_read(pair):
    client, server = pair
    client.sendall(b"x")
    with pytest.raises(TimeoutError):
        server._take_in(10, time.monotonic() - 1)


def test_answers_of_tls_s_own_that_nobody_takes_don_t_pile_up(pair):
    """As a flood of key updates makes them, on a connection on which nothing else is written."""
    client, server = pair
    server._outgoing.write(bytes(MAX_UNSENT))
    assert server.wait_for_data(0) is False
    server._outgoing.write(b"x")
    with pytest.raises(ConnectionAbortedError):
        server.recv(1)


def test_a_record_that_trickles_in_is_bounded_by_one_time_limit(certificate, context, monkeypatch):
    near, far = socket.socketpair()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certificate.client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    wait = in_thread(TlsSocket, far, context)
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            near.sendall(outgoing.read())
            incoming.write(near.recv(65_536))
    near.sendall(outgoing.read())
    server = wait()
    client.write(b"x" * 1_000)
    record = outgoing.read()
    server.settimeout(SHORT)
    over = threading.Event()

    def trickle():
        for byte in record[:-1]:
            near.sendall(bytes([byte]))
            if over.wait(SHORT / 100):
                return

    ended = in_thread(trickle)
    with pytest.raises(TimeoutError):
        server.recv(4_096)
    over.set()
    assert ended() is None
    near.close()
    far.close()


@pytest.mark.parametrize("politely", [True, False], ids=["close_notify", "FIN alone"])
def test_the_client_s_end_is_the_end(pair, politely):
    client, server = pair
    client.sendall(b"last")
    if politely:
        client.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            client.unwrap()
    else:
        client.shutdown(socket.SHUT_WR)
    assert [server.recv(10) for _ in range(3)] == [b"last", b"", b""]


@pytest.mark.parametrize("version", VERSIONS)
def test_many_threads_send_while_one_reads(place, certificate, version):
    certificate.client.maximum_version = certificate.client.minimum_version = version
    try:
        client, ws = place.lend(ssl_context=certificate.client, read_size=1_000)
    finally:
        certificate.client.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        certificate.client.minimum_version = ssl.TLSVersion.TLSv1_2
    assert client.socket.version() == {VERSIONS[0]: "TLSv1.2", VERSIONS[1]: "TLSv1.3"}[version]
    sizes = (1, 126, 70_000)

    def send_all(number):
        for n in range(MESSAGES):
            ws.send(b"%d %d " % (number, n) + bytes([97 + number]) * sizes[n % 3])

    waits = [in_thread(send_all, number) for number in range(SENDERS)]
    expected = [0] * SENDERS
    for turn in range(SENDERS * MESSAGES):
        client.send_frame(Opcode.PING, b"%d" % turn)
    seen = pongs = 0
    while seen < SENDERS * MESSAGES or pongs < SENDERS * MESSAGES:
        event = client.receive()
        if event.kind is Kind.PONG:
            assert event.payload == b"%d" % pongs
            pongs += 1
            continue
        number, n, rest = event.payload.split(b" ")
        assert expected[int(number)] == int(n)
        assert rest == bytes([97 + int(number)]) * sizes[int(n) % 3]
        expected[int(number)] += 1
        seen += 1
    assert [wait() for wait in waits] == [None] * SENDERS
    client.send_raw(close())
    assert [event.kind for event in until_end(client)] == [Kind.CLOSE]


def test_the_close_frame_arrives_although_much_was_not_read(place, certificate):
    for _ in range(10):
        client = place.connect(ssl_context=certificate.client)
        client.send_raw(encode_frame(Opcode.TEXT, bytes(70_000)) + text(b"x" * 60_000) * 20)
        (event,) = until_end(client)
        assert event.code == 1009


def test_a_wait_with_a_limit_works_over_tls(place, certificate):
    with place.connect("/impatient", ssl_context=certificate.client) as client:
        assert client.receive().text == "None"
        client.send_text("now")
        assert client.receive_until(lambda event: event.text != "None", PATIENCE)[-1].text == "'now'"


# Clients that end oddly, or never begin.

def test_a_client_that_never_reads_holds_up_no_other_and_goes_when_told(place, certificate):
    stuck, ws = place.lend(ssl_context=certificate.client, read_size=1)
    sending = in_thread(ws.send, ENDLESS)
    wait_until(lambda: ws._lock.locked() and not ws._ready(2 | 4, 0))
    with place.connect(ssl_context=certificate.client) as other:
        other.send_text("still here")
        assert other.receive().text == "still here"
    assert ws.close(1001, "", 0.05) is False
    ws.abort()
    assert isinstance(sending(), OSError)
    stuck.release()


def test_a_ping_is_read_while_a_message_waits_for_its_reader(place, certificate):
    """The waiting send holds no lock of TLS: what the client sends meanwhile is decrypted."""
    client, ws = place.lend(ssl_context=certificate.client, read_size=65_536)
    sending = in_thread(ws.send, ENDLESS[:8_000_000])
    wait_until(lambda: ws._lock.locked() and not ws._ready(2 | 4, 0))
    assert ws.sock._lock.acquire(timeout=PATIENCE)
    ws.sock._lock.release()
    client.send_frame(Opcode.PING, b"?")
    kinds = [client.receive().kind for _ in range(2)]
    assert kinds == [Kind.BINARY, Kind.PONG]
    assert sending() is None
    client.close()


def test_a_reset_is_told_as_without_tls(place, certificate):
    client, ws = place.lend(ssl_context=certificate.client)
    client.abort()
    assert place.end().reason == 1006
    assert str(ws.error) == "connection reset by peer"


def test_a_half_closed_client_still_gets_its_answers(place, certificate):
    client = place.connect(ssl_context=certificate.client)
    client.send_raw(text(b"a" * 60_000) + text(b"b"))
    socket.socket.shutdown(client.socket, socket.SHUT_WR)  # SSLSocket's own would drop TLS
    assert [len(event.text) for event in until_end(client)] == [60_000, 1]


def test_a_broken_record_ends_the_connection_and_nothing_else(place, certificate, caplog):
    client, ws = place.lend(ssl_context=certificate.client)
    socket.socket.send(client.socket, b"\x17\x03\x03\x00\x20" + bytes(32))
    assert place.end().reason == 1006
    assert ws.error is None
    client.release()
    assert complaints(caplog) == []


def silent(sock):
    """Says nothing at all."""


def begins(sock):
    """A client's first words, and no more."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    sock.sendall(outgoing.read())


@pytest.mark.parametrize("start", [silent, begins])
def test_a_handshake_that_never_ends_blocks_nobody_and_leaves_nothing(place, certificate, start, caplog):
    before = descriptors()
    stuck = [tcp(place.server.address) for _ in range(10)]
    for sock in stuck:
        start(sock)
    assert http_request(place.url, "GET", "/", ssl_context=certificate.client).status == 404
    wait_until(lambda: not place.server.threads())
    for sock in stuck:
        sock.close()
    wait_until(lambda: descriptors() == before)
    assert complaints(caplog) == []


NO_TLS = (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\x00\x05hello")


@pytest.mark.parametrize("said", NO_TLS)
def test_whoever_speaks_no_tls_is_sent_away_quickly_and_quietly(context, said, caplog):
    caplog.set_level(logging.INFO)
    place = Place(tls=context)  # with the usual time limit
    with tcp(place.server.address) as sock:
        sock.sendall(said)
        assert b"HTTP" not in read_all(sock)
    wait_until(lambda: not place.server.threads())
    place.stop()
    assert caplog.records == []


def test_a_reset_in_the_handshake_is_quiet(place, caplog):
    for _ in range(5):
        sock = tcp(place.server.address)
        begins(sock)
        reset(sock)
    wait_until(lambda: not place.server.threads())
    assert complaints(caplog) == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_refused_by_an_alert(place, certificate):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with tcp(place.server.address) as sock, pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        old.wrap_socket(sock)


def test_without_a_thread_a_client_of_tls_is_dropped(context, certificate, caplog):
    place = Place(tls=context)
    place.server._max_connections = 0
    with tcp(place.server.address) as sock:
        assert sock.recv(1) == b""
    assert complaints(caplog) == ["connection refused: All 0 connections are taken."]
    place.stop()


def test_a_request_learns_that_it_came_by_https(context, certificate):
    def tell(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.url_scheme"].encode()]

    for tls, scheme in ((None, "http"), (context, "https")):
        server = HttpServer(tell, "127.0.0.1", 0, 10, tls=tls)
        server.start()
        url = f"{scheme}://127.0.0.1:{server.address[1]}"
        assert http_request(url, "GET", "/", ssl_context=certificate.client).body == scheme.encode()
        server.stop_accepting()
        wait_until(lambda: not server.threads())


def test_a_close_frame_and_tls_s_own_end_come_in_this_order(place, certificate):
    client = WireClient.connect(place.url + "/echo", timeout=PATIENCE, ssl_context=certificate.client)
    client.send_raw(encode_frame(Opcode.CLOSE, encode_close(4000, "bye")))
    assert client.receive().code == 4000
    client.socket.suppress_ragged_eofs = False  # a connection that is cut would now be an error
    assert client.socket.recv(1) == b""
    client.release()
