"""The HTTP server by itself, under tiny WSGI applications: RFC 9112, its limits, and what goes wrong."""

import errno
import json
import os
import socket
import threading
import time
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livestream.transport.http import REFUSAL_TIMEOUT, HttpServer
from livestream.transport.wsgi import MAX_BODY_BYTES
from tests.hostile import (
    all_descriptors_taken, answers, complaints, no_thread_left, read_all, reset, tcp,
)
from tests.support import PATIENCE, wait_until

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#: For tests that wait for it to pass, in seconds.
SHORT = 0.2
PLENTY = 100
#: Refused clients that send nothing.
SILENT = 40


def tell(environ, start_response):
    """Answers with what the application was told."""
    shown = {key: value for key, value in environ.items() if isinstance(value, str)}
    body = json.dumps(shown | {"body": environ["wsgi.input"].read().decode("latin-1")}).encode()
    start_response("200 Fine", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body[:10], body[10:]]


class Site:
    """A running server."""

    def __init__(self, app=tell, host="127.0.0.1", max_connections=PLENTY, **options):
        self.server = HttpServer(app, host, 0, max_connections, **options)
        self.server.start()

    def talk(self, data):
        """Sends these bytes and returns all that comes until the server ends the connection."""
        with tcp(self.server.address) as sock:
            sock.sendall(data)
            return read_all(sock)

    def ask(self, data, *methods):
        return answers(self.talk(data), *methods)

    def wait_until_idle(self):
        wait_until(lambda: not self.server.threads())

    def stop(self):
        self.server.stop_accepting()
        self.server.drop_connections()
        self.wait_until_idle()


@pytest.fixture
def site():
    running = []

    def start(*args, **options):
        running.append(Site(*args, **options))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture(scope="module")
def lasting_site():
    one = Site()
    yield one
    one.stop()


def paths(found):
    return [json.loads(body)["PATH_INFO"] for _, _, body in found]


# Requests.

def test_requests_in_one_packet_are_answered_in_order_on_one_connection(site):
    found = site().ask(GET % b"1" + GET % b"2" + LAST, "GET", "GET", "GET")
    assert paths(found) == ["/1", "/2", "/last"]
    assert found[-1][1]["connection"] == "close"
    assert len({json.loads(body)["REMOTE_PORT"] for _, _, body in found}) == 1


def test_a_connection_is_kept_alive_between_requests(site):
    one = site()
    with tcp(one.server.address) as sock:
        for number in (b"1", b"2", b"3"):
            sock.sendall(GET % number)
            assert b"/" + number in sock.recv(65_536)
            assert len(one.server.threads()) == 1
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=8))
def test_however_the_bytes_arrive_the_answers_are_the_same(lasting_site, cuts):
    data = GET % b"1" + b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" + LAST
    with tcp(lasting_site.server.address) as sock:
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)]):
            sock.sendall(data[start:end])
        found = answers(read_all(sock), "GET", "POST", "GET")
    assert paths(found) == ["/1", "/2", "/last"]


def test_byte_by_byte(site):
    with tcp(site().server.address) as sock:
        for byte in GET % b"1" + LAST:
            sock.sendall(bytes([byte]))
        assert paths(answers(read_all(sock), "GET", "GET")) == ["/1", "/last"]


def test_http_1_0_gets_its_answer_and_the_end(site):
    ((status, headers, body),) = site().ask(b"GET /old HTTP/1.0\r\n\r\n")
    assert (status, headers["connection"]) == (200, "close")
    assert json.loads(body)["SERVER_PROTOCOL"] == "HTTP/1.0"


def test_head_has_the_headers_of_get_and_no_body(site):
    found = site().ask(b"HEAD /1 HTTP/1.1\r\nHost: x\r\n\r\n" + LAST, "HEAD", "GET")
    assert int(found[0][1]["content-length"]) > 100
    assert found[0][2] == b""
    assert paths(found[1:]) == ["/last"]


TARGETS = {
    b"/a%20b?c=%20": ("/a b", "c=%20"),
    b"http://elsewhere:9/a/b?c=d": ("/a/b", "c=d"),
    b"http://elsewhere": ("/", ""),
    b"*": ("/", ""),
    b"/%C3%A4": ("/Ã¤", ""),
}


