"""How does the stream serve more clients than one machine can make?

Each Locust user is one client with all four channels. From one process:

    locust -f examples/locustfile.py --headless --host http://SERVER:9003 -u 500 -r 50 --run-time 1m

From several machines, each with this checkout; the master makes no load and prints the sum:

    locust -f examples/locustfile.py --headless --host http://SERVER:9003 -u 1000 -r 100 --run-time 1m \
        --master --expect-workers 2
    locust -f examples/locustfile.py --worker --master-host MASTER        # on two others

A worker uses one processor; `--processes 4` makes four of it. Without `--headless` there is a web page.

In the table, a channel's requests are the updates that were due, its failures those that a stall swallowed,
its times how many ms late they came (0: on time), counted as `livestream scale` does. Locust exits with 1 if
anything failed, and warns where its own processor was too busy for its figures to be the server's. Keep to a
few hundred users a worker: the master waits only half a second for what a worker has to say at the end.
"""

import json
import re
import time
from contextlib import suppress

from locust import User, between, task
from websocket import ABNF, WebSocket, WebSocketConnectionClosedException, WebSocketException
from websocket import create_connection

from livestream.contract import CHANNELS, ERROR, INITIAL_CHANNEL, PORT, STREAM_PATH, SUBSCRIBE
from livestream.contract import ChannelContract
from livestream.lab.tally import late_ticks_ms

#: How long a handshake or a silence may last, in seconds, before the connection counts as lost.
PATIENCE = 30.0

CHANNEL_OF = {channel.message_type: channel for channel in CHANNELS}


class StreamUser(User):
    """One client: connects, subscribes, reads, and connects again when the connection is lost."""

    #: Used without --host.
    host = f"http://localhost:{PORT}"
    #: Before connecting again, in seconds; random, or all whom a server lost come back in one crowd.
    wait_time = between(1, 3)

    @task
    def stay_connected(self) -> None:
        """Ends when the connection is lost; Locust then waits and calls it again."""
        connection = self.connect()
        if connection is None:
            return
        try:
            self.subscribe(connection)
            while True:
                self.read(connection)
        except (OSError, WebSocketException) as error:
            self.tell("connection lost", failure=error)
        finally:
            # Also when Locust ends the user: what a stalled server still owes would be forgotten.
            for channel in CHANNELS:
                self.tell_swallowed(channel, time.monotonic())
            say_goodbye(connection)

    def connect(self) -> WebSocket | None:
        """Gives the connection, or None if there is none."""
        url = re.sub("^http", "ws", self.host).rstrip("/").removesuffix(STREAM_PATH) + STREAM_PATH
        began = time.monotonic()
        connection = failure = None
        try:
            # Reading the JSON checks its UTF-8 as well, in a tenth of the time that this library takes.
            connection = create_connection(url, timeout=PATIENCE, skip_utf8_validation=True)
        except (OSError, WebSocketException) as error:
            failure = error
        self.tell("connect", (time.monotonic() - began) * 1_000, failure=failure)
        return connection

    def subscribe(self, connection: WebSocket) -> None:
        now = time.monotonic()
        # The first update is due at once, as if the one before had come an interval ago.
        self.last = {channel: now - channel.interval_ms / 1_000 for channel in CHANNELS}
        for channel in CHANNELS:
            if channel is not INITIAL_CHANNEL:
                connection.send(json.dumps({"type": SUBSCRIBE, "channel": channel.name}))

    def read(self, connection: WebSocket) -> None:
        """Waits for one message and tells Locust if it is an update."""
        opcode, payload = connection.recv_data()
        now = time.monotonic()
        if opcode == ABNF.OPCODE_CLOSE:
            code = int.from_bytes(payload[:2], "big")
            raise WebSocketConnectionClosedException(f"the server closed with {code}")
        message = json.loads(payload)
        if message["type"] == ERROR:
            self.tell("subscribe", failure=message["payload"]["error"])
        channel = CHANNEL_OF.get(message["type"])
        if channel is None:
            return
        late_ms = self.tell_swallowed(channel, now)
        self.tell(channel.name, late_ms, len(payload))
        self.last[channel] = now

    def tell_swallowed(self, channel: ChannelContract, now: float) -> float:
        """Tells of the ticks that passed without an update; gives how late one is that comes now, in ms."""
        *swallowed, late_ms = late_ticks_ms(now - self.last[channel], channel.interval_ms / 1_000)
        for swallowed_ms in swallowed:
            self.tell(channel.name, swallowed_ms, failure="swallowed by a stall")
        return late_ms

    def tell(self, name: str, ms: float = 0, size: int = 0, failure: Exception | str | None = None) -> None:
        """One line of Locust's statistics gets one more."""
        self.environment.events.request.fire(
            request_type="WS", name=name, response_time=ms, response_length=size,
            exception=failure, context={},
        )


def say_goodbye(connection: WebSocket) -> None:
    """Without waiting for the answer: a worker's last figures are sent when all its users have ended."""
    with suppress(OSError, WebSocketException):
        if connection.connected:
            connection.send_close()
    connection.shutdown()
