"""What is a channel, and what does it cost to have one?

One type of update that comes once per interval. Each client that has it costs the server a
thread, and the bytes of its updates.
"""

import json
import threading

from websockets.sync.client import connect

from livestream import Settings
from livestream.app import LiveServer
from livestream.contract import CHANNELS, INITIAL_CHANNEL
from livestream.wire.frames import Opcode, encode_frame


def next_update(client, channel):
    for text in client:
        message = json.loads(text)
        if message["type"] == channel.message_type:
            return message["timestamp"], len(encode_frame(Opcode.TEXT, text.encode(), mask=None))


def main() -> None:
    rate = 0
    settings = Settings(host="127.0.0.1", port=0, time_scale=0.1)
    with LiveServer(settings) as server, connect(server.url()) as client:
        for channel in CHANNELS:
            if channel is not INITIAL_CHANNEL:
                client.send(json.dumps({"type": "subscribe", "channel": channel.name}))
            (first, size), (second, _) = next_update(client, channel), next_update(client, channel)
            names = [thread.name for thread in threading.enumerate() if channel.name in thread.name]
            print(*names, f"sends a {channel.message_type} of {size} bytes, again after {second - first} ms")
            rate += size * 1_000 / channel.interval_ms
    print(f"all four at their true intervals: {rate:.0f} bytes a second")


if __name__ == "__main__":
    main()
