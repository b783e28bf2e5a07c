"""The four channels: name, message type, interval, and where a payload comes from.

Source: SPEC, "Messages". The simulated figures are the original's; real data
takes their place through another `Source`.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

from livestream.contract import (
    AVERAGE_TPS, BLOCK, BLOCK_UPDATES, CURRENT_TPS, LATENCY_MS, NETWORK, NETWORK_STATUS,
    PEAK_TPS, TPS_UPDATES, VALIDATOR_METRICS,
)
from livestream.services.interfaces import Payload, ValidatorTotals


class Source(Protocol):
    """Where the payloads come from: one method per message type, called by many threads at once.

    Each returns a dict of JSON values, whose keys go out in their order.
    """

    def tps_update(self) -> Payload:
        """Transactions per second: `currentTPS`, `peakTPS`, `averageTPS`, `latency` (ms)."""

    def block_update(self) -> Payload:
        """The newest block: `blockHeight`, `blockTime` (ms), `transactions`, `producer`."""

    def network_update(self) -> Payload:
        """The network: `activeNodes`, `totalNodes`, `networkHealth`, `avgLatency` (ms)."""

    def validator_update(self) -> Payload:
        """`totalValidators`, `activeValidators`, `inactiveValidators`, `jailedValidators`."""


class Unavailable(Exception):
    """The source has no payload this time: the update is skipped, the next one tried in its time."""


class SimulatedSource:
    """The original's figures: random, fixed, fixed, and counted by the validators service."""

    def __init__(self, validators: ValidatorTotals, random: Random) -> None:
        self._validators = validators
        self._random = random

    def tps_update(self) -> Payload:
        """776,000 to 825,999 transactions a second, 40 to 59 ms."""
        return {
            "currentTPS": self._drawn(CURRENT_TPS),
            "peakTPS": PEAK_TPS,
            "averageTPS": AVERAGE_TPS,
            "latency": self._drawn(LATENCY_MS),
        }

    def block_update(self) -> Payload:
        """The same block for ever."""
        return dict(BLOCK)

    def network_update(self) -> Payload:
        """The same network for ever."""
        return dict(NETWORK)

    def validator_update(self) -> Payload:
        """Totals of the validators service."""
        return self._validators.totals()

    def _drawn(self, values: range) -> int:
        """As Java draws: the lowest, and a part of the range that is rounded down."""
        return values.start + int(self._random.random() * len(values))


class Channel(NamedTuple):
    """One channel as it runs: `interval` in seconds, time scale applied; `payload` may raise Unavailable."""

    name: str
    message_type: str
    interval: float
    payload: Callable[[], Payload]


def live_channels(source: Source, time_scale: float = 1.0) -> dict[str, Channel]:
    """The four channels by name, fed by `source`; `time_scale` multiplies every interval."""
    payloads = {
        TPS_UPDATES: source.tps_update,
        BLOCK_UPDATES: source.block_update,
        NETWORK_STATUS: source.network_update,
        VALIDATOR_METRICS: source.validator_update,
    }
    return {
        row.name: Channel(row.name, row.message_type, row.interval_ms / 1_000 * time_scale, payload)
        for row, payload in payloads.items()
    }
