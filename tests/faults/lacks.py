"""What the machine may lack: descriptors, threads, room for a log, a clock that runs evenly."""

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from livestream.contract import NO_THREAD_LEFT
from livestream.wire.client import WireClient, WireError, http_request
from livestream.wire.events import Kind
from tests.faults.table import NOTHING, Outcome, held, left_behind
from tests.support import PATIENCE, Command, next_text, wait_until

#: Of Debian's package faketime, which shifts a process's clock.
FAKETIME = "*/faketime/libfaketime.so.1"
QUICK = ("--time-scale", "0.1")
DAY = 86_400


class Limit(NamedTuple):
    """Its number (getrlimit) and its option (prlimit)."""

    number: int
    option: str


LIMITS = {
    "descriptors": Limit(resource.RLIMIT_NOFILE, "nofile"),
    "threads": Limit(resource.RLIMIT_NPROC, "nproc"),  # `ulimit -u`
    "memory": Limit(resource.RLIMIT_AS, "as"),
}


@contextmanager
def served(*options: str, **process: object) -> Iterator[Command]:
    server = Command(*QUICK, *options, **process)
    try:
        yield server
    finally:
        server.kill()


def _refused(url: str) -> str:
    """What a client that is not let in is told; "" for one that is, which goes again."""
    try:
        with WireClient.connect(url, timeout=PATIENCE) as client:
            next_text(client, "tps_update")
            return ""
    except (WireError, AssertionError) as error:
        return str(error)


def _wait_for_an_answer(client: WireClient) -> None:
    """An update, or the word that there is no thread for it: its handler may have had the last one."""
    answers = ('{"type":"tps_update"', '{"type":"error"')
    events = client.receive_until(
        lambda event: event.kind is Kind.TEXT and event.text.startswith(answers), PATIENCE)
    assert events and events[-1].kind is Kind.TEXT, f"neither an update nor an error came: {events}"
    if events[-1].text.startswith(answers[1]):
        assert NO_THREAD_LEFT in events[-1].text, events


def _lacking(name: str, few: Callable[[psutil.Process], int], clients: int, **how: object) -> Outcome:
    """Lowers a limit of the running server, fills it with clients, and lifts it again."""
    with served("--log-level", "warning", **how) as server, ExitStack() as stack:
        process = psutil.Process(server.process.pid)
        before, hard = held(process), _limit(name)
        _set_limit(process, name, str(few(process)))
        answer, inside = "", 0
        while not answer and inside < clients:
            try:
                client = stack.enter_context(WireClient.connect(server.url, timeout=PATIENCE))
                _wait_for_an_answer(client)
                inside += 1
            except (WireError, AssertionError) as error:
                answer = str(error)
        _set_limit(process, name, hard)
        wait_until(lambda: _refused(server.url) == "")
        stack.pop_all().close()
        left = left_behind(process, before)
        code, _, err = server.stop()
    clear = "503" in answer
    return Outcome(
        f"{name} used up by {inside} clients, then there are enough again",
        "whoever came beyond got 503" if clear else f"told only: {answer}",
        left if code == 0 else f"exit code {code}",
        clear and code == 0 and left == NOTHING and "Traceback" not in err)


def _limit(name: str) -> str:
    """The hard limit, which the server has from us."""
    hard = resource.getrlimit(LIMITS[name].number)[1]
    return "unlimited" if hard == resource.RLIM_INFINITY else str(hard)


def _set_limit(process: psutil.Process, name: str, soft: str) -> None:
    """As the server's own user: not every root may do so to others."""
    option = f"--{LIMITS[name].option}={soft}:{_limit(name)}"
    who = {} if os.getuid() else {"user": process.uids().real, "group": process.gids().real}
    subprocess.run(["prlimit", "--pid", str(process.pid), option], check=True, **who)


def no_descriptors() -> Outcome:
    """Descriptors used up."""
    return _lacking("descriptors", lambda process: process.num_fds() + 20, 100)


def no_threads() -> Outcome:
    """Threads refused."""
    return _lacking(
        "threads", lambda process: _threads_of_user(process) + 100, 1_000, module="tests.faults.as_somebody")


def _threads_of_user(process: psutil.Process) -> int:
    users = [other for other in psutil.process_iter(["uids", "num_threads"])
             if other.info["uids"] is not None and other.info["uids"].real == process.uids().real]
    return sum(other.info["num_threads"] or 0 for other in users)


def no_memory() -> Outcome:
    """No memory for the stacks of threads."""
    room = 400 * 2**20
    return _lacking("memory", lambda process: process.memory_info().vms + room, 1_000)


def disk_full() -> Outcome:
    """Every write of the log fails."""
    with open("/dev/full", "w") as full, served("--log-level", "debug", stderr=full) as server:
        refusals = [_refused(server.url) for _ in range(50)]
        server.process.send_signal(signal.SIGTERM)
        out, _ = server.process.communicate(timeout=PATIENCE)
    lost = sum(map(bool, refusals))
    return Outcome(
        "the log's disk is full; 50 clients come and go", f"{lost} clients; the log",
        "nothing" if out.endswith("stopped\n") else "it did not stop",
        lost == 0 and out.endswith("stopped\n") and server.process.returncode == 0)


def clock_jumps(jumps: int = 20) -> Outcome:
    """The machine's clock jumps a day ahead and back."""
    library = next(Path("/usr/lib").glob(FAKETIME), None)
    if library is None:
        return Outcome("nothing", "", "", False, "The clock can't be shifted: install Debian's faketime.")
    with tempfile.TemporaryDirectory() as folder:
        shift = Path(folder) / "shift"
        shift.write_text("+0")
        environment = {
            **os.environ, "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(shift),
            "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
        with served("--log-level", "error", env=environment) as server:
            gaps, shifts = _gaps(server, shift, jumps)
            answer = http_request(server.url, "GET", "/api/v11/live/validators", timeout=PATIENCE)
            code, _, err = server.stop()
    worst = max(gaps)
    return Outcome(
        f"the clock jumps by a day, {jumps} times ahead and back",
        f"the longest gap between updates was {worst * 1000:.0f} ms, of 100",
        "nothing" if code == 0 else f"exit code {code}",
        shifts > 1 and worst < 1.0 and answer.status == 200 and code == 0 and "Traceback" not in err,
        "" if shifts > 1 else "the clock did not jump")


def _gaps(server: Command, shift: Path, jumps: int) -> tuple[list[float], int]:
    """Between updates, while the clock jumps; and how many days their timestamps are from."""
    gaps, days = [], set()
    with WireClient.connect(server.url, timeout=PATIENCE) as client:
        next_text(client, "tps_update")
        last = time.monotonic()
        for number in range(jumps):
            shift.write_text(f"{'+' if number % 2 else '-'}{DAY}")
            for _ in range(3):
                text = next_text(client, "tps_update").text
                days.add(int(text.rpartition(":")[2].rstrip("}")) // 1_000 // DAY)
                now = time.monotonic()
                gaps.append(now - last)
                last = now
    return gaps, len(days)
