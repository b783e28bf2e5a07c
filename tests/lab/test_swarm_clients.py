"""The load's clients come, stay and leave as they are asked, and who could not is told with the reason."""

import json
import os
import select
import signal
import socket
import ssl
import time
import zlib
from dataclasses import replace

import psutil
import pytest
import trustme

from livestream.contract import WEBSOCKET_STATS_PATH
from livestream.lab.load import Load
from livestream.wire.frames import RSV1, Opcode, encode_frame
from livestream.wire.handshake import http_request
from tests.lab import QUICK, loading, whole
from tests.lab.servers import UPGRADED, Seen, answering
from tests.support import PATIENCE, running_command, wait_until

WELCOME = encode_frame(Opcode.TEXT, b"{}", mask=None)
SECRET = "Bearer let-me-in"


def registered(url):
    answer = http_request(url, "GET", WEBSOCKET_STATS_PATH, timeout=PATIENCE)
    return json.loads(answer.body)["total_connections"]


def test_those_that_come_and_go_are_counted_as_the_server_counts_them():
    server = Seen(0.02)
    load = Load("", 3, 1.5, rate=200.0, time_scale=0.02, churn=20.0)
    with server.serving() as url, loading(replace(load, url=url)) as running:
        running.until("window")
        begin = time.monotonic()
        running.until("measured")
        end = time.monotonic()
        result = running.finish()[-1]
        wait_until(lambda: len(server.ended) == server.connections)
    went = sum(begin <= at <= end for at, _ in server.ended)
    assert 10 < went <= 31
    assert result["closed_connections"] == pytest.approx(went, abs=5)
    assert (result["up"], result["clients"], result["failed"]) == (3, 3, 0)


def test_nobody_of_those_that_come_and_go_stays_and_the_port_counts_them_too():
    """By its registry's size, from which the original takes nobody; its other counter drifts."""
    load = Load("", 3, 0.5, rate=200.0, time_scale=0.02, churn=40.0)
    with running_command("--log-level", "error", "--time-scale", "0.02") as url:
        with loading(replace(load, url=url), RECOVERY=0.0) as running:
            running.until("measured")
            process = psutil.Process(running.pid)
            wait_until(lambda: len(process.net_connections("tcp")) == 3)
            came = registered(url) - 3
            result = running.finish()[-1]
    # The others came before the window, or were still on their way out at its end.
    assert 0 < result["closed_connections"] <= came <= result["closed_connections"] + 20


def test_clients_say_goodbye_and_wait_until_the_server_has_closed():
    server = Seen(0.02)
    with server.serving() as url, loading(Load(url, says_goodbye=True, churn=20.0, **QUICK)) as running:
        assert [one["event"] for one in running.until("measured") if one["event"] == "closed"] == []
        *events, result = running.finish()
        assert events == [{"event": "closing"}, {"event": "closed", "open": 0}]
        wait_until(lambda: len(server.ended) == server.connections)
    assert set(server.codes) == {1000}
    assert len(server.ended) >= 3 + result["closed_connections"] > 3


def test_without_goodbye_they_just_go():
    server = Seen(0.02)
    with server.serving() as url:
        whole(Load(url, **QUICK))
        wait_until(lambda: len(server.ended) == 3)
    assert server.codes == [1006] * 3


def test_the_window_opens_when_they_are_told_to_go_on():
    """What the server sends before counts for nothing."""
    server = Seen(0.02)
    with server.serving() as url, loading(Load(url, **QUICK)) as running:
        running.until("settled")
        sent = len(server.sent)
        wait_until(lambda: len(server.sent) > sent + 300)
        assert select.select([running.process.stdout], [], [], 0) == ([], [], [])
        sent = len(server.sent)
        running.go_on()
        assert running.until("window") == [{"event": "window", "messages": 0}]
        running.until("measured")
        result = running.finish()[-1]
    assert 0 < result["messages"] <= len(server.sent) - sent
    assert result["messages"] < 300
    assert result["seconds"] == pytest.approx(QUICK["seconds"], abs=0.2)


def test_they_stay_until_they_are_told_to_go():
    """What the server sends meanwhile counts for nothing."""
    server = Seen(0.02)
    with server.serving() as url, loading(Load(url, says_goodbye=True, **QUICK)) as running:
        *_, last, _ = running.until("measured")
        sent = len(server.sent)
        wait_until(lambda: len(server.sent) > sent + 100)
        assert select.select([running.process.stdout], [], [], 0) == ([], [], [])
        assert server.ended == []
        *_, result = running.finish()
    assert result["messages"] == last["messages"]


# --- what goes wrong


