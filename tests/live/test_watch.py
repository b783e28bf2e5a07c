"""`livestream watch` as a user runs it: lines, JSON, a terminal, restarts, signals, a pipe that closes."""

import fcntl
import itertools
import json
import os
import pty
import re
import select
import signal
import ssl
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager, suppress

import pytest
import trustme
from rich.console import Console

from livestream.app import LiveServer
from livestream.cli.watching import Picture, line_of, sparkline
from livestream.client import Message
from livestream.contract import CHANNELS
from livestream.settings import Settings
from livestream.stream.profiles import PROFILES
from tests.client.support import (
    STATISTICS, accept, answer, converse, is_poll, message, scripted, statistics,
)
from tests.parity.independent_server import Conversation, independent_server, serving
from tests.support import PATIENCE, wait_until

WATCH = [sys.executable, "-m", "livestream", "watch"]
#: As at a user's: a line that isn't flushed stays behind.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
UPDATES = [channel.message_type for channel in CHANNELS]


@contextmanager
def watching(*arguments):
    """The running command; killed in the end if it still runs."""
    with subprocess.Popen(
        [*WATCH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=BUFFERED,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(*arguments):
    return subprocess.run([*WATCH, *arguments], capture_output=True, text=True, timeout=PATIENCE * 3)


def read_json(process, until):
    """The messages up to one that `until` accepts."""
    messages = []
    for line in process.stdout:
        assert line.endswith(b"\n")
        messages.append(json.loads(line))
        if until(messages[-1]):
            return messages
    raise AssertionError(f"it ended: {process.stderr.read().decode()}")


@pytest.mark.parametrize("profile", ["original", "corrected"])
def test_json_is_one_message_per_line_as_it_comes(serve, profile):
    served = serve(profile=PROFILES[profile])
    with watching(served.url, "--json") as process:
        messages = read_json(process, lambda message: message["type"] == "validator_update")
    assert messages[0]["type"] == "connection_established"
    assert [list(message) for message in messages] == [["type", "payload", "timestamp"]] * len(messages)
    assert {message["type"] for message in messages} >= set(UPDATES)
    assert [message["type"] for message in messages].count("subscription_confirmed") == 3


def test_a_server_that_is_not_the_port():
    with independent_server() as url, watching(url, "--json") as process:
        read_json(process, lambda message: message["type"] == "validator_update")


def test_the_shipped_profile_says_that_it_is_open_and_no_more(serve):
    done = run(serve(profile=PROFILES["shipped"]).url, "--json", "--seconds", "2")
    assert (done.returncode, done.stdout) == (0, "")
    assert [line.split()[-1] for line in done.stderr.splitlines()] == ["connecting", "open", "closed"]


def test_only_the_channels_asked_for(serve):
    served = serve(time_scale=0.01)
    with watching(served.url, "--json", "--channel", "block_updates") as process:
        seen = []
        messages = read_json(process, lambda message: seen.append(message) or len(seen) == 10)
    assert [message["type"] for message in messages] == [
        "connection_established", "subscription_confirmed", *["block_update"] * 8]


def test_without_a_terminal_it_prints_plain_lines(serve):
    served = serve(time_scale=0.1)
    done = run(served.url, "--seconds", "1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"{served.url} connecting", f"{served.url} open"]
    assert lines[-1] == f"{served.url} closed"
    update = r"tps_update: currentTPS \d{3},\d{3}  peakTPS 800,000  averageTPS 750,000  latency \d\d"
    assert any(re.fullmatch(update, line) for line in lines)
    block = "blockHeight 12,345  blockTime 1,000  transactions 500  producer validator-1"
    assert f"block_update: {block}" in lines
    assert "\x1b" not in done.stdout


def test_a_restart_is_survived(serve):
    served = serve()
    host, port = served.server.address
    with watching(served.url, "--json") as process:
        read_json(process, lambda message: message["type"] == "validator_update")
        served.server.stop()
        again = LiveServer(Settings(host=host, port=port))
        again.start()
        messages = read_json(process, lambda message: message["type"] == "connection_established")
        messages = read_json(process, lambda message: message["type"] == "validator_update")
        assert [message["type"] for message in messages].count("subscription_confirmed") == 3
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert again.stop() == []
    states = [line.split()[1].rstrip(":") for line in err.decode().splitlines() if line]
    assert states == ["connecting", "open", "reconnecting", "open", "closed"]
    assert "closed the connection with 1001 ('the server is stopping')" in err.decode()


@pytest.mark.parametrize("options", [["--json"], []])
def test_ctrl_c_ends_it_with_130_and_the_server_gets_a_close_frame(serve, options):
    served = serve()
    with watching(served.url, *options) as process:
        served.wait_for_active(1)
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert b"Traceback" not in err
        served.wait_for_active(0)


@pytest.mark.parametrize("options", [["--json"], []])
def test_it_ends_quietly_when_nobody_reads_any_more(serve, options):
    served = serve(time_scale=0.05)
    with watching(served.url, *options) as process:
        assert process.stdout.readline()
        process.stdout.close()
        process.wait(PATIENCE)
        err = process.stderr.read().decode()
        assert process.returncode == 1
        assert [line for line in err.splitlines() if not line.startswith(served.url)] == []
        served.wait_for_active(0)


def test_nobody_there_is_said_and_ctrl_c_still_works():
    with scripted(lambda *_: None) as server:
        url = server.url
    with watching(url, "--json") as process:
        lines = [process.stderr.readline().decode() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert lines == [f"{url} connecting\n",
                     f"{url} reconnecting: Could not connect to {url}: Connection refused.\n"]


def test_whom_nobody_answered_in_time_learns_why_and_exits_with_2():
    with scripted(lambda *_: None) as server:
        url = server.url
    done = run(url, "--seconds", "2")
    assert (done.returncode, done.stderr) == (
        2, f"livestream: Could not connect to {url}: Connection refused.\n")


REFUSALS = {
    ("http//x",): "'http//x' is not a URL",
    ("ws://x/#y",): "no fragment",
    ("ws://x", "--channel", "nope"): "'nope' is not one of 'tps_updates', 'block_updates'",
    ("ws://x", "--seconds", "nan"): "nan is no number",
    ("ws://x", "--seconds", "-1"): "-1.0 is not in the range",
    ("ws://x", "--header", "nonsense"): "Header 1 is not of the form",
    ("ws://x", "--ca", "/nowhere"): "/nowhere holds no certificate",
}


@pytest.mark.parametrize("arguments", REFUSALS, ids=" ".join)
def test_a_bad_value_is_one_clear_line_and_exit_code_2(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert REFUSALS[arguments] in done.stderr


def test_behind_tls_and_a_login(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))

    def check(connection, request):
        return None if request.headers.get("Authorization") == "Bearer x" else connection.respond(401, "")

    def handler(connection):
        Conversation(connection, lambda text: text, 1.0).run()

    with serving(handler, ssl=context, process_request=check) as url:
        doors = "--ca", str(file), "--header", "Authorization: Bearer x"
        with watching(url.replace("ws:", "wss:"), "--json", *doors) as process:
            read_json(process, lambda message: message["type"] == "tps_update")


def test_a_hostile_server_writes_no_escape_codes():
    def spoil(text):
        return text.replace("validator-1", "\\u001b[2J\\nx\\ud800")

    with independent_server(spoil) as url:
        done = run(url, "--seconds", "1")
        assert "producer ⟨U+001B⟩[2J x⟨U+D800⟩" in done.stdout
        with watching(url, "--json", "--channel", "block_updates") as process:
            messages = read_json(process, lambda message: message["type"] == "block_update")
        assert messages[-1]["payload"]["producer"] == "\x1b[2J\nx\ud800"


# --- a terminal


class Terminal:
    """The command on a terminal of its own; what it draws grows in `shown`."""

    def __init__(self, *arguments, columns=140):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [*WATCH, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)})
        os.close(theirs)
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def read(self):
        """What has been drawn since, without its codes."""
        with suppress(OSError):
            while select.select([self._ours], [], [], 0)[0]:
                data = os.read(self._ours, 65_536).decode(errors="replace")
                if not data:
                    break
                self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data)
        return self.shown

    def wait_for(self, pattern):
        return wait_until(lambda: re.search(pattern, self.read()), PATIENCE * 2)


def test_the_terminal_shows_a_line_per_channel_and_a_sparkline(serve):
    served = serve()
    with Terminal(served.url) as terminal:
        terminal.wait_for(re.escape(served.url) + r"  open")
        terminal.wait_for(r"tps_updates +[01]\.\d\d/s +[+-]\d+\.\d ms +\d s +currentTPS \d{3},\d{3}")
        terminal.wait_for(r"block_updates .* blockHeight 12,345")
        terminal.wait_for(r"network_status .* networkHealth healthy")
        terminal.wait_for(r"validator_metrics .* totalValidators 20")
        terminal.wait_for("TPS [▁▂▃▄▅▆▇█]{3}  [78]")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE) == 130
        assert "Traceback" not in terminal.read()


