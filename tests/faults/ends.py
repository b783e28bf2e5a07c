"""The server's own ends under load: killed and started again, and asked to stop."""

import signal
import socket
from contextlib import ExitStack, suppress

import psutil

from livestream.client import StreamClient
from livestream.client.life import State
from livestream.client.settings import ClientSettings
from livestream.contract import CHANNELS, CLOSE_GOING_AWAY
from livestream.wire.client import Kind, WireClient
from tests.faults.table import NOTHING, Outcome, held, left_behind
from tests.support import PATIENCE, SUBSCRIBE, Command, next_text, wait_until

#: A tenth of a second stands for a second.
SCALE = ("--time-scale", "0.1", "--log-level", "error")
#: Those of a server without clients: the main thread, the one that accepts, the validators'.
OWN_THREADS = 3
QUICKLY = ClientSettings(reconnect_delay=0.3, reconnect_attempts=8)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Follower:
    """A client of ours that subscribes to everything and counts what comes."""

    def __init__(self, url: str) -> None:
        self.client = StreamClient(url, settings=QUICKLY)
        self.seen: dict[str, int] = {}
        for channel in CHANNELS:
            self.client.on(channel.message_type, self._count)
        self.client.connect()
        for channel in CHANNELS:
            self.client.subscribe(channel.name)

    def _count(self, message: object) -> None:
        name = str(getattr(message, "type"))
        self.seen[name] = self.seen.get(name, 0) + 1

    @property
    def has_all(self) -> bool:
        return self.client.state is State.OPEN and len(self.seen) == len(CHANNELS)


def killed_and_started_again(clients: int = 100) -> Outcome:
    """kill -9 and restart: clients of ours are back, and subscribed to what they were."""
    port = ("--port", str(free_port()))
    with ExitStack() as stack:
        first = Command(*SCALE, *port)
        stack.callback(first.kill)
        followers = [Follower(first.url) for _ in range(clients)]
        for follower in followers:
            stack.callback(follower.client.close)
        wait_until(lambda: all(follower.has_all for follower in followers), 3 * PATIENCE)
        first.process.kill()
        first.process.wait()
        for follower in followers:
            follower.seen.clear()
        second = Command(*SCALE, *port)
        stack.callback(second.kill)
        # Its clients come at once: what it needs by itself is the main thread and the one that accepts.
        before = held(psutil.Process(second.process.pid))._replace(threads=OWN_THREADS)
        with suppress(AssertionError):
            wait_until(lambda: all(follower.has_all for follower in followers), 6 * PATIENCE)
        back = sum(follower.has_all for follower in followers)
        for follower in followers:
            follower.client.close()
        left = left_behind(psutil.Process(second.process.pid), before)
    return Outcome(
        f"kill -9 under {clients:,} clients of ours, and started again",
        f"{clients - back} clients not back with all four channels", left,
        back == clients and left == NOTHING)


def asked_to_stop(clients: int = 300) -> Outcome:
    """SIGTERM: everyone gets Close 1001."""
    server = Command(*SCALE)
    with ExitStack() as stack:
        stack.callback(server.kill)
        sides = [
            stack.enter_context(WireClient.connect(server.url, timeout=PATIENCE)) for _ in range(clients)]
        for side in sides:
            for channel in CHANNELS:
                side.send_text(SUBSCRIBE % channel.name)
            next_text(side, "subscription_confirmed")
        server.process.send_signal(signal.SIGTERM)
        told = sum(_last_code(side) == CLOSE_GOING_AWAY for side in sides)
        code, out, _ = server.stop()
    return Outcome(
        f"SIGTERM under {clients:,} clients with all channels",
        f"{clients - told} clients without Close 1001",
        "nothing" if out.endswith("stopped\n") else out.strip().splitlines()[-1],
        told == clients and code == 0 and out.endswith("stopped\n"))


def _last_code(side: WireClient) -> int | None:
    events = side.receive_until(lambda event: event.kind in (Kind.CLOSE, Kind.EOF, Kind.RESET), PATIENCE)
    return events[-1].code if events and events[-1].kind is Kind.CLOSE else None
