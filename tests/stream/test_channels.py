"""The four channels and their simulated figures (SPEC, "Messages")."""

import math
from random import Random

import pytest

from livestream import contract
from livestream.stream.channels import SimulatedSource, live_channels
from tests.stream.fakes import ConstantRandom, FakeSource, FakeTotals

JUST_BELOW_ONE = math.nextafter(1.0, 0.0)
#: SPEC's table: channel, message type, milliseconds.
ROWS = [
    ("tps_updates", "tps_update", 1000),
    ("block_updates", "block_update", 2000),
    ("network_status", "network_update", 3000),
    ("validator_metrics", "validator_update", 5000),
]


def source(random=None):
    return SimulatedSource(FakeTotals(), random or Random(1))


def test_the_contracts_table():
    assert [tuple(row) for row in contract.CHANNELS] == ROWS
    assert contract.INITIAL_CHANNEL.name == "tps_updates"


@pytest.mark.parametrize("time_scale", [1.0, 0.001, 1000])
def test_the_channels_are_the_table_with_their_intervals_in_scaled_seconds(time_scale):
    channels = live_channels(source(), time_scale)
    assert [(key, channel.name, channel.message_type) for key, channel in channels.items()] == [
        (name, name, message_type) for name, message_type, _ in ROWS
    ]
    assert [channel.interval for channel in channels.values()] == pytest.approx(
        [milliseconds / 1000 * time_scale for _, _, milliseconds in ROWS]
    )


def test_time_runs_unscaled_unless_asked():
    assert [channel.interval for channel in live_channels(source()).values()] == [1, 2, 3, 5]


def test_a_channel_takes_its_payloads_from_its_own_method_of_the_source():
    fake = FakeSource()
    for channel in live_channels(fake).values():
        assert channel.payload() == {"number": 1}
        assert channel.payload() == {"number": 2}
        assert fake.asked[channel.message_type] == 2
    assert sum(fake.asked.values()) == 8


@pytest.mark.parametrize("draw, tps, latency", [(0.0, 776_000, 40), (JUST_BELOW_ONE, 825_999, 59)])
def test_the_edges_of_the_transactions_figures(draw, tps, latency):
    assert source(ConstantRandom(draw)).tps_update() == {
        "currentTPS": tps, "peakTPS": 800_000, "averageTPS": 750_000, "latency": latency,
    }


def test_many_transactions_figures_stay_whole_in_range_and_use_all_of_it():
    simulated = source()
    draws = [simulated.tps_update() for _ in range(20_000)]
    rates = [draw["currentTPS"] for draw in draws]
    latencies = {draw["latency"] for draw in draws}
    assert {type(value) for draw in draws for value in draw.values()} == {int}
    assert 776_000 <= min(rates) < 776_100 and 825_900 < max(rates) < 826_000
    assert latencies == set(range(40, 60))
    assert {(draw["peakTPS"], draw["averageTPS"]) for draw in draws} == {(800_000, 750_000)}


def test_rate_and_latency_are_two_draws():
    simulated = source()
    draws = [simulated.tps_update() for _ in range(200)]
    assert any((draw["currentTPS"] - 776_000) // 2_500 != draw["latency"] - 40 for draw in draws)


def test_the_same_seed_gives_the_same_figures():
    first, second = source(Random(7)), source(Random(7))
    assert [first.tps_update() for _ in range(9)] == [second.tps_update() for _ in range(9)]


def test_the_fixed_figures():
    for _ in range(3):
        assert source().block_update() == {
            "blockHeight": 12_345, "blockTime": 1_000, "transactions": 500, "producer": "validator-1",
        }
        assert source().network_update() == {
            "activeNodes": 64, "totalNodes": 100, "networkHealth": "healthy", "avgLatency": 42,
        }


def test_the_validators_are_counted_by_their_service_each_time():
    totals = FakeTotals()
    simulated = SimulatedSource(totals, Random(1))
    assert list(simulated.validator_update().values()) == [20, 15, 3, 2]
    totals.totals = lambda: {"totalValidators": 1}
    assert simulated.validator_update() == {"totalValidators": 1}
