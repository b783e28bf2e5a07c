"""Exercise 5: a client that doesn't read misses updates, and holds up nobody else."""

import json
import socket
import time

import pytest
from talk import PATIENCE, connect, receive, serve

from livestream.stream.shared import BROADCASTERS
from livestream.wire.client import WireClient, handshake_request, parse_url

#: In seconds: so long another client may wait for an update that is due fifty times a second.
SILENCE = 4.0
#: What it gets meanwhile: two seconds of updates, which is more than the buffers of the slow one hold.
UPDATES = 100
SUBSCRIBE = '{"type":"subscribe","channel":"block_updates"}'
#: With few threads, where one that waits is missed at once; an exercise may add another.
SHARED = sorted(set(BROADCASTERS) - {"threads", "pool"})


def connect_with_small_buffers(server):
    """A client for whom the system keeps little: unread updates soon fill it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    sock.connect(server.address)
    client = WireClient(sock, server.url(), timeout=PATIENCE, clock=time.monotonic)
    address = parse_url(server.url())
    assert client.handshake(handshake_request(address.host_header, path=address.target)).status == 101
    return client


def is_block_update(event):
    return event.text.startswith('{"type":"block_update"')


def next_block_update(client):
    """None when there is none for too long."""
    events = client.receive_until(is_block_update, SILENCE)
    return json.loads(events[-1].text) if events and is_block_update(events[-1]) else None


@pytest.mark.parametrize("broadcaster", SHARED)
def test_who_does_not_read_holds_up_nobody(broadcaster):
    with serve(broadcaster=broadcaster, time_scale=0.01) as server:
        with connect_with_small_buffers(server) as slow, connect(server) as client:
            for _ in range(30):
                slow.send_text(SUBSCRIBE)
            client.send_text(SUBSCRIBE)
            for _ in range(UPDATES):
                update = next_block_update(client)
                assert update is not None, (
                    f"no update for {SILENCE:.0f} s: a client that does not read holds up all others")
            # The slow one has missed some, is not closed, and gets new ones once it reads.
            while receive(slow, "block_update")[-1]["timestamp"] <= update["timestamp"]:
                pass
