"""The simulated validators, the original's LiveValidatorsService (SPEC, "The validators service")."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Final

from livestream.services.interfaces import Payload

THREAD_NAME: Final = "service-validators"
UPDATE_PERIOD_S: Final = 5.0

ACTIVE: Final = "ACTIVE"
INACTIVE: Final = "INACTIVE"
JAILED: Final = "JAILED"

NAMES: Final = (
    "Aurigraph Prime", "Sentinel Alpha", "Guardian Beta", "Nexus Gamma", "Forge Delta",
    "Vault Epsilon", "Core Zeta", "Shield Eta", "Matrix Theta", "Quantum Iota",
    "Crystal Kappa", "Phoenix Lambda", "Titan Mu", "Nova Nu", "Zenith Xi",
    "Omega Pi", "Stellar Rho", "Eclipse Sigma", "Horizon Tau", "Infinity Upsilon",
)
STATUSES: Final = (ACTIVE,) * 15 + (INACTIVE,) * 3 + (JAILED,) * 2

FIRST_BLOCK_HEIGHT: Final = 1_500_000
#: The stake that would be all of the voting power.
WHOLE_STAKE: Final = 20_000_000

BLOCK_PROBABILITY: Final = 0.20
MISS_PROBABILITY: Final = 0.05
STAKE_CHANGE_PROBABILITY: Final = 0.1

NS_PER_SECOND: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
NS_PER_DAY: Final = 86_400 * NS_PER_SECOND

_log = logging.getLogger(__name__)


def iso_instant(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as ISO 8601 in UTC, with 0, 3, 6 or 9 decimals, as few as needed."""
    seconds, fraction = divmod(nanoseconds, NS_PER_SECOND)
    moment = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f"{fraction:09d}"
    while decimals.endswith("000"):
        decimals = decimals.removesuffix("000")
    return f"{moment}.{decimals}Z" if decimals else f"{moment}Z"


def round_half_up(value: Decimal | float, places: int) -> Decimal:
    """`value` with `places` decimals; a float counts as the digits it prints, so 1.005 becomes 1.01."""
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


