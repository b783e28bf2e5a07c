"""Why does the original, as shipped, never send a message?

Its container calls the endpoint on I/O threads, which must never wait, and so
it refuses a send that waits until it is written. The endpoint catches the error
and logs it, and the client hears nothing.
"""

import json
import logging
import sys

from livestream.app import LiveServer
from livestream.contract import UPDATE_TYPES
from livestream.settings import Settings
from livestream.stream.profiles import ORIGINAL, SHIPPED
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode

logging.basicConfig(stream=sys.stdout, format="    the server's log: %(message)s")
for profile in (SHIPPED, ORIGINAL):
    print(f"profile {profile.name}")
    settings = Settings(host="127.0.0.1", port=0, profile=profile)
    with LiveServer(settings) as server, WireClient.connect(server.url()) as client:
        client.send_text('{"type":"subscribe","channel":"block_updates"}')
        client.send_frame(Opcode.PING)  # frames are acted on in order: its Pong comes after all answers
        *messages, pong = client.receive_until(lambda event: event.kind is Kind.PONG)
        types = [json.loads(message.text)["type"] for message in messages]
        print("    answers:", [name for name in types if name not in UPDATE_TYPES])
        print("    the Ping frame's answer:", pong.kind.value)
        print("    connections counted:", server.parts.registry.active_connections)
        print("    channel threads:", len(server.parts.broadcaster.subscriptions()))
