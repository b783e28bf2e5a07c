"""The log as a machine or a person reads it: one line for each record, whatever a client sent."""

import errno
import json
import logging
import os
import re
import subprocess
import sys
import threading
from datetime import datetime, timedelta

import pytest

from livestream.cli.logs import FORMATTERS, Lines, escaped
from livestream.contract import BLOCKCHAIN_STATS_PATH
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_frame
from livestream.wire.handshake import handshake_request, http_request
from tests.support import PATIENCE, Command, next_text

#: What breaks a line, or makes a terminal do something.
HOSTILE = "a\nb\rc\x1b[2Jd\u2028e\u2029f\x85g\x00h\x7fi\u202ej\ud800k\x0bl\x0cm"
BREAKS = [character for character in HOSTILE if not character.isascii() or not character.isprintable()]


@pytest.fixture
def written():
    """Logs one message in a form, on a thread of that name; returns what was written."""

    def write(form, message, *args, thread="MainThread", **options):
        reading, writing = os.pipe()
        handler = Lines(writing)
        handler.setFormatter(FORMATTERS[form]())
        logger = logging.Logger("livestream.test")
        logger.addHandler(handler)
        sender = threading.Thread(target=lambda: logger.error(message, *args, **options), name=thread)
        sender.start()
        sender.join()
        os.close(writing)
        with open(reading, encoding="utf-8", newline="") as lines:
            return lines.read()

    return write


@pytest.mark.parametrize("form", FORMATTERS)
@pytest.mark.parametrize("place", ["channel %s ended", "GET %s: failed", "header: %r"])
def test_no_text_of_a_client_breaks_a_line(written, form, place):
    text = written(form, place, HOSTILE)
    assert text.endswith("\n")
    assert [character for character in BREAKS if character in text[:-1] and character != "\x7f"] == []
    assert len(text.splitlines()) == 1


def test_a_line_that_a_full_disk_cuts_does_not_spoil_the_next(monkeypatch):
    reading, writing = os.pipe()
    rooms, write = iter([5, 0, 1_000, 1_000]), os.write

    def little(descriptor, data):
        if not (room := next(rooms)):
            raise OSError(errno.ENOSPC, "no space left")
        return write(descriptor, data[:room])

    monkeypatch.setattr(os, "write", little)
    handler = Lines(writing)
    handler.setFormatter(logging.Formatter())
    for words in ("cut in two", "gone", "whole", "whole again"):
        handler.emit(logging.makeLogRecord({"msg": words}))
    os.close(writing)
    with open(reading) as lines:
        assert lines.read() == "cut i\nwhole\nwhole again\n"


def test_del_is_escaped_in_text(written):
    assert "\\x7f" in written("text", "%s", HOSTILE)


def test_what_is_harmless_stays_as_it_is():
    assert escaped("GET /ä/😀?x=\\n 'é'") == "GET /ä/😀?x=\\n 'é'"


@pytest.mark.parametrize("form", FORMATTERS)
def test_a_traceback_is_on_the_same_line(written, form):
    text = written(form, "failed", exc_info=(ValueError, ValueError("on\npurpose"), None))
    assert len(text.splitlines()) == 1
    assert "ValueError" in text


def test_a_json_line_says_when_how_bad_who_and_what(written):
    line = json.loads(written("json", "%s", HOSTILE))
    assert {name: line[name] for name in ("level", "logger", "message")} == {
        "level": "error", "logger": "livestream.test", "message": HOSTILE}
    assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)
    assert "connection" not in line


@pytest.mark.parametrize("thread, message", [
    ("stream-3f2a9c1e", "it failed"),
    ("stream-3f2a9c1e-tps_updates-1", "it failed"),
    ("pool-1", "connection 3f2a9c1e: channel tps_updates ended"),
    ("stream-3f2a9c1e", "connection 3f2a9c1e: it failed"),
])
def test_a_line_about_a_connection_has_its_id_once(written, thread, message):
    assert json.loads(written("json", message, thread=thread))["connection"] == "3f2a9c1e"
    text = written("text", message, thread=thread)
    assert text.count("connection 3f2a9c1e: ") == 1
    assert text.endswith(message + "\n")


