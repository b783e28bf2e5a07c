"""What counts as the same: every recorded case is the same as itself, and each small change is found."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.parity.cases import Case, Session, SessionStep, corpus_files, load_cases, load_session
from livestream.parity.judging.comparison import NOTHING, RULES, Rule, differences, session_differences
from livestream.parity.judging.figures import mean_interval, runs
from livestream.parity.judging.rules import masked, masked_message, tokens_with_paths

CASES = {
    (name, case.name): case
    for name in corpus_files() if not name.startswith("session-") for case in load_cases(name)
}
HTTP = {case.name: case for case in load_cases("http.jsonl")}
SESSIONS = ["all-channels", "mixed", "repeat-subscribe", "tps-only"]

PONG = '{"type":"pong","payload":{"timestamp":1795422278950},"timestamp":1795422278951}'
TPS = ('{"type":"tps_update","payload":{"currentTPS":780470,"peakTPS":800000,"averageTPS":750000,'
       '"latency":57},"timestamp":1795423078936}')
WELCOME = ('{"type":"connection_established","payload":{"connectionId":'
           '"c89000c3-e448-40b5-be62-7dd71f42c8ae","timestamp":1795423078891},"timestamp":1795423078891}')


# --- texts


@pytest.mark.parametrize("text, expected", [
    (PONG, '{"type":"pong","payload":{"timestamp":<milliseconds>},"timestamp":<milliseconds>}'),
    (TPS, '{"type":"tps_update","payload":{"currentTPS":<tps>,"peakTPS":800000,"averageTPS":750000,'
          '"latency":<latency>},"timestamp":<milliseconds>}'),
    (WELCOME, '{"type":"connection_established","payload":{"connectionId":<uuid>,"timestamp":<milliseconds>},'
              '"timestamp":<milliseconds>}'),
    ("no JSON {]", "no JSON {]"),
    ("", ""),
])
def test_varying_parts_are_masked(text, expected):
    assert masked_message(text) == expected


@pytest.mark.parametrize("text, old, new", [
    (PONG, "1795422278951", "179542227895"),
    (PONG, "1795422278951", "1795422278951.0"),
    (PONG, "1795422278951", '"1795422278951"'),
    (PONG, ",", ", "),
    (PONG, '"timestamp":1795422278950', '"timestamp":1795422278950,"more":1'),
    (TPS, "780470", "775999"),
    (TPS, "780470", "826000"),
    (TPS, "780470", "780470.0"),
    (TPS, ":57", ":60"),
    (TPS, ":57", ":39"),
    (TPS, "800000", "800000.0"),
    (WELCOME, "c89000c3", "C89000C3"),
    (WELCOME, "-40b5-", "-10b5-"),
    (WELCOME, "-be62-", "-ce62-"),
])
def test_implausible_parts_are_not(text, old, new):
    assert old in text
    assert masked_message(text.replace(old, new, 1)) != masked_message(text)


@pytest.mark.parametrize("text, old, new", [
    (PONG, "1795422278951", "9999999999999"), (TPS, "780470", "776000"), (TPS, "780470", "825999"),
    (TPS, ":57", ":40"), (TPS, ":57", ":59"),
])
def test_plausible_parts_are(text, old, new):
    assert masked_message(text.replace(old, new, 1)) == masked_message(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def leaves(value, path=""):
    """What tokens_with_paths should find, the slow way."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{json.dumps(key)[1:-1]}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield json.dumps(value), path.removeprefix(".")


@given(JSON, st.sampled_from([None, 1]))
def test_tokens_know_their_path(value, indent):
    tokens = list(tokens_with_paths(json.dumps(value, indent=indent)))
    assert "".join(token for token, _ in tokens) == json.dumps(value, indent=indent)
    assert [(token, path) for token, path in tokens if path is not None] == list(leaves(value))


@given(st.text(alphabet='{}[]:,"\\ a1'))
def test_tokens_lose_nothing_of_any_text(text):
    assert "".join(token for token, _ in tokens_with_paths(text)) == text


def test_a_user_can_add_a_rule():
    mine = Rule("session", "pong", "payload.session", r'"(?P<kept>a*)\d+"')
    text = '{"type":"pong","payload":{"session":"aa7"}}'
    assert masked_message(text, (*RULES, mine)) == '{"type":"pong","payload":{"session":<session>aa}}'


