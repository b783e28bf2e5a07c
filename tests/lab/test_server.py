"""The server that is measured: up when it is given out, gone afterwards, and out of reach of Ctrl-C."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from livestream.contract import STREAM_PATH
from livestream.lab import server as server_module
from livestream.lab.server import Server, ServerError, own_server, running_server
from livestream.wire.client import WireClient
from tests.lab import child
from tests.support import PATIENCE, next_text

#: Opens a server, says where, and goes on after a Ctrl-C until a line comes.
HOLDER = """
import json, sys
from livestream.lab.server import own_server

with own_server(["--time-scale", "0.02"]) as server:
    print(json.dumps([server.url, server.pid]), flush=True)
    try:
        sys.stdin.readline()
    except KeyboardInterrupt:
        print(json.dumps("interrupted"), flush=True)
        sys.stdin.readline()
print(json.dumps("left"), flush=True)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Has this run in place of Python: whatever the server is started with, it is this."""
    def use(code):
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable}\nimport os, signal, sys, threading\n{code}\n")
        path.chmod(0o755)
        monkeypatch.setattr(server_module.sys, "executable", str(path))

    return use


def children():
    return [process.pid for process in psutil.Process().children()]


def test_it_answers_while_it_is_open_and_leaves_no_process():
    before = children()
    with own_server(["--time-scale", "0.02"]) as server:
        assert children() == [*before, server.pid]
        assert server.url.endswith(STREAM_PATH) and server.url.startswith("ws://127.0.0.1:")
        with WireClient.connect(server.url, timeout=PATIENCE) as client:
            for _ in range(5):
                next_text(client, "tps_update")
    assert children() == before
    assert not psutil.pid_exists(server.pid)


def test_it_is_the_process_that_serves():
    """Not one that has started it: what it uses is what the server uses."""
    with own_server() as server, WireClient.connect(server.url, timeout=PATIENCE) as client:
        port = client.socket.getpeername()[1]
        listening = [one.laddr.port for one in psutil.Process(server.pid).net_connections("tcp")
                     if one.status == psutil.CONN_LISTEN]
    assert listening == [port]


def test_options_go_to_the_command_line():
    options = ["--profile", "shipped", "--max-connections", "77"]
    with own_server(options) as server:
        assert psutil.Process(server.pid).cmdline()[-4:] == options


def test_an_error_inside_ends_the_server_too():
    with pytest.raises(KeyboardInterrupt), own_server() as server:
        raise KeyboardInterrupt
    assert not psutil.pid_exists(server.pid)


@pytest.mark.parametrize(("options", "reason"), [
    (["--profile", "nonsense"], "'nonsense' is not one of 'original', 'shipped', 'corrected'."),
    (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1:0: Cannot assign requested address"),
])
def test_what_the_server_says_of_wrong_options_is_the_error(options, reason):
    before = children()
    with pytest.raises(ServerError) as error, own_server(options):
        raise AssertionError("it did not start")
    assert str(error.value).startswith("The server did not start: ")
    assert str(error.value).endswith(reason)
    assert "livestream:" not in str(error.value) and "\n" not in str(error.value)
    assert children() == before


def test_a_server_that_says_nothing_and_ends(program):
    program("sys.exit(3)")
    with pytest.raises(ServerError, match=r"^The server did not start: it gave no reason\.$"), own_server():
        pass


def test_a_server_that_never_answers(program, monkeypatch):
    monkeypatch.setattr(server_module, "START_TIMEOUT", 1.0)
    program("print('stream  ws://x', flush=True); threading.Event().wait()")
    before, began = children(), time.monotonic()
    with pytest.raises(ServerError, match=r"^The server did not answer within 1 s\.$"), own_server():
        pass
    assert 1.0 <= time.monotonic() - began < 1.0 + PATIENCE
    assert children() == before


def test_a_greeting_may_come_in_pieces(program):
    program(
        "for piece in ('str', 'eam   ws://there\\nsto', 'ck', '\\nREST x\\nstop', '  Ctrl-C', '\\n'):\n"
        "    os.write(1, piece.encode()); threading.Event().wait(0.05)\n"
        "threading.Event().wait()")
    with own_server() as server:
        assert server.url == "ws://there"


def test_a_server_that_won_t_stop_is_killed(program, monkeypatch):
    monkeypatch.setattr(server_module, "STOP_TIMEOUT", 0.2)
    program(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('stream  ws://x\\nstop  never', flush=True); threading.Event().wait()")
    with own_server() as server:
        pass
    assert not psutil.pid_exists(server.pid)


def test_a_server_that_dies_is_left_in_peace():
    with own_server() as server:
        os.kill(server.pid, signal.SIGKILL)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
    assert not psutil.pid_exists(server.pid)


def test_what_a_server_complains_of_does_not_stop_it(program):
    """Far more than a pipe holds."""
    program(
        "print('stream  ws://x', flush=True); os.write(2, b'x' * 1_000_000)\n"
        "print('stop  now', flush=True); threading.Event().wait()")
    with own_server() as server:
        assert server.url == "ws://x"


def test_ctrl_c_for_whoever_measures_does_not_reach_it():
    """It goes to a whole group of processes; the server is in another session, and goes on."""
    with child(HOLDER, start_new_session=True) as holder:
        url, pid = holder.read()
        assert os.getsid(pid) == pid != os.getsid(holder.pid) == holder.pid
        with WireClient.connect(url, timeout=PATIENCE) as client:
            next_text(client, "tps_update")
            os.killpg(holder.pid, signal.SIGINT)
            assert holder.read() == "interrupted"
            for _ in range(20):
                next_text(client, "tps_update")
        print(file=holder.process.stdin, flush=True)
        assert holder.read() == "left"
        assert not psutil.pid_exists(pid)


def test_a_server_that_runs_already_is_not_touched():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        open_server = running_server("ws://there", process.pid)
        for options in ((), ("--ignored",)):
            with open_server(options) as server:
                assert server == Server("ws://there", process.pid)
        assert process.poll() is None
        process.kill()
