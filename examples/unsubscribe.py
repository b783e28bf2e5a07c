"""What does unsubscribing do?

In the original nothing: no answer, and the updates go on. As the report promised it,
the thread ends, and the answer comes after the last update.
"""

import json
import threading

from websockets.sync.client import connect

from livestream import Settings
from livestream.app import LiveServer
from livestream.stream.profiles import CORRECTED, ORIGINAL


def answers(client):
    types = []
    while "pong" not in types:
        types.append(json.loads(client.recv())["type"])
    return [each for each in types if each not in ("connection_established", "tps_update")]


def try_out(profile):
    settings = Settings(host="127.0.0.1", port=0, profile=profile, time_scale=0.1)
    with LiveServer(settings) as server, connect(server.url()) as client:
        client.send('{"type":"unsubscribe","channel":"tps_updates"}')
        client.send('{"type":"ping"}')
        print(f"{profile.name}, answers:", *answers(client))
        threads = [thread for thread in threading.enumerate() if "tps_updates" in thread.name]
        try:
            after = json.loads(client.recv(timeout=1))["type"]
        except TimeoutError:
            after = "nothing, for ten intervals"
        print(f"{profile.name}, threads left: {len(threads)}, then comes: {after}")


if __name__ == "__main__":
    try_out(ORIGINAL)
    try_out(CORRECTED)