@pytest.mark.parametrize("target", TARGETS)
def test_the_forms_of_a_target(site, target):
    ((_, _, body),) = site().ask(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
    told = json.loads(body)
    assert (told["PATH_INFO"], told["QUERY_STRING"]) == TARGETS[target]
    assert told["RAW_URI"] == target.decode()


def test_repeated_headers_are_joined_and_underscores_forge_nothing(site):
    ((_, _, body),) = site().ask(
        b"GET / HTTP/1.1\r\nHost: x\r\nX-One: a\r\nx-one: b\r\nX_One: forged\r\nContent_Type: forged\r\n"
        b"Content-Type: text/plain\r\nConnection: close\r\n\r\n"
    )
    told = json.loads(body)
    assert (told["HTTP_X_ONE"], told["CONTENT_TYPE"]) == ("a,b", "text/plain")
    assert "forged" not in body.decode()


# Bodies.

def post(body, *headers):
    lines = [b"POST / HTTP/1.1", b"Host: x", b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"", body])


def chunked(*pieces):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return post(chunks + b"0\r\n\r\n", b"Transfer-Encoding: chunked")


def sized(body):
    return post(body, b"Content-Length: %d" % len(body))


@pytest.mark.parametrize("request_bytes", [sized(b"hello"), chunked(b"he", b"llo")], ids=["sized", "chunked"])
def test_a_body_is_read(site, request_bytes):
    ((_, _, body),) = site().ask(request_bytes, "POST")
    assert json.loads(body)["body"] == "hello"


def test_a_body_of_the_greatest_size_is_read(site):
    ((status, _, body),) = site().ask(sized(b"x" * MAX_BODY_BYTES), "POST")
    assert (status, len(json.loads(body)["body"])) == (200, MAX_BODY_BYTES)


@pytest.mark.parametrize("way", [sized, lambda body: chunked(body[:9], body[9:])], ids=["sized", "chunked"])
def test_a_larger_body_is_413_and_the_answer_is_not_lost_however_much_is_unread(site, way, caplog):
    one = site()
    for _ in range(10):
        ((status, headers, _),) = one.ask(way(b"x" * 1_000_000), "POST")
        assert (status, headers["connection"]) == (413, "close")
    assert len(complaints(caplog)) == 10


def test_who_expects_it_is_told_to_continue(site):
    with tcp(site().server.address) as sock:
        sock.sendall(post(b"", b"Content-Length: 5", b"Expect: 100-continue"))
        assert sock.recv(65_536).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"hello")
        ((_, _, body),) = answers(read_all(sock), "POST")
    assert json.loads(body)["body"] == "hello"


# Bad requests.

BAD = {
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": 400,
    b"\x00" * 100: 400,
    b"GET\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/one\r\nHost: x\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nNa me: x\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n": 501,
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000: 431,
    b"GET /" + b"y" * 20_000: 431,
}


@pytest.mark.parametrize("data", BAD, ids=lambda data: repr(data[:60]))
def test_a_bad_request_is_refused_with_one_log_line(site, data, caplog):
    one = site()
    ((status, headers, body),) = one.ask(data)
    assert (status, headers["connection"], body) == (BAD[data], "close", b"")
    (line,) = complaints(caplog)
    assert f": {status}: " in line
    assert one.ask(LAST)[0][0] == 200


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60) | st.text("GET /HTP1.0:\r\n ax", max_size=60).map(str.encode))
def test_no_bytes_do_harm(lasting_site, data):
    with tcp(lasting_site.server.address) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)  # the end, and not a reset


@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["reset", "FIN"])
@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET % b"1", sized(b"hello")[:-2]])
def test_a_client_that_leaves_early_is_one_log_line_at_most(site, sent, leave, caplog):
    one = site()
    sock = tcp(one.server.address)
    sock.sendall(sent)
    wait_until(one.server.threads)
    leave(sock)
    one.wait_until_idle()
    assert len(complaints(caplog)) <= 1


# Slow clients.

def test_a_client_that_sends_nothing_is_dropped_without_a_word(site, caplog):
    one = site(idle_timeout=SHORT)
    assert one.talk(b"") == b""
    assert paths(one.ask(GET % b"1")) == ["/1"]  # and then nothing
    assert complaints(caplog) == []


def test_a_client_that_stops_in_its_request_is_told_so(site, caplog):
    one = site(idle_timeout=SHORT)
    assert one.ask(b"GET / HT")[0][0] == 408
    assert one.ask(sized(b"hello")[:-2])[0][0] == 408
    assert len(complaints(caplog)) == 2


