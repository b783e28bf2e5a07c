"""Starts, loads and stops the service again and again in one process, and tells what is left each time.

`python -m tests.leakcheck PROFILE ROUNDS` prints one JSON object a round, the first before any server.
"""

import gc
import json
import sys
import threading

from livestream.app import LiveServer
from livestream.contract import BLOCKCHAIN_STATS_PATH, CHANNELS, VALIDATORS_PATH
from livestream.settings import Settings
from livestream.stream.profiles import PROFILES, Profile
from livestream.stream.registry import Connection
from livestream.transport.container import Sock
from livestream.transport.websocket import WebSocket
from livestream.wire.client import WireClient
from livestream.wire.frames import Opcode, encode_close, encode_frame
from livestream.wire.handshake import handshake_request, http_request
from tests.hostile import descriptors
from tests.support import PATIENCE, next_text, wait_until

CLIENTS = 10
TIME_SCALE = 0.05
#: What must be gone with its server; Flask itself keeps some of an application for a while.
COUNTED = (Connection, WebSocket, Sock)


def load(url: str) -> list[WireClient]:
    """Polite clients, faulty ones and REST requests; returns the clients that are still there."""
    clients = [WireClient.connect(url, timeout=PATIENCE) for _ in range(CLIENTS)]
    for client in clients:
        for channel in CHANNELS[1:]:
            client.send_text(json.dumps({"type": "subscribe", "channel": channel.name}))
    for client in clients:
        next_text(client, "validator_update")
    for path in (BLOCKCHAIN_STATS_PATH, VALIDATORS_PATH, "/nowhere"):
        http_request(url, "GET", path, timeout=PATIENCE)
    polite, resetting, closing, garbling, *staying = clients
    polite.close()
    resetting.abort()
    closing.send_raw(encode_frame(Opcode.CLOSE, encode_close(1000)))
    closing.abort()
    garbling.send_raw(bytes(range(256)))
    garbling.close()
    for request in (b"\x00\r\n\r\n", handshake_request("x")[:-5], handshake_request("x")):
        client = WireClient.open(url, timeout=PATIENCE)
        client.send_raw(request)
        client.abort()
    return staying


def serve_once(profile: Profile) -> list[str]:
    """One server from start to stop, some clients still connected; returns the threads it left."""
    server = LiveServer(Settings(host="127.0.0.1", port=0, profile=profile, time_scale=TIME_SCALE))
    server.start()
    staying = load("http://%s:%d" % server.address)
    stopping = threading.Thread(target=lambda: left.extend(thread.name for thread in server.stop()))
    left: list[str] = []
    stopping.start()
    for client in staying:
        client.receive_until(lambda event: event.code == 1001, PATIENCE)
        client.close()
    stopping.join()
    return left


def count() -> dict[str, object]:
    gc.collect()
    living = [type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, COUNTED)]
    return {"threads": threading.active_count(), "descriptors": descriptors(), "living": sorted(living)}


def main(profile: str, rounds: str) -> None:
    print(json.dumps(count()))
    for _ in range(int(rounds)):
        left = serve_once(PROFILES[profile])
        # The end of a channel thread that had just woken is not part of stopping.
        wait_until(lambda: threading.active_count() == 1)
        print(json.dumps(count() | {"left": left}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
