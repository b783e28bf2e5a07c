"""The fallback without a WebSocket: the blockchain statistics over REST, as `tps_update` messages.

Source: SPEC, "REST" and "The portal client".
"""

import http.client
import io
import socket
from typing import Any, Final

from livestream.client.messages import Message, read_statistics
from livestream.client.opening import Deadline, Door, Lost, Stop, encoded, words
from livestream.client.settings import ClientSettings, Clock

_OK: Final = 200


def poll_statistics(door: Door, settings: ClientSettings, clock: Clock, stop: Stop) -> Message:
    """One GET of the statistics on a connection of its own.

    Lost when it fails or takes longer than `poll_timeout`, CalledOff when `stop` comes first.
    """
    url = f"{door.address.statistics} at {door.address.url}"
    deadline = Deadline(settings.poll_timeout)
    sock = door.open(deadline, stop)
    try:
        status, body = _get(door, _DeadlineSocket(sock, deadline), settings.max_message_size)
    except (http.client.HTTPException, OSError, ValueError) as error:
        stop.check()
        raise Lost(f"GET {url} got no answer: {words(error)}.") from error
    finally:
        stop.forget(sock)
        sock.close()
    if status != _OK:
        raise Lost(f"GET {url} was answered with status {status}.")
    message = read_statistics(body.decode("utf-8", "replace"), clock.now_ms())
    if message is None:
        raise Lost(f"GET {url} was answered with no statistics.")
    return message


def _get(door: Door, sock: "_DeadlineSocket", limit: int) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(door.address.host_header)
    connection.sock = sock
    connection.auto_open = 0
    connection.putrequest("GET", door.address.statistics, skip_host=True)
    connection.putheader("Host", door.address.host_header)
    for header in (*door.headers, ("Accept", "application/json"), ("Connection", "close")):
        connection.putheader(*encoded(header))
    connection.endheaders()
    with connection.getresponse() as response:
        body = response.read(limit + 1)
        if len(body) > limit:
            raise ValueError(f"it has more than {limit} bytes")
        return response.status, body


class _DeadlineReader(io.RawIOBase):
    """Reads a socket within one deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        """It is: io.BufferedReader asks."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads what there is; 0 at the end, TimeoutError when the time is up, however much trickles in."""
        if not self._deadline.left:
            raise TimeoutError("it came too slowly")
        self._sock.settimeout(self._deadline.timeout)
        return self._sock.recv_into(buffer)


class _DeadlineSocket:
    """Gives http.client one time limit for the whole answer; its own starts anew with every read."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Sends all within the time left."""
        self._sock.settimeout(self._deadline.timeout)
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The answer, for http.client to read."""
        return io.BufferedReader(_DeadlineReader(self._sock, self._deadline))

    def close(self) -> None:
        """Nothing: the answer may still be read, and poll_statistics closes the socket."""