def test_a_channel_has_one_line_in_a_narrow_terminal():
    picture = Picture("ws://x", ("validator_metrics", "tps_updates"))
    picture.on_message(Message("validator_update", {f"aLongName{number}": number for number in range(9)}, 1))
    with open(os.devnull, "w") as nowhere:
        console = Console(width=60, file=nowhere, record=True)
        console.print(picture.drawn(""))
    heading, head, *rows = console.export_text().splitlines()
    assert [row.split()[0] for row in rows] == ["validator_metrics", "tps_updates"]
    assert rows[0].endswith("…") and "aLongName0 0" in rows[0]


def test_the_terminal_says_that_the_server_is_gone(serve):
    served = serve()
    with Terminal(served.url, "--channel", "tps_updates") as terminal:
        terminal.wait_for("  open")
        served.server.stop()
        terminal.wait_for(r"  reconnecting  http\S+ closed the connection with 1001")
        assert "block_updates" not in terminal.read()


def test_the_terminal_ends_by_itself(serve):
    served = serve(profile=PROFILES["shipped"])
    with Terminal(served.url, "--seconds", "1") as terminal:
        terminal.wait_for("nothing yet")
        began = time.monotonic()
        assert terminal.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < PATIENCE
        assert "closed" in terminal.read()


# --- the picture by itself


