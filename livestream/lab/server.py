"""The server that is measured: started here through the command line, or one that runs already."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Final

#: How long a server may take until it answers, and to stop, in seconds.
START_TIMEOUT: Final = 30.0
STOP_TIMEOUT: Final = 30.0
#: What `livestream serve` prints first: the stream's URL, and last: now it answers.
_URL_LINE: Final = "stream"
_LAST_LINE: Final = "stop"


class ServerError(Exception):
    """The server did not start; says why in one sentence."""


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    #: Of its stream.
    url: str
    #: None for a server on another machine: what it uses can't be seen then.
    pid: int | None


#: Given options of `livestream serve`; what another server than ours makes of them is its own affair.
OpenServer = Callable[[Sequence[str]], AbstractContextManager[Server]]


@contextmanager
def own_server(options: Sequence[str] = ()) -> Iterator[Server]:
    """`livestream serve` on a free port of this machine, with these options, until left. ServerError.

    In a session of its own: Ctrl-C is for whoever measures, who ends it then.
    """
    command = [sys.executable, "-m", "livestream", "serve", "--host", "127.0.0.1", "--port", "0"]
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [*command, "--log-level", "error", *options],
            stdout=subprocess.PIPE, stderr=complaints, start_new_session=True)
        try:
            yield Server(_greeting(process, complaints), process.pid)
        finally:
            _stop(process)


def running_server(url: str, pid: int | None) -> OpenServer:
    """A server that somebody else started, and ends."""

    @contextmanager
    def open_server(options: Sequence[str] = ()) -> Iterator[Server]:
        yield Server(url, pid)

    return open_server


def _greeting(process: "subprocess.Popen[bytes]", complaints: IO[str]) -> str:
    """The stream's URL, once the server says that it answers."""
    url, text = "", b""
    deadline = time.monotonic() + START_TIMEOUT
    assert process.stdout is not None
    while select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(process.stdout.fileno(), 4096)
        if not chunk:
            process.wait()
            raise ServerError(f"The server did not start: {_last_line(complaints)}")
        text += chunk
        *lines, text = text.split(b"\n")
        for key, _, value in (line.decode().partition(" ") for line in lines):
            if key == _URL_LINE:
                url = value.strip()
            if key == _LAST_LINE:
                return url
    raise ServerError(f"The server did not answer within {START_TIMEOUT:.0f} s.")


def _last_line(complaints: IO[str]) -> str:
    complaints.seek(0)
    lines = complaints.read().strip().splitlines()
    return lines[-1].removeprefix("livestream: ") if lines else "it gave no reason."


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Politely, and by force when that takes too long."""
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
