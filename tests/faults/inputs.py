"""Bad inputs: to the JSON reader and to the frame path, guided by coverage, and over the wire."""

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random

from livestream.parity.cases import load_cases, wire_bytes
from livestream.wire.client import Kind, WireClient, WireError
from livestream.wire.frames import Opcode, encode_frame
from tests.faults.crowd import look
from tests.faults.table import Outcome
from tests.support import PATIENCE, Command, next_text, wait_until

#: No input of a guided run may take longer, in seconds.
LONGEST = 10
#: Nor may its process need more memory, in megabytes.
MOST_MEMORY = 300
#: Bytes of an input.
LARGEST = 4_096
#: How many talk to the server at once.
TALKERS = 8
SEED = 20_251_016
#: Memory that may be kept, beyond what a server needs that has just started, in bytes: a registry entry for
#: every connection, and what an allocator keeps for the next.
KEPT = 30_000_000


def bad_json(count: int) -> Outcome:
    """Text messages to the endpoint and its JSON reader."""
    texts = [step["text"] for case in load_cases("messages.jsonl") for step in case.send if "text" in step]
    return guided("endpoint", "text messages to the endpoint", count, (text.encode() for text in texts))


def bad_frames(count: int) -> Outcome:
    """Bytes to a connection after its handshake."""
    cases = load_cases("frames.jsonl")
    return guided("frames", "byte sequences to the frame path", count,
                  (b"".join(map(wire_bytes, case.send)) for case in cases))


def guided(target: str, what: str, count: int, seeds: Iterable[bytes]) -> Outcome:
    """A run of `guided`, from the corpus on."""
    with tempfile.TemporaryDirectory() as folder:
        begin = Path(folder) / "inputs"
        begin.mkdir()
        for number, seed in enumerate(seed for seed in seeds if len(seed) <= LARGEST):
            (begin / str(number)).write_bytes(seed)
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.guided", target, str(begin), f"-runs={count}",
             f"-seed={SEED}", f"-timeout={LONGEST}", f"-max_len={LARGEST}", f"-artifact_prefix={folder}/",
             f"-rss_limit_mb={MOST_MEMORY}", "-print_final_stats=1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace")
        lasting = len(list(begin.iterdir()))
    ran = re.search(r"number_of_executed_units: +(\d+)", done.stdout)
    slowest = re.search(r"slowest_unit_time_sec: +(\d+)", done.stdout)
    memory = re.search(r"peak_rss_mb: +(\d+)", done.stdout)
    played = int(ran[1]) if ran else 0
    return Outcome(
        f"{played:,} generated {what}, guided by coverage; {lasting:,} led further",
        "nothing raised" if done.returncode == 0 else _complaint(done.stdout),
        f"the slowest took under {int(slowest[1]) + 1 if slowest else LONGEST} s, "
        f"memory peaked at {memory[1] if memory else '?'} MB",
        done.returncode == 0 and played >= count)


def _complaint(out: str) -> str:
    lines = [line for line in out.splitlines() if "Error" in line or "Exception" in line]
    return lines[0].strip() if lines else "it ended without a word"


def bad_bytes(count: int) -> Outcome:
    """Broken frames to a real server, from several clients at once, until it has closed on each."""
    server = Command("--log-level", "error")
    try:
        with WireClient.connect(server.url, timeout=PATIENCE) as client:
            next_text(client, "tps_update")
        before = look(server.process.pid)
        began = time.monotonic()
        talkers = [Talker(server.url, count // TALKERS, Random(SEED + number)) for number in range(TALKERS)]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join()
        seconds = time.monotonic() - began
        wait_until(lambda: look(server.process.pid).threads <= before.threads)
        after = look(server.process.pid)
        code, _, err = server.stop()
    finally:
        server.kill()
    hung = sum(talker.hung for talker in talkers)
    grown = after.rss - before.rss
    return Outcome(
        f"{sum(talker.sent for talker in talkers):,} broken frames over the wire in {seconds:.0f} s, "
        f"{sum(talker.connections for talker in talkers):,} connections",
        f"{hung} connections not ended",
        f"{after.threads - before.threads} threads, {after.descriptors - before.descriptors} descriptors, "
        f"{grown / 1e6:+.1f} MB",
        hung == 0 and code == 0 and "Traceback" not in err and after.descriptors <= before.descriptors
        and grown <= KEPT,
        err.strip().splitlines()[-1] if err.strip() else "")


class Talker(threading.Thread):
    """Sends frames, most of them broken, until there were enough; connects again whenever it is closed on."""

    def __init__(self, url: str, count: int, random: Random) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._count = count
        self._random = random
        self._whole = [b"".join(map(wire_bytes, case.send)) for case in load_cases("frames.jsonl")]
        self._whole = [data for data in self._whole if len(data) <= LARGEST]
        self.sent = self.connections = self.hung = 0

    def run(self) -> None:
        while self.sent < self._count:
            try:
                client = WireClient.connect(self._url, timeout=PATIENCE)
            except WireError:
                self.hung += 1  # Nobody is there, or nobody answers.
                return
            self.connections += 1
            try:
                with client:
                    self._talk(client)
            except WireError as error:  # It closed while we were sending, unless it took no more.
                self.hung += isinstance(error.__cause__, TimeoutError)

    def _talk(self, client: WireClient) -> None:
        """One connection, until it is over."""
        while self.sent < self._count:
            self.sent += 1
            client.send_raw(self._broken(self._random.choice(self._whole)))
            if any(event.kind in (Kind.CLOSE, Kind.EOF, Kind.RESET) for event in _waiting(client)):
                break
        client.send_raw(encode_frame(Opcode.CLOSE, b"\x03\xe8", mask=bytes(4)))
        client.half_close()
        ended = client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), PATIENCE)
        self.hung += not ended or ended[-1].kind not in (Kind.EOF, Kind.RESET)

    def _broken(self, data: bytes) -> bytes:
        """Some of its bytes changed, left out or doubled."""
        changed = bytearray(data)
        for _ in range(self._random.randrange(4)):
            at = self._random.randrange(len(changed) + 1)
            match self._random.randrange(3):
                case 0:
                    changed[at:at + 1] = self._random.randbytes(1)
                case 1:
                    del changed[at:at + self._random.randrange(1, 9)]
                case _:
                    changed[at:at] = changed[at:at + self._random.randrange(1, 9)]
        return bytes(changed)


def _waiting(client: WireClient) -> Iterable[object]:
    while (event := client.receive(0)) is not None:
        yield event
