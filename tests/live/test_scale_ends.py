"""`livestream scale` that is ended, or loses its server, or has a load that can't keep up: what is kept."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest

from livestream.lab.experiment import Setup, Watcher, run_experiment
from livestream.lab.experiments.models import models
from livestream.lab.load import Load
from livestream.lab.results import Results
from livestream.lab.server import Server
from tests.scaling import BUSY, QUICK, Run
from tests.support import PATIENCE, Command, wait_until

pytestmark = pytest.mark.timeout(300)

CLIENTS = 5
#: Threads of a server that has them all, and no connection that is only counted.
EVERYONE = CLIENTS * 5
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def first_line(run):
    """What it tells when its first step is made."""
    line = run.process.stdout.readline()
    assert line.startswith(f"{CLIENTS} clients: up {CLIENTS}, "), line
    return line


def kept_first_step(scaled, remark):
    assert scaled.code == 130
    results = scaled.results
    assert (results["finished"], results["planned"], len(scaled.steps)) == (False, 2, 1)
    assert scaled.step["clients"] == CLIENTS
    assert scaled.step["figures"]["channel_threads"] == CLIENTS * 4
    assert len(scaled.rows) == 1
    assert results["notes"][-1] == remark
    assert "stopped after 1 of 2 steps" in (scaled.folder / "report.html").read_text()
    assert scaled.out.splitlines()[-1] == f"report {scaled.folder / 'report.html'}"


# --- ended by somebody


class Terminal:
    """A terminal of a command's own: what was shown on it, and a keyboard."""

    def __init__(self):
        self._keyboard, self.slave = pty.openpty()
        self.shown = ""
        self._thread = threading.Thread(target=self._read, name="terminal")
        self._thread.start()

    def begin(self):
        """In the child, once it leads a session: then Ctrl-C goes to it, and to whom shares its session."""
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def type(self, keys):
        os.write(self._keyboard, keys)

    def close(self):
        """Once the command has ended: nobody else holds the other end, so that reading ends too."""
        os.close(self.slave)
        self._thread.join()
        os.close(self._keyboard)

    def _read(self):
        while select.select([self._keyboard], [], [])[0]:
            try:
                self.shown += os.read(self._keyboard, 65_536).decode()
            except OSError:
                return


