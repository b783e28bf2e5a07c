"""What do all messages have in common?

The envelope: compact JSON with the keys type, payload and timestamp, in this order.
Only what is in the payload depends on the type.
"""

import json

from websockets.sync.client import connect

from livestream import Settings
from livestream.app import LiveServer

#: What makes a server send each of its types; the welcome and `tps_update` come unasked.
SENT = (
    '{"type":"ping"}',
    "this is not JSON",
    '{"type":"subscribe","channel":"block_updates"}',
    '{"type":"subscribe","channel":"network_status"}',
    '{"type":"subscribe","channel":"validator_metrics"}',
)
TYPES = 8


def main() -> None:
    messages = {}
    with LiveServer(Settings(host="127.0.0.1", port=0)) as server, connect(server.url()) as client:
        for text in SENT:
            client.send(text)
        while len(messages) < TYPES:
            message = json.loads(client.recv())
            messages[message["type"]] = message
    for envelope in {tuple(message) for message in messages.values()}:
        print("every message:", *envelope)
    for message_type, message in sorted(messages.items()):
        print(f"  {message_type}:", *message["payload"])


if __name__ == "__main__":
    main()
