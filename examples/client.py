"""What does a script see of the stream when its server is restarted?

The state changes from open to reconnecting and back, every subscription is
restored once, and the messages go on.
"""

from livestream import Settings, StreamClient
from livestream.app import LiveServer
from livestream.client import ClientSettings

# The report's client waits 3, 6, 12, 24 and 48 s; here a second is ten milliseconds.
QUICK = ClientSettings(reconnect_delay=0.03, poll_interval=0.01, retry_interval=0.48)


def serve(port: int = 0) -> LiveServer:
    server = LiveServer(Settings(host="127.0.0.1", port=port, time_scale=0.05))
    server.start()
    return server


def main() -> None:
    server = serve()
    host, port = server.address
    client = StreamClient(f"ws://{host}:{port}", settings=QUICK)
    client.on_state(lambda state: print("state:", state))
    client.on("subscription_confirmed", lambda message: print("subscribed:", message.payload["channel"]))
    client.subscribe("block_updates")
    with client:
        for number, message in enumerate(message for message in client if message.type == "block_update"):
            print("block", message.payload["blockHeight"])
            if number == 0:
                server.stop()
                server = serve(port)
            if number == 2:
                break
    server.stop()


if __name__ == "__main__":
    main()
