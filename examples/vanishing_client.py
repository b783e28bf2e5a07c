"""What happens to the threads of a client that vanishes?

The handler thread notices at once. In the original the channel threads sleep on and notice
when they wake up next, up to 5 s later; as the report promised it, they are woken and end.
"""

import json
import logging
import sys
import threading
import time

from livestream import Settings
from livestream.app import LiveServer
from livestream.contract import CHANNELS, UPDATE_TYPES
from livestream.stream.profiles import CORRECTED, ORIGINAL
from livestream.wire.client import WireClient

SCALE = 0.8


def try_out(profile):
    with LiveServer(Settings(host="127.0.0.1", port=0, profile=profile, time_scale=SCALE)) as server:
        client, awaited = WireClient.connect(server.url()), set(UPDATE_TYPES)
        for channel in CHANNELS[1:]:  # The first one comes unasked.
            client.send_text(f'{{"type":"subscribe","channel":"{channel.name}"}}')
        while awaited:
            awaited.discard(json.loads(client.receive().text)["type"])
        threads = {thread.name: thread for thread in threading.enumerate() if "stream-" in thread.name}
        vanished = time.monotonic()
        client.abort()  # TCP's reset: no Close frame, no goodbye.
        for name, thread in threads.items():
            thread.join()
            print(f"{profile.name}: {name} ended after {(time.monotonic() - vanished) / SCALE:.0f} s")


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, format="log: %(message)s")
    try_out(ORIGINAL)
    try_out(CORRECTED)