def test_trickling_bytes_do_not_stretch_the_time_of_a_request(site):
    one = site(idle_timeout=SHORT)
    pause = threading.Event()
    with tcp(one.server.address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        sock.settimeout(SHORT / 20)
        answer = b""
        for _ in range(int(PATIENCE / SHORT * 20)):
            sock.sendall(b"y")
            try:
                answer = sock.recv(65_536)
                break
            except TimeoutError:
                pause.wait(0)
        assert b" 408 " in answer


# Applications that fail.

def fails_at_once(environ, start_response):
    raise ValueError("on purpose")


def fails_in_the_body(environ, start_response):
    start_response("200 OK", [])
    yield b"half"
    raise ValueError("on purpose")


def forgets_to_start(environ, start_response):
    return [b"no status"]


@pytest.mark.parametrize("app", [fails_at_once, fails_in_the_body, forgets_to_start])
def test_an_application_that_raises_is_a_500_and_one_log_line(site, app, caplog):
    ((status, _, body),) = site(app).ask(GET % b"1")
    assert (status, body) == (500, b"")
    (line,) = complaints(caplog)
    assert "the application failed" in line


def test_an_application_that_breaks_http_breaks_only_its_connection(site, caplog):
    def lies(environ, start_response):
        start_response("200 OK", [("Content-Length", "1")])
        return [b"more than one"]

    one = site(lies)
    assert one.talk(GET % b"1") == b""
    assert one.talk(GET % b"2") == b""
    assert len(complaints(caplog)) == 2


def test_the_answer_is_closed_as_wsgi_demands(site):
    closed = []

    class Body(list):
        def close(self):
            closed.append(True)

    def app(environ, start_response):
        start_response("204 Nothing", [])
        return Body()

    ((status, _, body),) = site(app).ask(LAST)
    assert (status, body, closed) == (204, b"", [True])


# Limits.

def ask_for(sock):
    """One request on a connection that may have been refused already; the status of the answer."""
    sock.sendall(LAST)
    return answers(read_all(sock))[0][0]


def test_a_connection_too_many_is_503_and_the_place_is_free_again(site, caplog):
    one = site(max_connections=2)
    with tcp(one.server.address), tcp(one.server.address) as second:
        wait_until(lambda: len(one.server.threads()) == 2)
        ((status, _, body),) = one.ask(GET % b"1")
        assert (status, body) == (503, b"All 2 connections are taken.\n")
        assert len(complaints(caplog)) == 1
        second.close()
        wait_until(lambda: len(one.server.threads()) == 1)
        assert one.ask(LAST)[0][0] == 200


def test_a_refused_client_that_says_nothing_holds_nobody_up(site):
    told = []
    one = site(max_connections=1, refused=told.append)
    with tcp(one.server.address), tcp(one.server.address) as silent:
        assert b" 503 " in read_all(silent)
    assert told == ["full"]


def test_many_refused_clients_that_say_nothing_hold_up_the_next_only_a_little(site):
    one = site(max_connections=1)
    with ExitStack() as stack:
        stack.enter_context(tcp(one.server.address))
        wait_until(lambda: one.server.threads())
        silent = [stack.enter_context(tcp(one.server.address)) for _ in range(SILENT)]
        began = time.monotonic()
        assert one.ask(GET % b"1")[0][0] == 503
        assert time.monotonic() - began < SILENT * REFUSAL_TIMEOUT / 2
        assert b" 503 " in read_all(silent[-1])


def test_without_a_thread_the_client_gets_503_and_the_next_is_served(site, caplog):
    told = []
    one = site(refused=told.append)
    with no_thread_left():
        ((status, _, body),) = one.ask(GET % b"1")
    assert (status, body) == (503, b"The server cannot start another thread.\n")
    assert one.server.threads() == []
    assert len(complaints(caplog)) == 1
    assert one.ask(LAST)[0][0] == 200
    assert told == ["no_thread"]


def test_threads_are_refused_before_the_memory_maps_run_out(site, monkeypatch):
    one = site()
    monkeypatch.setattr("livestream.transport.machine._most_threads", lambda: 1)
    assert one.ask(GET % b"1")[0][0] == 503
    monkeypatch.undo()
    assert one.ask(LAST)[0][0] == 200


@pytest.fixture
def accepts(monkeypatch):
    """A list that grows with every call of accept."""
    calls = []
    accept = socket.socket.accept

    def counted(self):
        calls.append(self)
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", counted)
    return calls


def connect(sock, one):
    """Of a socket that has its descriptor already, when there may be no other."""
    sock.settimeout(PATIENCE)
    sock.connect(one.server.address)
    return sock


def test_without_a_descriptor_clients_get_503_and_the_accept_loop_waits(site, accepts, caplog):
    told = []
    one = site(refused=told.append)
    with ExitStack() as stack:
        first, second, *others, last = [stack.enter_context(socket.socket()) for _ in range(8)]
        connect(first, one).sendall(GET % b"1")
        assert first.recv(65_536).startswith(b"HTTP/1.1 200 ")
        with all_descriptors_taken():
            # If it waits in accept already, it has a descriptor for this one; else this one is refused.
            connect(second, one).sendall(GET % b"2")
            assert second.recv(65_536)
            began, said, served = len(accepts), len(complaints(caplog)), len(one.server.threads())
            assert [ask_for(connect(sock, one)) for sock in others] == [503] * len(others)
            threading.Event().wait(SHORT)
            # One call that fails and one on the spare for each, and for the next.
            assert len(accepts) <= began + 2 * len(others) + 2
            assert len(complaints(caplog)) == said + len(others)
            assert told == ["no_descriptor"] * (said + len(others))
            # It waits for the next one on its spare; meanwhile a descriptor comes free.
            first.close()
            wait_until(lambda: len(one.server.threads()) < served)
            assert ask_for(connect(last, one)) == 200
    assert [one.ask(LAST)[0][0] for _ in range(3)] == [200] * 3


def failing_first(monkeypatch, *numbers):
    """Makes accept fail with these errors, one after the other, before it works."""
    accept = socket.socket.accept
    failures = list(numbers)

    def failing(self):
        if failures:
            raise OSError(failures.pop(0), "on purpose")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing)
    return failures