@dataclass
class Validator:
    """One validator: percentages as floats 0…100, times in nanoseconds since 1970, stake in whole tokens."""

    validator_id: str
    public_key: str
    name: str
    status: str
    uptime: float
    blocks_produced: int
    missed_blocks: int
    stake: int
    last_block_ns: int
    registered_ns: int

    @property
    def voting_power(self) -> float:
        """Percent of WHOLE_STAKE: the share rounded half up to 4 places, times 100."""
        return float(round_half_up(Decimal(self.stake) / WHOLE_STAKE, 4) * 100)

    @property
    def performance(self) -> float:
        """Percent: 60 parts uptime, 40 parts blocks produced of all that were due."""
        produced = self.blocks_produced / (self.blocks_produced + self.missed_blocks)
        return min(100.0, max(0.0, 0.6 * self.uptime + 0.4 * 100 * produced))

    def to_payload(self) -> Payload:
        """The validator as both REST answers show it, keys in the recorded order.

        `uptime`, `votingPower` and `performance` in percent, `stake` in tokens, `lastBlockTime` and
        `registeredAt` as of `iso_instant`.
        """
        return {
            "validatorId": self.validator_id,
            "publicKey": self.public_key,
            "name": self.name,
            "status": self.status,
            "uptime": float(round_half_up(self.uptime, 2)),
            "blocksProduced": self.blocks_produced,
            "missedBlocks": self.missed_blocks,
            "stake": self.stake,
            "votingPower": self.voting_power,
            # The original keeps this one in milliseconds.
            "lastBlockTime": iso_instant(self.last_block_ns // NS_PER_MS * NS_PER_MS),
            "performance": float(round_half_up(self.performance, 2)),
            "registeredAt": iso_instant(self.registered_ns),
        }


class LiveValidatorsService:
    """Twenty validators that move every 5 s from the first use on, in one daemon thread.

    Every public method but `close` is a use: the first one creates the
    validators, updates them once and starts the thread. After `close` the
    service still answers, with the last state, and never starts again.

    `random` draws every simulated figure, `time_ns` gives nanoseconds since
    1970, `time_scale` multiplies the 5 s. Any thread may call any method.
    """

    def __init__(self, random: Random, time_ns: Callable[[], int], time_scale: float = 1.0) -> None:
        self._random = random
        self._time_ns = time_ns
        self._period_s = UPDATE_PERIOD_S * time_scale
        #: Guards everything below, and each Validator in the list.
        self._lock = threading.Lock()
        self._validators: list[Validator] = []
        self._block_height = FIRST_BLOCK_HEIGHT
        self._thread: threading.Thread | None = None
        #: Set under the lock, so that no thread starts afterwards; waited for without it.
        self._closed = threading.Event()

    def get_live_validator_status(self) -> Payload:
        """The body of GET /api/v11/live/validators: all by falling voting power, totals, height, now."""
        with self._lock:
            self._ensure_started()
            by_power = sorted(self._validators, key=lambda validator: validator.voting_power, reverse=True)
            return {
                "validators": [validator.to_payload() for validator in by_power],
                **self._count(),
                "networkBlockHeight": self._block_height,
                "totalNetworkStake": sum(validator.stake for validator in self._validators),
                "timestamp": iso_instant(self._time_ns()),
            }

    def get_validator_by_id(self, validator_id: str) -> Payload | None:
        """The body of GET /api/v11/live/validators/{id}, or None when there is no such validator."""
        with self._lock:
            self._ensure_started()
            for validator in self._validators:
                if validator.validator_id == validator_id:
                    return validator.to_payload()
            return None

    def health(self) -> Payload:
        """The body of GET /api/v11/live/validators/health.

        `status`, `message`, `totalValidators`, `activeValidators`, `networkBlockHeight`.
        """
        with self._lock:
            self._ensure_started()
            totals = self._count()
            return {
                "status": "UP",
                "message": "Live validator monitoring operational",
                "totalValidators": totals["totalValidators"],
                "activeValidators": totals["activeValidators"],
                "networkBlockHeight": self._block_height,
            }

    def totals(self) -> Payload:
        """How many validators there are, and how many of each status: the payload of `validator_update`."""
        with self._lock:
            self._ensure_started()
            return self._count()

    def update(self) -> None:
        """One step of the simulation: one block more, and every ACTIVE validator moves."""
        with self._lock:
            self._ensure_started()
            self._step()

    def close(self, timeout: float) -> bool:
        """End the thread and wait up to `timeout` seconds for it; True when no thread is left."""
        with self._lock:
            self._closed.set()
            thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    # From here on: called with the lock held, `_run` alone without it.

    def _ensure_started(self) -> None:
        if not self._validators:
            self._validators = [self._create_validator(index) for index in range(len(NAMES))]
            self._step()
        if self._thread is None and not self._closed.is_set():
            self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # Out of threads: better to answer with figures that stand still; the next use tries again.
            _log.warning("validators do not move: %s", error)
            return
        self._thread = thread

    def _run(self) -> None:
        while not self._closed.wait(self._period_s):
            self.update()

    def _create_validator(self, index: int) -> Validator:
        now = self._time_ns()
        status = STATUSES[index]
        missed = self._random.randrange(50) if status == ACTIVE else 500 + self._random.randrange(1000)
        return Validator(
            validator_id=f"validator_{index:03d}",
            public_key=f"0x{self._random.getrandbits(63):064x}{index:016x}",
            name=NAMES[index],
            status=status,
            uptime=85 + self._random.random() * 14.99,
            blocks_produced=45_000 + 2_500 * index,
            missed_blocks=missed,
            stake=1_000_000 - 25_000 * index,
            last_block_ns=now - 5 * index * NS_PER_SECOND,
            registered_ns=now - (30 + index) * NS_PER_DAY,
        )

    def _step(self) -> None:
        self._block_height += 1
        for validator in self._validators:
            if validator.status == ACTIVE:
                self._move(validator)

    def _move(self, validator: Validator) -> None:
        if self._happens(BLOCK_PROBABILITY):
            validator.blocks_produced += 1
            validator.last_block_ns = self._time_ns()
        elif self._happens(MISS_PROBABILITY):
            validator.missed_blocks += 1
        drift = self._random.random() * 0.02 - 0.01
        validator.uptime = min(100.0, max(80.0, validator.uptime + drift))
        if self._happens(STAKE_CHANGE_PROBABILITY):
            validator.stake = max(0, validator.stake + self._random.randrange(-5_000, 5_000))

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def _count(self) -> Payload:
        by_status = Counter(validator.status for validator in self._validators)
        return {
            "totalValidators": len(self._validators),
            "activeValidators": by_status[ACTIVE],
            "inactiveValidators": by_status[INACTIVE],
            "jailedValidators": by_status[JAILED],
        }
