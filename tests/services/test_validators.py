"""The validators service: its figures, its instants, its one thread."""

import json
import logging
import os
import sys
import threading
from collections import Counter
from decimal import Decimal
from random import Random

import pytest

from livestream.parity.cases import load_cases
from livestream.services.validators import (
    THREAD_NAME,
    LiveValidatorsService,
    Validator,
    iso_instant,
    round_half_up,
)

RECORDED = {case.name: case.observed["body"] for case in load_cases("http.jsonl")}
PATIENCE = 10.0
#: 2026-11-23T08:24:45.199005254Z
NOW_NS = 1_795_422_285_199_005_254
SECOND = 1_000_000_000
#: So long that the thread never updates within a test.
NEVER = 1_000.0
ALMOST_ONE = 1 - 2**-53


class Clock:
    def __init__(self, now_ns=NOW_NS):
        self.now_ns = now_ns

    def __call__(self):
        return self.now_ns


class Dice:
    """A random source that always falls on the same part of every range, or on the scripted ones first."""

    def __init__(self, part):
        self.part = part
        self.script = []

    def _next(self):
        return self.script.pop(0) if self.script else self.part

    def random(self):
        return self._next()

    def randrange(self, start, stop=None):
        low, high = (0, start) if stop is None else (start, stop)
        return low + int(self._next() * (high - low))

    def getrandbits(self, bits):
        # In integers: a float cannot hold 63 bits.
        return 2**bits - 1 if self._next() == ALMOST_ONE else int(self.part * 2**bits)


@pytest.fixture
def make():
    services = []

    def start(random, clock=None, time_scale=NEVER):
        services.append(LiveValidatorsService(random, clock or Clock(), time_scale))
        return services[-1]

    yield start
    for service in services:
        assert service.close(PATIENCE)
    assert service_threads() == []


def service_threads():
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


# Instants and rounding.

