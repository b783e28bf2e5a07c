"""What the wire agrees on: addresses, channels, message types, intervals and limits.

Every room may import this module; it imports nothing of ours. A fact of the
protocol stands here and nowhere else. Names end in their unit: `_MS`
milliseconds, `_BYTES`, `_TPS` transactions per second, `_UNITS` UTF-16 units.
Source: SPEC, parts "Service", "Messages", "Frames", "JSON as the original reads it"
and "REST"; RFC 6455, section 7.4.1 (close codes). What the original lacks is
marked "port".
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

HOST: Final = "0.0.0.0"
PORT: Final = 9003

API: Final = "/api/v11"
STREAM_PATH: Final = f"{API}/live/stream"
BLOCKCHAIN_STATS_PATH: Final = f"{API}/blockchain/stats"
VALIDATORS_PATH: Final = f"{API}/live/validators"
VALIDATORS_HEALTH_PATH: Final = f"{API}/live/validators/health"
#: Where the original's test plan expects the statistics that it serves nowhere.
WEBSOCKET_STATS_PATH: Final = f"{API}/websocket/stats"
#: The live page (port).
LAB_PATH: Final = "/lab/"
#: What the page's thread theatre shows, and the profiles it explains (port).
LAB_THREADS_PATH: Final = f"{LAB_PATH}threads"
LAB_PROFILES_PATH: Final = f"{LAB_PATH}profiles"
#: For whoever runs the service (port): `--metrics` and `--health`.
METRICS_PATH: Final = "/metrics"
HEALTH_LIVE_PATH: Final = "/health/live"
HEALTH_READY_PATH: Final = "/health/ready"
#: The body of every 404 that is not JSON.
NOT_FOUND_PAGE: Final = "<html><body><h1>Resource not found</h1></body></html>"

# Message types, client to server.
SUBSCRIBE: Final = "subscribe"
UNSUBSCRIBE: Final = "unsubscribe"
PING: Final = "ping"

# Message types, server to client.
CONNECTION_ESTABLISHED: Final = "connection_established"
SUBSCRIPTION_CONFIRMED: Final = "subscription_confirmed"
UNSUBSCRIPTION_CONFIRMED: Final = "unsubscription_confirmed"
PONG: Final = "pong"
ERROR: Final = "error"

# Words inside the payloads.
STATUS_SUBSCRIBED: Final = "subscribed"
STATUS_UNSUBSCRIBED: Final = "unsubscribed"
INVALID_MESSAGE_FORMAT: Final = "Invalid message format"
CHANNEL_NOT_SPECIFIED: Final = "Channel not specified"
UNKNOWN_CHANNEL: Final = "Unknown channel: "
TOO_MANY_CHANNEL_THREADS: Final = "Too many channel threads"
NO_THREAD_LEFT: Final = "The server cannot start another thread"
CHANNEL_NOT_ALLOWED: Final = "Channel not allowed: "
RATE_LIMIT_EXCEEDED: Final = "Rate limit exceeded"


class ChannelContract(NamedTuple):
    """One row of SPEC's message table: what a channel is called, sends, and how often."""

    name: str
    message_type: str
    interval_ms: int


TPS_UPDATES: Final = ChannelContract("tps_updates", "tps_update", 1_000)
BLOCK_UPDATES: Final = ChannelContract("block_updates", "block_update", 2_000)
NETWORK_STATUS: Final = ChannelContract("network_status", "network_update", 3_000)
VALIDATOR_METRICS: Final = ChannelContract("validator_metrics", "validator_update", 5_000)

CHANNELS: Final = (TPS_UPDATES, BLOCK_UPDATES, NETWORK_STATUS, VALIDATOR_METRICS)
#: Types of the messages that come unasked, once per interval.
UPDATE_TYPES: Final = frozenset(channel.message_type for channel in CHANNELS)
#: The channel whose thread starts with every connection.
INITIAL_CHANNEL: Final = TPS_UPDATES