def test_paths_with_arrays():
    rule = Rule("n", "*", "a[].b", r"\d+", 0, 5)
    assert masked('{"a":[{"b":1},{"b":5}],"b":1}', "x", [rule]) == '{"a":[{"b":<n>},{"b":5}],"b":1}'


# --- cases


@pytest.mark.parametrize("key", CASES, ids=lambda key: f"{key[0]}-{key[1]}"[:60])
def test_every_recorded_case_is_the_same_as_itself_and_not_as_nothing(key):
    case = CASES[key]
    assert differences(case, dict(case.observed)) == []
    assert {difference.where for difference in differences(case, {})} == set(case.observed)


def changed(case, **changes):
    return differences(case, {**case.observed, **changes})


MESSAGE = CASES["messages.jsonl", "ping"]
SUBSCRIBE = CASES["messages.jsonl", "sub-block_updates"]
CLOSE = CASES["frames.jsonl", "close-1000"]


@pytest.mark.parametrize("case, changes, where", [
    (MESSAGE, {"replies": []}, "replies[0]"),
    (MESSAGE, {"replies": [PONG, PONG]}, "replies[1]"),
    (MESSAGE, {"replies": [PONG.replace('"type":"pong",', "")]}, "replies[0]"),
    (MESSAGE, {"connection_ended": True}, "connection_ended"),
    (MESSAGE, {"connection_ended": 0}, "connection_ended"),
    (MESSAGE, {"answers_ping_after": False}, "answers_ping_after"),
    (MESSAGE, {"control": [{"opcode": "PING", "payload_hex": ""}]}, "control[0]"),
    (MESSAGE, {"faults": ["frame 1 (TEXT) is masked"]}, "faults"),
    (SUBSCRIBE, {"updates_started": []}, "updates_started[0]"),
    (SUBSCRIBE, {"updates_started": ["network_update"]}, "updates_started[0]"),
    (CLOSE, {"close": {"code": 1001, "reason": "why"}}, "close"),
    (CLOSE, {"close": None}, "close"),
    (CASES["handshake.jsonl", "plain"], {"headers": {}}, "headers"),
    (CASES["handshake.jsonl", "plain"], {"stream_opens": False}, "stream_opens"),
    (CASES["shipped.jsonl", "ping"], {"frames": [["TEXT", PONG]]}, "frames[0]"),
    (CASES["shipped.jsonl", "unmasked"], {"frames": [["CLOSE", [1003, ""]], ["EOF"]]}, "frames[0]"),
    (CASES["shipped.jsonl", "unmasked"], {"frames": [["CLOSE", [1002, ""]]]}, "frames[1]"),
    (HTTP["stats-post"], {"status": 404}, "status"),
    (HTTP["validators-options"], {"allow": "GET, HEAD, OPTIONS"}, "allow"),
    (HTTP["stats"], {"content_type": "application/json"}, "content_type"),
    (HTTP["stats-origin"], {"access_control_allow_origin": "*"}, "access_control_allow_origin"),
])
def test_each_change_is_found(case, changes, where):
    assert [difference.where for difference in changed(case, **changes)] == [where]


@pytest.mark.parametrize("case, changes", [
    (CLOSE, {"close": {"code": 1000, "reason": "other words"}}),
    (CASES["shipped.jsonl", "unmasked"], {"frames": [["CLOSE", [1002, "no"]], ["EOF"]]}),
    (MESSAGE, {"replies": [PONG.replace("1795422278951", "1800000000000")]}),
])
def test_what_may_vary_may(case, changes):
    assert changed(case, **changes) == []


def test_a_difference_shows_both_sides_masked():
    [difference] = changed(MESSAGE, replies=[PONG.replace("pong", "pang")])
    assert difference.expected == masked_message(PONG)
    assert '"type":"pang"' in difference.got
    assert str(difference).startswith("replies[0]: expected '{")
    assert changed(MESSAGE, replies=[])[0].got == NOTHING


def body(case, change):
    """The case's body after a change to its parsed form, written as it was."""
    parsed = json.loads(case.observed["body"])
    change(parsed)
    return json.dumps(parsed, separators=(",", ":"), ensure_ascii=False)


def validators(name, value):
    return lambda parsed: parsed["validators"][3].update({name: value})


