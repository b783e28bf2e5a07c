"""What options put into the service: each is off, and then nothing of it is there."""

import ssl
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask

from livestream.app.parts import Parts
from livestream.services.validators import LiveValidatorsService
from livestream.settings import Settings, SettingsError
from livestream.stream.broadcast import Broadcaster, Subscription
from livestream.stream.channels import Channel, SimulatedSource, live_channels
from livestream.stream.extensions import Extensions, NoExtensions, OfferedExtensions
from livestream.stream.history import RECORDER, History
from livestream.stream.messages import Clock, type_of
from livestream.stream.sources import GuardedChannels, SourceError, load_source
from livestream.transport.tls import TlsError, server_context
from livestream.web.addresses import ClientAddresses
from livestream.web.authentication import authority
from livestream.web.door import Door
from livestream.web.origins import Origins
from livestream.web.refusals import PolicyError

if TYPE_CHECKING:
    from livestream.web.metrics import Metrics


def open_door(settings: Settings) -> Door:
    """Who is let in. Raises SettingsError."""
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


class Feed(NamedTuple):
    """The channels by name, and what `GET /lab/threads` says of where their figures come from."""

    channels: Mapping[str, Channel]
    facts: Callable[[], Mapping[str, object]] = dict


def open_feed(settings: Settings, validators: LiveValidatorsService, random: Random, clock: Clock) -> Feed:
    """Simulated, or from `--source` and guarded. Raises SettingsError."""
    if not settings.source:
        return Feed(live_channels(SimulatedSource(validators, random), settings.time_scale))
    try:
        source = load_source(settings.source)
    except SourceError as error:
        raise SettingsError(f"source is {settings.source!r}, but {error}") from error
    guarded = GuardedChannels(live_channels(source, settings.time_scale), clock)
    return Feed(guarded.channels, lambda: {"source": guarded.report()})


def offered_extensions(
    settings: Settings,
    validators: LiveValidatorsService,
    broadcaster: Broadcaster,
    channels: Mapping[str, Channel],
    clock: Clock,
) -> Extensions:
    """What a subscribe may ask for beside its channel: nothing, unless asked for."""
    if not settings.extensions:
        return NoExtensions()
    # Simulated validators have no place among real figures.
    find = None if settings.source else validators.get_validator_by_id
    return OfferedExtensions(History(broadcaster, channels, clock), find, settings.time_scale)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What TLS needs; None without it. Raises SettingsError."""
    if not settings.tls_cert:
        return None
    try:
        return server_context(settings.tls_cert, settings.tls_key)
    except TlsError as error:
        raise SettingsError(f"tls: {error}") from error


def new_metrics(settings: Settings) -> "Metrics | None":
    """Who counts, if it is wanted; the library is loaded only then."""
    if not settings.metrics:
        return None
    from livestream.web.metrics import Metrics
    return Metrics(type_of)


def add_metrics(
    app: Flask, metrics: "Metrics", parts: Parts, open_connections: Callable[[], int]
) -> None:
    """Serves what is counted, and what is looked up beside it."""
    from livestream.web.metrics import Figures, metrics_page

    def of_clients() -> list[Subscription]:
        """The history's are nobody's."""
        running = parts.broadcaster.subscriptions()
        return [one for one in running if one.connection.connection_id != RECORDER]

    metrics.watch(Figures(parts.endpoint.get_connection_stats, open_connections, of_clients))
    app.register_blueprint(metrics_page(metrics.registry))
