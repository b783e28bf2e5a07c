"""The bare thread model in C: it compiles without a warning, speaks as SPEC says, and keeps no thread."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from livestream.contract import CHANNELS, INITIAL_CHANNEL
from livestream.parity.asyncapi import MessageSchemas
from livestream.wire.client import WireClient, WireError
from livestream.wire.events import Event, Kind
from livestream.wire.frames import Opcode, encode_close, encode_frame
from tests.hostile import reset
from tests.support import PATIENCE, SUBSCRIBE, next_text, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
OPTIONS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
OTHERS = [channel for channel in CHANNELS if channel is not INITIAL_CHANNEL]
#: A channel's thread sees at its next wake-up that its client has gone.
LAST_WAKE_UP = CHANNELS[-1].interval_ms / 1_000 + PATIENCE
#: A frame that ends a connection without a word, each for another reason.
FAULTS = {
    "unmasked": encode_frame(Opcode.TEXT, b"{}", mask=None),
    "RSV": encode_frame(Opcode.TEXT, b"{}", rsv=4),
    "reserved opcode": encode_frame(3, b""),
    "fragment": encode_frame(Opcode.TEXT, b"{", fin=False),
    "long ping": encode_frame(Opcode.PING, bytes(126)),
    "half a close code": encode_frame(Opcode.CLOSE, b"\x03"),
    "length not minimal": b"\x81\xfe\x00\x02\0\0\0\0{}",
    "over its limit": encode_frame(Opcode.TEXT, bytes(4_090)),
    "over 65,535": encode_frame(Opcode.TEXT, bytes(65_536)),
}


def build(target: Path, *options: str) -> Path:
    compiler = shutil.which("cc")
    assert compiler, "examples/floor.c needs a C compiler: there is no `cc` on this machine (Debian: gcc)"
    done = subprocess.run(
        [compiler, *OPTIONS, *options, EXAMPLES / "floor.c", "-o", target], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return target


class Floor:
    """The running program."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen(
            [program, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def connect(self) -> WireClient:
        return WireClient.connect(self.url, timeout=PATIENCE)

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def wait_for_threads(self, expected: int) -> None:
        wait_until(lambda: self.threads() == expected, LAST_WAKE_UP)

    def stop(self, how: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@contextmanager
def running(program: Path, how: int = signal.SIGTERM) -> Iterator[Floor]:
    """The program, which the signal must end with 0 and without a word."""
    floor = Floor(program)
    try:
        yield floor
        assert floor.stop(how) == (0, "", "")
    finally:
        floor.process.kill()
        floor.process.communicate()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("floor") / "floor")


@pytest.fixture(scope="module")
def floor(program: Path) -> Iterator[Floor]:
    with running(program) as started:
        yield started


def types_until(client: WireClient, enough: set[str]) -> list[str]:
    """The types of valid messages, in order, up to the one with which `enough` are all there."""
    schemas, types = MessageSchemas(), []
    while not enough <= set(types):
        event = next_text(client)
        assert schemas.invalid(event.text) is None
        assert event.text == json.dumps(json.loads(event.text), separators=(",", ":"))
        types.append(json.loads(event.text)["type"])
    assert client.faults == []
    return types


def subscribe_to_all(client: WireClient) -> None:
    for channel in OTHERS:
        client.send_text(SUBSCRIBE % channel.name)


def provoke(floor: Floor, fault: bytes) -> list[Event]:
    """What a client sees that sends these bytes, up to the connection's end."""
    client = floor.connect()
    with suppress(WireError):  # It may be dropped before it has sent all.
        client.send_raw(fault)
    events = client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET))
    client.release()
    return events


def test_it_is_named_in_the_readme():
    command = "`cc -O2 -pthread examples/floor.c -o floor && ./floor 9003`"
    question = (EXAMPLES / "floor.c").read_text().splitlines()[0].removeprefix("/* ")
    assert question.endswith("?")
    assert f"{command} | {question}" in (EXAMPLES / "README.md").read_text()


def test_the_welcome_comes_first_then_tps_updates_unasked(floor):
    with floor.connect() as client:
        assert types_until(client, {"tps_update"}) == ["connection_established", "tps_update"]
        assert types_until(client, {"tps_update"}) == ["tps_update"]


def test_every_client_has_a_uuid_of_its_own(floor):
    with floor.connect() as one, floor.connect() as other:
        ids = {json.loads(next_text(client).text)["payload"]["connectionId"] for client in (one, other)}
    assert len(ids) == 2


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
@pytest.mark.parametrize("text", [SUBSCRIBE, SUBSCRIBE.replace(":", ": ").replace(",", ", ")])
def test_a_subscribe_is_confirmed_before_its_first_update(floor, channel, text):
    with floor.connect() as client:
        types_until(client, {"tps_update"})
        client.send_text(text % channel.name)
        confirmed = json.loads(next_text(client, "subscription_confirmed").text)
        assert confirmed["payload"] == {"channel": channel.name, "status": "subscribed"}
        assert types_until(client, {channel.message_type})[-1] == channel.message_type


def test_all_messages_of_a_client_are_valid_and_in_the_keys_order_of_the_schemas(floor):
    with floor.connect() as client:
        client.send_text('{"type":"ping"}')
        subscribe_to_all(client)
        types = types_until(client, {"pong", *(channel.message_type for channel in CHANNELS)})
    assert types.count("subscription_confirmed") == len(OTHERS)


