"""What many tests need: a server of ours in this process, and waiting without sleeping."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from livestream.app import LiveServer
from livestream.contract import WEBSOCKET_STATS_PATH
from livestream.settings import Settings
from livestream.wire.client import WireClient
from livestream.wire.events import Event, Kind
from livestream.wire.handshake import http_request

#: How long anything may take that should take no time, in seconds: a busy machine is no failure.
PATIENCE = 10.0
#: A client's subscribe, with a hole for the channel.
SUBSCRIBE = '{"type":"subscribe","channel":"%s"}'


def wait_until(condition: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    """Polls until `condition` holds and returns its value; fails the test at the time limit."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"still not so after {timeout} s: {condition}"
        pause.wait(0.005)


class Served:
    """A running server of ours in this process, as a test sees it."""

    def __init__(self, **settings: Any) -> None:
        self.server = LiveServer(Settings(host="127.0.0.1", port=0, **settings))
        host, port = self.server.address
        self.url = f"{'https' if settings.get('tls_cert') else 'http'}://{host}:{port}"
        self.server.start()

    def connect(self, **options: Any) -> WireClient:
        return WireClient.connect(self.url, timeout=PATIENCE, **options)

    def stats(self) -> dict[str, int]:
        """The two statistics of the original, by their own address."""
        answer = http_request(self.url, "GET", WEBSOCKET_STATS_PATH, timeout=PATIENCE)
        numbers = json.loads(answer.body)
        return {name: numbers[name] for name in ("active_connections", "total_connections")}

    def wait_for_active(self, expected: int) -> None:
        wait_until(lambda: self.server.parts.registry.active_connections == expected)

    def threads(self, prefix: str = "stream-") -> list[str]:
        """Names of the living threads of this server's connections, sorted."""
        return sorted(t.name for t in threading.enumerate() if t.name.startswith(prefix))


def next_text(client: WireClient, message_type: str | None = None, timeout: float = PATIENCE) -> Event:
    """The next text message, of one type if given; others are passed over."""
    wanted = f'{{"type":"{message_type}"' if message_type else "{"
    events = client.receive_until(
        lambda event: event.kind is Kind.TEXT and event.text.startswith(wanted), timeout
    )
    assert events and events[-1].kind is Kind.TEXT, f"no {message_type or 'message'} came: {events}"
    return events[-1]


class Command:
    """`livestream serve` in a process of its own, ready to answer."""

    def __init__(
        self, *options: str, python: str = sys.executable, module: str = "livestream", **process: Any,
    ) -> None:
        """`module` is the command's; `process`: how it is started otherwise, see subprocess.Popen."""
        command = [python, "-m", module, "serve", "--host", "127.0.0.1", "--port", "0"]
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | process
        self.process = subprocess.Popen([*command, *options], **how)
        self.greeting: dict[str, str] = {}
        assert self.process.stdout is not None
        for line in self.process.stdout:
            key, _, value = line.strip().partition(" ")
            self.greeting[key] = value.strip()
            if key == "stop":
                break
        self.url = self.greeting.get("stream", "")

    def stop(self, how: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Ends it by a signal; returns the exit code and the rest of both outputs."""
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err

    def kill(self) -> None:
        """Whatever it does, it is gone afterwards."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def running_command(*options: str) -> Iterator[str]:
    """The stream's URL of a server that must exit with 0 and leave no thread."""
    command = Command(*options)
    try:
        yield command.url
        code, out, err = command.stop()
        assert (code, out.splitlines()[-1]) == (0, "stopped"), err
    finally:
        command.kill()
