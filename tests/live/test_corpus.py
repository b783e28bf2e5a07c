"""The recorded corpus against the port on real sockets: the same, but for what is excused by name."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from livestream.parity.cases import load_cases, load_session
from livestream.parity.judging.cadence import session_differences
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.deviations import load_deviations
from livestream.parity.playing.player import play_all
from livestream.parity.playing.sessions import play_session
from livestream.parity.playing.target import Target
from livestream.stream.profiles import SHIPPED

GROUPS = ("messages", "frames", "handshake", "http")
SESSIONS = ("session-all-channels", "session-mixed", "session-repeat-subscribe", "session-tps-only")


@pytest.mark.parametrize("group", GROUPS)
def test_every_case_is_the_same_or_excused_by_name(serve, group):
    deviations = load_deviations()
    wrong = {}
    outcomes = play_all(load_cases(f"{group}.jsonl"), Target(serve().url))
    for outcome in outcomes:
        case = outcome.case
        if outcome.observed is None:
            wrong[case.name] = outcome.error
        elif differences(case, outcome.observed) and not deviations.excuse(case, outcome.observed):
            wrong[case.name] = [str(one) for one in differences(case, outcome.observed)]
    assert wrong == {}
    assert len(outcomes) >= 20


@pytest.mark.parametrize("group", GROUPS)
def test_every_excuse_is_still_needed(serve, group):
    deviations = load_deviations()
    excused = [case for case in load_cases(f"{group}.jsonl") if deviations.of(case)]
    outcomes = play_all(excused, Target(serve().url))
    needless = [
        outcome.case.name
        for outcome in outcomes
        if outcome.observed is None or deviations.not_needed(outcome.case, outcome.observed)
    ]
    assert needless == []


def test_the_excuses_name_only_cases_of_the_three_habits():
    deviations = load_deviations()
    excused = {case.name for group in GROUPS for case in load_cases(f"{group}.jsonl") if deviations.of(case)}
    assert {name for name in excused if not name.startswith(("close-", "utf8-"))} == {
        "no-connection", "post", "http-1.0", "upgrade-h2c",
    }


def test_as_shipped_it_says_nothing(serve):
    outcomes = play_all(load_cases("shipped.jsonl"), Target(serve(profile=SHIPPED).url), parallel=16)
    wrong = {
        outcome.case.name: outcome.error or differences(outcome.case, outcome.observed)
        for outcome in outcomes
        if outcome.observed is None or differences(outcome.case, outcome.observed)
    }
    assert wrong == {}


def test_as_shipped_no_channel_thread_ever_starts(serve):
    served = serve(profile=SHIPPED)
    with served.connect() as client:
        client.send_text('{"type":"subscribe","channel":"block_updates"}')
        client.send_frame(9, b"x")
        assert client.receive(5).payload == b"x"
        assert served.stats() == {"active_connections": 1, "total_connections": 1}
        assert [name.count("-") for name in served.threads()] == [1]


def test_the_sessions_keep_messages_order_counts_and_cadence(serve):
    target = Target(serve().url)
    recorded = [load_session(f"{name}.jsonl") for name in SESSIONS]
    with ThreadPoolExecutor(len(recorded)) as pool:
        played = list(pool.map(lambda session: play_session(session, target), recorded))
    wrong = {
        session.name: [str(one) for one in session_differences(session, now)]
        for session, now in zip(recorded, played)
    }
    assert wrong == {session.name: [] for session in recorded}
