"""The four channels: name, message type, interval, and where a payload comes from.

Source: SPEC, "Messages". The simulated figures are the original's; real data
takes their place through another `Source`.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

from livestream.contract import (
    BLOCK_UPDATES,
    NETWORK_STATUS,
    TPS_UPDATES,
    VALIDATOR_METRICS,
)
from livestream.services.interfaces import Payload, ValidatorTotals


class Source(Protocol):
    """Where the payloads come from: one method per message type, called by many threads."""

    def tps_update(self) -> Payload:
        """Transactions per second: `currentTPS`, `peakTPS`, `averageTPS`, `latency` (ms)."""

    def block_update(self) -> Payload:
        """The newest block: `blockHeight`, `blockTime` (ms), `transactions`, `producer`."""

    def network_update(self) -> Payload:
        """The network: `activeNodes`, `totalNodes`, `networkHealth`, `avgLatency` (ms)."""

    def validator_update(self) -> Payload:
        """How many validators there are, in all and by status."""


class SimulatedSource:
    """The original's figures: random, fixed, fixed, and counted by the validators service."""

    def __init__(self, validators: ValidatorTotals, random: Random) -> None:
        self._validators = validators
        self._random = random

    def tps_update(self) -> Payload:
        """776,000 to 825,999 transactions a second, 40 to 59 ms."""
        return {
            "currentTPS": 776_000 + int(self._random.random() * 50_000),
            "peakTPS": 800_000,
            "averageTPS": 750_000,
            "latency": 40 + int(self._random.random() * 20),
        }

    def block_update(self) -> Payload:
        """The same block for ever."""
        return {"blockHeight": 12_345, "blockTime": 1_000, "transactions": 500, "producer": "validator-1"}

    def network_update(self) -> Payload:
        """The same network for ever."""
        return {"activeNodes": 64, "totalNodes": 100, "networkHealth": "healthy", "avgLatency": 42}

    def validator_update(self) -> Payload:
        """Totals of the validators service."""
        return self._validators.totals()


class Channel(NamedTuple):
    """One channel as it runs: `interval` in seconds, time scale applied."""

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
