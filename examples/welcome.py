"""What does a client of the live stream see in its first two seconds?

The answer to its handshake, the welcome with its UUID, then a `tps_update` at once
and one more each second, although nobody subscribed.
"""

from websockets.sync.client import connect

from livestream.app import LiveServer
from livestream.settings import Settings


def print_negotiated(headers) -> None:
    for name, value in headers.raw_items():
        if name in ("Upgrade", "Connection") or name.startswith("Sec-WebSocket-"):
            print(f"    {name}: {value}")


def main() -> None:
    with LiveServer(Settings(host="127.0.0.1", port=0)) as server, connect(server.url()) as client:
        print("GET", client.request.path)
        print_negotiated(client.request.headers)
        print(client.response.status_code, client.response.reason_phrase)
        print_negotiated(client.response.headers)
        for _ in range(4):
            print(client.recv())


if __name__ == "__main__":
    main()
