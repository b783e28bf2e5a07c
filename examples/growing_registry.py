"""What is left of a connection that has ended?

Its entry in the registry, for ever: `total_connections` counts all that there
ever were.
"""

import threading
import time

from livestream.app import LiveServer
from livestream.settings import Settings
from livestream.stream.profiles import CORRECTED, ORIGINAL
from livestream.wire.client import WireClient

CLIENTS = 50


def come_and_go(server: LiveServer) -> None:
    without_clients = threading.active_count()
    for _ in range(CLIENTS):
        with WireClient.connect(server.url()) as client:
            client.receive()
    while threading.active_count() > without_clients:
        time.sleep(0.01)


for profile in (ORIGINAL, CORRECTED):
    with LiveServer(Settings(host="127.0.0.1", port=0, profile=profile, time_scale=0.1)) as server:
        come_and_go(server)
        print(f"{profile.name}, after {CLIENTS} clients: {server.parts.endpoint.get_connection_stats()}")
        for entry in server.parts.registry.connections()[-1:]:
            print(f"    the newest entry: {entry.connection_id}, connected at {entry.connected_at}")
            print("    is it open?", entry.session.is_open)
            print("    its channels:", list(entry.subscribed_channels))
