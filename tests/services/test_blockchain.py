"""The statistics of the blockchain: a snapshot with three moving times."""

import json

import pytest

from livestream.parity.cases import load_cases
from livestream.services.blockchain import BlockchainStatsService
from livestream.stream.jackson import to_json

RECORDED = {case.name: case.observed["body"] for case in load_cases("http.jsonl")}
WEEK_MS = 604_800_000


@pytest.mark.parametrize("case", ["stats", "stats-origin", "stats-query"])
def test_at_the_recorded_moment_the_body_is_the_recorded_text(case):
    now_ns = json.loads(RECORDED[case])["timestamp"] * 1_000_000
    assert to_json(BlockchainStatsService(lambda: now_ns).get_blockchain_stats()) == RECORDED[case]


def test_times_are_whole_milliseconds_rounded_down():
    stats = BlockchainStatsService(lambda: 1_795_422_292_531_999_999).get_blockchain_stats()
    assert stats["timestamp"] == stats["latestBlockTimestamp"] == 1_795_422_292_531
    assert stats["networkHealth"]["lastIncident"] == 1_795_422_292_531 - WEEK_MS


def test_every_answer_is_a_new_one():
    service = BlockchainStatsService(lambda: 0)
    service.get_blockchain_stats()["storage"].clear()
    assert service.get_blockchain_stats()["storage"]["chainSize"] == "2.4 TB"