def test_polled_updates_are_marked():
    moment = [100.0]
    picture = Picture("ws://x", ("tps_updates",), clock=lambda: moment[0])
    picture.on_state("polling")
    for tps in (1, 2, 3):
        polled = Message("tps_update", {"currentTPS": tps}, 1, 1, polled=True)
        picture.on_message(polled)
        moment[0] += 1.01
    with open(os.devnull, "w") as nowhere:
        console = Console(width=100, file=nowhere, record=True)
        console.print(picture.drawn("There is no stream."))
    text = console.export_text()
    assert "ws://x  polling  There is no stream." in text
    assert re.search(r"tps_updates +0.99/s +– +1 s +polled  currentTPS 3\n", text)
    assert re.search("TPS ▁[▄▅]█  1 to 3", text)
    assert line_of(polled) == "tps_update (polled): currentTPS 3"
    assert (sparkline([]), sparkline([5, 5])) == ("", "▁▁")


@pytest.mark.parametrize("tps", [10**400, -1e308, 1e308, True, None, "many", [], {"a": "\n"}])
def test_whatever_a_server_calls_a_number_is_drawn(tps):
    picture = Picture("ws://x", ("tps_updates",))
    for value in (1, tps, 2):
        picture.on_message(Message("tps_update", {"currentTPS": value, "\x1b[2J": value}, 1))
    with open(os.devnull, "w") as nowhere:
        Console(width=80, file=nowhere).print(picture.drawn(""))


def test_lateness_is_against_the_scaled_interval():
    moment = [100.0]
    picture = Picture("ws://x", ("block_updates",), 0.1, clock=lambda: moment[0])
    for _ in range(2):
        picture.on_message(Message("block_update", {}, 1))
        moment[0] += 0.25
    with open(os.devnull, "w") as nowhere:
        console = Console(width=100, file=nowhere, record=True)
        console.print(picture.drawn(""))
    assert "+50.0 ms" in console.export_text()


def test_after_the_fifth_failure_it_polls_and_the_stream_comes_back():
    """Refused six times: the first attempt and five more; then statistics, until the WebSocket is let in."""
    refusals = itertools.count(1)

    def script(connection, head):
        if is_poll(head):
            statistics(connection)
        elif next(refusals) <= 7:
            answer(connection, 503)
        else:
            accept(connection, head, message("tps_update", currentTPS=4_711))
            converse(connection)

    with scripted(script) as server, watching(server.url, "--json", "--reconnect-delay", "0.01") as process:
        polled, *_, last = read_json(process, lambda one: one["payload"].get("currentTPS") == 4_711)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert (polled["type"], polled["polled"], polled["payload"]["currentTPS"]) == (
        "tps_update", True, STATISTICS["transactionStats"]["currentTPS"])
    assert "polled" not in last
    states = [line.split()[1].rstrip(":") for line in err.decode().splitlines() if line]
    assert states == ["connecting", "reconnecting", "polling", "open", "closed"]


def test_the_terminal_says_that_it_polls():
    def script(connection, head):
        statistics(connection) if is_poll(head) else answer(connection, 503)

    with scripted(script) as server, Terminal(server.url, "--reconnect-delay", "0.01") as terminal:
        terminal.wait_for(r"  polling  \S+ answered the handshake with status 503")
        terminal.wait_for(r"tps_updates .* polled  currentTPS 1,808,267")


def test_a_stream_that_is_refused_while_rest_answers_is_still_watched():
    def script(connection, head):
        statistics(connection) if is_poll(head) else answer(connection, 503)

    with scripted(script) as server:
        done = run(server.url, "--seconds", "0.5")
    assert f"reconnecting: {server.url} answered the handshake with status 503, not 101." in done.stdout
