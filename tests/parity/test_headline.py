"""What a reader sees first: the case that tells most."""

from dataclasses import replace
from itertools import permutations

import pytest

from livestream.parity.cases import Case
from livestream.parity.judging.difference import NOTHING, Difference
from livestream.parity.judging.expectations import FLAGS
from livestream.parity.judging.verdict import Report, Result, Verdict
from livestream.parity.reports.headline import groups, headline

UNSUBSCRIBE = '{"type":"unsubscribe","channel":"tps_updates"}'


def case_of(name="c", kind="message", text="{}"):
    if kind in ("message", "frame", "silence"):
        return Case(name, kind, {}, send=({"text": text},))
    return Case(name, kind, {}, request={"path": text})


def different(name="c", *, kind="message", text="{}", where=("replies[0]",), flags=(), expected=1, got=2):
    found = tuple(Difference(one, expected, got) for one in where)
    return Result(case_of(name, kind, text), Verdict.DIFFERENT, {}, found, flags=tuple(flags))


def unanswered(name="c", reason="It is gone.", **options):
    return Result(case_of(name, **options), Verdict.NO_ANSWER, None, reason=reason)


def passed(name="c", verdict=Verdict.SAME):
    return Result(case_of(name), verdict, {})


def report(*results):
    return Report("ws://x", "the corpus", results)


def told_first(*results):
    """The name of the case that the headline tells, whatever the order of the results."""
    names = {headline(report(*order)).split(": ")[1] for order in permutations(results)}
    assert len(names) == 1, names
    return names.pop()


# --- nothing to complain of


@pytest.mark.parametrize("results, words", [
    ([], "nothing was compared"),
    ([passed("a"), passed("b"), passed("d")], "same: 3 cases"),
    ([passed("a")], "same: 1 case"),
    ([passed("a"), passed("b", Verdict.EXPLAINED)], "explained: 2 cases, 1 of them explained by name"),
    ([passed(name, Verdict.EXPLAINED) for name in "ab"], "explained: 2 cases, 2 of them explained by name"),
])
def test_without_a_failure_it_counts(results, words):
    assert headline(report(*results)) == words


# --- what it says


def test_it_tells_verdict_case_place_and_both_sides():
    words = headline(report(different("ping", expected="a", got=None), passed("b")))
    assert words == "different: messages/ping: replies[0]: expected a, got null"


def test_it_counts_the_others_that_failed():
    results = [different(name) for name in "abd"]
    assert headline(report(*results, unanswered("e"), passed("f"))).endswith(", got 2, and 3 more")
    assert " more" not in headline(report(results[0], passed("f"), passed("g", Verdict.EXPLAINED)))


def test_it_names_the_flags_that_explain_it():
    words = headline(report(different("unsub", flags=["ignores_unsubscribe", "sleeps_a_fixed_delay"])))
    assert words.endswith("(as with ignores_unsubscribe, sleeps_a_fixed_delay turned round)")
    assert "turned round" not in headline(report(different()))


def test_a_long_value_is_cut():
    words = headline(report(different(expected="x" * 500, got=NOTHING)))
    assert words == f"different: messages/c: replies[0]: expected {'x' * 120}…, got {NOTHING}"
    assert "…" not in headline(report(different(expected="x" * 120, got=NOTHING)))


def test_a_case_without_an_answer_tells_what_happened():
    words = headline(report(unanswered("ping", "It sent nothing.")))
    assert words == "no answer: messages/ping: It sent nothing"


@pytest.mark.parametrize("where", [("replies[0]", "close", "faults"), ("faults", "replies[0]"),
                                   ("close", "faults[0]")])
def test_a_broken_rule_tells_more_than_other_fields(where):
    fault = next(one for one in where if one.startswith("faults"))
    assert headline(report(different(where=where))).startswith(f"different: messages/c: {fault}: ")


def test_otherwise_the_first_field_is_told():
    assert ": close: " in headline(report(different(where=("close", "replies[0]"))))


# --- which case


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_the_best_case_of_a_flag_is_told_however_long_it_is(flag):
    layer, _, name = flag.shown_by.partition("/")
    kind = {"messages": "message", "cadence": "session"}.get(layer, layer)
    best = different(name, kind=kind, text="x" * 900, flags=[flag.name])
    others = [different("short", text="", flags=[flag.name]), different("other", flags=[flag.name])]
    assert best.name == flag.shown_by
    assert told_first(best, *others) == flag.shown_by


def test_the_best_case_counts_only_for_its_own_flag():
    """`unsub` is the best case of ignores_unsubscribe, and no better than others elsewhere."""
    flags = ["confirms_unknown_channels"]
    unsub = different("unsub", text=UNSUBSCRIBE, flags=flags)
    assert told_first(unsub, different("b", flags=flags)) == "messages/b"