@pytest.mark.parametrize("change", [
    validators("uptime", 80.0), validators("missedBlocks", 0), validators("performance", 100.0),
    validators("lastBlockTime", "2026-11-23T08:24:30Z"),
    validators("registeredAt", "2026-11-23T08:24:30.123456Z"),
    lambda parsed: parsed.update(networkBlockHeight=1_500_000, totalNetworkStake=1),
    # Two that overtook each other: the order follows the votingPower.
    lambda parsed: parsed["validators"].insert(4, parsed["validators"].pop(3) | {"votingPower": 4.4}),
])
def test_the_simulation_may_move(change):
    case = HTTP["validators"]
    assert changed(case, body=body(case, change)) == []


@pytest.mark.parametrize("change", [
    validators("uptime", 79.99), validators("uptime", 90), validators("uptime", 90.123),
    validators("stake", -1), validators("performance", 101.0), validators("name", "Nexus"),
    validators("status", "JAILED"), validators("publicKey", "0x" + "0" * 80), validators("more", 1),
    validators("lastBlockTime", "2026-11-23T08:24:30.1Z"), validators("registeredAt", "yesterday"),
    lambda parsed: parsed.update(networkBlockHeight=1_499_999),
    lambda parsed: parsed["validators"].pop(),
    lambda parsed: parsed["validators"].reverse(),
    lambda parsed: parsed["validators"].insert(0, parsed["validators"].pop(1)),
    lambda parsed: parsed["validators"].append(parsed["validators"].pop(3)),
])
def test_but_not_out_of_its_bounds(change):
    case = HTTP["validators"]
    assert len(changed(case, body=body(case, change))) == 1


@pytest.mark.parametrize("name, change", [
    ("stats", lambda parsed: parsed.update(timestamp=123)),
    ("stats", lambda parsed: parsed["transactionStats"].update(currentTPS=780_000)),
    ("stats", lambda parsed: parsed["networkHealth"].update(lastIncident="never")),
    ("validator-first", lambda parsed: parsed.update(validatorId="validator_001")),
    ("validators-health", lambda parsed: parsed.update(status="DOWN")),
    ("validator-unknown", lambda parsed: parsed.update(message="")),
])
def test_other_bodies(name, change):
    case = HTTP[name]
    assert changed(case, body=body(case, lambda parsed: None)) == []
    assert len(changed(case, body=body(case, change))) == 1


def test_an_observation_of_a_broken_body_is_only_a_difference():
    assert len(changed(HTTP["validators"], body="<html>")) == 1


# --- sessions


@pytest.mark.parametrize("name", SESSIONS)
def test_every_recorded_session_is_the_same_as_itself(name):
    session = load_session(name)
    assert session_differences(session, session) == []


def edited(session, edit):
    """The session with each received step replaced by what `edit(step)` returns; None drops it."""
    steps = [step if step.dir == "send" else edit(step) for step in session.steps]
    return replace(session, steps=tuple(step for step in steps if step is not None))


def wheres(name, edit):
    session = load_session(name)
    return {difference.where for difference in session_differences(session, edited(session, edit))}


def drop(contains, after=0.0, before=99.0):
    """An edit that drops messages of a time span."""
    return lambda step: None if contains in (step.text or "") and after < step.at < before else step


def slower(factor):
    """The server's clock runs as ever; it is the server that is slower."""
    def edit(step):
        late = round(step.at * (factor - 1) * 1000)
        text = step.text and re.sub(r"\d{13}", lambda stamp: str(int(stamp[0]) + late), step.text)
        return replace(step, at=round(step.at * factor, 3), text=text)
    return edit


def late_first_updates(step):
    return replace(step, at=step.at + 0.15) if '"block_update"' in (step.text or "") else step


def is_tps(step):
    return '"tps_update"' in (step.text or "")


def jittered(step):
    """Every third update 80 ms late: the mean stays, the distribution doesn't."""
    return replace(step, at=round(step.at + 0.08, 3)) if is_tps(step) and int(step.at) % 3 == 1 else step


def frozen(step):
    return replace(step, text=re.sub(r"\d{13}", "1795423078888", step.text)) if is_tps(step) else step


def back_in_time(step):
    if not is_tps(step) or not 20 < step.at < 21:
        return step
    message = json.loads(step.text)
    text = step.text.replace(str(message["timestamp"]), str(message["timestamp"] - 5_000))
    return replace(step, text=text)


