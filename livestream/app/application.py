"""The service as a WSGI application."""

import time
from functools import partial
from random import Random, SystemRandom
from typing import TYPE_CHECKING

from flask import Flask

from livestream import contract
from livestream.app.options import add_metrics, new_metrics, offered_extensions, open_door, open_feed
from livestream.app.parts import EXTENSION, Parts
from livestream.services.blockchain import BlockchainStatsService
from livestream.services.validators import LiveValidatorsService
from livestream.settings import Settings, SettingsError
from livestream.stream.endpoint import LiveStreamWebSocket
from livestream.stream.jackson import to_json
from livestream.stream.messages import SystemClock
from livestream.stream.profiles import FAULTS, PROFILES
from livestream.stream.registry import Registry
from livestream.stream.shared import BROADCASTERS
from livestream.transport.container import Sock
from livestream.transport.lifecycle import run_endpoint
from livestream.transport.machine import make_room_for_a_thread
from livestream.transport.observed import ObservedSession, unobserved
from livestream.transport.refusals import nobody
from livestream.transport.session import Limits
from livestream.transport.websocket import WebSocket
from livestream.web.door import Door
from livestream.web.health import Readiness, health
from livestream.web.monitor import monitor
from livestream.web.page import lab_page
from livestream.web.rest import install_error_pages, live_data_resource
from livestream.web.threads import ThreadList

if TYPE_CHECKING:
    from livestream.web.metrics import Metrics


def create_app(settings: Settings = Settings()) -> Flask:
    """The service as a WSGI application: the stream's endpoint, the REST resources, the statistics.

    It starts no thread before the first request. Run it in one process: the
    registry lives in memory. TLS is its server's affair. What it is made of is
    `app.extensions["livestream"]`, a `livestream.app.Parts`. Raises SettingsError
    for `tls_cert`, and for an origin, proxy, rate, token, key or source that can't be used.
    """
    if settings.tls_cert or settings.tls_key:
        raise SettingsError("tls_cert and tls_key are for LiveServer: another server has its own")
    return build_app(settings)


def build_app(settings: Settings) -> Flask:
    """`create_app` for a server that speaks TLS itself: `tls_cert` may be set. Raises SettingsError."""
    door = open_door(settings)
    clock = SystemClock()
    random = Random()
    validators = LiveValidatorsService(random, time.time_ns, settings.time_scale)
    registry = Registry()
    metrics = new_metrics(settings)
    broadcaster = BROADCASTERS[settings.broadcaster](
        clock,
        settings.profile.sleeps_a_fixed_delay,
        require_room=make_room_for_a_thread,
        observe_lateness=metrics.late if metrics else None,
    )
    feed = open_feed(settings, validators, random, clock)
    endpoint = LiveStreamWebSocket(
        settings.profile,
        registry,
        broadcaster,
        feed.channels,
        clock,
        SystemRandom(),
        settings.max_threads_per_connection,
        offered_extensions(settings, validators, broadcaster, feed.channels, clock),
    )
    app = Flask("livestream", static_folder=None)
    door.guard(app)
    sock = _add_stream(app, endpoint, settings, door, metrics)
    readiness = Readiness(lambda: sock.is_full)
    refused = metrics.refused if metrics else nobody
    parts = Parts(endpoint, registry, broadcaster, validators, door, readiness, refused)
    app.extensions[EXTENSION] = parts
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
        add_metrics(app, metrics, parts, threads.open_connections)
    install_error_pages(app)
    return app


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
        Limits(message=settings.max_message_size, send_seconds=settings.send_timeout),
        door.refuse_opening,
        door.subprotocols,
        settings.compression,
        metrics.refused if metrics else nobody,
    )
    observed = partial(ObservedSession, observer=metrics) if metrics else unobserved

    @sock.route(contract.STREAM_PATH)
    def live_stream(session: WebSocket) -> None:
        run_endpoint(endpoint, session, door.guest(), observed)

    return sock