# What the updates say (SPEC, "Messages"): figures that are drawn, and payloads that are always the same;
# `blockTime` and `avgLatency` are milliseconds.
CURRENT_TPS: Final = range(776_000, 826_000)
LATENCY_MS: Final = range(40, 60)
PEAK_TPS: Final = 800_000
AVERAGE_TPS: Final = 750_000
BLOCK: Final[Mapping[str, int | str]] = MappingProxyType(
    {"blockHeight": 12_345, "blockTime": 1_000, "transactions": 500, "producer": "validator-1"})
NETWORK: Final[Mapping[str, int | str]] = MappingProxyType(
    {"activeNodes": 64, "totalNodes": 100, "networkHealth": "healthy", "avgLatency": 42})

# Limits. A frame's payload in bytes; beyond it the connection is closed with 1009.
MAX_FRAME_BYTES: Final = 65_536
MAX_CONNECTIONS: Final = 5_000
# Limits of JSON text (SPEC, "JSON as the original reads it").
MAX_NESTING: Final = 1_000
MAX_NUMBER_DIGITS: Final = 1_000
MAX_NAME_UNITS: Final = 50_000
# Limits of the port alone.
MAX_THREADS_PER_CONNECTION: Final = 64
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024

#: So many messages in a row beyond the rate limit are answered by an error; the next one by Close 1008.
MAX_EXCESSES: Final = 5

#: The subprotocol by which a browser hands in a token, `bearer, TOKEN` (port): it can set no other header.
BEARER_SUBPROTOCOL: Final = "bearer"
# Why a connection was refused: the values of the label `reason` in the metrics (port).
REFUSED_FULL: Final = "full"
REFUSED_NO_DESCRIPTOR: Final = "no_descriptor"
REFUSED_NO_THREAD: Final = "no_thread"
REFUSED_HANDSHAKE: Final = "handshake"
REFUSED_ORIGIN: Final = "origin"
REFUSED_RATE: Final = "rate"
REFUSED_TOKEN: Final = "token"
REFUSALS: Final = (
    REFUSED_FULL, REFUSED_NO_DESCRIPTOR, REFUSED_NO_THREAD, REFUSED_HANDSHAKE, REFUSED_ORIGIN, REFUSED_RATE,
    REFUSED_TOKEN,
)
# The extensions (port, `--extensions`): announced in the welcome's payload, and keys of a `subscribe`.
EXTENSIONS: Final = "extensions"
EXTENSION_VALIDATORS: Final = "validators"
EXTENSION_INTERVAL: Final = "interval_ms"
EXTENSION_SINCE: Final = "since"
#: The key that marks an update as sent again, and in a confirmation the number of them …
REPLAYED: Final = "replayed"
#: … beside whether these are all that there were.
COMPLETE: Final = "complete"
LEAST_INTERVAL_MS: Final = 100
MOST_INTERVAL_MS: Final = 60_000
MAX_VALIDATOR_IDS: Final = 100
MAX_VALIDATOR_ID_LENGTH: Final = 64
MAX_SINCE: Final = 2**63 - 1
#: Updates of one channel that are kept: with `tps_updates` three times what the report's client waits.
HISTORY_SIZE: Final = 300
BAD_INTERVAL: Final = f"interval_ms must be an integer from {LEAST_INTERVAL_MS} to {MOST_INTERVAL_MS}"
BAD_SINCE: Final = "since must be an integer: milliseconds since 1970"
BAD_VALIDATORS: Final = (
    f"validators must be a list of {MAX_VALIDATOR_IDS} texts at most, "
    f"each of {MAX_VALIDATOR_ID_LENGTH} characters at most")
VALIDATORS_ELSEWHERE: Final = f"validators goes with the channel {VALIDATOR_METRICS.name} only"
NO_SINGLE_VALIDATORS: Final = "validators is not offered: this server's data has no single validators"

# Close codes that are named in the code (RFC 6455, section 7.4.1); wsproto knows the others.
CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_NO_STATUS: Final = 1005
CLOSE_ABNORMAL: Final = 1006
CLOSE_POLICY_VIOLATION: Final = 1008
CLOSE_MESSAGE_TOO_BIG: Final = 1009
CLOSE_INTERNAL_ERROR: Final = 1011
CLOSE_TRY_AGAIN_LATER: Final = 1013

#: The format name in the header line of every corpus file.
CORPUS_FORMAT: Final = "livestream-corpus/1"
