"""A server in the open: what passes its door, and what an attacker gets instead."""

import json
import threading
import time
from types import SimpleNamespace

import jwt
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from livestream import StreamClient, contract
from livestream.client import ClientSettings
from livestream.contract import (
    BLOCKCHAIN_STATS_PATH, LAB_PATH, LAB_PROFILES_PATH, LAB_THREADS_PATH, STREAM_PATH, VALIDATORS_PATH,
    WEBSOCKET_STATS_PATH,
)
from livestream.stream.profiles import CORRECTED, SHIPPED
from livestream.transport.lifecycle import run_endpoint
from livestream.transport.websocket import SessionClosed
from livestream.web.door import Guest
from livestream.web.rates import Excess
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_frame
from livestream.wire.handshake import handshake_request, http_request
from tests.support import PATIENCE, SUBSCRIBE, next_text, wait_until

GOOD = "https://good.example"
TOKEN = "s3cret-token-of-the-test"
KEY = "k" * 31 + "!"


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# for the tests\n{TOKEN}\n")
    return str(path)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY)
    return str(path)


def signed(**claims):
    return jwt.encode({"exp": time.time() + 60, **claims}, KEY, "HS256")


def knock(url, *headers, path=STREAM_PATH):
    """The answer to a handshake with these headers."""
    client = WireClient.open(url, timeout=PATIENCE)
    try:
        return client.handshake(handshake_request("x", path=path, add=headers))
    finally:
        client.release()


def get(url, path=BLOCKCHAIN_STATS_PATH, method="GET", **headers):
    """The answer to a request with these headers."""
    sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return http_request(url, method, path, sent, timeout=PATIENCE)


def cors(answer):
    return {name: value for name, value in answer.headers if name.startswith("access-control-")}


def bearer(token=TOKEN):
    return "Authorization", f"Bearer {token}"


# Origins.

