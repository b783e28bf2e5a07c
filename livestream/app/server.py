"""The whole running server: listening, stopping, and what is left when it has stopped."""

import threading
import time
from types import TracebackType
from typing import Final

from flask import Flask

from livestream import contract
from livestream.app.application import build_app
from livestream.app.options import tls_context
from livestream.app.parts import parts_of
from livestream.settings import Settings
from livestream.stream.registry import Registry
from livestream.stream.shared import BROADCASTERS
from livestream.transport.http import HttpServer
from livestream.transport.machine import Ceiling, client_ceiling

#: Hosts that mean all of them: none of them is an address to connect to.
EVERY_INTERFACE: Final = ("0.0.0.0", "::", "")
#: TCP connections beyond the WebSockets, for REST clients.
SPARE_CONNECTIONS = 256
#: How long a stopping server waits for the clients' Close frames, in seconds.
CLOSING_TIME = 2.0
#: Pause before trying again those that were just writing, in seconds.
CLOSING_RETRY = 0.05
#: How long it takes to stop at most, in seconds.
STOPPING_TIME = 4.5


def end_connections(app: Flask) -> None:
    """Close 1001 to every client, and no update after it: for whoever runs the application and stops.

    A client that takes nothing for CLOSING_TIME seconds gets no Close frame.
    """
    parts = parts_of(app)
    parts.readiness.stop()
    _close_sessions(parts.registry, time.monotonic() + CLOSING_TIME)
    parts.broadcaster.stop_everything()
    parts.validators.close(0)


class LiveServer:
    """The service on its own socket. Listens from the start, answers after `start`.

    Raises OSError when the address can't be had, and SettingsError.
    """

    def __init__(self, settings: Settings = Settings()) -> None:
        self.settings = settings
        tls = tls_context(settings)
        self.app = build_app(settings)
        self.parts = parts_of(self.app)
        self._http = HttpServer(
            self.app, settings.host, settings.port, settings.max_connections + SPARE_CONNECTIONS,
            refused=self.parts.refused, tls=tls,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port as bound."""
        return self._http.address

    def url(self, scheme: str = "ws", path: str = contract.STREAM_PATH) -> str:
        """A path's address for whoever is on this machine; `scheme` is ws or http, by TLS wss or https."""
        host, port = self.address
        name = "localhost" if host in EVERY_INTERFACE else host
        secure = "s" if self.settings.tls_cert else ""
        return f"{scheme}{secure}://{f'[{name}]' if ':' in name else name}:{port}{path}"

    @property
    def ceiling(self) -> Ceiling:
        """How many clients with all channels this machine has room for."""
        broadcaster = BROADCASTERS[self.settings.broadcaster]
        return client_ceiling(len(contract.CHANNELS) * broadcaster.threads_per_subscription)

    def start(self) -> None:
        """Starts answering; returns at once. Raises RuntimeError when called again, or no thread is left."""
        self._http.start()

    def __enter__(self) -> "LiveServer":
        """Started."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def reloads(self) -> bool:
        """Whether `reload` has anything to read."""
        return self.parts.door.reloads

    def reload(self) -> None:
        """Reads again what may change while it runs; the log says what became of it."""
        self.parts.door.reload()

    def stop(self) -> list[threading.Thread]:
        """No new connections, Close 1001 to every client, channels woken, one deadline for all joins.

        Returns the threads that were still running at the deadline, STOPPING_TIME seconds after the call.
        """
        deadline = time.monotonic() + STOPPING_TIME
        closing_deadline = time.monotonic() + CLOSING_TIME
        self.parts.readiness.stop()
        self._http.stop_accepting()
        _close_sessions(self.parts.registry, closing_deadline)
        self._end_threads(closing_deadline)
        self._http.drop_connections()
        self.parts.validators.close(max(0, deadline - time.monotonic()))
        # Once more: a client that came while we stopped may have started a channel since.
        return self._end_threads(deadline)

    def _end_threads(self, deadline: float) -> list[threading.Thread]:
        """Wakes the channels and joins all threads of connections; returns those that are left."""
        return _join(self.parts.broadcaster.stop_everything() + self._http.threads(), deadline)


def _close_sessions(registry: Registry, deadline: float) -> None:
    """A session that is just writing is tried again later: one stuck client holds up no other."""
    open_ones = [connection.session for connection in registry.connections()]
    while open_ones and time.monotonic() < deadline:
        open_ones = [
            session
            for session in open_ones
            if not session.close(contract.CLOSE_GOING_AWAY, "the server is stopping", 0)
        ]
        if open_ones:
            time.sleep(CLOSING_RETRY)


def _join(threads: list[threading.Thread], deadline: float) -> list[threading.Thread]:
    """Waits for all of them until one deadline; returns those that are left."""
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0, deadline - time.monotonic()))
    return [thread for thread in threads if thread.is_alive()]
