"""A whole server at debug level, attacked in every way: no token and no key in anything it writes."""

import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import jwt
import pytest

from livestream.contract import BLOCKCHAIN_STATS_PATH, STREAM_PATH
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_frame
from livestream.wire.handshake import handshake_request, http_request
from tests.support import PATIENCE, Command, next_text, wait_until

#: In every token, so that a piece of one is found too.
MARK = "s3cret"
TOKEN = f"{MARK}-token-{MARK}-token-{MARK}"
NEW_TOKEN = f"new-{TOKEN}"
KEY = f"{MARK}-key-" * 4


def raw(url, request):
    """Sends these bytes and reads until the server's end; what comes back."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while data := sock.recv(65_536):
            answer += data
    return answer


def attacks(token):
    """Requests as bytes: some are HTTP, some are not, and each carries the token."""
    good = handshake_request("x", add=[("Authorization", f"Bearer {token}")])
    headers = [
        ("Authorization", f"Bearer {token}\0"), ("Authorization", f"Bearer {token}\rX: 1"),
        (f"Authorization{token}\x01", "x"), (f"Authorization {token}", "x"),
        ("Authorization", f"Bearer {token}\xff"),
        ("Sec-WebSocket-Protocol", f"bearer, {token}\0"), ("Sec-WebSocket-Protocol", f"bearer, {token}"),
        ("Sec-WebSocket-Protocol", f"{token}"), ("Content-Length", token), ("Transfer-Encoding", token),
        ("Sec-WebSocket-Key", token), ("Origin", token), ("Expect", token), ("X-Forwarded-For", token),
        ("Authorization", f"Bearer {token}x"), ("Authorization", f"Basic {token}"), ("Host", token),
        ("Authorization", f"Bearer {token}\r\n folded-{token}"),
    ]
    yield from (handshake_request("x", add=[header]) for header in headers)
    yield from (handshake_request("x", replace=[header]) for header in headers)
    yield from (good.replace(b"HTTP/1.1", version) for version in (b"HTTP/1.0", b"HTTP/2.0", token.encode()))
    for target in (f"{STREAM_PATH}?token={token}", f"{BLOCKCHAIN_STATS_PATH}?access_token={token}",
                   f"{BLOCKCHAIN_STATS_PATH}?{token}\x01", f"{BLOCKCHAIN_STATS_PATH} {token}"):
        yield good.replace(STREAM_PATH.encode(), target.encode())
    yield good.replace(b"GET", f"GET{token}".encode())
    yield good[:-2] + b"A" * 70_000
    yield good[:-2]
    yield token.encode() * 3_000
    yield b"\x16\x03\x01" + token.encode() + b"\r\n\r\n"
    chunked = f"POST {BLOCKCHAIN_STATS_PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield f"{chunked}{token}\r\n".encode()


def status(url, token):
    client = WireClient.open(url, timeout=PATIENCE)
    try:
        return client.handshake(handshake_request("x", add=[("Authorization", f"Bearer {token}")])).status
    finally:
        client.release()


def attacked(command, token):
    """Every attack, then a good visit with a flood at its end; everything that the server wrote."""
    answers = [raw(command.url, attack) for attack in attacks(token)]
    assert MARK.encode() not in b"".join(answers)
    heads = {answer[:12] for answer in answers}
    assert {b"HTTP/1.1 400", b"HTTP/1.1 401"} <= heads and b"HTTP/1.1 500" not in heads
    with WireClient.connect(
            command.url, timeout=PATIENCE, headers=[("Authorization", f"Bearer {token}")]) as client:
        next_text(client, "connection_established")
        client.send_raw(encode_frame(Opcode.TEXT, b'{"type":"ping"}') * 20)
        client.receive_until(lambda event: event.kind is Kind.CLOSE, PATIENCE)
    code, out, err = command.stop()
    assert code == 0 and "1008" not in out
    return repr(command.greeting) + out + err


def test_no_token_of_a_file_is_in_anything_the_server_writes(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    command = Command("--auth-token-file", str(path), "--log-level", "debug", "--limit-messages", "5/hour")
    try:
        written = attacked(command, TOKEN)
    finally:
        command.kill()
    assert "illegal header" in written.lower() and "no good token" in written
    assert MARK not in written


def test_no_signed_token_and_no_key_is_in_anything_the_server_writes(tmp_path):
    path = tmp_path / "jwt"
    path.write_text(KEY)
    token = jwt.encode({"exp": time.time() + 60, "sub": MARK}, KEY, "HS256")
    wrong = jwt.encode({"exp": time.time() + 60}, "K" * 32, "HS256")
    unsigned = jwt.encode({"exp": time.time() + 60}, None, "none")
    command = Command("--jwt-key-file", str(path), "--log-level", "debug", "--limit-messages", "5/hour")
    try:
        assert [status(command.url, bad) for bad in (wrong, unsigned)] == [401, 401]
        written = attacked(command, token)
    finally:
        command.kill()
    assert "InvalidSignatureError" in written
    pieces = [piece for text in (token, wrong, unsigned) for piece in text.split(".")[1:] if piece]
    assert [piece for piece in (KEY, MARK, *pieces) if piece in written] == []


def test_sighup_reads_the_tokens_again_and_a_bad_file_changes_nothing(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    command = Command("--auth-token-file", str(path))
    try:
        path.write_text(f"{NEW_TOKEN}\n")
        assert [status(command.url, token) for token in (TOKEN, NEW_TOKEN)] == [101, 401]
        command.process.send_signal(signal.SIGHUP)
        wait_until(lambda: status(command.url, NEW_TOKEN) == 101)
        assert status(command.url, TOKEN) == 401
        path.write_text("short")
        command.process.send_signal(signal.SIGHUP)
        err = command.process.stderr
        lines = [err.readline()]
        while "not reloaded" not in lines[-1]:
            lines.append(err.readline())
        assert f"not reloaded: --auth-token-file {path}, line 1: a token is" in lines[-1]
        assert status(command.url, NEW_TOKEN) == 101
        assert command.stop()[0] == 0
    finally:
        command.kill()


def test_without_a_file_sighup_ends_the_server_as_ever():
    command = Command()
    try:
        assert command.stop(signal.SIGHUP)[0] == -signal.SIGHUP
    finally:
        command.kill()


@pytest.mark.parametrize("header", [(), ("--header", f"Authorization: Bearer {TOKEN}")], ids=len)
def test_watch_comes_in_with_a_header_and_not_without(tmp_path, header):
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    command = Command("--auth-token-file", str(path))
    try:
        assert http_request(command.url, "GET", BLOCKCHAIN_STATS_PATH, timeout=PATIENCE).status == 401
        done = subprocess.run(
            [sys.executable, "-m", "livestream", "watch", command.url, "--json", "--seconds", "1.5", *header],
            capture_output=True, text=True, timeout=PATIENCE)
        assert ("connection_established" in done.stdout) is bool(header)
        assert ("401" in done.stderr) is not bool(header)
        assert MARK not in done.stdout + done.stderr
    finally:
        command.kill()
