"""Noise learned from two servers that are the same, and what a third one may then differ in."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.parity.cases import Case, load_session
from livestream.parity.judge import Judge
from livestream.parity.judging.cadence import session_differences
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.rules import RULES
from livestream.parity.judging.twin import NO_NOISE, learn
from livestream.parity.judging.verdict import Verdict
from livestream.parity.plan import Plan
from livestream.parity.playing.target import Target
from livestream.parity.run import Comparison
from tests.parity.independent_server import independent_server

CASE = Case("c", "message", {})
NAME = "messages/c"


def observed(*replies, **others):
    return {"replies": list(replies), "close": None, **others}


def noise_of(one, other, case=CASE):
    return learn([(f"messages/{case.name}", case, one, other)], [])


def wheres(noise, one, third, name=NAME, case=CASE):
    """Where a third server differs from the first, noise apart: what a comparison with a twin says."""
    found = differences(replace(case, observed=one), third, noise.rules)
    return [difference.where for difference in noise.without(name, found)]


def message(value, kind="a", **more):
    return json.dumps({"type": kind, "v": value, **more}, separators=(",", ":"))


# --- values


@pytest.mark.parametrize("one, other, same, different", [
    (1795422278951, 1795422278952, [1795423333333, 9999999999999],
     [179542227895, 17954222789511, "1795422278951", 1795422278951.0, -179542227895, None]),
    (7, 12, [0, 123456, -3], [1.5, "7", None]),
    (-1, 12, [-1, 12, 7, -100], [1.5, "1", True]),
    (1.5, 2.25, [0.125, 1000.5, -2.5, 1.5e-9], [1, "1.5", None]),
    (1, 2.5, [1, 2.5, 100.75, -3], ["1", None, False]),
    (1e-05, 1e+22, [1e-05, 1e+22, 3], ["1", None]),
    (True, False, [True, False], [None, 0, "true"]),
    (None, 12, [None, 12], ["12", True]),
    ("c89000c3-e448-40b5-be62-7dd71f42c8ae", "07eeb9ea-2530-4ccb-91d0-1d7968ca0f61",
     ["10ce8595-998d-4c0d-8bc1-52d50cbb4912"],
     ["10ce8595998d4c0d8bc152d50cbb4912", "10ce8595-998d-4c0d-8bc1-52d50cbb491",
      "10ce8595_998d-4c0d-8bc1-52d50cbb4912", "10ce8595-998d-4c0d-8bc1-52d50cbb491g", "", None]),
    ("aZ3kQ9", "b4LmX0", ["zzzzzz", "000000"], ["aZ3kQ", "aZ3kQ99", "aZ-kQ9"]),
    ("short", "rather long", ["", "x", "\\\"{}[],:"], [1, None]),
    ("2026-11-23T08:24:30Z", "2026-11-23T09:25:41Z", ["2027-01-02T03:04:05Z"],
     ["2027-01-02 03:04:05Z", "2027-01-02T03:04:05.123Z"]),
])
def test_a_value_that_differs_gets_the_shape_that_both_had(one, other, same, different):
    noise = noise_of(observed(message(one)), observed(message(other)))
    assert [(rule.root, rule.path) for rule in noise.rules] == [("a", "v")]
    assert noise.places == frozenset()
    for value in (one, other, *same):
        assert wheres(noise, observed(message(one)), observed(message(value))) == [], value
    for value in different:
        assert wheres(noise, observed(message(one)), observed(message(value))) == ["replies[0]"], value


def test_values_that_do_not_differ_are_not_masked():
    noise = noise_of(observed(message(1, n=5, w="x")), observed(message(2, n=5, w="x")))
    one = observed(message(1, n=5, w="x"))
    assert wheres(noise, one, observed(message(3, n=5, w="x"))) == []
    assert wheres(noise, one, observed(message(3, n=6, w="x"))) == ["replies[0]"]
    assert wheres(noise, one, observed(message(3, n=5, w="y"))) == ["replies[0]"]


def test_twins_that_say_the_same_teach_nothing():
    assert noise_of(observed(message(1)), observed(message(1))) == NO_NOISE
    assert learn([], []) == NO_NOISE


def test_a_value_is_noise_in_messages_of_its_type_in_all_cases_and_in_no_others():
    noise = noise_of(observed(message(1)), observed(message(2)))
    elsewhere = replace(CASE, name="other")
    assert wheres(noise, observed(message(1)), observed(message(3)), "messages/other", elsewhere) == []
    assert wheres(noise, observed(message(1, "b")), observed(message(3, "b"))) == ["replies[0]"]


def test_the_path_counts():
    nested = [json.dumps({"type": "a", "p": {"v": value}, "v": 1}) for value in (1, 2, 3)]
    noise = noise_of(*(observed(text) for text in nested[:2]))
    assert wheres(noise, observed(nested[0]), observed(nested[2])) == []
    wrong = nested[2].replace('"v": 1', '"v": 2')
    assert wheres(noise, observed(nested[0]), observed(wrong)) == ["replies[0]"]


def test_the_pattern_fits_every_value_seen_at_its_place():
    """Also those of cases in which the twins agreed."""
    pairs = [(NAME, CASE, observed(message(1)), observed(message(2))),
             ("messages/d", replace(CASE, name="d"), observed(message(1234)), observed(message(1234)))]
    noise = learn(pairs, [])
    [rule] = noise.rules
    assert all(re.fullmatch(rule.pattern, value) for value in ("1", "2", "1234"))


def test_items_of_an_array_share_a_place():
    texts = [json.dumps({"type": "a", "list": [{"n": n, "k": "x"} for n in numbers]})
             for numbers in ([1, 2], [1, 3], [7, 8], [7])]
    noise = noise_of(observed(texts[0]), observed(texts[1]))
    assert wheres(noise, observed(texts[0]), observed(texts[2])) == []
    assert wheres(noise, observed(texts[0]), observed(texts[3])) == ["replies[0]"]


@pytest.mark.parametrize("body", ["not {json", "<html>{}</html>", ""])
def test_text_that_is_not_json_does_no_harm(body):
    noise = noise_of(observed(body), observed(message(1)))
    assert wheres(noise, observed(body), observed(message(1))) == []


# --- what differs in another way


CONFIRMED = (
    '{"type":"subscription_confirmed","payload":{"channel":"%s","status":"subscribed"},"timestamp":%s}')
UNCONFIRMED = CONFIRMED.replace("sub", "unsub")


@pytest.mark.parametrize("one, other, places", [
    (observed(message(1)), observed(message(1), message(2)), {"replies[1]"}),
    (observed(message(1, "a")), observed(message(1, "b")), {"replies[0]"}),
    (observed(message(1)), observed(message([1])), {"replies[0]"}),
    (observed(close=None), observed(close={"code": 1000, "reason": ""}), {"close"}),
    (observed(connection_ended=True), observed(connection_ended=False), {"connection_ended"}),
    (observed(control=[]), observed(control=[{"opcode": "PONG", "payload_hex": ""}]), {"control[0]"}),
])
def test_what_differs_in_another_way_is_noise_of_that_case_alone(one, other, places):
    noise = noise_of(one, other)
    assert noise.rules == ()
    assert noise.places == {(NAME, where) for where in places}
    assert wheres(noise, one, other) == []
    assert set(wheres(noise, one, other, "messages/other")) == places
    worse = {**other, "updates_started": ["block_update"]}
    assert wheres(noise, one, worse) == ["updates_started"]


def test_one_reply_more_teaches_nothing_about_the_others():
    """The second channel of the one must not be taken for another form of the other's first."""
    one = observed(CONFIRMED % ("a", 1), CONFIRMED % ("b", 1))
    noise = noise_of(one, observed(CONFIRMED % ("b", 1)))
    assert noise.rules == ()
    third = observed(CONFIRMED % ("c", 1))
    assert wheres(noise, observed(CONFIRMED % ("a", 1)), third, "messages/other") == ["replies[0]"]