FOREIGN = [
    "null", "https://good.example.evil.com", "https://evil.com", "http://good.example", "",
    "https://GOOD.example", "https://good.example:443", "https://good.example:8443",
    "https://good.example@evil.com",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_origin_is_403_before_the_handshake_and_reads_no_rest(serve, origin):
    served = serve(allow_origin=(GOOD,))
    answer = knock(served.url, ("Origin", origin))
    assert answer.status == 403 and answer.header("sec-websocket-accept") is None
    assert served.stats()["total_connections"] == 0
    rest = get(served.url, Origin=origin)
    assert rest.status == 200 and cors(rest) == {}
    preflight = get(served.url, method="OPTIONS", Origin=origin, Access_Control_Request_Method="GET")
    assert cors(preflight) == {}


def test_its_own_origins_and_who_sends_none_pass(serve):
    served = serve(allow_origin=("HTTPS://Good.example:443", "http://localhost:3000"))
    statuses = [knock(served.url, *headers).status for headers in (
        [("Origin", GOOD)], [("Origin", "http://localhost:3000")], [])]
    assert statuses == [101, 101, 101]
    # Two origins are none: no browser sends them.
    assert knock(served.url, ("Origin", GOOD), ("Origin", GOOD)).status == 403


def test_rest_has_cors_headers_for_its_origins(serve):
    served = serve(allow_origin=(GOOD, "http://[::1]:3000"))
    for path, method, status in (
        (BLOCKCHAIN_STATS_PATH, "GET", 200), (f"{VALIDATORS_PATH}/none", "GET", 404),
        (BLOCKCHAIN_STATS_PATH, "DELETE", 405),
    ):
        answer = get(served.url, path, method, Origin=GOOD)
        assert answer.status == status
        assert cors(answer) == {
            "access-control-allow-origin": GOOD, "access-control-allow-credentials": "true"}
        assert answer.header("vary") == "Origin"
    ipv6 = "http://[::1]:3000"
    assert cors(get(served.url, Origin=ipv6))["access-control-allow-origin"] == ipv6
    # What a careless pattern would let in.
    assert cors(get(served.url, Origin="http://1:3000")) == cors(get(served.url)) == {}
    assert cors(get(served.url, LAB_PATH, Origin=GOOD)) == {}


def test_a_preflight_is_answered_as_the_report_wanted(serve):
    served = serve(allow_origin=(GOOD,))
    answer = get(served.url, method="OPTIONS", Origin=GOOD, Access_Control_Request_Method="PUT",
                 Access_Control_Request_Headers="authorization")
    assert answer.status == 200
    methods = cors(answer).pop("access-control-allow-methods")
    assert sorted(methods.split(", ")) == ["DELETE", "GET", "OPTIONS", "POST", "PUT"]
    assert cors(answer) == {
        "access-control-allow-origin": GOOD, "access-control-allow-credentials": "true",
        "access-control-allow-headers": "authorization", "access-control-max-age": "86400",
        "access-control-allow-methods": methods,
    }


def test_without_options_there_is_no_cors_header_and_every_origin_passes(serve):
    served = serve()
    assert knock(served.url, ("Origin", "null")).status == 101
    answer = get(served.url, method="OPTIONS", Origin=GOOD, Access_Control_Request_Method="GET")
    assert (answer.status, answer.header("allow")) == (200, "HEAD, GET, OPTIONS")
    assert cors(answer) == cors(get(served.url, Origin=GOOD)) == {} and answer.header("vary") is None


def test_without_options_no_subprotocol_is_agreed_on_and_no_header_counts(serve):
    served = serve()
    answer = knock(served.url, ("Sec-WebSocket-Protocol", "bearer, x"), ("Authorization", "Bearer x"))
    assert answer.status == 101 and answer.header("sec-websocket-protocol") is None


# Tokens.

NO_TOKEN = {
    "none": [],
    "wrong": [bearer("wrong-token-of-the-test")],
    "shortened": [bearer(TOKEN[:-1])],
    "another scheme": [("Authorization", f"Basic {TOKEN}")],
    "twice": [bearer(), bearer()],
    "wrong as a subprotocol": [("Sec-WebSocket-Protocol", "bearer, wrong-token-of-the-test")],
    "alone as a subprotocol": [("Sec-WebSocket-Protocol", TOKEN)],
    "as a cookie": [("Cookie", f"token={TOKEN}; access_token={TOKEN}")],
    "a wrong one hides a good one": [
        bearer("wrong-token-of-the-test"), ("Sec-WebSocket-Protocol", f"bearer, {TOKEN}")],
}


@pytest.mark.parametrize("headers", NO_TOKEN.values(), ids=NO_TOKEN)
def test_without_a_good_token_it_is_401_before_the_handshake(serve, token_file, headers):
    served = serve(auth_token_file=token_file)
    answer = knock(served.url, *headers)
    assert (answer.status, answer.header("www-authenticate")) == (401, "Bearer")
    assert answer.header("sec-websocket-accept") is None and answer.header("sec-websocket-protocol") is None
    assert served.server.parts.registry.total_connections == 0


def test_a_token_in_the_query_is_ignored(serve, token_file):
    served = serve(auth_token_file=token_file)
    query = f"?token={TOKEN}&access_token={TOKEN}&Authorization=Bearer%20{TOKEN}"
    assert knock(served.url, path=STREAM_PATH + query).status == 401
    assert get(served.url, BLOCKCHAIN_STATS_PATH + query).status == 401


def test_a_good_token_opens_the_stream_and_only_bearer_is_echoed(serve, token_file):
    served = serve(auth_token_file=token_file)
    by_header = knock(served.url, bearer())
    assert by_header.status == 101 and by_header.header("sec-websocket-protocol") is None
    by_subprotocol = knock(served.url, ("Sec-WebSocket-Protocol", f"bearer, {TOKEN}"))
    assert by_subprotocol.status == 101 and by_subprotocol.header("sec-websocket-protocol") == "bearer"
    assert TOKEN not in repr(by_subprotocol)
    with served.connect(headers=[bearer()]) as client:
        next_text(client, "tps_update")


def test_headers_cannot_be_injected(serve, token_file):
    served = serve(auth_token_file=token_file)
    for value in (f"bearer, {TOKEN}\r\nX-Evil: 1", f"bearer, {TOKEN},x\r\nX-Evil: 1"):
        answer = knock(served.url, ("Sec-WebSocket-Protocol", value))
        assert answer.header("x-evil") is None
    for broken in (f"bearer, {TOKEN}\rX-Evil: 1", f"bearer, {TOKEN}\n X-Evil: 1", f"bearer, {TOKEN}\0"):
        answer = knock(served.url, ("Sec-WebSocket-Protocol", broken))
        assert answer.status in (400, 401) and answer.header("x-evil") is None


def test_a_browserlike_client_comes_in_by_subprotocol(serve, token_file):
    served = serve(auth_token_file=token_file)
    url = served.url.replace("http", "ws") + STREAM_PATH
    with connect(url, subprotocols=["bearer", TOKEN], open_timeout=PATIENCE) as client:
        assert client.subprotocol == "bearer"
        assert json.loads(client.recv(PATIENCE))["type"] == "connection_established"
    with pytest.raises(InvalidStatus, match="401"):
        connect(url, subprotocols=["bearer", "wrong-token-of-the-test"], open_timeout=PATIENCE)


def test_a_stranger_cannot_forge_a_line_of_the_log(serve, token_file, caplog):
    caplog.set_level("INFO")
    served = serve(auth_token_file=token_file)
    assert get(served.url, "/x%0Aforged%0D%1B").status == 401
    (line,) = [record.getMessage() for record in caplog.records if "forged" in record.getMessage()]
    assert line == r"'/x\nforged\r\x1b': refused: no token"


def test_rest_needs_a_token_too_but_for_health_and_the_files_of_the_page(serve, token_file):
    served = serve(auth_token_file=token_file, allow_origin=(GOOD,))
    paths = (BLOCKCHAIN_STATS_PATH, VALIDATORS_PATH, WEBSOCKET_STATS_PATH, LAB_THREADS_PATH,
             LAB_PROFILES_PATH, STREAM_PATH, f"{LAB_PATH}none.js", "/no/such/path", "/healthy", "/health")
    assert {path: get(served.url, path).status for path in paths} == dict.fromkeys(paths, 401)
    assert get(served.url, method="OPTIONS").status == 401
    header = {"Authorization": f"Bearer {TOKEN}"}
    assert [get(served.url, path, **header).status for path in paths] == [200] * 5 + [404] * 5
    assert get(served.url, "/health/none").status == 404
    assert [get(served.url, path).status for path in (LAB_PATH, f"{LAB_PATH}main.js")] == [200, 200]
    assert get(served.url, LAB_PATH.rstrip("/")).status == 308
    # A subprotocol is no part of plain HTTP.
    assert get(served.url, Sec_WebSocket_Protocol=f"bearer, {TOKEN}").status == 401
    # A browser can read why it was refused, and may ask first.
    refused = get(served.url, Origin=GOOD)
    assert (refused.status, refused.header("www-authenticate")) == (401, "Bearer")
    assert cors(refused)["access-control-allow-origin"] == GOOD
    preflight = get(served.url, method="OPTIONS", Origin=GOOD, Access_Control_Request_Method="GET")
    assert preflight.status == 200


def test_bad_signed_tokens_are_401(serve, key_file):
    served = serve(jwt_key_file=key_file, jwt_audience="portal")
    claims = {"exp": time.time() + 60, "aud": "portal"}
    bad = [
        jwt.encode({**claims, "exp": time.time() - 1}, KEY, "HS256"),
        jwt.encode({"aud": "portal"}, KEY, "HS256"),
        jwt.encode({**claims, "aud": "somebody"}, KEY, "HS256"),
        jwt.encode({"exp": claims["exp"]}, KEY, "HS256"),
        jwt.encode(claims, "K" * 32, "HS256"),
        jwt.encode(claims, None, "none"),
        "not.a.token",
    ]
    assert [knock(served.url, bearer(token)).status for token in bad] == [401] * len(bad)
    assert knock(served.url, bearer(jwt.encode(claims, KEY, "HS256"))).status == 101


def errors_of(client):
    """The errors that came before the pong."""
    client.send_text('{"type":"ping"}')
    events = client.receive_until(lambda event: '"pong"' in event.text, PATIENCE)
    messages = [json.loads(event.text) for event in events]
    assert messages[-1]["type"] == "pong"
    return [message["payload"]["error"] for message in messages if message["type"] == "error"]


@pytest.mark.parametrize("profile", [None, CORRECTED])
def test_a_token_limits_the_channels(serve, key_file, profile):
    served = serve(jwt_key_file=key_file, **{"profile": profile} if profile else {})
    with served.connect(headers=[bearer(signed(channels=["block_updates"]))]) as client:
        next_text(client, "connection_established")
        client.send_text(SUBSCRIBE % "tps_updates")
        client.send_text(SUBSCRIBE % "nonsense")
        client.send_text(SUBSCRIBE % "block_updates")
        next_text(client, "block_update")
        assert [name.split("-")[2] for name in served.threads() if name.count("-") > 1] == ["block_updates"]
        # Also unasked nothing else came: every message so far.
    with served.connect(headers=[bearer(signed(channels=["block_updates"]))]) as client:
        client.send_text(SUBSCRIBE % "tps_updates")
        client.send_text(SUBSCRIBE % "nonsense")
        client.send_text('{"type":"subscribe"}')
        assert errors_of(client) == [
            "Channel not allowed: tps_updates", "Channel not allowed: nonsense", "Channel not specified"]
        time_of_none = client.receive_until(lambda event: '"tps_update"' in event.text, 1.2)
        assert not any('"tps_update"' in event.text for event in time_of_none)


def test_a_closed_connection_keeps_no_permit(serve, key_file):
    served = serve(jwt_key_file=key_file)
    with served.connect(headers=[bearer(signed(channels=[]))]) as client:
        next_text(client)
        (connection,) = served.server.parts.registry.connections()
        assert not connection.may_subscribe("tps_updates")
    wait_until(lambda: connection.may_subscribe("tps_updates"))


def test_our_own_client_comes_in_with_a_header_and_polls_with_it(serve, token_file):
    served = serve(auth_token_file=token_file)
    with StreamClient(served.url, headers=[bearer()]) as client:
        assert next(iter(client)).type == "connection_established"
    settings = ClientSettings(reconnect_attempts=0, reconnect_delay=0, poll_interval=0.05)
    limited = serve(auth_token_file=token_file, max_connections=1)
    with limited.connect(headers=[bearer()]), StreamClient(
            limited.url, headers=[bearer()], settings=settings) as client:
        assert next(iter(client)).polled
    with StreamClient(served.url, settings=settings) as client:
        wait_until(lambda: "401" in client.problem)


# Rates.

def test_connections_beyond_the_rate_are_429_before_the_handshake(serve):
    served = serve(limit_connections="3/hour")
    assert [knock(served.url).status for _ in range(5)] == [101, 101, 101, 429, 429]
    answer = knock(served.url)
    assert 3_500 < int(answer.header("retry-after")) <= 3_600
    assert get(served.url).status == 200


def test_failed_logins_count_and_foreign_pages_do_not(serve, token_file):
    served = serve(limit_connections="2/hour", auth_token_file=token_file, allow_origin=(GOOD,))
    assert [knock(served.url, ("Origin", "https://evil.com")).status for _ in range(4)] == [403] * 4
    assert [knock(served.url, bearer("wrong-token-of-the-test")).status for _ in range(3)] == [401, 401, 429]
    assert knock(served.url, bearer()).status == 429


def test_a_forged_address_helps_nobody(serve):
    served = serve(limit_connections="2/hour")
    statuses = [knock(served.url, ("X-Forwarded-For", f"203.0.113.{n}")).status for n in range(4)]
    assert statuses == [101, 101, 429, 429]


def test_behind_a_trusted_proxy_each_client_has_its_own_rate(serve):
    served = serve(limit_connections="1/hour", trusted_proxy=("127.0.0.0/8", "10.0.0.1"))

    def status(forwarded_for):
        return knock(served.url, ("X-Forwarded-For", forwarded_for)).status

    assert [status("203.0.113.1"), status("203.0.113.1"), status("203.0.113.2")] == [101, 429, 101]
    # What the client wrote itself stands left of what the proxy added.
    assert [status(f"198.51.100.{n}, 203.0.113.1") for n in range(3)] == [429] * 3
    assert [status(f"198.51.100.{n}, 203.0.113.3, 10.0.0.1") for n in range(2)] == [101, 429]
    # Many addresses of one network, as anybody with IPv6 has.
    assert [status(f"2001:db8::{n}") for n in range(3)] == [101, 429, 429]


def test_a_trusted_proxy_elsewhere_makes_no_peer_trusted(serve):
    served = serve(limit_connections="1/hour", trusted_proxy=("10.0.0.1",))
    statuses = [knock(served.url, ("X-Forwarded-For", f"203.0.113.{n}")).status for n in range(2)]
    assert statuses == [101, 429]


FLOOD = encode_frame(Opcode.TEXT, b'{"type":"ping"}')


def after_the_welcome(client):
    next_text(client, "tps_update")
    return client


def test_a_message_flood_is_told_and_then_closed(serve):
    served = serve(limit_messages="4/hour", time_scale=100)
    with served.connect() as client:
        after_the_welcome(client).send_raw(FLOOD * 50)
        *told, closed = client.receive_until(lambda event: event.kind is Kind.CLOSE, PATIENCE)
        types = [json.loads(event.text)["type"] for event in told]
        assert types == ["pong"] * 4 + ["error"] * contract.MAX_EXCESSES
        assert {json.loads(event.text)["payload"]["error"] for event in told[4:]} == {"Rate limit exceeded"}
        assert (closed.code, closed.reason) == (1008, "Rate limit exceeded")
    served.wait_for_active(0)
    # Each connection has its own rate.
    with served.connect() as client:
        assert errors_of(after_the_welcome(client)) == []


def test_binary_and_broken_messages_count_too(serve):
    served = serve(limit_messages="2/hour", time_scale=100)
    with served.connect() as client:
        after_the_welcome(client)
        client.send_raw(encode_frame(Opcode.BINARY, b"x") + encode_frame(Opcode.TEXT, b"{") + FLOOD)
        texts = [next_text(client, "error").text for _ in range(2)]
        assert ["Invalid message format" in texts[0], "Rate limit exceeded" in texts[1]] == [True, True]


def test_a_mute_server_closes_a_flood_without_a_word(serve):
    served = serve(limit_messages="1/hour", profile=SHIPPED)
    with served.connect() as client:
        client.send_raw(FLOOD * 20)
        (closed,) = client.receive_until(lambda event: event.kind is Kind.CLOSE, PATIENCE)
        assert closed.code == 1008


class StuckSession:
    """A session whose client takes no Close frame."""

    def __init__(self):
        self.calls = []

    def receive(self):
        if "abort" in self.calls:
            raise SessionClosed()
        return "{}"

    def close(self, code, reason):
        self.calls.append((code, reason))
        return False

    def abort(self):
        self.calls.append("abort")

    error = complaint = None


class DeafEndpoint:
    """An endpoint that hears of no message."""

    def on_open(self, session, may_subscribe):
        return SimpleNamespace(short_id="x", thread_name=threading.current_thread().name)

    def on_close(self, connection):
        pass


def test_who_floods_and_takes_no_close_frame_is_dropped():
    session = StuckSession()
    guest = Guest(str, lambda: Excess("Rate limit exceeded", closes=True))
    run_endpoint(DeafEndpoint(), session, guest)
    assert session.calls == [(1008, "Rate limit exceeded"), "abort"]
