"""Would fewer threads do the same?

The same updates come from a thread for each channel of each client, from a
pool of threads for all of them, and from one ticker thread for each channel.
"""

import json
from contextlib import ExitStack
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

from livestream.app import LiveServer
from livestream.contract import CHANNELS, LAB_THREADS_PATH, UPDATE_TYPES
from livestream.settings import Settings


def forms_of_updates(client: ClientConnection) -> set[tuple[str, ...]]:
    """Type and keys of the updates that come, once each channel has sent one."""
    for channel in CHANNELS[1:]:  # the first needs no subscribe
        client.send(json.dumps({"type": "subscribe", "channel": channel.name}))
    forms = set()
    while len(forms) < len(CHANNELS):
        message = json.loads(client.recv())
        if message["type"] in UPDATE_TYPES:
            forms.add((message["type"], *message["payload"]))
    return forms


if __name__ == "__main__":
    all_forms = []
    for kind in ("threads", "pool", "ticker"):
        with LiveServer(Settings(host="127.0.0.1", port=0, broadcaster=kind)) as server, ExitStack() as stack:
            clients = [stack.enter_context(connect(server.url())) for _ in range(20)]
            all_forms += map(forms_of_updates, clients)
            with urlopen(server.url("http", LAB_THREADS_PATH)) as answer:
                facts = json.load(answer)
        print("{broadcaster}: {clients} clients, {channel_threads} channel threads, "
              "{shared_threads} shared ones".format_map(facts))
    print("every client got the same updates:", all(forms == all_forms[0] for forms in all_forms))
