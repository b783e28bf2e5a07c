"""Records one client's life: what it does is a table, what becomes of the threads is the server's to say."""

import json
import threading
import time

from livestream import contract
from livestream.app import LiveServer
from livestream.settings import Settings
from livestream.stream.profiles import Profile
from livestream.wire.client import WireClient
from livestream.wire.handshake import http_request
from tests.examples.diagrams.life import HANDLER, Act, Life, ThreadLife
from tests.support import PATIENCE, SUBSCRIBE

UNSUBSCRIBE = SUBSCRIBE.replace("subscribe", "unsubscribe")
TPS = contract.TPS_UPDATES.name
OTHERS = [channel.name for channel in contract.CHANNELS if channel.name != TPS]
#: What the client does between opening and closing: when, what that is called, and its messages. The times
#: keep away from those of updates: what comes first must not be chance.
SCRIPT = (
    (1.4, "subscribe to the other three", [SUBSCRIBE % name for name in OTHERS]),
    (3.2, f"subscribe to {TPS} again", [SUBSCRIBE % TPS]),
    (5.3, f"unsubscribe from {TPS}", [UNSUBSCRIBE % TPS]),
)
CLOSE_AT = 6.8
#: Pause between two looks at the threads, in real seconds.
PAUSE = 0.005


def record(profile: Profile, time_scale: float = 1.0) -> Life:
    """One life under this profile, from a server of its own."""
    settings = Settings(host="127.0.0.1", port=0, profile=profile, time_scale=time_scale)
    with LiveServer(settings) as server:
        recorder = _Recorder(server.url("http", ""), time_scale)
        recorder.live()
    threads = sorted(recorder.threads.values(), key=lambda thread: (thread.name != HANDLER, thread.began))
    return Life(profile.name, recorder.acts, threads)


class _Recorder:
    """The client, and whoever looks at the server's threads between what it does."""

    def __init__(self, url: str, time_scale: float) -> None:
        self.acts: list[Act] = []
        self.threads: dict[str, ThreadLife] = {}
        self._url = url
        self._scale = time_scale
        self._start = time.monotonic()
        self._pause = threading.Event()

    def live(self) -> None:
        """Opens, does what the script says, closes, and looks on until the last thread has ended."""
        self._act("open")
        with WireClient.connect(self._url, timeout=PATIENCE) as client:
            for at, what, messages in SCRIPT:
                self._look_until(at)
                self._act(what)
                for message in messages:
                    client.send_text(message)
            self._look_until(CLOSE_AT)
            self._act("close")
        self._look_until_all_ended()

    def _act(self, what: str) -> None:
        self.acts.append(Act(self._now(), what))

    def _now(self) -> float:
        return round((time.monotonic() - self._start) / self._scale, 3)

    def _look_until(self, at: float) -> None:
        while self._now() < at:
            self._look()
            self._pause.wait(PAUSE)

    def _look_until_all_ended(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while any(thread.ended is None for thread in self.threads.values()):
            assert time.monotonic() < deadline, f"threads that don't end: {self.threads}"
            self._look()
            self._pause.wait(PAUSE)

    def _look(self) -> None:
        """Asks for the threads; what is new since the last time has happened now."""
        answer = http_request(self._url, "GET", contract.LAB_THREADS_PATH, timeout=PATIENCE)
        now = self._now()
        seen = {_name(cell, lane): cell["sends"] or 0
                for lane in json.loads(answer.body)["lanes"] for cell in lane["threads"]}
        for name, sends in seen.items():
            thread = self.threads.setdefault(name, ThreadLife(name, now))
            thread.sends += [now] * (sends - len(thread.sends))
        for thread in self.threads.values():
            if thread.name not in seen and thread.ended is None:
                thread.ended = now


def _name(cell: dict[str, str], lane: dict[str, str]) -> str:
    """Without the connection's id, which is another each time."""
    if cell["role"] == HANDLER:
        return HANDLER
    return cell["name"].removeprefix(f"stream-{lane['connection']}-")
