"""Ctrl-C ends every wait, also one that began just when it came."""

import subprocess
import sys
import threading

import pytest

from livestream.client.waiting import wait_for, wait_until
from tests.support import PATIENCE

#: Another thread takes the signal, so that it wakes nobody: as one does that comes just before the wait.
PROGRAM = """
import signal, sys, threading
from livestream.client import State, StreamClient
from livestream.client.waiting import wait_for

started, pause = threading.Event(), threading.Event()

def main_waits():
    return sys._current_frames()[threading.main_thread().ident].f_code.co_name == "wait"

def interrupt():
    started.wait()
    while not main_waits():
        pause.wait(0.01)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

client = StreamClient("ws://127.0.0.1:1")
messages = iter(StreamClient("ws://127.0.0.1:1").connect())
threading.Thread(target=interrupt, daemon=True).start()
started.set()
try:
    WAIT
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("wait", [
    "next(messages)", "client.wait_for(State.OPEN)", "client.wait_for(State.OPEN, 3_600)",
    "wait_for(threading.Event())",
])
def test_ctrl_c_ends_it_although_nothing_wakes_it(wait):
    program = PROGRAM.replace("WAIT", wait)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE * 3)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_an_event_is_waited_for_and_a_timeout_ends_it():
    event = threading.Event()
    assert not wait_for(event, 0.05)
    event.set()
    assert wait_for(event) and wait_for(event, 0)


def test_a_wait_ends_when_its_time_is_over():
    changed = threading.Condition()
    asked = []
    with changed:
        wait_until(changed, lambda: asked.append(1), 0.05)
        wait_until(changed, lambda: True)
    assert 0 < len(asked) < 10
