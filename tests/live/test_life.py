"""SPEC, "Life of a connection, as written": the numbered list, and the counter, under `original`."""

import json
import logging
import socket
import threading

import pytest

from livestream.contract import CHANNELS, MAX_FRAME_BYTES
from livestream.stream.profiles import PROFILES
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_close, encode_frame
from livestream.wire.handshake import handshake_request
from tests.support import PATIENCE, SUBSCRIBE, next_text, wait_until


def subscribe(client, channel):
    client.send_text(SUBSCRIBE % channel)
    return next_text(client, "subscription_confirmed")


def test_1_opening_gives_a_uuid_the_welcome_and_tps_updates_unasked(serve):
    served = serve()
    with served.connect() as client:
        welcome = json.loads(next_text(client).text)
        first = json.loads(next_text(client).text)
        assert welcome["type"] == "connection_established"
        assert first["type"] == "tps_update"
        connection_id = welcome["payload"]["connectionId"]
        assert served.stats() == {"active_connections": 1, "total_connections": 1}
        handler = f"stream-{connection_id[:8]}"
        wait_until(lambda: served.threads() == [handler, f"{handler}-tps_updates-1"])


def test_2_every_subscribe_starts_one_more_thread(serve):
    served = serve()
    with served.connect() as client:
        next_text(client, "tps_update")
        for _ in range(5):
            subscribe(client, "tps_updates")
        wait_until(lambda: len(served.threads()) == 1 + 6)
        channels = [name.split("-", 2)[2] for name in served.threads() if "tps" in name]
        assert channels == [f"tps_updates-{number}" for number in range(1, 7)]


def test_2_an_unknown_channel_is_confirmed_and_starts_nothing(serve):
    served = serve()
    with served.connect() as client:
        next_text(client, "tps_update")
        confirmation = json.loads(subscribe(client, "nope").text)
        assert confirmation["payload"] == {"channel": "nope", "status": "subscribed"}
        client.send_text('{"type":"subscribe"}')
        assert json.loads(next_text(client, "error").text)["payload"] == {"error": "Channel not specified"}
        wait_until(lambda: len(served.threads()) == 2)


def test_3_unsubscribe_is_silent_and_stops_nothing(serve):
    served = serve(time_scale=0.05)
    with served.connect() as client:
        next_text(client, "tps_update")
        client.send_text('{"type":"unsubscribe","channel":"tps_updates"}')
        client.send_text('{"type":"ping"}')
        events = client.receive_until(lambda event: '"pong"' in event.text, PATIENCE)
        assert {json.loads(event.text)["type"] for event in events} <= {"tps_update", "pong"}
        next_text(client, "tps_update")


def test_5_replies_come_in_order_and_before_the_first_update_they_start(serve):
    served = serve()
    with served.connect() as client:
        next_text(client, "tps_update")
        names = [channel.name for channel in CHANNELS if channel.name != "tps_updates"]
        client.send_raw(b"".join(encode_frame(Opcode.TEXT, (SUBSCRIBE % name).encode()) for name in names))
        events = client.receive_until(lambda event: '"validator_update"' in event.text, PATIENCE)
        seen = [json.loads(event.text) for event in events]
        confirmed = [m["payload"]["channel"] for m in seen if m["type"] == "subscription_confirmed"]
        assert confirmed == names
        order = [m["payload"].get("channel", m["type"]) for m in seen]
        for channel in CHANNELS:
            if channel.message_type in order and channel.name in order:
                assert order.index(channel.name) < order.index(channel.message_type)


def test_5_a_message_in_the_packet_of_the_handshake_is_lost(serve):
    served = serve()
    host, port = served.server.address
    with WireClient.open(served.url, timeout=PATIENCE) as client:
        ping = encode_frame(Opcode.TEXT, b'{"type":"ping"}')
        assert client.handshake(handshake_request(f"{host}:{port}") + ping).status == 101
        next_text(client, "tps_update")
        client.send_text('{"type":"subscribe","channel":"nope"}')
        events = client.receive_until(lambda event: "nope" in event.text, PATIENCE)
        assert not [event for event in events if '"pong"' in event.text]


def test_6_a_client_that_does_not_read_blocks_only_itself(serve):
    served = serve(time_scale=0.001, max_threads_per_connection=0)
    stuck = served.connect()
    stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(50):
        stuck.send_text(SUBSCRIBE % "tps_updates")
    with served.connect() as client:
        for _ in range(200):
            next_text(client, "tps_update")
    stuck.abort()
    wait_until(lambda: not served.threads())


