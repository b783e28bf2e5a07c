"""The limits that options set and those of the machine: the client is told, the server lives."""

import json
import os
import resource

import pytest

from livestream.contract import BLOCKCHAIN_STATS_PATH, MAX_THREADS_PER_CONNECTION
from livestream.stream.profiles import CORRECTED, ORIGINAL
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_frame
from livestream.wire.handshake import handshake_request, http_request
from tests.hostile import complaints, no_thread_left
from tests.support import PATIENCE, SUBSCRIBE, Command, next_text, wait_until

#: Subscribes beyond the limit of threads.
BEYOND = 7
#: Descriptors that a server may still open, and clients that want one.
ROOM, CROWD = 6, 20


def knock(url):
    """A client and the status of its handshake."""
    client = WireClient.open(url, timeout=PATIENCE)
    return client, client.handshake(handshake_request("x")).status


def test_a_connection_too_many_is_503_and_the_place_comes_free(serve, caplog):
    served = serve(max_connections=2)
    with served.connect() as first, served.connect() as second:
        next_text(first, "tps_update")
        refused, status = knock(served.url)
        refused.release()
        assert status == 503
        assert complaints(caplog) == ["connection refused: all 2 are taken (--max-connections)"]
        second.close()

        def enters():
            client, status = knock(served.url)
            client.close()
            return status == 101

        wait_until(enters)
        next_text(first, "tps_update")
    assert http_request(served.url, "GET", BLOCKCHAIN_STATS_PATH, timeout=PATIENCE).status == 200


def subscribe_often(client, times):
    """Subscribes to one channel again and again; returns the texts of the errors that came."""
    client.send_raw(encode_frame(Opcode.TEXT, (SUBSCRIBE % "block_updates").encode()) * times)
    client.send_text('{"type":"ping"}')
    events = client.receive_until(lambda event: '"pong"' in event.text, PATIENCE)
    assert '"pong"' in events[-1].text
    messages = [json.loads(event.text) for event in events]
    return [message["payload"]["error"] for message in messages if message["type"] == "error"]


def test_channel_threads_of_one_connection_are_limited(serve):
    served = serve()
    with served.connect() as client:
        next_text(client, "tps_update")
        errors = subscribe_often(client, MAX_THREADS_PER_CONNECTION - 1 + BEYOND)
        assert errors == ["Too many channel threads"] * BEYOND
        assert len(served.threads()) == 1 + MAX_THREADS_PER_CONNECTION
        next_text(client, "tps_update")
        with served.connect() as other:
            assert subscribe_often(other, 1) == []


def test_zero_lifts_the_limit_of_threads(serve):
    served = serve(max_threads_per_connection=0)
    with served.connect() as client:
        next_text(client, "tps_update")
        assert subscribe_often(client, MAX_THREADS_PER_CONNECTION + BEYOND) == []
        assert len(served.threads()) == 1 + 1 + MAX_THREADS_PER_CONNECTION + BEYOND


def test_a_message_too_big_is_closed_with_1009(serve):
    served = serve(max_message_size=100)
    with served.connect() as client:
        client.send_text('{"type":"ping"}' + " " * 85)
        next_text(client, "pong")
        client.send_text('{"type":"ping"}' + " " * 86)
        events = client.receive_until(lambda event: event.kind is Kind.CLOSE, PATIENCE)
        assert events[-1].code == 1009
        assert events[-1].reason == "Max message length of 100 has been exceeded."


@pytest.mark.parametrize("profile", [ORIGINAL, CORRECTED], ids=lambda profile: profile.name)
def test_a_thread_that_the_system_refuses_is_an_error_and_the_server_lives(serve, profile, caplog):
    served = serve(profile=profile)
    with served.connect() as client:
        next_text(client, "tps_update")
        with no_thread_left():
            assert subscribe_often(client, 1) == ["The server cannot start another thread"]
            refused, status = knock(served.url)
            refused.release()
            assert status == 503
        assert len(complaints(caplog)) == 2
        assert len(served.threads()) == 2
        assert subscribe_often(client, 1) == []
        next_text(client, "block_update")
        with served.connect() as other:
            next_text(other, "tps_update")


def test_without_room_for_the_first_channel_s_thread_the_connection_goes_on(serve, monkeypatch):
    served = serve()
    monkeypatch.setattr("livestream.transport.machine._most_threads", lambda: 1)
    monkeypatch.setattr("livestream.transport.http.make_room_for_a_thread", lambda: None)
    with served.connect() as client:
        assert '"connection_established"' in client.receive().text
        assert "The server cannot start another thread" in client.receive().text
        monkeypatch.undo()
        client.send_text(SUBSCRIBE % "tps_updates")
        next_text(client, "tps_update")


def test_without_descriptors_clients_get_503_and_then_the_server_goes_on():
    command = Command("--profile", "corrected")
    clients = []
    try:
        pid = command.process.pid
        highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + ROOM,) * 2)
        statuses = []
        for _ in range(CROWD):
            client, status = knock(command.url)
            clients.append(client)
            statuses.append(status)
        accepted = statuses.count(101)
        assert ROOM - 1 <= accepted <= ROOM + 1
        assert statuses == [101] * accepted + [503] * (CROWD - accepted)
        next_text(clients[0], "tps_update")
        for client in clients:
            client.close()
        for _ in range(3):
            with WireClient.connect(command.url, timeout=PATIENCE) as client:
                next_text(client, "tps_update")
        code, _, log = command.stop()
        assert code == 0
        assert log.count("no file descriptor left") == CROWD - accepted == log.count("\n")
    finally:
        command.kill()
        for client in clients:
            client.release()


def test_a_flood_of_refused_subscribes_is_one_log_line(serve, caplog):
    served = serve(max_threads_per_connection=1)
    with served.connect() as client:
        next_text(client, "tps_update")
        for _ in range(20):
            client.send_text('{"type":"subscribe","channel":"block_updates"}')
            next_text(client, "error")
    lines = [record for record in caplog.records if "--max-threads-per-connection" in record.getMessage()]
    assert len(lines) == 1


HANDSHAKE_METHODS = {
    "OPTIONS": 404, "HEAD": 404, "POST": 404, "PUT": 404, "DELETE": 404, "BREW": 404, "get": 404, "Get": 404,
}


@pytest.mark.parametrize("method", HANDSHAKE_METHODS)
def test_a_handshake_by_another_method_is_not_found(serve, method):
    served = serve()
    host, port = served.server.address
    with WireClient.open(served.url, timeout=PATIENCE) as client:
        answer = client.handshake(handshake_request(f"{host}:{port}", method=method))
        assert answer.status == HANDSHAKE_METHODS[method]
        assert answer.header("allow") is None


def test_methods_are_case_sensitive(serve):
    answer = http_request(serve().url, "get", BLOCKCHAIN_STATS_PATH, timeout=PATIENCE)
    assert (answer.status, answer.body) == (405, b"")


@pytest.mark.parametrize("key", ["", "short", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ==x"])
def test_a_malformed_key_is_a_bad_request_with_an_empty_body(serve, key):
    served = serve()
    host, port = served.server.address
    with WireClient.open(served.url, timeout=PATIENCE) as client:
        request = handshake_request(f"{host}:{port}", replace=[("Sec-WebSocket-Key", key)])
        answer = client.handshake(request)
        assert (answer.status, answer.header("content-length")) == (400, "0")


def test_a_request_without_a_host_is_a_bad_request(serve):
    served = serve()
    with WireClient.open(served.url, timeout=PATIENCE) as client:
        assert client.handshake(handshake_request("x", drop=["Host"])).status == 400