#: A path, a header, and a header's name that no server likes; and a channel.
HOSTILE_REQUESTS = (
    b"GET /\x1b[2J\xe2\x80\xa8 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nb\x1b[2J\rc\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX-\x0bY: \x85\xe2\x80\xa8\r\n\r\n",
    b"G\nET\x1b / HTTP/1.1\r\n\r\n",
)
HOSTILE_CHANNEL = json.dumps({"type": "subscribe", "channel": HOSTILE.replace("\ud800", "")})


def attack(url):
    """Returns the id of the connection that sent the channel, and then a frame too big."""
    for request in HOSTILE_REQUESTS:
        client = WireClient.open(url, timeout=PATIENCE)
        client.send_raw(request)
        client.receive_until(lambda event: event.kind is Kind.EOF, PATIENCE)
        client.release()
    with WireClient.connect(url, timeout=PATIENCE) as client:
        welcome = json.loads(next_text(client, "connection_established").text)
        client.send_text(HOSTILE_CHANNEL)
        next_text(client, "subscription_confirmed")
        client.send_raw(encode_frame(Opcode.TEXT, b"x" * 65_537))
        client.receive_until(lambda event: event.kind is Kind.CLOSE, PATIENCE)
    return welcome["payload"]["connectionId"][:8]


@pytest.fixture
def log_of_an_attack():
    """The log of a server that was attacked, and the id of a connection."""

    def run(form):
        server = Command("--log-format", form, "--log-level", "debug", "--profile", "corrected")
        try:
            connection = attack(server.url)
            code, _, err = server.stop()
        finally:
            server.kill()
        assert code == 0
        return err, connection

    return run


def test_an_attacked_server_writes_json_lines(log_of_an_attack):
    err, connection = log_of_an_attack("json")
    lines = [json.loads(line) for line in err.splitlines()]
    assert len(lines) > len(HOSTILE_REQUESTS)
    about = [line["message"] for line in lines if line.get("connection") == connection]
    assert ["65536" in message for message in about] == [True]


def test_an_attacked_server_writes_text_lines(log_of_an_attack):
    err, connection = log_of_an_attack("text")
    lines = err.splitlines()
    assert len(lines) > len(HOSTILE_REQUESTS)
    assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ \S", line)] == []
    assert [line for line in lines if not line.isprintable()] == []
    assert sum(f" connection {connection}: " in line for line in lines) == 1


@pytest.mark.parametrize("form", FORMATTERS)
@pytest.mark.parametrize("redirect", ["2>/dev/full", "2>&-"])
def test_a_log_that_cannot_be_written_disturbs_nobody(form, redirect, tmp_path):
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@" {redirect}\n')
    script.chmod(0o755)
    server = Command("--log-format", form, "--log-level", "debug", "--max-connections", "1",
                     python=str(script))
    try:
        with WireClient.connect(server.url, timeout=PATIENCE) as client:
            next_text(client, "tps_update")
            # Each refusal is a line of the log.
            for _ in range(50):
                refused = WireClient.open(server.url, timeout=PATIENCE)
                assert refused.handshake(handshake_request("x")).status == 503
                refused.release()
            next_text(client, "tps_update")
            client.close()
        assert http_request(server.url, "GET", BLOCKCHAIN_STATS_PATH, timeout=PATIENCE).status == 200
        code, out, _ = server.stop()
    finally:
        server.kill()
    assert (code, out.splitlines()[-1]) == (0, "stopped")


def test_where_standard_error_is_closed_the_file_that_takes_its_number_gets_no_line(tmp_path):
    code = """
import logging, os, sys
from livestream.cli.logs import log_to_standard_error
number = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
log_to_standard_error("debug", "text")
logging.error("not for you")
sys.exit(0 if number == 2 else 3)
"""
    file = tmp_path / "file"
    command = [sys.executable, "-c", code, file]
    assert subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *command], timeout=PATIENCE).returncode == 0
    assert file.read_bytes() == b""
