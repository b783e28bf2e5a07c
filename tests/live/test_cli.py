"""`livestream serve`: what it says, what it refuses in one line, and how it stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from livestream.lab.server import own_server
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from tests.support import PATIENCE, Command, next_text, running_command

STOP_LIMIT = 5.0


def refused(*arguments, **environment):
    """Runs a command that must fail; returns what it wrote to standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "livestream", *arguments],
        capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, **environment},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_the_greeting_names_url_profile_and_how_to_stop():
    command = Command("--profile", "corrected")
    try:
        assert command.url.startswith("ws://127.0.0.1:")
        assert command.greeting["profile"] == "corrected"
        assert command.greeting["stop"] == "Ctrl-C"
        with WireClient.connect(command.url, timeout=PATIENCE) as client:
            next_text(client, "tps_update")
        assert command.stop()[0] == 0
    finally:
        command.kill()


def test_the_greeting_says_when_the_machine_allows_fewer_clients():
    command = Command("--max-connections", "1000000")
    try:
        assert "clients with all channels, not 1000000" in command.greeting["limit"]
    finally:
        command.kill()


REFUSALS = {
    ("serve", "--profile", "broken"): "'broken' is not one of 'original', 'shipped', 'corrected'",
    ("serve", "--port", "http"): "'http' is not a valid integer",
    ("serve", "--port", "70000"): "70000 is not in the range 0<=x<=65535",
    ("serve", "--time-scale", "0"): "0.0 is not in the range",
    ("serve", "--time-scale", "nan"): "time_scale is nan",
    ("serve", "--max-connections", "0"): "0 is not in the range",
    ("serve", "--log-level", "loud"): "'loud' is not one of",
    ("serve", "--pin-cpu", "4000"): "no processor 4000",
    ("serve", "--pin-cpu", "-1"): "pin_cpu is '-1'; it must be auto, none or a processor's number",
    ("serve", "--host", "no.such.host.invalid"): "cannot listen on no.such.host.invalid:9003",
    ("serve", "--source", "elsewhere"): "source is 'elsewhere'; it must be module:factory",
    ("serve", "--source", "no_such_module:create"): "there is no module no_such_module",
    ("serve", "--source", "json:create"): "module json has no attribute create",
    ("serve", "--source", "json:__name__"): "__name__ in module json is no function, but a str",
    ("serve", "--source", "json:loads"): "loads() raised TypeError: ",
    ("serve", "--source", "collections:Counter"): "returned, a Counter, has no method tps_update",
    ("serve", "--source", "json:loads", "--broadcaster", "pool"): "source doesn't go with broadcaster pool",
    ("serve", "--extensions", "--profile", "shipped"): "extensions don't go with profile shipped",
    ("serve", "--no-such-option"): "No such option",
    ("serve", "--allow-origin", "*"): "--allow-origin '*' is no origin: it must be http(s)://HOST",
    ("serve", "--trusted-proxy", "proxy"): "--trusted-proxy 'proxy' is no address and no network",
    ("serve", "--limit-connections", "often"): "--limit-connections 'often' is no rate like 100/minute",
    ("serve", "--limit-messages", "0/second"): "--limit-messages '0/second': the number must be from 1",
    ("serve", "--auth-token-file", "/none"): "--auth-token-file /none can't be read: No such file",
    ("serve", "--auth-token-file", "/dev/null"): "--auth-token-file /dev/null has no token",
    ("serve", "--jwt-key-file", "/dev/null"): "--jwt-key-file /dev/null: the key has 0 bytes",
    ("serve", "--jwt-audience", "x"): "--jwt-audience needs --jwt-key-file",
    ("serve", "--jwt-key-file", "/none", "--auth-token-file", "/none"): "exclude each other: leave one out",
    ("dance",): "No such command 'dance'",
}


@pytest.mark.parametrize("arguments", REFUSALS, ids=" ".join)
def test_a_bad_value_is_one_clear_line_and_exit_code_2(arguments):
    assert REFUSALS[arguments] in refused(*arguments)


def test_a_port_in_use_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused("serve", "--host", "127.0.0.1", "--port", port)
    assert f"127.0.0.1:{port} is in use" in line and "--port" in line


