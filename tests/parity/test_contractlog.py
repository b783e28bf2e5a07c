"""Every message of a run, judged once."""

import json

import pytest

from livestream.parity.cases import load_session
from livestream.parity.contractlog import MOST_COMPLAINTS, ContractLog
from livestream.parity.judging.verdict import Verdict

WELCOME, UPDATE = (step.text for step in load_session("tps-only").steps[:2])


@pytest.fixture
def log():
    return ContractLog()


def test_without_a_message_there_is_nothing_to_say(log):
    assert log.result() is None


def test_valid_messages_are_counted(log):
    for text in (WELCOME, UPDATE, UPDATE):
        log.watch(text)
    result = log.result()
    assert (result.name, result.verdict) == ("contract/every message", Verdict.SAME)
    assert result.observed == {"messages": 3, "invalid": []}


def test_an_invalid_one_is_told_with_its_text(log):
    spoilt = UPDATE.replace("latency", "lateness")
    log.watch(WELCOME)
    log.watch(spoilt)
    result = log.result()
    assert result.verdict is Verdict.DIFFERENT
    [difference] = result.differences
    assert difference.where.startswith("tps_update")
    assert difference.got == spoilt


def test_two_connections_must_not_have_one_id(log):
    log.watch(WELCOME)
    assert log.result().verdict is Verdict.SAME
    log.watch(WELCOME)
    [difference] = log.result().differences
    assert "two connections have the same" in difference.where


def test_complaints_do_not_pile_up(log):
    for number in range(MOST_COMPLAINTS * 3):
        log.watch(json.dumps({"type": f"unknown-{number}"}))
    result = log.result()
    assert len(result.differences) == MOST_COMPLAINTS
    assert result.observed["messages"] == MOST_COMPLAINTS * 3
