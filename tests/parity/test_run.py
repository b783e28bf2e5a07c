"""The order of a run, what it leaves out and says so, and sessions in doubt."""

from dataclasses import replace

import pytest

from livestream.parity import run
from livestream.parity.asking import Round
from livestream.parity.cases import load_session
from livestream.parity.judging.verdict import Verdict
from livestream.parity.plan import Plan
from livestream.parity.playing.target import Target
from livestream.parity.playing.waiting import StallWatch
from livestream.parity.run import LONGEST_STALL, MOST_REPLAYS, CannotRun, Comparison
from tests.parity.independent_server import independent_server

TPS_ONLY = load_session("tps-only")
#: The same with a gap: its sixth update is missing.
GAP = replace(TPS_ONLY, steps=(*TPS_ONLY.steps[:7], *TPS_ONLY.steps[8:]))
CHOSEN = frozenset(("cadence/tps-only",))


def played_as(monkeypatch, *rounds):
    """A run of one session, in which the server gives these rounds one after the other."""
    left = list(rounds)
    monkeypatch.setattr(run, "play_round", lambda plan, sessions: left.pop(0))
    with independent_server() as url:
        comparison = Comparison(Plan(Target(url), chosen=CHOSEN))
        comparison.run()
    assert left == []
    return comparison


def test_a_session_that_differs_is_played_again_when_the_machine_stalled(monkeypatch):
    stalled = Round({"tps-only": GAP}, stall=2 * LONGEST_STALL)
    comparison = played_as(monkeypatch, stalled, Round({"tps-only": TPS_ONLY}))
    assert [result.verdict for result in comparison.results] == [Verdict.SAME]
    assert any("stalled for 60 ms" in note and "tps-only played again" in note for note in comparison.notes)


def test_what_still_differs_after_every_replay_is_different(monkeypatch):
    stalled = Round({"tps-only": GAP}, stall=2 * LONGEST_STALL)
    comparison = played_as(monkeypatch, *[stalled] * (1 + MOST_REPLAYS))
    assert [result.verdict for result in comparison.results] == [Verdict.DIFFERENT]


def test_what_differs_again_on_a_quiet_machine_is_different(monkeypatch):
    stalled = Round({"tps-only": GAP}, stall=2 * LONGEST_STALL)
    comparison = played_as(monkeypatch, stalled, Round({"tps-only": GAP}))
    assert [result.verdict for result in comparison.results] == [Verdict.DIFFERENT]


@pytest.mark.parametrize("one_round", [
    Round({"tps-only": GAP}, stall=LONGEST_STALL / 2),
    Round({"tps-only": TPS_ONLY}, stall=2 * LONGEST_STALL),
])
def test_a_quiet_machine_or_the_same_session_is_believed_at_once(monkeypatch, one_round):
    comparison = played_as(monkeypatch, one_round)
    assert not any("stalled" in note for note in comparison.notes)


def test_the_watch_notices_a_stall():
    with StallWatch() as quiet:
        pass
    with StallWatch() as watch:
        3 ** 3_000_000  # One operation, during which no other thread runs.
    assert watch.worst > max(LONGEST_STALL, quiet.worst)


def test_a_choice_that_fits_nothing_is_said():
    with pytest.raises(CannotRun, match="No case fits"):
        Comparison(Plan(Target("ws://127.0.0.1:1"), chosen=frozenset(("messages/no-such",))))


def test_results_come_in_the_order_of_the_corpus_and_are_told_one_by_one():
    told = []
    with independent_server() as url:
        comparison = Comparison(Plan(Target(url), only=frozenset(("frames", "contract"))))
        comparison.run(told.append)
    names = [result.name for result in comparison.results_in_order()]
    assert sorted(told) == sorted(names)
    assert names[0] == "frames/binary-ping"
    assert names[-1] == "contract/every message"
    assert len(names) == comparison.total + 1