def test_an_address_of_another_machine_is_one_clear_line():
    line = refused("serve", "--host", "192.0.2.1")
    assert line == "livestream: cannot listen on 192.0.2.1:9003: Cannot assign requested address\n"


def test_without_a_command_it_shows_its_help():
    command = [sys.executable, "-m", "livestream"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert "\n  serve " in done.stderr


def test_every_option_has_a_variable():
    assert "'broken' is not one of" in refused("serve", LIVESTREAM_PROFILE="broken")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_every_client_with_1001_and_leaves_no_thread(how):
    command = Command()
    try:
        clients = [WireClient.connect(command.url, timeout=PATIENCE) for _ in range(20)]
        for client in clients:
            next_text(client, "tps_update")
        code, out, _ = command.stop(how)
        assert (code, out.splitlines()[-1]) == (0, "stopped")
        for client in clients:
            events = client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), PATIENCE)
            assert [event.kind for event in events[-2:]] == [Kind.CLOSE, Kind.EOF]
            assert events[-2].code == 1001
            client.release()
    finally:
        command.kill()


def test_it_stops_within_five_seconds_with_a_thousand_clients_open():
    command = Command()
    clients = []
    try:
        for _ in range(1000):
            clients.append(WireClient.connect(command.url, timeout=PATIENCE))
            clients[-1].send_text('{"type":"subscribe","channel":"block_updates"}')
        next_text(clients[-1], "block_update")
        began = time.monotonic()
        code, out, _ = command.stop()
        assert time.monotonic() - began < STOP_LIMIT
        assert (code, out.splitlines()[-1]) == (0, "stopped")
        for client in clients:
            events = client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), PATIENCE)
            assert [event.code for event in events if event.kind is Kind.CLOSE] == [1001]
    finally:
        command.kill()
        for client in clients:
            client.release()


def test_it_stops_within_five_seconds_beside_clients_that_neither_read_nor_answer():
    command = Command("--time-scale", "0.001", "--max-threads-per-connection", "0")
    clients = [WireClient.connect(command.url, timeout=PATIENCE) for _ in range(5)]
    try:
        for client in clients:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(20):
                client.send_text('{"type":"subscribe","channel":"tps_updates"}')
        with WireClient.connect(command.url, timeout=PATIENCE) as reader:
            for _ in range(2000):
                next_text(reader, "tps_update")
        began = time.monotonic()
        code, _, _ = command.stop()
        assert code == 0
        assert time.monotonic() - began < STOP_LIMIT + 1  # and the interpreter's own end
    finally:
        command.kill()
        for client in clients:
            client.release()


def test_python_m_livestream_is_the_command():
    command = [sys.executable, "-m", "livestream", "serve", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert shown.returncode == 0
    for option in ("--host", "--port", "--profile", "--time-scale", "--log-level", "--max-connections",
                   "--max-threads-per-connection", "--max-message-size", "--switch-interval", "--pin-cpu"):
        assert option in shown.stdout


def test_welcome_is_json_over_the_command():
    with running_command() as url, WireClient.connect(url, timeout=PATIENCE) as client:
        assert json.loads(next_text(client).text)["type"] == "connection_established"


def test_a_server_runs_on_one_processor_unless_told_otherwise():
    allowed = os.sched_getaffinity(0)
    for options, processors in ((), 1), (("--pin-cpu", "none"), len(allowed)):
        with own_server(options) as server:
            found = os.sched_getaffinity(server.pid)
            assert len(found) == processors and found <= allowed


def test_memory_is_given_back_while_it_waits_for_the_end():
    program = (
        "from importlib import import_module; from livestream.cli import cli\n"
        "serve = import_module('livestream.cli.serve')\n"
        "serve.MEMORY_BACK_INTERVAL = 0.01\n"
        "serve.give_memory_back = lambda: print('given back', flush=True)\n"
        "cli(['serve', '--host', '127.0.0.1', '--port', '0'])\n")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with process:
        lines = [next(line for line in process.stdout if line == "given back\n") for _ in range(3)]
        process.terminate()
        assert process.communicate(timeout=PATIENCE)[0].endswith("stopped\n")
    assert (lines, process.returncode) == (["given back\n"] * 3, 0)
