"""What does a client of the live stream see in its first two seconds?

The welcome with its UUID, then a `tps_update` at once and one more each
second, although nobody subscribed. A subscribe is confirmed before its first
update comes.
"""

import json

from websockets.sync.client import connect

from livestream.app import LiveServer
from livestream.contract import STREAM_PATH
from livestream.settings import Settings


def main() -> None:
    server = LiveServer(Settings(host="127.0.0.1", port=0))
    server.start()
    host, port = server.address
    with connect(f"ws://{host}:{port}{STREAM_PATH}") as client:
        for _ in range(2):
            print(client.recv())
        client.send(json.dumps({"type": "subscribe", "channel": "block_updates"}))
        for _ in range(4):
            print(client.recv())
    server.stop()


if __name__ == "__main__":
    main()
