"""What a comparison is to do: which cases and sessions, from which files, judged by what in words."""

import json
from dataclasses import replace
from importlib.resources import files

import pytest

from livestream import contract
from livestream.parity.cases import CorpusError, corpus_files, load_cases, load_session
from livestream.parity.judging.deviations import LAYERS
from livestream.parity.judging.expectations import AS_RECORDED, PROFILES, expected
from livestream.parity.plan import Plan, corpus_paths
from livestream.parity.playing.stats import ENDINGS
from livestream.parity.playing.target import Target
from livestream.parity.playing.threads import STAGES

SUBJECT = Target("ws://subject")
SESSIONS = {"all-channels", "mixed", "repeat-subscribe", "tps-only"}
HEADER = {"format": contract.CORPUS_FORMAT, "recorded_from": "a server", "recorded_on": "2026-11-23"}
CASE = {"case": "hello", "kind": "message", "send": [{"text": "hello"}], "observed": {
    "replies": [], "updates_started": [], "control": [], "close": None, "connection_ended": False,
    "answers_ping_after": True}}
STEPS = [
    {"at": 0.1, "dir": "recv", "text": "{}"}, {"at": 0.2, "dir": "send", "text": "{}"},
    {"at": 0.3, "dir": "recv", "event": "eof"},
]


def plan(**changes):
    return Plan(SUBJECT, **changes)


def packaged_lines(file):
    """A packaged file's header and cases, as they stand there."""
    text = (files("livestream.parity") / "corpus" / file).read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line.strip()]


def in_file(file):
    """How many cases a packaged file has, by its lines alone."""
    return len(packaged_lines(file)) - 1


def names(cases):
    return {f"{LAYERS[case.kind]}/{case.name}" for case in cases}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path):
    """A folder with a file of cases, one session, and something else."""
    write(tmp_path / "mine.jsonl", HEADER, CASE, {**CASE, "case": "again"})
    write(tmp_path / "session-short.jsonl", HEADER, *STEPS)
    (tmp_path / "notes.txt").write_text("not a corpus")
    return tmp_path


# --- how many


@pytest.mark.parametrize("profile, played, opening", [
    ("original", ("messages", "frames", "handshake", "http"), 1),
    ("corrected", ("messages", "frames", "handshake", "http"), 1),
    # All of its silence, and what a server without messages can be asked.
    ("shipped", ("handshake", "http", "shipped"), 0),
])
def test_how_many_cases_a_profile_has(profile, played, opening):
    recorded = sum(in_file(f"{file}.jsonl") for file in played)
    cases = plan(faults=PROFILES[profile]).cases()
    assert len(cases) == recorded + opening + len(ENDINGS) + len(STAGES)
    assert len(names(cases)) == len(cases)


@pytest.mark.parametrize("profile, expected_names", [
    ("original", SESSIONS), ("corrected", SESSIONS), ("shipped", set()),
])
def test_the_sessions_of_a_profile(profile, expected_names):
    assert {session.name for session in plan(faults=PROFILES[profile]).sessions()} == expected_names
    assert {f"session-{name}.jsonl" for name in SESSIONS} <= set(corpus_files())


def test_every_packaged_case_is_in_one_of_the_profiles():
    packaged = {
        (LAYERS[case.kind], case.name)
        for file in corpus_files() if not file.startswith("session-") for case in load_cases(file)}
    planned = {(LAYERS[case.kind], case.name) for faults in PROFILES.values()
               for case in plan(faults=faults).cases()}
    assert packaged <= planned


def test_cases_and_sessions_are_as_the_faults_have_them():
    corrected = plan(faults=PROFILES["corrected"])
    [case] = replace(corrected, chosen=frozenset(["messages/unsub"])).cases()
    [recorded] = [case for case in load_cases("messages.jsonl") if case.name == "unsub"]
    assert case == expected(recorded, PROFILES["corrected"]) != recorded
    [session] = replace(corrected, chosen=frozenset(["cadence/mixed"])).sessions()
    assert any("unsubscription_confirmed" in (step.text or "") for step in session.steps)
    [session] = plan(chosen=frozenset(["cadence/mixed"])).sessions()
    assert session == load_session("mixed")


def test_the_faults_are_those_of_the_recording_unless_told_otherwise():
    assert plan().faults == AS_RECORDED


# --- which


