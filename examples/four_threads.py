"""Why does every client cost four threads?

A channel of a client is a loop that sends and then sleeps. Both block, so each such loop
needs a thread of its own, and there are four channels.
"""

import json
from contextlib import ExitStack
from urllib.request import urlopen

from websockets.sync.client import connect

from livestream import Settings
from livestream.app import LiveServer
from livestream.contract import LAB_THREADS_PATH


def subscribe_to_all(client):
    for channel in ("block_updates", "network_status", "validator_metrics"):
        client.send(json.dumps({"type": "subscribe", "channel": channel}))
    client.send('{"type":"ping"}')  # Messages are handled in order: at the pong all threads have started.
    while json.loads(client.recv())["type"] != "pong":
        pass


def main() -> None:
    with LiveServer(Settings(host="127.0.0.1", port=0)) as server, ExitStack() as clients:
        for count in (1, 2, 3):
            subscribe_to_all(clients.enter_context(connect(server.url())))
            look = json.load(urlopen(server.url("http", LAB_THREADS_PATH)))
            print(f"clients: {count}, channel threads: {look['channel_threads']},",
                  f"handler threads: {look['handler_threads']}")
        for thread in look["lanes"][0]["threads"]:
            print(thread["name"], "mirrors", thread["mirrors"])


if __name__ == "__main__":
    main()
