"""Wires the rooms together; nothing else does.

`create_app` makes the Flask application, `LiveServer` the whole running
server around it: listening, stopping, and what is left when it has stopped.
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from random import Random, SystemRandom
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask

from livestream import contract
from livestream.services.blockchain import BlockchainStatsService
from livestream.services.validators import LiveValidatorsService
from livestream.settings import Settings, SettingsError
from livestream.stream.broadcast import Broadcaster
from livestream.stream.channels import Channel, SimulatedSource, live_channels
from livestream.stream.endpoint import LiveStreamWebSocket
from livestream.stream.extensions import Extensions, NoExtensions, OfferedExtensions
from livestream.stream.history import History
from livestream.stream.jackson import to_json
from livestream.stream.messages import Clock, SystemClock, type_of
from livestream.stream.profiles import FAULTS, PROFILES
from livestream.stream.registry import Registry
from livestream.stream.shared import BROADCASTERS
from livestream.stream.sources import GuardedChannels, SourceError, load_source
from livestream.transport.container import Sock, run_endpoint
from livestream.transport.http import HttpServer
from livestream.transport.machine import (
    Ceiling, client_ceiling, make_room_for_a_thread, prepare_process,
)
from livestream.transport.observed import ObservedWebSocket
from livestream.transport.refusals import Refused, nobody
from livestream.transport.websocket import Limits, WebSocket
from livestream.web.addresses import ClientAddresses
from livestream.web.authentication import authority
from livestream.web.door import Door
from livestream.web.health import Readiness, health
from livestream.web.monitor import monitor
from livestream.web.origins import Origins
from livestream.web.page import lab_page
from livestream.web.refusals import PolicyError
from livestream.web.rest import install_error_pages, live_data_resource
from livestream.web.threads import ThreadList

if TYPE_CHECKING:
    from livestream.web.metrics import Metrics

__all__ = ["LiveServer", "Parts", "create_app", "end_connections", "prepare_process"]

#: TCP connections beyond the WebSockets, for REST clients.
SPARE_CONNECTIONS = 256
#: How long a stopping server waits for the clients' Close frames, in seconds.
CLOSING_TIME = 2.0
#: Pause before trying again those that were just writing, in seconds.
CLOSING_RETRY = 0.05
#: How long it takes to stop at most, in seconds.
STOPPING_TIME = 4.5
EXTENSION = "livestream"


class Parts(NamedTuple):
    """What `create_app` built, for whoever runs the application: `app.extensions["livestream"]`."""

    endpoint: LiveStreamWebSocket
    registry: Registry
    broadcaster: Broadcaster
    validators: LiveValidatorsService
    door: Door
    readiness: Readiness
    #: Is told why a connection was refused, for the metrics.
    refused: Refused


def create_app(settings: Settings = Settings()) -> Flask:
    """The service as a WSGI application: the stream's endpoint, the REST resources, the statistics.

    It starts no thread before the first request. Run it in one process: the
    registry lives in memory. Raises SettingsError.
    """
    door = _door(settings)
    clock = SystemClock()
    random = Random()
    validators = LiveValidatorsService(random, time.time_ns, settings.time_scale)
    registry = Registry()
    metrics = _metrics(settings)
    broadcaster = BROADCASTERS[settings.broadcaster](
        clock,
        settings.profile.sleeps_a_fixed_delay,
        require_room=make_room_for_a_thread,
        observe_lateness=metrics.late if metrics else None,
    )
    feed = _feed(settings, validators, random, clock)
    endpoint = LiveStreamWebSocket(
        settings.profile,
        registry,
        broadcaster,
        feed.channels,
        clock,
        SystemRandom(),
        settings.max_threads_per_connection,
        _extensions(settings, validators, broadcaster, feed.channels, clock),
    )
    app = Flask("livestream", static_folder=None)
    door.guard(app)
    sock = _add_stream(app, endpoint, settings, door, metrics)
    readiness = Readiness(lambda: sock.is_full)
    refused = metrics.refused if metrics else nobody
    app.extensions[EXTENSION] = Parts(
        endpoint, registry, broadcaster, validators, door, readiness, refused)
    app.register_blueprint(live_data_resource(validators, BlockchainStatsService(time.time_ns), to_json))
    facts = {
        "profile": settings.profile.name,
        "broadcaster": settings.broadcaster,
        "time_scale": settings.time_scale,
    }
    threads = ThreadList(
        registry.connections, broadcaster.subscriptions, broadcaster.workers, facts, feed.facts)
    app.register_blueprint(monitor(endpoint.get_connection_stats, threads.open_connections, to_json))
    app.register_blueprint(lab_page(threads.snapshot, _profiles(settings), to_json))
    if settings.health:
        app.register_blueprint(health(readiness, to_json))
    if metrics:
        _add_metrics(app, metrics, threads.open_connections)
    install_error_pages(app)
    return app


def _door(settings: Settings) -> Door:
    try:
        return Door(
            Origins(settings.allow_origin),
            authority(settings.auth_token_file, settings.jwt_key_file, settings.jwt_audience),
            settings.limit_connections,
            settings.limit_messages,
            ClientAddresses(settings.trusted_proxy),
        )
    except PolicyError as error:
        raise SettingsError(str(error)) from None


def end_connections(app: Flask) -> None:
    """Close 1001 to every client, and no update after it: for whoever runs the application and stops.

    A client that takes nothing for CLOSING_TIME seconds gets no Close frame.
    """
    parts: Parts = app.extensions[EXTENSION]
    parts.readiness.stop()
    _close_sessions(parts.registry, time.monotonic() + CLOSING_TIME)
    parts.broadcaster.stop_everything()
    parts.validators.close(0)


def _metrics(settings: Settings) -> "Metrics | None":
    """Who counts, if it is wanted; the library is loaded only then."""
    if not settings.metrics:
        return None
    from livestream.web.metrics import Metrics
    return Metrics(type_of)


def _add_metrics(app: Flask, metrics: "Metrics", open_connections: Callable[[], int]) -> None:
    from livestream.web.metrics import Figures, metrics_page
    parts: Parts = app.extensions[EXTENSION]
    metrics.watch(
        Figures(parts.endpoint.get_connection_stats, open_connections, parts.broadcaster.subscriptions))
    app.register_blueprint(metrics_page(metrics.registry))


class Feed(NamedTuple):
    """The channels by name, and what `GET /lab/threads` says of where their figures come from."""

    channels: Mapping[str, Channel]
    facts: Callable[[], Mapping[str, object]] = dict


def _feed(settings: Settings, validators: LiveValidatorsService, random: Random, clock: Clock) -> Feed:
    """Simulated, or from `--source` and guarded."""
    if not settings.source:
        return Feed(live_channels(SimulatedSource(validators, random), settings.time_scale))
    try:
        source = load_source(settings.source)
    except SourceError as error:
        raise SettingsError(f"source is {settings.source!r}, but {error}") from error
    guarded = GuardedChannels(live_channels(source, settings.time_scale), clock)
    return Feed(guarded.channels, lambda: {"source": guarded.report()})


def _extensions(
    settings: Settings,
    validators: LiveValidatorsService,
    broadcaster: Broadcaster,
    channels: Mapping[str, Channel],
    clock: Clock,
) -> Extensions:
    if not settings.extensions:
        return NoExtensions()
    # Simulated validators have no place among real figures.
    find = None if settings.source else validators.get_validator_by_id
    return OfferedExtensions(History(broadcaster, channels, clock), find, settings.time_scale)


def _profiles(settings: Settings) -> dict[str, object]:
    """The faults by name, in their own sentences, and which profile has which."""
    return {
        "running": settings.profile.name,
        "profiles": [
            {"name": name, "faults": [flag for flag in FAULTS if getattr(profile, flag)]}
            for name, profile in PROFILES.items()
        ],
        "faults": [{"name": flag, **fault._asdict()} for flag, fault in FAULTS.items()],
    }


def _add_stream(
    app: Flask, endpoint: LiveStreamWebSocket, settings: Settings, door: Door, metrics: "Metrics | None"
) -> Sock:
    sock = Sock(
        app,
        settings.max_connections,
        Limits(message=settings.max_message_size),
        door.refuse_opening,
        door.subprotocols,
        partial(ObservedWebSocket, observer=metrics) if metrics else WebSocket,
        metrics.refused if metrics else nobody,
    )

    @sock.route(contract.STREAM_PATH)
    def live_stream(session: WebSocket) -> None:
        run_endpoint(endpoint, session, door.guest())

    return sock


class LiveServer:
    """The service on its own socket. Listens from the start, answers after `start`.

    Raises OSError when the address can't be had, and SettingsError.
    """

    def __init__(self, settings: Settings = Settings()) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.parts: Parts = self.app.extensions[EXTENSION]
        self._http = HttpServer(
            self.app, settings.host, settings.port, settings.max_connections + SPARE_CONNECTIONS,
            refused=self.parts.refused,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port as bound."""
        return self._http.address

    @property
    def ceiling(self) -> Ceiling:
        """How many clients with all channels this machine has room for."""
        broadcaster = BROADCASTERS[self.settings.broadcaster]
        return client_ceiling(len(contract.CHANNELS) * broadcaster.threads_per_subscription)

    def start(self) -> None:
        """Starts answering; returns at once."""
        self._http.start()

    @property
    def reloads(self) -> bool:
        """Whether `reload` has anything to read."""
        return self.parts.door.reloads

    def reload(self) -> None:
        """Reads again what may change while it runs; the log says what became of it."""
        self.parts.door.reload()

    def stop(self) -> list[threading.Thread]:
        """No new connections, Close 1001 to every client, channels woken, one deadline for all joins.

        Returns the threads that were still running at the deadline.
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
