"""What Prometheus reads at /metrics. The original has nothing like it; here it is an option.

Gauges are looked up when they are asked for; what is counted takes a lock for each message.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from livestream import contract

#: In seconds: a thread alone wakes within 0.1 ms, and a server that stalls is late by seconds.
LATENESS_BUCKETS: Final = (
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)


class _Channel(Protocol):
    @property
    def name(self) -> str: ...


class Subscription(Protocol):
    """What is asked of a subscription that runs."""

    @property
    def channel(self) -> _Channel:
        """What it sends."""

    @property
    def thread(self) -> object | None:
        """Its own thread, if it has one."""


class Figures(NamedTuple):
    """What is looked up anew for every scrape."""

    #: `active_connections` and `total_connections`, as the original counts them.
    statistics: Callable[[], Mapping[str, int]]
    #: The true number.
    open_connections: Callable[[], int]
    subscriptions: Callable[[], Iterable[Subscription]]


class _Gauges(Collector):
    """The figures as gauges; each channel has a line, also when nobody listens."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[GaugeMetricFamily]:
        statistics = self._figures.statistics()
        yield GaugeMetricFamily(
            "livestream_active_connections", "As the original counts them, which may go below zero.",
            statistics["active_connections"])
        yield GaugeMetricFamily(
            "livestream_open_connections", "Connections that are open: the true number.",
            self._figures.open_connections())
        yield GaugeMetricFamily(
            "livestream_registry_connections", "Entries of the registry.", statistics["total_connections"])
        running = list(self._figures.subscriptions())
        yield _by_channel(
            "livestream_channel_threads", "Threads that send one channel to one client.",
            Tally(one.channel.name for one in running if one.thread is not None))
        yield _by_channel(
            "livestream_subscriptions", "Channels being sent, by whatever thread.",
            Tally(one.channel.name for one in running))


def _by_channel(name: str, help: str, numbers: Mapping[str, int]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, help, labels=["channel"])
    for channel in contract.CHANNELS:
        gauge.add_metric([channel.name], numbers[channel.name])
    return gauge


class Metrics:
    """The counters of one application, in a registry of their own. Any thread may call every method."""

    def __init__(self, type_of: Callable[[str], str]) -> None:
        """`type_of` gives the type of a message as it is sent."""
        self._type_of = type_of
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._messages = Counter(
            "livestream_messages_sent", "Messages sent.", ["type"], registry=self.registry)
        self._bytes = Counter(
            "livestream_sent_bytes", "Bytes of these messages, without frame headers.", ["type"],
            registry=self.registry)
        self._errors = Counter(
            "livestream_send_errors", "Messages that could not be sent: the connection was over.",
            registry=self.registry)
        self._refusals = Counter(
            "livestream_connections_refused", "Connections refused.", ["reason"], registry=self.registry)
        for reason in contract.REFUSALS:
            self._refusals.labels(reason)
        self._lateness = Histogram(
            "livestream_update_lateness_seconds",
            "How late an update begins, against when it was due; the history's too.",
            buckets=LATENESS_BUCKETS, registry=self.registry)
        # The library's own look-up by label takes a lock.
        self._by_type: dict[str, tuple[Counter, Counter]] = {}

    def watch(self, figures: Figures) -> None:
        """From now on they are gauges."""
        self.registry.register(_Gauges(figures))

    def sent(self, message: str) -> None:
        """One message was sent."""
        message_type = self._type_of(message)
        counters = self._by_type.get(message_type)
        if counters is None:
            counters = self._messages.labels(message_type), self._bytes.labels(message_type)
            self._by_type[message_type] = counters
        messages, size = counters
        messages.inc()
        size.inc(len(message) if message.isascii() else len(message.encode("utf-8", "replace")))

    def send_failed(self) -> None:
        """One message could not be sent."""
        self._errors.inc()

    def late(self, seconds: float) -> None:
        """An update begins, so late."""
        self._lateness.observe(seconds)

    def refused(self, reason: str) -> None:
        """A connection was refused; `reason` is a word of the contract's REFUSALS."""
        self._refusals.labels(reason).inc()


def metrics_page(registry: CollectorRegistry) -> Blueprint:
    """GET /metrics, in the form of Prometheus or OpenMetrics that the scraper accepts."""
    page = Blueprint("metrics", __name__)

    @page.route(contract.METRICS_PATH, methods=("GET", "HEAD"), provide_automatic_options=False)
    def get_metrics() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)

    return page
