"""A copy of the project, and commands run in it as a reader types them."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.documents import ROOT
from tests.support import PATIENCE

#: What a command needs is not copied, or is made there.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "build", "dist", "*.egg-info")
#: What `make test ARGS=…` leaves to the commands that it starts, and a reader's shell doesn't have.
MAKES_OWN = {"ARGS", "JOBS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}
#: Where a server in this copy tells that it listens.
_ADDRESS = re.compile(r"\b(?:ws|http)://(?:127\.0\.0\.1|localhost|0\.0\.0\.0):(\d+)")


def copy_project(folder: Path) -> Path:
    """The project with an environment in which everything is installed already."""
    tree = folder / "livestream"
    shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
    environment = tree / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith("."):
            (environment / entry.name).symlink_to(entry)
    for done in (".run", ".dev"):
        (environment / done).touch()
    return tree


def surroundings(tree: Path, **more: str) -> dict[str, str]:
    """The variables of a command: this copy's package, and a free port of this machine alone."""
    variables = {
        "PATH": f"{tree}/.venv/bin{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(tree),
        "PYTHONUNBUFFERED": "1", "LIVESTREAM_HOST": "127.0.0.1", "LIVESTREAM_PORT": "0",
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{free_port()}",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in MAKES_OWN}
    return inherited | variables | more


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Ran(NamedTuple):
    code: int
    said: str


def run(command: str, tree: Path, timeout: float = 120) -> Ran:
    """A command line in the copy, to its end."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=tree, env=surroundings(tree), timeout=timeout,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return Ran(done.returncode, done.stdout)


class Running:
    """A command that goes on until Ctrl-C; whatever it says is kept."""

    def __init__(self, command: str, tree: Path) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            ["bash", "-c", command], cwd=tree, env=surroundings(tree), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_for(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Reads until it has said so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"it ended and never said {pattern}: {self.said}")

    def port(self) -> int:
        """Of the server that this is, once it says so."""
        return int(self.wait_for(_ADDRESS)[1])

    def interrupt(self) -> str:
        """Ctrl-C, which all that it started get, as in a terminal; returns all that it said."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.said += self.process.communicate(timeout=3 * PATIENCE)[0]
        return self.said

    def kill(self) -> None:
        """Whatever it does, it is gone afterwards."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@contextmanager
def running(command: str, tree: Path) -> Iterator[Running]:
    started = Running(command, tree)
    try:
        yield started
    finally:
        started.kill()


class Place(NamedTuple):
    """A server of the copy, for commands that need one."""

    port: int
    pid: int


@contextmanager
def server(tree: Path, *options: str) -> Iterator[Place]:
    with running(shlex.join(["exec", "livestream", "serve", *options]), tree) as started:
        port = started.port()
        yield Place(port, started.process.pid)
        assert "stopped" in started.interrupt()


def filled(command: str, places: Mapping[str, str]) -> str:
    """With what the reader fills in: each name in capitals, and the port where another server may be."""
    for name, value in places.items():
        command = re.sub(rf"(?<![\w=]){re.escape(name)}(?![\w=])", lambda match: value, command)
    return command
