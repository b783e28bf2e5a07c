"""The service by TLS, compressed, and with clients that stop reading: channels a thousand times too fast."""

import json
import socket
import subprocess
import sys
import threading

import pytest
from websockets.sync.client import connect

from livestream.contract import BLOCKCHAIN_STATS_PATH, CHANNELS, LAB_PATH, STREAM_PATH, UPDATE_TYPES
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_close, encode_frame
from livestream.wire.handshake import http_request
from tests.certificates import make_certificate
from tests.hostile import complaints
from tests.support import PATIENCE, SUBSCRIBE, Command, next_text, wait_until
from tests.transport.test_websocket import in_thread

CLIENTS = 4
FRAMES = 5_000
PINGS_AT_ONCE = 50
#: A size that cuts most frames in two.
PIECE = 61
#: Seconds for which a client may read nothing.
LIMIT = 0.5
FAST = 0.001


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


def subscribe_to_all(client):
    for channel in CHANNELS:
        client.send_text(SUBSCRIBE % channel.name)


# TLS.

def read_and_ping(client):
    """Reads many frames, each whole and in order, under a flood of pings; returns what was wrong."""
    subscribe_to_all(client)
    pings = b"".join(encode_frame(Opcode.PING, b"%d" % number) for number in range(PINGS_AT_ONCE))
    client.send_raw(pings)
    awaited, kinds = 0, dict.fromkeys(Kind, 0)
    types = set()
    while sum(kinds.values()) < FRAMES or kinds[Kind.TEXT] < FRAMES / 5:
        event = client.receive(PATIENCE)
        kinds[event.kind] += 1
        if event.kind is Kind.PONG:
            assert event.payload == b"%d" % awaited
            awaited = (awaited + 1) % PINGS_AT_ONCE
            if awaited == 0:
                client.send_raw(pings)
        else:
            types.add(json.loads(event.text)["type"])
    client.send_raw(encode_frame(Opcode.CLOSE, encode_close(1000)))
    events = client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), PATIENCE)
    assert [event.kind for event in events[-2:]] == [Kind.CLOSE, Kind.EOF]
    assert types >= UPDATE_TYPES
    client.release()
    return client.faults, client.pending