def test_7_closing_leaves_the_entry_and_lets_the_threads_notice_by_themselves(serve):
    served = serve()
    with served.connect() as client:
        for channel in CHANNELS[1:]:
            subscribe(client, channel.name)
        next_text(client, "validator_update")
        assert len(served.threads()) == 5
    wait_until(lambda: not [name for name in served.threads() if name.count("-") == 1])
    # The handler is gone; the slowest channel has just begun to sleep.
    assert [name for name in served.threads() if name.endswith("-validator_metrics-1")]
    assert served.stats() == {"active_connections": 0, "total_connections": 1}
    wait_until(lambda: not served.threads(), timeout=5.5)


def close_frame(code):
    return encode_frame(Opcode.CLOSE, encode_close(code))


TOO_BIG = encode_frame(Opcode.TEXT, b"x" * (MAX_FRAME_BYTES + 1))
ENDINGS = {
    "Close frame": (0, lambda client: client.send_raw(close_frame(1000))),
    "empty Close frame": (0, lambda client: client.send_raw(close_frame(None))),
    "TCP FIN": (0, lambda client: client.socket.close()),
    "half-close": (0, lambda client: client.half_close()),
    "protocol error": (0, lambda client: client.send_raw(b"\xff\xff\xff")),
    "one-byte Close": (0, lambda client: client.send_raw(encode_frame(Opcode.CLOSE, b"\x03"))),
    "text that is not UTF-8": (0, lambda client: client.send_raw(encode_frame(Opcode.TEXT, b"\xff"))),
    "close code 1014": (0, lambda client: client.send_raw(close_frame(1014))),
    "TCP RST": (-1, WireClient.abort),
    "frame too big": (-1, lambda client: client.send_raw(TOO_BIG)),
    "illegal close code 999": (-1, lambda client: client.send_raw(close_frame(999))),
    "illegal close code 1005": (-1, lambda client: client.send_raw(close_frame(1005))),
    "illegal close code 2000": (-1, lambda client: client.send_raw(close_frame(2000))),
}


@pytest.mark.parametrize("profile_name, faulty", [("original", True), ("corrected", False)])
@pytest.mark.parametrize("ending", ENDINGS)
def test_8_what_an_ending_does_to_the_counter(serve, ending, profile_name, faulty):
    change, end = ENDINGS[ending]
    served = serve(profile=PROFILES[profile_name])
    client = served.connect()
    next_text(client, "tps_update")
    assert served.stats()["active_connections"] == 1
    end(client)
    if client.socket.fileno() != -1:
        client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), PATIENCE)
    client.release()
    # When the handler thread is gone, all its counting is done.
    wait_until(lambda: not [name for name in served.threads() if name.count("-") == 1])
    assert served.stats()["active_connections"] == (change if faulty else 0)


def test_a_ping_frame_gets_its_pong_and_nothing_follows_the_close(serve):
    served = serve(time_scale=0.001)
    client = served.connect()
    client.send_raw(encode_frame(Opcode.PING, b"zz") + close_frame(4321))
    events = client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), PATIENCE)
    kinds = [event.kind for event in events]
    assert kinds.count(Kind.PONG) == 1
    assert kinds[-2:] == [Kind.CLOSE, Kind.EOF]
    assert events[-2].code == 4321
    assert client.faults == []
    client.release()


@pytest.mark.parametrize("end, said", [
    (lambda client: client.send_raw(b"\xff\xff\xff"), "closed with 1002: "),
    (lambda client: client.send_raw(encode_frame(Opcode.TEXT, b"\xff")), "closed with 1007: "),
    (lambda client: client.half_close(), "ended without a Close frame"),
    (lambda client: client.send_raw(TOO_BIG), "Max frame length of 65536 has been exceeded."),
    (WireClient.abort, "connection reset by peer"),
])
def test_a_bad_end_is_one_line_that_names_the_connection(serve, caplog, end, said):
    caplog.set_level(logging.INFO)
    served = serve()
    client = served.connect()
    short_id = json.loads(next_text(client).text)["payload"]["connectionId"][:8]
    end(client)
    wait_until(lambda: any(short_id in record.getMessage() for record in caplog.records))
    client.release()
    wait_until(lambda: not [name for name in served.threads() if name.count("-") == 1])
    lines = [record.getMessage() for record in caplog.records if short_id in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith(f"connection {short_id}: {said}")


def test_a_handler_thread_gets_its_name_back_for_who_uses_it_again(serve):
    served = serve()
    route, names = served.server.app.wsgi_app, []

    def watched(environ, start_response):
        before = threading.current_thread().name
        try:
            return route(environ, start_response)
        finally:
            names.append((before, threading.current_thread().name))

    served.server.app.wsgi_app = watched
    with served.connect() as client:
        next_text(client, "tps_update")
        wait_until(lambda: [name for name in served.threads() if name.count("-") == 1])
        client.close()
    [(before, after)] = wait_until(lambda: names)
    assert before == after
    assert before.startswith("rest-")
