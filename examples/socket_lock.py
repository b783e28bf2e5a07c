"""What does the lock around a socket keep apart?

The frames of its many senders: one that gets between two pieces of another
destroys both.
"""

import threading

from livestream.app import LiveServer
from livestream.settings import Settings
from livestream.wire.client import WireClient


class PiecesSocket:
    """Writes a piece, lets another thread try to send, and writes the rest."""
    def __init__(self, sock, other):
        self._sock, self._other = sock, other

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def sendall(self, data):
        self._sock.sendall(data[:9])
        if self._other.ident is None:  # not started yet
            self._other.start()
            self._other.join(timeout=2)  # by then it has sent its frame, or it waits for the lock
        self._sock.sendall(data[9:])


for senders in (1, 2):
    settings = Settings(host="127.0.0.1", port=0, time_scale=1_000)  # the next update is far away
    with LiveServer(settings) as server, WireClient.connect(server.url()) as client:
        client.receive_until(lambda event: "tps_update" in event.text)
        session = server.parts.registry.connections()[0].session
        other = threading.Thread(target=session.send_text, args=["and here is another"])
        session.sock, session._lock = PiecesSocket(session.sock, other), threading.Semaphore(senders)
        session.send_text("here is one message")
        other.join()
        events = client.receive_until(lambda event: False, timeout=0.5)
        print(f"{senders} at a time:", [event.text for event in events], client.faults)
