"""The sessions as they should be without some of the faults: first of all, with all of them as recorded."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from livestream.parity.cases import SessionStep, load_session
from livestream.parity.judging.cadence import session_differences
from livestream.parity.judging.expectations import AS_RECORDED, MUTE, PROFILES
from livestream.parity.judging.figures import INTERVALS, runs
from livestream.parity.judging.model import expected_session

NAMES = ["all-channels", "mixed", "repeat-subscribe", "tps-only"]
CORRECTED = PROFILES["corrected"]
#: The same faults, on a connection where muteness plays no part: makes the model work.
MODELLED = AS_RECORDED | {MUTE}


def modelled(name, faults):
    return expected_session(load_session(name), faults)


def times(session, kind):
    """When the messages of a type came."""
    return [step.at for step in session.steps if step.text and f'"type":"{kind}"' in step.text
            and step.dir == "recv"]


def replies(session):
    """Type and payload of what was received besides updates; Close codes and the end in between."""
    said = []
    for step in session.steps:
        if step.dir == "send":
            continue
        if step.text is None:
            said.append(step.close or step.event)
            continue
        message = json.loads(step.text)
        if not message["type"].endswith("_update"):
            said.append((message["type"], *message["payload"].values()))
    return said


@pytest.mark.parametrize("name", NAMES)
def test_under_the_faults_of_the_recording_it_is_the_recording(name):
    assert modelled(name, AS_RECORDED) == load_session(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_of_the_original_agrees_with_the_original(name):
    recorded, model = load_session(name), modelled(name, MODELLED)
    assert model.steps != recorded.steps
    assert session_differences(recorded, model) == []
    assert session_differences(model, recorded) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("faults", [MODELLED, CORRECTED], ids=["original", "corrected"])
def test_what_is_sent_stays_and_time_goes_on(name, faults):
    recorded, model = load_session(name), modelled(name, faults)
    assert (model.name, model.header) == (recorded.name, recorded.header)
    sent = [[step for step in one.steps if step.dir == "send"] for one in (recorded, model)]
    assert sent[0] == sent[1]
    assert [step.at for step in model.steps] == sorted(step.at for step in model.steps)
    assert model.steps[-1] == recorded.steps[-1]


@pytest.mark.parametrize("name", NAMES)
def test_corrected_sends_in_one_run_for_each_channel(name):
    model = modelled(name, CORRECTED)
    for kind, interval in INTERVALS.items():
        found = times(model, kind)
        if found:
            assert len(runs(found, interval)) == 1, kind


def test_the_recorded_sessions_have_more_runs_than_that():
    assert len(runs(times(load_session("repeat-subscribe"), "tps_update"), 1.0)) == 5
    assert len(runs(times(load_session("mixed"), "block_update"), 2.0)) == 2


@pytest.mark.parametrize("name, kind, unsubscribed", [
    ("mixed", "block_update", 3.2), ("repeat-subscribe", "tps_update", 5.2),
])
def test_no_update_comes_after_its_unsubscribe(name, kind, unsubscribed):
    [sent] = [step.at for step in load_session(name).steps if "unsubscribe" in (step.text or "")]
    assert sent == unsubscribed
    found = times(modelled(name, CORRECTED), kind)
    assert found and max(found) < unsubscribed
    # One short of an interval before: it sent until then.
    assert max(found) > unsubscribed - INTERVALS[kind]
    for faults in (AS_RECORDED, MODELLED, CORRECTED | {"ignores_unsubscribe"}):
        assert max(times(modelled(name, faults), kind)) > unsubscribed + 1


def test_other_channels_go_on_after_an_unsubscribe():
    assert max(times(modelled("mixed", CORRECTED), "tps_update")) > 9


def test_the_replies_of_a_corrected_server():
    found = replies(modelled("mixed", CORRECTED))
    [welcome, *others] = found
    assert welcome[0] == "connection_established"
    assert [one[:1] if one[0] == "pong" else one for one in others if isinstance(one, tuple)] == [
        ("pong",),
        ("subscription_confirmed", "block_updates", "subscribed"),
        ("error", "Unknown channel: nope"),
        ("error", "Channel not specified"),
        ("error", "Invalid message format"),
        ("subscription_confirmed", "block_updates", "subscribed"),
        ("unsubscription_confirmed", "block_updates", "unsubscribed"),
        ("pong",),
    ]
    assert others[-2:] == [1000, "eof"]


@pytest.mark.parametrize("flag, expected", [
    ("confirms_unknown_channels", ("subscription_confirmed", "nope", "subscribed")),
    ("ignores_unsubscribe", None),
])
def test_a_single_fault_changes_its_reply(flag, expected):
    kept, gone = replies(modelled("mixed", CORRECTED | {flag})), replies(modelled("mixed", CORRECTED))
    corrected = {
        "confirms_unknown_channels": ("error", "Unknown channel: nope"),
        "ignores_unsubscribe": ("unsubscription_confirmed", "block_updates", "unsubscribed"),
    }[flag]
    at = gone.index(corrected)
    assert kept == [*gone[:at], *([expected] if expected else []), *gone[at + 1:]]


def test_a_second_subscribe_is_confirmed_and_starts_nothing_more():
    model = modelled("repeat-subscribe", CORRECTED)
    assert replies(model).count(("subscription_confirmed", "tps_updates", "subscribed")) == 4
    # About one a second from the beginning to the unsubscribe.
    assert len(times(model, "tps_update")) == 6
    again = modelled("repeat-subscribe", CORRECTED | {"starts_a_thread_per_subscribe"})
    assert len(runs(times(again, "tps_update"), 1.0)) == 5


@pytest.mark.parametrize("name", NAMES)
def test_intervals_are_exact_without_the_delay(name):
    model = modelled(name, AS_RECORDED - {"sleeps_a_fixed_delay"})
    for kind, interval in INTERVALS.items():
        for run in runs(times(model, kind), interval):
            assert all(abs(later - earlier - interval) < 0.0011 for earlier, later in pairwise(run))
            # No drift: after any number of updates it is still in time.
            assert run[-1] - run[0] == pytest.approx((len(run) - 1) * interval, abs=0.0011)


def test_the_delay_adds_up():
    """1,001 to 1,002 ms on average, SPEC says; without it the last update comes that much earlier."""
    drifting, exact = (times(modelled("all-channels", faults), "tps_update")
                       for faults in (MODELLED, MODELLED - {"sleeps_a_fixed_delay"}))
    count = len(drifting) - 1
    assert 0.0005 * count < (drifting[count] - drifting[0]) - (exact[count] - exact[0]) < 0.0025 * count


def test_every_update_follows_what_started_it():
    """A prompt first update, not before its confirmation: the same rule that judges a server."""
    for name in NAMES:
        for faults in (MODELLED, CORRECTED):
            model = modelled(name, faults)
            found = [one.where for one in session_differences(model, model)]
            assert found == []


def test_a_subscribe_after_an_unsubscribe_starts_the_channel_again():
    recorded = load_session("mixed")
    more = SessionStep(5.0, "send", text='{"type":"subscribe","channel":"block_updates"}')
    steps = sorted((*recorded.steps, more), key=lambda step: step.at)
    model = expected_session(replace(recorded, steps=tuple(steps)), CORRECTED)
    found = times(model, "block_update")
    assert [at for at in found if 3.2 < at < 5.0] == []
    assert [at for at in found if at > 5.0] == pytest.approx([5.0, 7.0, 9.0], abs=0.02)