@pytest.mark.parametrize("only, chosen, wanted, unwanted", [
    ((), (), ["messages/ping", "cadence/mixed", "fuzz/examples"], []),
    (("messages",), (), ["messages/ping"], ["frames/unmasked", "cadence/mixed", "fuzz/examples"]),
    (("messages", "cadence"), (), ["messages/ping", "cadence/mixed"], ["frames/unmasked"]),
    ((), ("messages/ping",), ["messages/ping"], ["messages/empty", "frames/ping", "ping/messages"]),
    # A name alone is not enough: `unmasked` is a case of two layers.
    ((), ("silence/unmasked",), ["silence/unmasked"], ["frames/unmasked"]),
    (("frames",), ("messages/ping", "frames/unmasked"), ["frames/unmasked"], ["messages/ping"]),
])
def test_what_is_wanted(only, chosen, wanted, unwanted):
    one = plan(only=frozenset(only), chosen=frozenset(chosen))
    assert [name for name in (*wanted, *unwanted) if one.wants(*name.split("/"))] == wanted


@pytest.mark.parametrize("layer", [
    "silence", "handshake", "frames", "messages", "http", "statistics", "threads"])
def test_only_one_layer(layer):
    one = plan(only=frozenset([layer]))
    cases = one.cases()
    assert cases and {LAYERS[case.kind] for case in cases} == {layer}
    assert one.sessions() == []


def test_only_the_cadence():
    one = plan(only=frozenset(["cadence"]))
    assert one.cases() == []
    assert {session.name for session in one.sessions()} == SESSIONS


def test_chosen_cases_and_sessions():
    one = plan(chosen=frozenset(["messages/ping", "threads/close", "cadence/mixed", "messages/no such"]))
    assert names(one.cases()) == {"messages/ping", "threads/close"}
    assert [session.name for session in one.sessions()] == ["mixed"]


# --- files of one's own


def test_a_folder_and_its_files(corpus):
    both = (corpus / "mine.jsonl", corpus / "session-short.jsonl")
    assert corpus_paths([corpus]) == both
    assert corpus_paths(both) == both
    assert corpus_paths([both[1], corpus]) == (both[1], both[0]), "each once"
    assert corpus_paths([]) == ()


def test_a_file_that_is_named_needs_no_suffix(corpus):
    assert corpus_paths([corpus / "notes.txt"]) == (corpus / "notes.txt",)


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("not a corpus")
    with pytest.raises(CorpusError) as caught:
        corpus_paths([tmp_path])
    assert str(caught.value) == f"{tmp_path} holds no corpus file (*.jsonl)."


def test_an_own_corpus_stands_in_place_of_the_packaged_one(corpus):
    one = plan(corpus=corpus_paths([corpus]))
    assert [case.name for case in one.cases()] == ["hello", "again"]
    [session] = one.sessions()
    assert (session.name, len(session.steps)) == ("short", 3)
    assert [case.name for case in replace(one, chosen=frozenset(["messages/again"])).cases()] == ["again"]
    assert replace(one, chosen=frozenset(["messages/again"])).sessions() == []


def test_cases_alone_or_sessions_alone(corpus):
    cases, session = corpus_paths([corpus])
    assert plan(corpus=(cases,)).sessions() == []
    assert plan(corpus=(session,)).cases() == []
    assert len(plan(corpus=(session,)).sessions()) == 1


@pytest.mark.parametrize("file, ask", [
    ("bad.jsonl", lambda plan: plan.cases()), ("session-bad.jsonl", lambda plan: plan.sessions()),
    ("nowhere.jsonl", lambda plan: plan.cases()),
])
def test_a_file_that_cannot_be_used_is_named(tmp_path, file, ask):
    if "bad" in file:
        write(tmp_path / file, HEADER, {"case": 1})
    with pytest.raises(CorpusError, match=file):
        ask(plan(corpus=(tmp_path / file,)))


# --- in words


def test_it_says_what_judges(corpus):
    packaged = json.loads(packaged_lines("messages.jsonl")[0])
    assert plan().described() == (
        f"the corpus of {packaged['recorded_from']}, recorded on {packaged['recorded_on']}")
    own = plan(corpus=corpus_paths([corpus]))
    assert own.described() == "the corpus of a server, recorded on 2026-11-23"


def test_a_corpus_that_is_partial_says_so(corpus):
    write(corpus / "third.jsonl", {**HEADER, "partial": True}, {**CASE, "case": "third"})
    assert plan(corpus=corpus_paths([corpus])).described().endswith("2026-11-23, partial")
    write(corpus / "third.jsonl", {**HEADER, "partial": False}, {**CASE, "case": "third"})
    assert plan(corpus=corpus_paths([corpus])).described().endswith("2026-11-23")


def test_another_server_judges():
    other, twin = Target("ws://other"), Target("ws://twin")
    assert plan(reference=other).described() == "ws://other"
    assert plan(reference=other, twin=twin).described() == "ws://other, with noise learned from ws://twin"