@pytest.mark.parametrize(("nanoseconds", "text"), [
    (0, "1970-01-01T00:00:00Z"),
    (1, "1970-01-01T00:00:00.000000001Z"),
    (1_000, "1970-01-01T00:00:00.000001Z"),
    (1_000_000, "1970-01-01T00:00:00.001Z"),
    (100_000_000, "1970-01-01T00:00:00.100Z"),
    (120_000, "1970-01-01T00:00:00.000120Z"),
    (999_999_999, "1970-01-01T00:00:00.999999999Z"),
    (60 * SECOND, "1970-01-01T00:01:00Z"),
    (951_782_400 * SECOND, "2000-02-29T00:00:00Z"),
    (-1, "1969-12-31T23:59:59.999999999Z"),
    (NOW_NS, "2026-11-23T08:24:45.199005254Z"),
    (NOW_NS // 10**6 * 10**6, "2026-11-23T08:24:45.199Z"),
])
def test_an_instant_has_as_few_groups_of_decimals_as_it_needs(nanoseconds, text):
    assert iso_instant(nanoseconds) == text


@pytest.mark.parametrize(("value", "places", "rounded"), [
    (1.005, 2, "1.01"),
    (2.675, 2, "2.68"),
    (99.994, 2, "99.99"),
    (99.995, 2, "100.00"),
    (80.0, 2, "80.00"),
    (Decimal("0.03125"), 4, "0.0313"),
    (Decimal("0.03124999"), 4, "0.0312"),
    (Decimal("0"), 4, "0.0000"),
])
def test_rounding_is_half_up_on_the_digits_that_are_printed(value, places, rounded):
    assert round_half_up(value, places) == Decimal(rounded)


# The figures, computed by hand from SPEC.

def test_the_lowest_draws_at_the_start_and_in_the_first_update(make):
    service = make(Dice(0.0))
    assert service.get_validator_by_id("validator_000") == {
        "validatorId": "validator_000",
        "publicKey": "0x" + 80 * "0",
        "name": "Aurigraph Prime",
        "status": "ACTIVE",
        "uptime": 84.99,            # 85 - 0.01
        "blocksProduced": 45_001,   # the draw 0 produces a block
        "missedBlocks": 0,
        "stake": 995_000,           # 1,000,000 - 5,000
        "votingPower": 4.98,        # 0.04975, half up
        "lastBlockTime": "2026-11-23T08:24:45.199Z",
        "performance": 90.99,       # 0.6 * 84.99 + 40 = 90.994
        "registeredAt": "2026-10-24T08:24:45.199005254Z",
    }


def test_the_highest_draws_at_the_start_and_in_the_first_update(make):
    service = make(Dice(ALMOST_ONE))
    assert service.get_validator_by_id("validator_014") == {
        "validatorId": "validator_014",
        "publicKey": "0x" + 48 * "0" + "7fffffffffffffff" + "000000000000000e",
        "name": "Zenith Xi",
        "status": "ACTIVE",
        "uptime": 100.0,            # 99.99 + 0.01
        "blocksProduced": 80_000,   # 45,000 + 14 * 2,500
        "missedBlocks": 49,
        "stake": 650_000,           # 1,000,000 - 14 * 25,000
        "votingPower": 3.25,
        "lastBlockTime": "2026-11-23T08:23:35.199Z",
        "performance": 99.98,       # 60 + 40 * 80,000 / 80,049 = 99.9755
        "registeredAt": "2026-10-10T08:24:45.199005254Z",
    }


def test_a_validator_that_is_not_active_starts_otherwise_and_never_moves(make):
    service = make(Dice(0.0))
    expected = {
        "validatorId": "validator_015",
        "publicKey": "0x" + 79 * "0" + "f",
        "name": "Omega Pi",
        "status": "INACTIVE",
        "uptime": 85.0,
        "blocksProduced": 82_500,
        "missedBlocks": 500,
        "stake": 625_000,
        "votingPower": 3.13,        # 0.03125, half up
        "lastBlockTime": "2026-11-23T08:23:30.199Z",
        "performance": 90.76,       # 51 + 40 * 82,500 / 83,000 = 90.759
        "registeredAt": "2026-10-09T08:24:45.199005254Z",
    }
    assert service.get_validator_by_id("validator_015") == expected
    service.update()
    assert service.get_validator_by_id("validator_015") == expected


def test_the_others_draw_their_uptime_and_missed_blocks_from_half_open_ranges(make):
    last = make(Dice(ALMOST_ONE)).get_validator_by_id("validator_019")
    assert last["missedBlocks"] == 1_499
    assert last["uptime"] == 99.99


#: Draws: block, miss (only without a block), uptime, stake, stake's change (only if it moves).
STEPS = {
    "block": ([0.1999, 0.5, 0.5], {"blocksProduced": 1}),
    "no block at 0.20": ([0.20, 0.05, 0.5, 0.5], {}),
    "missed": ([0.20, 0.0499, 0.5, 0.5], {"missedBlocks": 1}),
    "uptime down": ([0.5, 0.5, 0.0, 0.5], {"uptime": -0.01}),
    "stake stays at 0.1": ([0.5, 0.5, 0.5, 0.1], {}),
    "stake down": ([0.5, 0.5, 0.5, 0.0999, 0.0], {"stake": -5_000}),
    "stake up": ([0.5, 0.5, 0.5, 0.0999, ALMOST_ONE], {"stake": 4_999}),
}


@pytest.mark.parametrize(("script", "changes"), STEPS.values(), ids=STEPS)
def test_one_step_of_an_active_validator(make, script, changes):
    dice = Dice(0.5)
    service = make(dice)
    before = service.get_validator_by_id("validator_000")
    dice.script = list(script)
    service.update()
    after = service.get_validator_by_id("validator_000")
    assert dice.script == []
    for key in ("blocksProduced", "missedBlocks", "uptime", "stake"):
        assert after[key] - before[key] == pytest.approx(changes.get(key, 0)), key


def test_only_a_produced_block_sets_the_last_block_time_and_in_milliseconds(make):
    dice, clock = Dice(0.5), Clock()
    service = make(dice, clock)
    service.totals()
    clock.now_ns += 7 * SECOND
    dice.script = [0.0]
    service.update()
    instants = [service.get_validator_by_id(f"validator_00{i}")["lastBlockTime"] for i in (0, 1)]
    assert instants == ["2026-11-23T08:24:52.199Z", "2026-11-23T08:24:40.199Z"]


def test_uptime_and_stake_keep_to_their_limits(make):
    low, high = make(Dice(0.0)), make(Dice(ALMOST_ONE))
    for _ in range(600):
        low.update()
        high.update()
    lowest = low.get_validator_by_id("validator_000")
    assert (lowest["uptime"], lowest["stake"], lowest["votingPower"]) == (80.0, 0, 0.0)
    assert lowest["performance"] == 88.0  # 0.6 * 80 + 40
    assert high.get_validator_by_id("validator_000")["uptime"] == 100.0


def test_many_updates_stay_in_their_ranges_at_the_probabilities_of_the_original(make):
    updates = 3_000
    service = make(Random(7))
    seen = Counter()
    before = by_id(service)
    for _ in range(updates):
        service.update()
        after = by_id(service)
        for name, old in before.items():
            new = after[name]
            if old["status"] != "ACTIVE":
                assert new == old
                continue
            produced, missed = (new[key] - old[key] for key in ("blocksProduced", "missedBlocks"))
            assert (produced, missed) in ((0, 0), (1, 0), (0, 1))
            assert 80 <= new["uptime"] <= 100 and abs(new["uptime"] - old["uptime"]) < 0.0201
            assert -5_000 <= new["stake"] - old["stake"] < 5_000 and new["stake"] >= 0
            assert 0 <= new["performance"] <= 100
            seen.update(produced=produced, missed=missed, staked=new["stake"] != old["stake"])
        before = after
    steps = 15 * updates
    assert seen["produced"] / steps == pytest.approx(0.20, abs=0.01)
    assert seen["missed"] / (steps - seen["produced"]) == pytest.approx(0.05, abs=0.005)
    assert seen["staked"] / steps == pytest.approx(0.1, abs=0.007)


def by_id(service):
    validators = service.get_live_validator_status()["validators"]
    return {validator["validatorId"]: validator for validator in validators}


# The bodies.

def recorded_body(case):
    return json.loads(RECORDED[case])


def key_tree(value):
    """The keys of nested objects in their order; everything else is left out."""
    if isinstance(value, dict):
        return [(key, key_tree(child)) for key, child in value.items()]
    if isinstance(value, list):
        return [key_tree(child) for child in value]
    return None


def test_keys_and_their_order_are_the_recorded_ones(make):
    service = make(Random(1))
    assert key_tree(service.get_live_validator_status()) == key_tree(recorded_body("validators"))
    one = service.get_validator_by_id("validator_000")
    assert key_tree(one) == key_tree(recorded_body("validator-first"))
    assert key_tree(service.health()) == key_tree(recorded_body("validators-health"))


def test_what_never_moves_is_as_recorded(make):
    fixed = ("validatorId", "name", "status")
    recorded, ours = recorded_body("validators"), make(Random(1)).get_live_validator_status()
    assert [[v[key] for key in fixed] for v in ours["validators"]] == [
        [v[key] for key in fixed] for v in recorded["validators"]
    ]


def test_formulas_give_the_recorded_voting_powers():
    for recorded in recorded_body("validators")["validators"]:
        validator = Validator("", "", "", "", recorded["uptime"], recorded["blocksProduced"],
                              recorded["missedBlocks"], recorded["stake"], 0, 0)
        assert validator.voting_power == recorded["votingPower"]
        # The recorded uptime is rounded: 0.6 * 0.005 and the result's own rounding are its error.
        assert validator.performance == pytest.approx(recorded["performance"], abs=0.0081)


def test_the_status_sums_up_its_validators(make):
    service = make(Random(3))
    for _ in range(400):
        service.update()
    status = service.get_live_validator_status()
    powers = [validator["votingPower"] for validator in status["validators"]]
    assert powers == sorted(powers, reverse=True)
    ids = [validator["validatorId"] for validator in status["validators"]]
    assert ids != sorted(ids), "the stakes have not crossed: choose another seed"
    assert status["totalNetworkStake"] == sum(validator["stake"] for validator in status["validators"])
    assert status["networkBlockHeight"] == 1_500_401
    assert status["timestamp"] == "2026-11-23T08:24:45.199005254Z"
    assert service.health()["networkBlockHeight"] == 1_500_401


def test_totals_are_those_of_the_status(make):
    service = make(Random(1))
    totals = {"totalValidators": 20, "activeValidators": 15, "inactiveValidators": 3, "jailedValidators": 2}
    assert list(service.totals().items()) == list(totals.items())
    assert totals.items() <= service.get_live_validator_status().items()


@pytest.mark.parametrize("validator_id", ["validator_020", "VALIDATOR_000", "", " validator_000", "health"])
def test_an_unknown_id_is_none(make, validator_id):
    assert make(Random(1)).get_validator_by_id(validator_id) is None


# The thread.

def test_nothing_starts_before_the_first_use(make):
    make(Random(1))
    assert service_threads() == []


@pytest.mark.parametrize("use", [
    lambda service: service.get_live_validator_status(),
    lambda service: service.get_validator_by_id("nobody"),
    lambda service: service.health(),
    lambda service: service.totals(),
], ids=["status", "by id", "health", "totals"])
def test_the_first_use_updates_once_and_starts_one_daemon_thread(make, use):
    service = make(Random(1))
    use(service)
    [thread] = service_threads()
    assert thread.daemon
    assert service.health()["networkBlockHeight"] == 1_500_001
    assert service_threads() == [thread]


def test_a_first_use_by_20_threads_is_one_start(make):
    users = 20
    barrier = threading.Barrier(users)
    answers = []

    def slow_clock():
        os.sched_yield()
        return NOW_NS + len(answers)

    service = make(Random(1), slow_clock)

    def use():
        barrier.wait(PATIENCE)
        answers.append(service.get_live_validator_status())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=use) for _ in range(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    finally:
        sys.setswitchinterval(interval)
    assert len(answers) == users
    assert all(answer["validators"] == answers[0]["validators"] for answer in answers)
    assert {answer["networkBlockHeight"] for answer in answers} == {1_500_001}
    assert len(service_threads()) == 1


class Waits(threading.Event):
    """Lets the thread wait no time, and remembers how long it would have waited."""

    def __init__(self, rounds):
        super().__init__()
        self.rounds = rounds
        self.timeouts = []

    def wait(self, timeout=None):
        self.timeouts.append(timeout)
        return len(self.timeouts) > self.rounds


@pytest.mark.parametrize(("time_scale", "period"), [(1.0, 5.0), (0.1, 0.5)])
def test_the_thread_updates_once_per_period(make, time_scale, period):
    service = make(Random(1), time_scale=time_scale)
    waits = service._closed = Waits(rounds=3)
    service.totals()
    for thread in service_threads():
        thread.join(PATIENCE)
    assert waits.timeouts == [period] * 4
    assert service.health()["networkBlockHeight"] == 1_500_004


def test_close_ends_the_thread_at_once_and_the_last_state_stays(make):
    service = make(Random(1))
    before = service.get_live_validator_status()
    [thread] = service_threads()
    assert service.close(PATIENCE)
    assert not thread.is_alive()
    assert service.get_live_validator_status() == before
    assert service.close(PATIENCE)
    assert service_threads() == []


def test_closed_before_its_first_use_it_answers_and_starts_nothing(make, monkeypatch):
    service = make(Random(1))
    assert service.close(PATIENCE)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", lambda thread: pytest.fail(f"{thread.name} starts"))
        assert service.health()["networkBlockHeight"] == 1_500_001


def test_close_tells_when_the_thread_did_not_end_in_time(make):
    deaf_until = threading.Event()

    class Deaf(threading.Event):
        def wait(self, timeout=None):
            return deaf_until.wait(PATIENCE)

    service = make(Random(1))
    service._closed = Deaf()
    service.totals()
    assert not service.close(0)
    deaf_until.set()
    assert service.close(PATIENCE)


def test_without_a_thread_to_be_had_the_service_answers_and_tries_again(make, monkeypatch, caplog):
    service = make(Random(1))

    def no_thread(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(threading.Thread, "start", no_thread)
        assert service.totals()["totalValidators"] == 20
    assert [record.getMessage() for record in caplog.records] == [
        "validators do not move: can't start new thread"
    ]
    assert service_threads() == []
    service.totals()
    assert len(service_threads()) == 1