@pytest.mark.parametrize("text", [
    "", "{", "[]", '{"type":"x"}', '{"type":"subscribe"}', SUBSCRIBE % "x", '{"type":5}', '{"type"',
])
def test_other_texts_and_binary_messages_are_met_with_silence(floor, text):
    with floor.connect() as client:
        client.send_text(text)
        client.send_frame(Opcode.BINARY, text.encode())
        client.send_text('{"type":"ping"}')
        types = types_until(client, {"pong"})
    assert set(types) <= {"connection_established", "tps_update", "pong"}


@pytest.mark.parametrize("payload", [b"", b"beat", bytes(range(125))])
def test_a_ping_frame_gets_its_pong(floor, payload):
    with floor.connect() as client:
        client.send_frame(Opcode.PING, payload)
        events = client.receive_until(lambda event: event.kind is Kind.PONG)
        assert events[-1].payload == payload


def test_frames_are_read_byte_by_byte_and_many_at_once(floor):
    ping = encode_frame(Opcode.PING, b"x" * 100)
    with floor.connect() as client:
        for byte in ping:
            client.send_raw(bytes([byte]))
        client.send_raw(ping * 200, read_meanwhile=True)
        pongs = 0
        while pongs < 201:
            pongs += client.receive().kind is Kind.PONG
        assert client.faults == []


@pytest.mark.parametrize(("sent", "echoed"), [
    (b"", encode_close(1000)), (encode_close(1000), encode_close(1000)),
    (encode_close(4000, "enough"), encode_close(4000, "enough")),
])
def test_a_close_is_echoed_and_ends_the_connection(floor, sent, echoed):
    client = floor.connect()
    client.send_frame(Opcode.CLOSE, sent)
    events = client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET))
    client.release()
    assert [(event.kind, event.payload) for event in events[-2:]] == [(Kind.CLOSE, echoed), (Kind.EOF, b"")]
    assert client.faults == []


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_frame_it_does_not_take_ends_the_connection(floor, fault):
    events = provoke(floor, fault)
    assert {event.kind for event in events[:-1]} <= {Kind.TEXT}
    assert events[-1].kind in (Kind.EOF, Kind.RESET)


@pytest.mark.parametrize("request_bytes", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\r\n\r\n", b"x" * 5_000,
    b"GET / HTTP/1.1\r\nSec-WebSocket-Key: short\r\n\r\n",
])
def test_what_is_no_handshake_is_not_answered(floor, request_bytes):
    client = WireClient.open(floor.url, timeout=PATIENCE)
    with suppress(WireError):
        client.send_raw(request_bytes)
    with suppress(ConnectionResetError):  # More had come than it read.
        assert client.socket.recv(1) == b""
    client.release()


def test_it_has_a_thread_per_client_and_one_per_channel_and_they_go_with_the_client(program):
    with running(program) as floor:
        assert floor.threads() == 1
        descriptors = floor.descriptors()
        clients = [floor.connect() for _ in range(5)]
        floor.wait_for_threads(1 + 5 * 2)
        for client in clients:
            subscribe_to_all(client)
        floor.wait_for_threads(1 + 5 * (1 + len(CHANNELS)))
        clients[0].send_text(SUBSCRIBE % INITIAL_CHANNEL.name)
        floor.wait_for_threads(1 + 5 * (1 + len(CHANNELS)) + 1)
        polite, resetting, half_closing, *others = clients
        polite.close()
        reset(resetting.socket)
        half_closing.half_close()
        for client in others:
            client.release()
        floor.wait_for_threads(1)
        assert floor.descriptors() == descriptors
        half_closing.release()


def test_sigint_ends_it_with_clients_connected(program):
    with running(program, signal.SIGINT) as floor:
        client = floor.connect()
        next_text(client, "tps_update")
    client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET))
    assert client.ended
    client.release()


def test_a_port_in_use_and_a_bad_one_are_told(program, floor):
    port = floor.url.rpartition(":")[2]
    taken = subprocess.run([program, port], capture_output=True, text=True, timeout=PATIENCE)
    assert (taken.returncode, taken.stdout) == (1, "")
    assert "Address already in use" in taken.stderr
    for bad in (["x"], ["70000"], ["-1"], ["1", "2"]):
        refused = subprocess.run([program, *bad], capture_output=True, text=True, timeout=PATIENCE)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith("usage:")


def swarm(url: str, *options: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "livestream.lab.swarm", url, *options],
        capture_output=True, text=True, timeout=60, check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["event"] == "result"
    return result


def test_a_swarm_gets_everything(program):
    with running(program) as floor:
        result = swarm(floor.url, "--clients", "50", "--seconds", "3", "--rate", "50")
        floor.wait_for_threads(1)
    assert (result["up"], result["failures"], result["delivered"]) == (50, [], 1.0)


def test_the_sanitizers_have_nothing_to_say(tmp_path):
    program = build(tmp_path / "floor", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")
    with running(program) as floor:
        with floor.connect() as client:
            client.send_text('{"type":"ping"}')
            subscribe_to_all(client)
            types_until(client, {"pong", *(channel.message_type for channel in CHANNELS)})
            client.send_frame(Opcode.PING, bytes(125))
        for fault in FAULTS.values():
            provoke(floor, fault)
        # Only once all threads are gone is memory that nobody freed a leak for certain.
        floor.wait_for_threads(1)