def test_several_clients_get_four_channels_and_their_pongs_by_tls(serve, certificate, caplog):
    served = serve(time_scale=FAST, **certificate.settings)
    options = {"ssl_context": certificate.client, "read_size": PIECE}
    clients = [served.connect(**options) for _ in range(CLIENTS)]
    results = [None] * CLIENTS

    def run(number):
        results[number] = read_and_ping(clients[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert results == [([], 0)] * CLIENTS
    served.wait_for_active(0)
    assert complaints(caplog) == []


ENDS = {
    "Close frame": lambda client: client.close(),
    "FIN": lambda client: client.release(),
    "half-close": lambda client: socket.socket.shutdown(client.socket, socket.SHUT_WR),
    "reset": lambda client: client.abort(),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_client_by_tls_ends_as_one_without(serve, certificate, how):
    counts = []
    for options in ({}, certificate.settings):
        served = serve(**options)
        client = served.connect(ssl_context=certificate.client)
        next_text(client, "tps_update")
        ENDS[how](client)
        wait_until(lambda: not served.threads())
        counts.append(served.server.parts.registry.active_connections)
        client.release()
    assert counts[0] == counts[1]


def test_the_command_serves_everything_by_tls(certificate):
    command = Command("--tls-cert", certificate.cert, "--tls-key", certificate.key)
    try:
        host = command.url.removeprefix("wss://").partition("/")[0]
        assert command.greeting["stream"] == f"wss://{host}{STREAM_PATH}"
        assert command.greeting["page"] == f"https://{host}{LAB_PATH}"
        assert command.greeting["REST"] == f"https://{host}{BLOCKCHAIN_STATS_PATH}"
        for path in (BLOCKCHAIN_STATS_PATH, LAB_PATH):
            assert http_request(command.url, "GET", path, ssl_context=certificate.client).status == 200
        with WireClient.connect(command.url, ssl_context=certificate.client) as client:
            next_text(client, "tps_update")
            code, out, err = command.stop()
        assert (code, out.splitlines()[-1]) == (0, "stopped")
        assert "Traceback" not in err
    finally:
        command.kill()


BAD_OPTIONS = {
    "a certificate alone": (["--tls-cert", "{cert}"], "tls_cert and tls_key belong together"),
    "a key alone": (["--tls-key", "{key}"], "tls_cert and tls_key belong together"),
    "exchanged": (["--tls-cert", "{key}", "--tls-key", "{cert}"], "tls: {key} holds no certificate in PEM"),
    "not there": (["--tls-cert", "/no/where", "--tls-key", "{key}"], "tls: cannot read /no/where: No such"),
    "negative": (["--send-timeout", "-1"], "--send-timeout"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_one_line(certificate, case):
    options, words = BAD_OPTIONS[case]
    command = [sys.executable, "-m", "livestream", "serve", "--port", "0"]
    command += [option.format(cert=certificate.cert, key=certificate.key) for option in options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert words.format(cert=certificate.cert, key=certificate.key) in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


# Slow clients.

@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_client_that_stops_reading_is_closed_and_disturbs_no_other(serve, certificate, secure, caplog):
    caplog.set_level("INFO")
    served = serve(time_scale=FAST, send_timeout=LIMIT, **(certificate.settings if secure else {}))
    reading = served.connect(ssl_context=certificate.client)
    next_text(reading, "tps_update")
    stuck = served.connect(ssl_context=certificate.client)
    next_text(stuck, "tps_update")
    stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    subscribe_to_all(stuck)

    def read_until_alone():
        count = 0
        while served.server.parts.registry.active_connections > 1:
            assert reading.receive(LIMIT).kind is Kind.TEXT
            count += 1
        return count

    assert in_thread(read_until_alone)() > 100
    wait_until(lambda: len(served.threads()) == 2)
    registry = served.server.parts.registry
    assert (registry.active_connections, registry.total_connections) == (1, 2)
    stuck.release()
    reading.close()
    served.wait_for_active(0)
    lines = [record.getMessage() for record in caplog.records if "1013" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].endswith(f"closed with 1013: the client read nothing for {LIMIT} s")
    assert complaints(caplog) == []


# Compression.

def read_compressed(url, context):
    """All types of messages, and pongs, by the `websockets` library's client, which offers compression."""
    with connect(url, ssl=context, max_queue=None) as client:
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
        for channel in CHANNELS:
            client.send(SUBSCRIBE % channel.name)
        pongs, types = [], {}
        for number in range(FRAMES // 2):
            if number % 10 == 0:
                pongs.append(client.ping(b"%d" % number))
            message = json.loads(client.recv(PATIENCE))
            types[message["type"]] = types.get(message["type"], 0) + 1
        assert all(pong.wait(PATIENCE) for pong in pongs)
    return types


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_several_clients_get_four_channels_compressed(serve, certificate, secure, caplog):
    served = serve(time_scale=FAST, compression=True, **(certificate.settings if secure else {}))
    url = served.url.replace("http", "ws") + STREAM_PATH
    context = certificate.client if secure else None
    waits = [in_thread(read_compressed, url, context) for _ in range(CLIENTS)]
    for wait in waits:
        types = wait()
        assert isinstance(types, dict), types
        assert types.keys() >= UPDATE_TYPES
    served.wait_for_active(0)
    assert complaints(caplog) == []


def test_one_server_serves_clients_with_compression_and_without(serve):
    served = serve(compression=True, time_scale=FAST)
    with served.connect() as plain:
        read_compressed(served.url.replace("http", "ws") + STREAM_PATH, None)
        next_text(plain, "tps_update")
        assert plain.faults == []