def test_a_finished_step_has_a_line_of_its_own_above_the_bar():
    code = "\n".join((
        "from livestream.cli.progress import showing_time",
        "from livestream.cli.scaling import _Passed, _Shown",
        "from livestream.lab.experiment import Planned",
        "from livestream.lab.results import Step",
        "with showing_time(20, lambda: 5) as doing:",
        "    shown = _Shown(_Passed(), doing)",
        "    shown.begin(Planned('', 7, 10, None))",
        "    shown.end(Step('', 7, {'up': 7}, ('The first doubt.',)))"))
    terminal = Terminal()
    try:
        subprocess.run(
            [sys.executable, "-c", code], stdin=terminal.slave, stdout=terminal.slave, stderr=terminal.slave,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100"}, timeout=PATIENCE, check=True)
    finally:
        terminal.close()
    assert "0:00:15 left" in terminal.shown
    # Each line begins where the bar was wiped, or after another.
    for line in ("7 clients: up 7", "  INVALID: The first doubt."):
        assert re.search(rf"(\x1b\[2K|\n){re.escape(line)} *\r?\n", terminal.shown), line


@contextmanager
def on_a_terminal(folder, *words, **options):
    terminal = Terminal()
    try:
        with Run(folder, *words, stdin=terminal.slave, stderr=terminal.slave, start_new_session=True,
                 preexec_fn=terminal.begin, env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
                 **options) as run:
            yield run, terminal
    finally:
        terminal.close()


def test_ctrl_c_in_the_second_step_keeps_the_first(tmp_path):
    with on_a_terminal(tmp_path, *QUICK, "--clients", f"{CLIENTS},{CLIENTS + 1}") as (run, terminal):
        line = first_line(run)
        # The server of the second step is up, and its clients come.
        run.server_with(EVERYONE, 3)
        wait_until(lambda: len(run.seen.loads) == 2)
        terminal.type(b"\x03")
        scaled = run.ended(PATIENCE * 3)
    scaled.out = line + scaled.out
    kept_first_step(scaled, "Stopped after 1 of 2 steps.")
    # One was tried, and on one transport threads were counted.
    assert len(run.seen.servers) == 4 and run.seen.none_left()
    shown_while_it_ran(terminal.shown)
    # What is for a file has no colours and no bar in it, and is not shown elsewhere.
    assert "\x1b" not in scaled.out and "delivered" not in terminal.shown


def shown_while_it_ran(shown):
    assert re.search(r"0:00:\d\d left", shown)
    for doing in (f"{CLIENTS} clients: starting", "measuring", f"{CLIENTS + 1} clients: starting"):
        assert doing in shown
    left = [int(seconds) for seconds in re.findall(r"0:00:(\d\d) left", shown)]
    assert left == sorted(left, reverse=True) and left[0] > left[-1]
    # The terminal is as before: its cursor shown, the bar wiped.
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert shown.rindex("\x1b[2K") > shown.rindex(" left")
    assert "Traceback" not in shown


def ended_by(how, folder):
    with Run(folder, "--clients", 1000, "--rate", 10) as run:
        run.server_with(40, 1)
        run.process.send_signal(how)
        return run.ended(PATIENCE * 6)


def test_whoever_ends_it_before_anything_is_measured_no_process_is_left(tmp_path):
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with ThreadPoolExecutor(len(signals)) as pool:
        ends = list(pool.map(ended_by, signals, [tmp_path / how.name for how in signals]))
    for scaled in ends:
        assert len(scaled.seen.servers) == 3 and scaled.seen.none_left()
        assert (scaled.code, scaled.err.strip(), scaled.steps) == (130, "", [])
        assert scaled.results["finished"] is False
        assert scaled.results["notes"] == ["Stopped after 0 of 1 steps."]
        assert (scaled.folder / "report.html").exists()


# --- a server that is lost


def test_a_server_that_is_killed_costs_its_own_step_only(tmp_path):
    with Run(tmp_path, *QUICK, "--clients", f"{CLIENTS},{CLIENTS + 1}") as run:
        server = run.server_with(EVERYONE, 1)
        wait_until(lambda: run.seen.loads)
        psutil.Process(server.pid).kill()
        scaled = run.ended()
    first, second = scaled.steps
    assert scaled.code == 1
    assert first["invalid"] == [f"Process {server.pid} has ended."]
    assert first["figures"] == {} and [row["valid"] for row in scaled.rows][0] == "false"
    assert second["figures"]["channel_threads"] == (CLIENTS + 1) * 4
    assert [why for why in second["invalid"] if not BUSY.fullmatch(why)] == []
    assert scaled.results["finished"]
    assert f"{CLIENTS} clients: no figures\n  INVALID: Process {server.pid} has ended.\n" in scaled.out
    assert f"Process {server.pid} has ended." in (tmp_path / "report.html").read_text()


def lost(seen, folder):
    """The server's pid, and what is left when it is killed with the first step's clients on it."""
    server = Command("--time-scale", "0.1")
    pid = server.process.pid
    options = ("--url", server.url, *(("--pid", pid) if seen else ()))
    try:
        with Run(folder, *QUICK, "--clients", f"{CLIENTS},{CLIENTS + 1}", *options) as run:
            wait_until(lambda: run.seen.loads, 2 * PATIENCE)
            wait_until(lambda: len(psutil.Process(pid).threads()) > EVERYONE)
            server.kill()
            return pid, run.ended()
    finally:
        server.kill()


def test_a_given_server_that_is_killed_costs_every_step(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        seen, from_afar = pool.map(lost, (True, False), (tmp_path / "seen", tmp_path / "from afar"))
    for _, scaled in (seen, from_afar):
        assert (scaled.code, scaled.err, len(scaled.steps)) == (1, "", 2)
        assert scaled.rows[-1]["valid"] == "false"
        assert (scaled.folder / "report.html").exists()
    pid, scaled = seen
    assert [step["invalid"] for step in scaled.steps] == [
        [f"Process {pid} has ended."], [f"There is no process {pid}."]]
    first, second = from_afar[1].steps
    # Nobody sees that it is gone, but what did not come any more is counted.
    assert first["invalid"] or first["figures"]["delivered"] < 90
    assert second["invalid"][-1].startswith("No client came up: ")


# --- figures that don't count


def stutter(process, until):
    """Stops and continues a process again and again: so it is always late."""
    while not until():
        for how in (signal.SIGSTOP, signal.SIGCONT):
            try:
                process.send_signal(how)
            except psutil.NoSuchProcess:
                return
            turn = time.monotonic() + 0.1
            wait_until(lambda: time.monotonic() > turn)


def test_a_load_that_can_not_keep_up_makes_the_step_invalid(tmp_path):
    with Run(tmp_path, *QUICK, "--clients", CLIENTS) as run:
        load = wait_until(lambda: run.seen.loads, 2 * PATIENCE)[0]
        stutter(psutil.Process(load.pid), lambda: not psutil.pid_exists(load.pid))
        scaled = run.ended()
    why, = scaled.step["invalid"]
    late = re.fullmatch(r"The load's own event loop was (\d+) ms late \(p99\)\.", why)
    assert late and 50 < int(late[1])
    assert scaled.code == 1
    assert f"\n  INVALID: {why}\n" in scaled.out
    assert (scaled.rows[0]["valid"], scaled.rows[0]["remarks"][:len(why)]) == ("false", why)
    # The figures are there all the same, for whoever knows better.
    assert scaled.step["figures"]["up"] == CLIENTS
    assert "1 step, invalid" in (tmp_path / "report.html").read_text()
    assert "what the report claims" not in scaled.out


def test_a_broadcaster_whose_messages_are_wrong_has_no_figures_that_count():
    @contextmanager
    def open_broken(options):
        words = ("--time-scale", "0.1", "--break", "extra-key")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.parity.broken_server", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield Server(process.stdout.readline().strip(), process.pid)
        finally:
            process.communicate(timeout=PATIENCE)

    setup = Setup(open_broken, True, Load("", 0, 0.5, time_scale=0.1), (2,))
    results = Results("models", "", "", 0, "broadcaster")
    run_experiment(results, models(setup, ("pool",)), Watcher(), lambda _: None)
    wrong, = results.steps
    complaint = wrong.invalid[-1]
    assert complaint.startswith("It doesn't pass the message corpus: different: contract/every message: ")
    assert wrong.figures["channel_threads"] == 8
