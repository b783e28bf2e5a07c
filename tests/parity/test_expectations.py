"""What each fault of the original changes, written out from SPEC, and which faults explain an observation."""

import json
from itertools import combinations

import pytest

from livestream import contract
from livestream.parity.cases import corpus_files, load_cases, load_session
from livestream.parity.judging.comparison import differences, session_differences
from livestream.parity.judging.deviations import LAYERS
from livestream.parity.judging.expectations import (
    ALL_FLAGS, AS_RECORDED, FLAGS, MUTE, PROFILES, expected, expected_cases, explaining_flags, recorded_cases,
)
from livestream.parity.judging.model import expected_session
from livestream.parity.playing.stats import ENDINGS
from livestream.parity.playing.threads import STAGES
from livestream.stream import profiles

RECORDED = {
    f"{LAYERS[case.kind]}/{case.name}": case
    for faults in PROFILES.values() for case in recorded_cases(faults)
}
ON_THE_WIRE = [
    case for name in ("messages", "frames", "handshake", "http") for case in load_cases(f"{name}.jsonl")
]
SESSIONS = {f"cadence/{name}": load_session(name) for name in (
    "all-channels", "mixed", "repeat-subscribe", "tps-only")}
CHANNELS = {"tps_updates", "block_updates", "network_status", "validator_metrics"}
STAGE_NAMES = [stage.name for stage in STAGES]
ENDING_NAMES = {ending.name for ending in ENDINGS}
#: SPEC, "Life of a connection", 8.
ERRORS = {"reset", "oversize frame", "illegal close code"}


def observed_by(name, faults):
    """What a server with these faults answers to a case or session, in a form that can be compared."""
    if name in SESSIONS:
        return expected_session(SESSIONS[name], faults).steps
    return expected(RECORDED[name], faults).observed


def changed_by(flag, before=AS_RECORDED):
    """The names of all cases but sessions that a flag changes when it is turned round."""
    return {
        name for name in RECORDED
        if observed_by(name, before) != observed_by(name, before ^ {flag})
    }


def subscriptions(case):
    """The channels that the original confirmed in a case."""
    replies = [json.loads(text) for text in case.observed["replies"]]
    return [one["payload"]["channel"] for one in replies if one["type"] == "subscription_confirmed"]


# --- the same faults as the port's


def test_the_flags_are_those_of_the_port():
    assert sorted(flag.name for flag in FLAGS) == sorted(profiles.FAULTS)
    assert ALL_FLAGS == set(profiles.FAULTS)


def test_the_profiles_are_those_of_the_port():
    assert dict(PROFILES) == {
        name: {flag for flag in profiles.FAULTS if getattr(profile, flag)}
        for name, profile in profiles.PROFILES.items()
    }
    assert AS_RECORDED == PROFILES["original"]


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_each_flag_is_shown_by_a_case_that_it_changes(flag):
    assert flag.shown_by in RECORDED.keys() | SESSIONS.keys()
    before = AS_RECORDED
    assert observed_by(flag.shown_by, before) != observed_by(flag.shown_by, before ^ {flag.name})


def test_each_flag_is_shown_by_a_case_of_its_own():
    assert len({flag.shown_by for flag in FLAGS}) == len(FLAGS)


def test_every_session_is_one_that_can_show_a_flag():
    assert {f"session-{name.removeprefix('cadence/')}.jsonl" for name in SESSIONS} == {
        name for name in corpus_files() if name.startswith("session-")}


# --- which cases it changes


@pytest.mark.parametrize("case", ON_THE_WIRE, ids=lambda case: f"{case.kind}-{case.name}"[:60])
def test_as_recorded_is_the_recording(case):
    assert expected(case, AS_RECORDED) == case


def test_expected_cases_are_the_recorded_ones_in_their_order():
    for faults in PROFILES.values():
        names = [(case.kind, case.name) for case in recorded_cases(faults)]
        assert [(case.kind, case.name) for case in expected_cases(faults)] == names
        assert len(set(names)) == len(names)


def test_a_mute_server_is_asked_what_it_can_answer():
    kinds = {case.kind for case in recorded_cases(PROFILES["shipped"])}
    assert kinds == {"silence", "handshake", "http", "statistics", "threads"}
    silent = [case for case in recorded_cases(PROFILES["shipped"]) if case.kind == "silence"]
    assert silent == load_cases("shipped.jsonl")
    assert [case.name for case in recorded_cases(AS_RECORDED) if case.kind == "silence"] == ["nothing sent"]


def test_unsubscribe():
    assert changed_by("ignores_unsubscribe") == {
        "messages/unsub", "messages/unsub-unknown", "messages/unsub-null",
        "threads/unsubscribe", "threads/one interval after close",
    }