def test_a_server_that_never_closes_does_not_hold_it_up():
    """Neither the clients that say goodbye nor those that come and go, of which none may stay."""
    load = Load("", 3, 1.0, rate=200.0, time_scale=0.02, churn=40.0, says_goodbye=True)
    with answering(UPGRADED + WELCOME) as url, loading(replace(load, url=url), CLOSE_TIMEOUT=0.1) as running:
        running.until("measured")
        assert 3 <= len(psutil.Process(running.pid).net_connections("tcp")) < 3 + 20
        *events, result = running.finish()
        assert running.process.wait(PATIENCE) == 0
    assert events == [{"event": "closing"}, {"event": "closed", "open": 3}]
    assert result["closed_connections"] > 20
    assert (result["up"], result["messages"], result["updates"]) == (3, 0, 0)
    # Of a silent channel so much is late that a tick of 20 ms is due fifty times in the second.
    assert result["channels"]["tps_updates"]["missed"] == pytest.approx(3 * 49, abs=3 * 3)
    assert result["lateness_ms"]["max"] == pytest.approx(980, abs=60)


def test_those_that_come_and_go_wait_for_the_welcome():
    load = Load("", 3, 1.0, rate=200.0, time_scale=0.02, churn=40.0)
    with answering(UPGRADED) as url:
        result = whole(replace(load, url=url), CONNECT_TIMEOUT=0.1)
    assert result["closed_connections"] == 0
    assert result["passing_failed"] > 20


def test_a_stall_of_the_load_costs_none_of_those_that_come_and_go():
    """They come by the clock, not each a pause after the one before."""
    server = Seen(0.02)
    with server.serving() as url, loading(Load(url, 1, 2.0, time_scale=0.02, churn=20.0)) as running:
        running.until("window")
        os.kill(running.pid, signal.SIGSTOP)
        sent = len(server.sent)
        wait_until(lambda: len(server.sent) > sent + 50)
        os.kill(running.pid, signal.SIGCONT)
        running.until("measured")
        result = running.finish()[-1]
    assert result["closed_connections"] >= 2.0 * 20 - 5


def test_handshakes_that_are_refused_are_told_with_the_status():
    with running_command("--log-level", "error", "--max-connections", "2") as url:
        full = whole(Load(url, **QUICK | {"clients": 7}))
        lost = whole(Load(url + "/elsewhere", **QUICK))
    assert (full["up"], full["failed"]) == (2, 5)
    assert full["failures"] == ["HTTP/1.1 503 SERVICE UNAVAILABLE"] * 3
    assert (lost["up"], lost["failed"], lost["delivered"]) == (0, 3, 0.0)
    assert set(lost["failures"]) == {"HTTP/1.1 404 NOT FOUND"}
    assert lost["lateness_ms"] == lost["connect_ms"] == {}


def test_connections_that_are_refused_are_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}/"
    result = whole(Load(url, **QUICK))
    assert (result["up"], result["failed"]) == (0, 3)
    assert all(failure == "Connection refused" for failure in result["failures"])


@pytest.mark.parametrize(("answer", "reason"), [
    (None, "closed before the handshake was answered"),
    (b"HTTP/1.1 101 Switching Proto", "no answer within 1 s"),
], ids=["hung up", "half an answer"])
def test_a_handshake_without_an_answer_is_told(answer, reason):
    with answering(answer) as url:
        result = whole(Load(url, **QUICK), CONNECT_TIMEOUT=1.0)
    assert (result["up"], result["failures"]) == (0, [reason] * 3)


def test_what_can_not_be_inflated_ends_the_connection_and_no_more():
    """A server that says of its messages that they are compressed, and they are not."""
    spoilt = encode_frame(Opcode.TEXT, b"\xff" * 20, mask=None, rsv=RSV1)
    compressed = zlib.compressobj(wbits=-15)
    text = compressed.compress(b'{"type":"tps_update"}') + compressed.flush(zlib.Z_SYNC_FLUSH)
    legal = encode_frame(Opcode.TEXT, text[:-4], mask=None, rsv=RSV1)
    lost = {}
    for name, frame in (("spoilt", spoilt), ("legal", legal)):
        with answering(UPGRADED + frame) as url, loading(Load(url, **QUICK)) as running:
            running.until("settled")
            process = psutil.Process(running.pid)
            lost[name] = 3 - len(process.net_connections("tcp"))
    assert lost == {"spoilt": 3, "legal": 0}


# --- being let in


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A server behind TLS and a login: its URL, and the file of the authority that vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))

    def check(connection, request):
        return None if request.headers.get("Authorization") == SECRET else connection.respond(401, "")

    with Seen(0.02).serving(ssl=context, process_request=check) as url:
        yield url.replace("ws://", "wss://"), str(file)


def test_with_a_login_and_the_authority_it_measures(locked):
    url, file = locked
    headers = (("Authorization", SECRET),)
    result = whole(Load(url, headers=headers, authority=file, says_goodbye=True, **QUICK))
    assert (result["up"], result["failures"]) == (3, [])
    assert result["updates"] > 3 * 10


def test_without_the_login_the_status_is_told(locked):
    url, file = locked
    result = whole(Load(url, authority=file, **QUICK))
    assert (result["up"], result["failures"]) == (0, ["HTTP/1.1 401 Unauthorized"] * 3)


def test_without_the_authority_nobody_is_let_in(locked):
    result = whole(Load(locked[0], headers=(("Authorization", SECRET),), **QUICK))
    assert result["up"] == 0
    assert all("certificate verify failed" in failure for failure in result["failures"])