def padded(step):
    return replace(step, text=step.text.replace(":", ": ")) if is_tps(step) else step


def misspelt(step):
    return replace(step, text=step.text.replace("Health", "health")) if step.text else step


@pytest.mark.parametrize("edit, expected", [
    (drop("connection_established"), {"reply 0", "tps_update: first update"}),
    (lambda step: None if step.event else step, {"reply 5"}),
    (lambda step: replace(step, close=1001) if step.close else step, {"reply 4"}),
    (misspelt, {"update"}),
    # One lost update: its gap shows, though the count is within its tolerance.
    (drop("tps_update", 15.5, 16.5), {"tps_update: unbroken runs"}),
    (drop("validator_update", 10, 14), {"validator_update: unbroken runs"}),
    (drop("tps_update", 15, 17.5), {
        "tps_update: unbroken runs", "tps_update: count", "tps_update: bytes per second"}),
    (drop("network_update"),
     {"network_update: count", "network_update: first update"}),
    (late_first_updates, {"block_update: first update"}),
    (slower(1.05), {f"{kind}: {figure} interval" for figure in ("mean", "median") for kind in (
        "tps_update", "block_update", "network_update", "validator_update")}),
    (jittered, {"tps_update: interval spread"}),
    (frozen, {"tps_update: clock"}),
    (back_in_time, {"tps_update: order"}),
    (padded, {"tps_update: bytes per second", "update"}),
    (slower(1.005), set()),
])
def test_what_changes_a_session_is_found(edit, expected):
    assert wheres("all-channels", edit) == expected


def test_a_late_reply_is_found():
    def late(step):
        return replace(step, at=step.at + 0.2) if '"pong"' in (step.text or "") else step

    pongs = [2, 8]  # Of all replies these are the two pongs, the welcome being the first.
    assert wheres("mixed", late) == {f"reply {number - 1}: delay" for number in pongs}


def test_an_update_before_its_confirmation_is_found():
    session = load_session("all-channels")
    steps = list(session.steps)
    first = next(at for at, step in enumerate(steps) if '"block_update"' in (step.text or ""))
    steps.insert(2, replace(steps[first], at=0.3))
    found = session_differences(session, replace(session, steps=tuple(steps)))
    assert "block_update: first update" in {difference.where for difference in found}


def test_a_missing_thread_is_found():
    """Five threads send on one channel; without the second there are four."""
    session = load_session("repeat-subscribe")
    wanted = set(runs([step.at for step in session.steps if is_tps(step)], 1.0)[1])
    played = edited(session, lambda step: None if step.at in wanted and is_tps(step) else step)
    found = {difference.where for difference in session_differences(session, played)}
    assert {"tps_update: count", "tps_update: unbroken runs"} <= found


def test_an_unknown_type_is_found():
    session = load_session("tps-only")
    played = replace(session, steps=(*session.steps, SessionStep(12.0, "recv", text="hello")))
    assert [difference.got for difference in session_differences(session, played)] == ["hello"]


@given(
    st.integers(1, 5), st.integers(2, 12),
    st.lists(st.floats(-0.01, 0.01), min_size=60, max_size=60),
)
def test_runs_are_found_among_each_other(lanes, length, jitter):
    expected = [
        [lane * 0.15 + beat + jitter[lane * 12 + beat] for beat in range(length)] for lane in range(lanes)
    ]
    found = runs(sorted(at for lane in expected for at in lane), 1.0)
    assert sorted(found) == sorted(expected)


def test_the_mean_interval_is_that_within_the_runs():
    assert mean_interval([[0.0, 1.0, 3.0], [0.5, 1.5]]) == pytest.approx(4 / 3)
    assert mean_interval([[1.0]]) is None


def test_an_empty_session_is_nothing_like_a_recorded_one():
    session = load_session("tps-only")
    found = session_differences(session, Session("tps-only", session.header, ()))
    assert {difference.where for difference in found} == {
        "reply 0", "reply 1", "reply 2", "tps_update: count"}


def test_a_case_without_a_recording_has_every_field_as_a_difference():
    case = Case("fuzz", "message", {})
    assert {difference.expected for difference in differences(case, dict(MESSAGE.observed))} == {NOTHING}
