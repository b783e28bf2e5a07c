"""The port, wrong in one way: `python -m tests.parity.broken_server --break lost-update`.

A process of its own, so that its threads can be counted and nothing broken stays behind. It prints its URL,
and ends when its standard input does.
"""

import argparse
import re
import sys
import threading
from dataclasses import replace

from wsproto.events import Ping

from livestream.app import LiveServer
from livestream.settings import Settings
from livestream.stream.channels import SimulatedSource
from livestream.stream.profiles import PROFILES
from livestream.transport.frames import text_frame
from livestream.transport.websocket import WebSocket

#: How long the slow source takes for a figure, in seconds.
SLOWNESS = 0.05
#: Which update of a connection is lost.
LOST = 6

_send_text = WebSocket.send_text
_send_close = WebSocket._send_close
_handshake = WebSocket.handshake
_tps_update = SimulatedSource.tps_update


def change_texts(change):
    """Every text message on its way out goes through `change`; None drops it."""
    def send_text(self, text):
        changed = change(self, text)
        if changed is not None:
            _send_text(self, changed)
    WebSocket.send_text = send_text


def lose_an_update():
    def change(session, text):
        if not text.startswith('{"type":"tps_update"'):
            return text
        session.updates = getattr(session, "updates", 0) + 1
        return None if session.updates == LOST else text
    change_texts(change)


def swap_keys():
    change_texts(lambda session, text: re.sub(
        r'("channel":"(?:[^"\\]|\\.)*"),("status":"subscribed")', r"\2,\1", text))


def write_doubles_out():
    def without_exponent(match):
        return f"{float(match[0]):.1f}"
    change_texts(lambda session, text: re.sub(r"\d\.\d+E\d+", without_exponent, text))


def drop_message_pongs():
    change_texts(lambda session, text: None if text.startswith('{"type":"pong"') else text)


def drop_control_pongs():
    WebSocket._HANDLERS = {**WebSocket._HANDLERS, Ping: lambda self, event: None}


def send_after_close():
    def send_close(self, code, reason):
        was_open = self.connected
        _send_close(self, code, reason)
        if was_open:
            self.sock.sendall(text_frame(b'{"type":"pong"}'))
    WebSocket._send_close = send_close


class _AddsExtension:
    """A socket that adds a header to the one answer that it sends."""

    def __init__(self, sock):
        self._sock = sock

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def sendall(self, data):
        self._sock.sendall(data[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")


def accept_deflate():
    def handshake(self):
        sock = self.sock
        if "permessage-deflate" in self.environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", ""):
            self.sock = _AddsExtension(sock)
        _handshake(self)
        self.sock = sock
    WebSocket.handshake = handshake


def slow_down_the_source():
    def tps_update(self):
        threading.Event().wait(SLOWNESS)
        return _tps_update(self)
    SimulatedSource.tps_update = tps_update


def add_a_key():
    change_texts(lambda session, text: text.replace('"latency":', '"more":1,"latency":'))


BREAKS = {
    "extra-key": add_a_key,
    "lost-update": lose_an_update,
    "swapped-keys": swap_keys,
    "double-text": write_doubles_out,
    "no-pong": drop_message_pongs,
    "no-control-pong": drop_control_pongs,
    "frame-after-close": send_after_close,
    "deflate": accept_deflate,
    "slow-source": slow_down_the_source,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", default="original", choices=PROFILES)
    parser.add_argument("--flip", action="append", default=[])
    parser.add_argument("--break", dest="broken", action="append", default=[], choices=BREAKS)
    parser.add_argument("--time-scale", type=float, default=1.0)
    options = parser.parse_args()
    profile = PROFILES[options.profile]
    profile = replace(profile, **{flag: not getattr(profile, flag) for flag in options.flip})
    for name in options.broken:
        BREAKS[name]()
    server = LiveServer(Settings(
        host="127.0.0.1", port=0, profile=profile, time_scale=options.time_scale, log_level="error"))
    server.start()
    host, port = server.address
    print(f"ws://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