def test_messages_of_two_types_do_not_meet():
    noise = noise_of(observed(CONFIRMED % ("a", 1)), observed(UNCONFIRMED % ("a", 1)))
    assert noise.rules == ()
    assert wheres(noise, observed(CONFIRMED % ("a", 1)), observed(CONFIRMED % ("b", 1)), "messages/other")


# --- a whole server


WELCOME = ('{"type":"connection_established","payload":{"connectionId":"%s","timestamp":%d},"timestamp":%d,'
           '"server":"%s"}')
IDS = ("07eeb9ea-2530-4ccb-91d0-1d7968ca0f61", "0ba4bfbd-3d5b-439e-b9c0-6665cc2132ab",
       "c89000c3-e448-40b5-be62-7dd71f42c8ae")
TIME = 1_795_422_278_000


def welcome(number, server="x", time=TIME):
    return WELCOME % (IDS[number], time + 11 * number, time + 12 * number, server)


@pytest.mark.parametrize("kind, shape", [
    ("message", lambda text: {"replies": [text]}),
    ("silence", lambda text: {"frames": [["TEXT", text], ["CLOSE", [1000, "words"]]]}),
])
def test_a_third_server(kind, shape):
    case = Case("c", kind, {})
    one, other, third = (shape(welcome(number)) for number in range(3))
    noise = noise_of(one, other, case)
    assert {rule.path for rule in noise.rules} == {"payload.connectionId", "payload.timestamp", "timestamp"}
    assert wheres(noise, one, third, case=case) == []
    for wrong in (welcome(2, server="y"), welcome(2, time=TIME // 10), welcome(2).replace("-", "", 1),
                  welcome(2).replace(',"server"', ', "server"')):
        assert len(wheres(noise, one, shape(wrong), case=case)) == 1, wrong


def test_bodies_of_requests_are_known_by_their_path():
    case = Case("c", "http", {}, request={"method": "GET", "path": "/x/?q=1"})
    one, other, third = ({"status": 200, "body": '{"now":%d,"n":1}' % (TIME + at)} for at in (1, 2, 3))
    noise = noise_of(one, other, case)
    assert [(rule.root, rule.path) for rule in noise.rules] == [("/x", "now")]
    assert wheres(noise, one, third, case=case) == []
    assert wheres(noise, one, {**third, "body": '{"now":%d,"n":2}' % TIME}, case=case) == ["body"]
    elsewhere = replace(case, request={"method": "GET", "path": "/y"})
    assert wheres(noise, one, third, case=elsewhere) == ["body"]


# --- beside what is known


def with_known(one, other, known=RULES):
    noise = learn([(NAME, CASE, one, other)], [], known)
    return noise, replace(noise, rules=(*noise.rules, *known))


def test_what_is_known_need_not_be_learned():
    one, other, third = (observed(welcome(number)) for number in range(3))
    noise, both = with_known(one, other)
    assert noise.rules == () and not noise.places
    assert wheres(both, one, third) == []
    # So it keeps its bounds, which two samples don't show.
    upper = observed(welcome(2).replace("c89000c3", "C89000C3"))
    assert wheres(both, one, upper) == ["replies[0]"]


def test_what_is_known_otherwise_is_learned_and_wins():
    """Two servers with identifiers that the original could not have."""
    one, other, third = (
        observed(welcome(number).replace(IDS[number], IDS[number].upper())) for number in range(3))
    noise, both = with_known(one, other)
    assert [(rule.root, rule.path) for rule in noise.rules] == [
        ("connection_established", "payload.connectionId")]
    assert noise.places == frozenset()
    for name in (NAME, "messages/other"):
        assert wheres(both, one, third, name) == []
        assert wheres(both, one, observed(welcome(2, server="y")), name) == ["replies[0]"]
        assert wheres(both, one, observed(welcome(2, time=TIME // 10)), name) == ["replies[0]"]


def test_the_judge_uses_both():
    one, other, third = (
        {"replies": [welcome(number).replace(IDS[number], IDS[number].upper())]} for number in range(3))
    target = Target("ws://x")
    noise = learn([(NAME, CASE, one, other)], [], RULES)
    judge = Judge(Plan(target, target, target), noise)
    recorded = replace(CASE, observed=one)
    assert judge.case(recorded, third).verdict is Verdict.SAME
    wrong = {"replies": [welcome(2, server="y")]}
    assert judge.case(recorded, wrong).verdict is Verdict.DIFFERENT
    assert Judge(Plan(target, target)).case(recorded, third).verdict is Verdict.DIFFERENT


# --- real servers


def compared(change):
    """The verdicts on a server that changes its messages so, by two that don't."""
    with independent_server() as one, independent_server() as other, independent_server(change) as third:
        comparison = Comparison(Plan(
            Target(third), Target(one), Target(other),
            chosen=frozenset(["silence/nothing sent", "messages/ping", "messages/sub-unknown"])))
        comparison.run()
    return {result.name: result.verdict.value for result in comparison.results}


def without_a_digit(text):
    return re.sub(r'("timestamp":\d{12})\d', r"\1", text)


@pytest.mark.parametrize("change, different", [
    (lambda text: text, set()),
    (lambda text: re.sub("[0-9a-f]{8}-", "01234567-", text), set()),
    (without_a_digit, {"silence/nothing sent", "messages/ping", "messages/sub-unknown"}),
    (lambda text: text.replace("800000", "800001"), {"silence/nothing sent"}),
    (lambda text: text.replace('"nope"', '"none"'), {"messages/sub-unknown"}),
])
def test_a_server_beside_two_that_are_the_same(change, different):
    verdicts = compared(change)
    assert len(verdicts) == 3
    assert {name for name, verdict in verdicts.items() if verdict != "same"} == different


# --- sessions


def renumbered(session, add):
    """The session with other digits in its times and TPS, and other UUIDs."""
    def other(step):
        if step.text is None or step.dir == "send":
            return step
        text = re.sub(r"17954\d{8}", lambda found: str(int(found[0]) + add), step.text)
        text = re.sub(r'"currentTPS":\d(\d+)', lambda found: f'"currentTPS":8{found[1]}', text)
        return replace(step, text=re.sub(r'[0-9a-f]{8}-', f"{add:08x}-", text))
    return replace(session, steps=tuple(other(step) for step in session.steps))


def session_wheres(noise, one, third, name):
    found = noise.without(f"cadence/{name}", session_differences(one, third, noise.rules))
    return {difference.where for difference in found}


@pytest.mark.parametrize("name", ["all-channels", "mixed", "tps-only"])
def test_a_third_session(name):
    one = load_session(name)
    other, third = renumbered(one, 10_007), renumbered(one, 2_000_003)
    noise = learn([], [(f"cadence/{name}", one, other)])
    assert noise.rules and not noise.places
    assert session_differences(one, third, ()), "without noise it is another"
    # Latency and the like differ from update to update only where the twins' differed.
    assert session_wheres(noise, one, third, name) == set()

    def edited(old, new):
        steps = (replace(step, text=step.text and step.text.replace(old, new)) for step in third.steps)
        return replace(third, steps=tuple(steps))
    assert session_wheres(noise, one, edited("peakTPS", "PeakTPS"), name) == {"update"}
    assert session_wheres(noise, one, edited("connection_e", "connection_E"), name) >= {"reply 0"}
    assert "update" in session_wheres(noise, one, edited('"timestamp":17', '"timestamp":7'), name)


def test_twins_of_another_pace_make_places_of_their_session():
    one = load_session("tps-only")
    slow = replace(one, steps=tuple(replace(step, at=step.at * 1.05) for step in one.steps))
    noise = learn([], [("cadence/tps-only", one, slow)])
    assert ("cadence/tps-only", "tps_update: mean interval") in noise.places
    assert {name for name, _ in noise.places} == {"cadence/tps-only"}
    assert noise.rules == ()
    assert session_wheres(noise, one, slow, "tps-only") == set()
    assert "tps_update: mean interval" in session_wheres(noise, one, slow, "other")


def test_a_confirmation_that_one_twin_lacks_does_not_shift_the_others():
    one = load_session("all-channels")
    [first, *_] = [step for step in one.steps if '"subscription_confirmed"' in (step.text or "")]
    other = replace(one, steps=tuple(step for step in one.steps if step is not first))
    noise = learn([], [("cadence/all-channels", one, other)])
    assert not any(rule.root == "subscription_confirmed" for rule in noise.rules)
    assert ("cadence/all-channels", "reply 1") in noise.places


# --- anything


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(
    allow_nan=False, allow_infinity=False)
#: No key of these is "type", which would be another root.
CONSTANTS = st.dictionaries(st.text("abcdefg", min_size=1, max_size=6), LEAVES, max_size=4)


@st.composite
def servers(draw):
    """Three copies of an answer that differ in digits alone; its constants."""
    constants = draw(CONSTANTS)
    width = draw(st.integers(1, 17))
    numbers = st.integers(10 ** (width - 1), 10 ** width - 1)
    quoted = draw(st.booleans())
    copies = draw(st.tuples(numbers, numbers, numbers).filter(lambda three: three[0] != three[1]))
    values = [f"{number}-x" if quoted else number for number in copies]
    return [{"type": "a", **constants, "Noisy": {"V": value}} for value in values], constants


@given(servers(), st.data())
def test_a_third_copy_is_the_same_and_nothing_else_is(three, data):
    copies, constants = three
    one, other, third = (observed(json.dumps(copy)) for copy in copies)
    noise = noise_of(one, other)
    assert [(rule.root, rule.path) for rule in noise.rules] == [("a", "Noisy.V")]
    assert wheres(noise, one, third) == []
    key = data.draw(st.sampled_from(sorted(constants) or ["more"]))
    value = data.draw(LEAVES.filter(
        lambda value: key not in constants or json.dumps(value) != json.dumps(constants[key])))
    changed = {**copies[2], key: value}
    assert wheres(noise, one, observed(json.dumps(changed))) == ["replies[0]"]
    assert wheres(noise, one, observed(json.dumps({**copies[2], "Noisy": {}}))) == ["replies[0]"]


ANY = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.text("abc*?[].", max_size=3), inner, max_size=3), max_leaves=8)


@given(ANY, ANY)
def test_the_twin_itself_is_always_the_same(one, other):
    """Whatever the two answer, neither differs from the other once their noise is known."""
    first, second = observed(message(one)), observed(message(other))
    noise = noise_of(first, second)
    assert wheres(noise, first, second) == []
    assert wheres(noise, second, first) == []
