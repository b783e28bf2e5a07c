"""How can there be fewer than no connections?

An error takes one off the counter of active connections, and the close that
follows takes off one more. So each connection that ends in an error leaves it
one too low.
"""

import logging
import sys
import threading
import time

from livestream.app import LiveServer
from livestream.settings import Settings
from livestream.stream.profiles import CORRECTED, ORIGINAL
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode

ENDS = {
    "a Close frame": lambda client: client.send_frame(Opcode.CLOSE),
    "a TCP FIN": lambda client: client.half_close(),
    "a TCP reset": lambda client: client.abort(),
    "a frame that is too big": lambda client: client.send_frame(Opcode.TEXT, bytes(65_537)),
}

logging.basicConfig(stream=sys.stdout, format="    on_error logs: %(message)s")
for profile in (ORIGINAL, CORRECTED):
    with LiveServer(Settings(host="127.0.0.1", port=0, profile=profile, time_scale=0.1)) as server:
        without_clients = threading.active_count()
        for name, end in ENDS.items():
            client = WireClient.connect(server.url())
            client.receive()
            end(client)
            client.receive_until(lambda event: event.kind is Kind.EOF)
            client.release()
            while threading.active_count() > without_clients:
                time.sleep(0.01)
            print(f"{profile.name}, after {name}: {server.parts.registry.active_connections}")
