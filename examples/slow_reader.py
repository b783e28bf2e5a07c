"""What happens when a client doesn't read?

Its own channel threads wait: one in the middle of a send, the others for it to
be done. The other clients are served as before.
"""

import json
import socket
from urllib.request import urlopen

from livestream.app import LiveServer
from livestream.contract import CHANNELS, LAB_THREADS_PATH
from livestream.settings import Settings
from livestream.wire.client import WireClient


def channel_threads(server, connection):
    """What the live page shows of them; the handler thread stands before them."""
    lanes = json.load(urlopen(server.url("http", LAB_THREADS_PATH)))["lanes"]
    return next(lane["threads"][1:] for lane in lanes if lane["connection"] == connection.short_id)


with LiveServer(Settings(host="127.0.0.1", port=0, time_scale=0.001)) as server:
    slow = WireClient.connect(server.url())
    for channel in CHANNELS[1:]:
        slow.send_text(json.dumps({"type": "subscribe", "channel": channel.name}))
        slow.receive_until(lambda event: "subscription_confirmed" in event.text)
    [connection] = server.parts.registry.connections()
    connection.session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # sooner full
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    quick = WireClient.connect(server.url())
    sent, before = 0, -1
    while sent > before:
        received = quick.receive_until(lambda event: False, timeout=1)
        threads = channel_threads(server, connection)
        before, sent = sent, sum(thread["sends"] for thread in threads)
    print("the slow client's channel threads:", sorted(thread["state"] for thread in threads))
    print(f"in the last second: {sent - before} updates for it, over 100 for another: {len(received) > 100}")
    slow.close(timeout=30)
    quick.close()