def test_the_simplest_case_is_that_with_the_fewest_bytes():
    long, short, shorter = (different(name, text=text) for name, text in (
        ("long", "x" * 300), ("short", "x" * 20), ("shorter", "x" * 19)))
    assert told_first(long, short, shorter) == "messages/shorter"
    # Bytes, not characters.
    wide = different("wide", text="é" * 15)
    assert told_first(wide, different("narrow", text="x" * 25)) == "messages/narrow"


def test_the_bytes_are_those_of_the_wire():
    padded = Result(Case("padded", "frame", {}, send=({"padded_ping": 5_000},)), Verdict.DIFFERENT, {},
                    (Difference("close", 1, 2),))
    assert told_first(padded, different("text", text="x" * 4_000)) == "messages/text"


@pytest.mark.parametrize("where", [("answers_ping_after",), ("connection_ended",),
                                   ("connection_ended", "answers_ping_after")])
def test_a_cause_is_told_before_a_consequence_however_long_it_is(where):
    cause = different("cause", text="x" * 900, where=("replies[0]", *where))
    assert told_first(different("consequence", text="", where=where), cause) == "messages/cause"


def test_a_consequence_alone_is_told():
    assert ": connection_ended: " in headline(report(different(where=("connection_ended",))))


@pytest.mark.parametrize("close, ended", [
    ({"code": 1002, "reason": ""}, True), ({"code": 1007, "reason": ""}, True),
    ({"code": 1009, "reason": ""}, True), (None, True),
])
def test_what_a_server_does_with_legal_input_is_told_before_how_it_refuses_other(close, ended):
    illegal = different("illegal", kind="frame", text="")
    illegal = replace(illegal, case=replace(illegal.case, observed={
        "close": close, "connection_ended": ended}))
    legal = different("legal", text="x" * 900)
    assert told_first(illegal, legal) == "messages/legal"
    # A Close of the client's own is legal, and so is a connection that went on.
    for close, ended in (({"code": 1000, "reason": ""}, True), (None, False)):
        case = replace(illegal.case, observed={"close": close, "connection_ended": ended})
        assert told_first(replace(illegal, case=case), legal) == "frames/illegal"


def test_what_no_flag_explains_is_told_before_what_one_does():
    odd = different("odd", text="x" * 900)
    assert told_first(different("unsub", flags=["ignores_unsubscribe"]), odd) == "messages/odd"


def test_no_answer_is_told_last():
    late = different("late", text="x" * 900, where=("connection_ended",), flags=["ignores_unsubscribe"])
    assert told_first(unanswered("a"), late, unanswered("b", text="")) == "messages/late"
    contract = different("every message", kind="contract")
    assert told_first(unanswered("a"), contract) == "contract/every message"


def test_the_contract_is_told_after_every_case_with_a_cause_of_its_own():
    contract = different("every message", kind="contract", text="", where=("a complaint",))
    assert told_first(contract, different("c", text="x" * 900)) == "messages/c"
    assert told_first(contract, different("c", kind="http", text="x" * 900, where=("body",))) == "http/c"
    assert told_first(contract) == "contract/every message"


def test_a_mute_server_is_told_by_its_silence():
    mute = different("nothing sent", kind="silence", where=("frames[0]",), flags=["refuses_blocking_sends"])
    others = [unanswered(name, "Not played: the server sends nothing.") for name in "ab"]
    assert told_first(*others, mute) == "silence/nothing sent"


# --- what belongs together


def test_groups_are_by_flags_and_by_what_happened():
    results = {
        "gone": unanswered("gone", "It is gone."), "mute": unanswered("mute", "It is mute."),
        "gone too": unanswered("gone too", "It is gone."),
        "pair": different("pair", flags=["ignores_unsubscribe", "confirms_unknown_channels"]),
        "late flag": different("late flag", flags=["sleeps_a_fixed_delay"]),
        "early flag": different("early flag", flags=["starts_a_thread_per_subscribe"]),
        "early too": different("early too", flags=["starts_a_thread_per_subscribe"], text="longer"),
        "odd": different("odd"), "same": passed("same"), "explained": passed("ex", Verdict.EXPLAINED),
    }
    found = groups(report(*results.values()))
    names = [[result.case.name for result in group.results] for group in found]
    assert [(group.flags, group.reason, cases) for group, cases in zip(found, names)] == [
        ((), "", ["odd"]),
        (("starts_a_thread_per_subscribe",), "", ["early flag", "early too"]),
        (("sleeps_a_fixed_delay",), "", ["late flag"]),
        (("ignores_unsubscribe", "confirms_unknown_channels"), "", ["pair"]),
        ((), "It is gone.", ["gone", "gone too"]),
        ((), "It is mute.", ["mute"]),
    ]


def test_nothing_that_passed_is_in_a_group():
    assert groups(report(passed("a"), passed("b", Verdict.EXPLAINED))) == []
