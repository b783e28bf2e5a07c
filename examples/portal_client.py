"""What were the three faults of the report's browser client?

It puts the channel where the server doesn't look, connects again after a
disconnect that was wanted, and has its chart connect again with every update.
"""

from websockets.sync.client import connect

from livestream import Settings, StreamClient
from livestream.app import LiveServer


def portal(url: str) -> None:
    with connect(url) as socket:
        socket.send('{"type":"subscribe","payload":{"channel":"block_updates"}}')
        print("1. portal:", next(text for text in socket if '"error"' in text))
    with connect(url) as socket:  # the end was wanted, and is taken for a loss
        print("2. portal:", socket.recv())
    for _ in range(5):
        with connect(url) as socket:
            next(text for text in socket if '"tps_update"' in text)


def stream_client(url: str) -> None:
    with StreamClient(url) as client:
        client.subscribe("block_updates")
        confirmation = next(message for message in client if message.type == "subscription_confirmed")
        print("1. StreamClient:", confirmation.as_json())
        updates = (message for message in client if message.type == "tps_update")
        for _ in range(5):
            next(updates)
    print("2. StreamClient:", client.state)


if __name__ == "__main__":
    for client in (portal, stream_client):
        with LiveServer(Settings(host="127.0.0.1", port=0, time_scale=0.1)) as server:
            client(server.url())
            print("3. connections, after five more updates:", server.parts.registry.total_connections)
