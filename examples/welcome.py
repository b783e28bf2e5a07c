"""What does a client of the live stream see in its first two seconds?

The welcome with its UUID, then a `tps_update` at once and one more each
second, although nobody subscribed.
"""

from websockets.sync.client import connect

from livestream.app import LiveServer
from livestream.settings import Settings


def main() -> None:
    with LiveServer(Settings(host="127.0.0.1", port=0)) as server, connect(server.url()) as client:
        for _ in range(4):
            print(client.recv())


if __name__ == "__main__":
    main()