@pytest.mark.parametrize("name, channel", [
    ("unsub", "tps_updates"), ("unsub-unknown", "zzz"), ("unsub-null", "null"),
])
@pytest.mark.parametrize("faults", [AS_RECORDED - {"ignores_unsubscribe"}, PROFILES["corrected"]])
def test_an_unsubscribe_is_confirmed(name, channel, faults):
    [text] = observed_by(f"messages/{name}", faults)["replies"]
    start = ('{"type":"unsubscription_confirmed","payload":{"channel":"%s","status":"unsubscribed"},'
             '"timestamp":' % channel)
    assert text.startswith(start)
    assert text.removeprefix(start).removesuffix("}").isdigit() and text.endswith("}")


def test_unsubscribe_without_a_channel_is_silence_under_any_faults():
    assert all(observed_by("messages/unsub-none", faults)["replies"] == [] for faults in PROFILES.values())


def test_unknown_channels():
    unknown = {
        f"{LAYERS[case.kind]}/{case.name}" for case in ON_THE_WIRE
        if case.kind in ("message", "frame") and set(subscriptions(case)) - CHANNELS
    }
    assert changed_by("confirms_unknown_channels") == unknown
    assert {"messages/sub-unknown", "messages/sub-space", "messages/sub-ctl", "messages/sub-empty"} <= unknown
    assert not {"messages/sub-dup", "frames/subscribe-twice", "messages/sub-none"} & unknown


@pytest.mark.parametrize("case", [
    case for case in load_cases("messages.jsonl") if set(subscriptions(case)) - CHANNELS
], ids=lambda case: case.name)
def test_an_unknown_channel_is_an_error_that_names_it(case):
    [recorded], [text] = case.observed["replies"], expected(case, PROFILES["corrected"]).observed["replies"]
    [channel] = subscriptions(case)
    assert json.loads(text)["payload"] == {"error": f"Unknown channel: {channel}"}
    assert list(json.loads(text)) == ["type", "payload", "timestamp"]
    # Escaped as it was: all between the words around it.
    written = recorded.partition('"channel":"')[2].rpartition('","status"')[0]
    assert text == '{"type":"error","payload":{"error":"Unknown channel: %s"},"timestamp":%s}' % (
        written, json.loads(recorded)["timestamp"])


def test_the_other_fields_of_a_conversation_stay():
    for case in ON_THE_WIRE:
        if case.kind in ("message", "frame"):
            corrected = expected(case, PROFILES["corrected"]).observed
            assert {**corrected, "replies": None} == {**case.observed, "replies": None}


def test_muteness():
    opened = {
        f"handshake/{case.name}" for case in load_cases("handshake.jsonl") if case.observed["stream_opens"]}
    # The handshake succeeds and the counter counts (SPEC, "As shipped"); no thread ever starts.
    assert changed_by(MUTE) == {
        *opened, "silence/nothing sent", "threads/open", "threads/subscribe", "threads/subscribe again",
        "threads/one interval after close",
    }
    for name in opened:
        assert observed_by(name, PROFILES["shipped"]) == {
            **RECORDED[name].observed, "stream_opens": False}


def test_nothing_but_the_muteness_is_heard_when_nothing_is_sent():
    assert observed_by("silence/nothing sent", PROFILES["shipped"]) == {"frames": []}
    for profile in ("original", "corrected"):
        frames = observed_by("silence/nothing sent", PROFILES[profile])["frames"]
        kinds = [json.loads(text)["type"] for kind, text in frames if kind == "TEXT"]
        assert kinds == ["connection_established", "tps_update"]


def test_the_faults_that_are_not_on_the_wire():
    assert changed_by("keeps_registry_entries") == {f"statistics/{name}" for name in ENDING_NAMES}
    assert changed_by("counts_errors_twice") == {f"statistics/{name}" for name in ERRORS}
    assert changed_by("leaves_threads_asleep") == {"threads/close", "threads/one interval after close"}
    assert changed_by("starts_a_thread_per_subscribe") == {
        "threads/subscribe again", "threads/one interval after close"}
    assert changed_by("sleeps_a_fixed_delay") == set()


@pytest.mark.parametrize("flag, changed", [
    ("ignores_unsubscribe", {"mixed", "repeat-subscribe"}),
    ("starts_a_thread_per_subscribe", {"mixed", "repeat-subscribe"}),
    ("confirms_unknown_channels", {"mixed"}),
    ("leaves_threads_asleep", set()), ("keeps_registry_entries", set()), ("counts_errors_twice", set()),
])
def test_the_sessions_that_a_flag_changes(flag, changed):
    """Beside the model of the same session with one harmless flag less, which is made anew too."""
    base = AS_RECORDED - {"sleeps_a_fixed_delay"}
    assert changed == {
        name.removeprefix("cadence/") for name, session in SESSIONS.items()
        if session_differences(expected_session(session, base), expected_session(session, base - {flag}))
    }


# --- what is not on the wire, by SPEC


