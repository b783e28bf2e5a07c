"""What happens to a client that subscribes twice?

In the original each subscribe starts one more thread, and every update comes once more.
As the report promised it, a channel keeps its one thread.
"""

import json
import threading

from websockets.sync.client import connect

from livestream import Settings
from livestream.app import LiveServer
from livestream.stream.profiles import CORRECTED, ORIGINAL


def try_out(profile):
    confirmed = updates = 0
    settings = Settings(host="127.0.0.1", port=0, profile=profile)
    with LiveServer(settings) as server, connect(server.url()) as client:
        start = json.loads(client.recv())["timestamp"]
        for _ in range(2):
            client.send('{"type":"subscribe","channel":"tps_updates"}')
        for text in client:
            message = json.loads(text)
            age = message["timestamp"] - start
            if age > 1_500:
                break
            if message["type"] == "subscription_confirmed":
                confirmed += 1
            elif age > 500:  # Each thread sends once at the start and once more after a second.
                updates += 1
        threads = [thread for thread in threading.enumerate() if "tps_updates" in thread.name]
    print(f"{profile.name}: {confirmed} confirmed, threads: {len(threads)}, updates a second: {updates}")


if __name__ == "__main__":
    try_out(ORIGINAL)
    try_out(CORRECTED)