def test_an_accept_that_fails_for_another_reason_is_tried_again(site, monkeypatch):
    failures = failing_first(monkeypatch, errno.ECONNABORTED, errno.ENOBUFS, errno.ENOMEM)
    assert site().ask(LAST)[0][0] == 200
    assert failures == []


def test_it_lives_on_when_somebody_else_takes_the_spare_descriptor(site, monkeypatch):
    def refusing(*args):
        raise OSError(errno.EMFILE, "on purpose")

    failures = failing_first(monkeypatch, *[errno.EMFILE] * 4)
    server = HttpServer(tell, "127.0.0.1", 0, PLENTY)
    monkeypatch.setattr(os, "open", refusing)
    server.start()
    with tcp(server.address) as sock:
        assert ask_for(sock) == 200
    monkeypatch.undo()
    server.stop_accepting()
    assert failures == []


# The end.

def test_after_stop_accepting_open_connections_go_on_and_new_ones_are_refused(site):
    one = site()
    address = one.server.address
    with tcp(address) as sock:
        sock.sendall(GET % b"1")
        sock.recv(65_536)
        one.server.stop_accepting()
        one.server.stop_accepting()  # and again, which does nothing
        with pytest.raises(ConnectionRefusedError):
            tcp(address)
        assert ask_for(sock) == 200


def test_drop_connections_ends_them_all(site):
    one = site()
    with tcp(one.server.address) as idle, tcp(one.server.address) as in_request:
        in_request.sendall(b"GET / HT")
        wait_until(lambda: len(one.server.threads()) == 2)
        one.server.drop_connections()
        assert read_all(idle) == b""
        read_all(in_request)
        one.wait_until_idle()


def test_a_server_that_never_started_can_be_stopped():
    server = HttpServer(tell, "127.0.0.1", 0, 1)
    server.stop_accepting()
    server.drop_connections()
    assert server.threads() == []


def test_its_threads_are_named_and_daemons(site):
    one = site()
    with tcp(one.server.address):
        (thread,) = wait_until(one.server.threads)
        assert (thread.name, thread.daemon) == ("rest-1", True)


def test_ipv6(site):
    one = site(host="::1")
    ((_, _, body),) = one.ask(LAST)
    assert json.loads(body)["REMOTE_ADDR"] == "::1"