@pytest.mark.parametrize("profile, counter, registry", [
    ("original", {name: -1 if name in ERRORS else 0 for name in ENDING_NAMES}, 1),
    ("shipped", {name: -1 if name in ERRORS else 0 for name in ENDING_NAMES}, 1),
    ("corrected", dict.fromkeys(ENDING_NAMES, 0), 0),
])
def test_the_statistics_of_each_ending(profile, counter, registry):
    cases = [case for case in expected_cases(PROFILES[profile]) if case.kind == "statistics"]
    assert {case.name: case.observed for case in cases} == {
        name: {
            "open": {"active_connections": 1, "total_connections": 1},
            "ended": {"active_connections": change, "total_connections": registry},
        }
        for name, change in counter.items()
    }


def test_every_ending_of_spec_is_played():
    assert ENDING_NAMES == ERRORS | {"close frame", "end of file", "half-close", "protocol error"}
    assert {ending.name for ending in ENDINGS if ending.is_error} == ERRORS


@pytest.mark.parametrize("profile, threads", [
    # The first channel's thread, one more for each subscribe, none stopped, all awake within an interval.
    ("original", [0, 1, 1, 1, 0, 0, -3, 0]),
    ("shipped", [0, 0, 0, 0, 0, 0, 0, 0]),
    # One for each channel; the unsubscribed one ends at once, the other with the connection.
    ("corrected", [0, 1, 1, 0, -1, -1, 0, 0]),
])
def test_the_threads_of_each_stage(profile, threads):
    cases = [case for case in expected_cases(PROFILES[profile]) if case.kind == "threads"]
    assert [case.name for case in cases] == STAGE_NAMES == [
        "connect", "open", "subscribe", "subscribe again", "unsubscribe", "close", "one interval after close",
        "one interval after a reset"]
    assert [case.observed for case in cases] == [{"threads": count} for count in threads]


def test_every_thread_that_starts_ends_whatever_the_faults():
    for count in range(len(ALL_FLAGS) + 1):
        for faults in map(frozenset, combinations(sorted(ALL_FLAGS), count)):
            changes = [expected(RECORDED[f"threads/{name}"], faults).observed for name in STAGE_NAMES]
            assert sum(change["threads"] for change in changes) == 0


# --- what explains an observation


def flags_for(name, faults, observed, mute=False):
    def same(others):
        return not differences(expected(RECORDED[name], others), observed)
    return explaining_flags(same, faults, mute)


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if not flag.shown_by.startswith("cadence/")],
                         ids=lambda flag: flag.name)
@pytest.mark.parametrize("profile", ["original", "corrected"])
def test_a_single_flag_is_found_by_the_case_that_shows_it(flag, profile):
    faults = PROFILES[profile]
    observed = dict(expected(RECORDED[flag.shown_by], faults ^ {flag.name}).observed)
    assert flags_for(flag.shown_by, faults, observed) == (flag.name,)


def test_a_pair_is_found_when_no_single_flag_is_enough():
    pair = {"keeps_registry_entries", "counts_errors_twice"}
    observed = dict(observed_by("statistics/reset", AS_RECORDED - pair))
    assert set(flags_for("statistics/reset", AS_RECORDED, observed)) == pair


@pytest.mark.parametrize("wanted", [
    {"starts_a_thread_per_subscribe", "ignores_unsubscribe", "leaves_threads_asleep"},
    {"confirms_unknown_channels", "sleeps_a_fixed_delay"},
    ALL_FLAGS - {MUTE},
])
def test_as_few_as_possible(wanted):
    def same(faults):
        return wanted <= AS_RECORDED ^ faults
    assert set(explaining_flags(same, AS_RECORDED)) == wanted


def test_nothing_explains_nonsense():
    observed = {**RECORDED["messages/unsub"].observed, "replies": ["nonsense"]}
    assert flags_for("messages/unsub", AS_RECORDED, observed) == ()
    assert explaining_flags(lambda faults: False, AS_RECORDED, mute=True) == ()


def tried(mute):
    """The sets of flags in the order in which they are tried."""
    sets = []
    explaining_flags(lambda faults: bool(sets.append(frozenset(faults))), frozenset(), mute)
    return sets


def test_the_muteness_is_tried_last_or_first_and_alone():
    for mute, place in ((False, -1), (True, 0)):
        sets = tried(mute)
        assert sets[place] == {MUTE}
        others = [one for one in sets if one != {MUTE}]
        assert not any(MUTE in one for one in others)
        assert [len(one) for one in others] == sorted(len(one) for one in others)
        assert len(others) == len(set(others)) == 2 ** (len(ALL_FLAGS) - 1) - 1


def test_what_muteness_and_another_flag_explain():
    """No thread starts with the connection: a mute server, or nothing that is known."""
    observed = {"threads": 0}
    assert flags_for("threads/open", AS_RECORDED, observed) == (MUTE,)
    # One that stays with one thread: by its own flag, or hidden by the muteness where that is known.
    assert flags_for("threads/subscribe again", AS_RECORDED, observed) == ("starts_a_thread_per_subscribe",)
    assert flags_for("threads/subscribe again", AS_RECORDED, observed, mute=True) == (MUTE,)


def test_the_words_are_those_of_the_contract():
    """The texts of this file are SPEC's; the module takes its own from contract.py."""
    assert CHANNELS == {channel.name for channel in contract.CHANNELS}
