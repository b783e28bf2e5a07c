"""`livestream parity` as a user calls it: against the port, another implementation, server by server."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from livestream.parity.asyncapi import document
from livestream.parity.cases import load_session
from livestream.parity.judging.deviations import name_of
from livestream.parity.judging.cadence import session_differences
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.expectations import AS_RECORDED, FLAGS, PROFILES, expected, recorded_cases
from livestream.parity.judging.model import expected_session
from tests.parity.independent_server import independent_server
from tests.parity.test_player import SAME_EVERYWHERE
from tests.support import Command

pytestmark = pytest.mark.timeout(300)

CORRECTED = PROFILES["corrected"]
SESSIONS = ("all-channels", "mixed", "repeat-subscribe", "tps-only")


@pytest.fixture
def command():
    """Starts servers of ours, each in a process of its own."""
    started = []

    def start(*options):
        started.append(Command("--log-level", "error", *options))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def parity(*options, folder):
    """The exit code, the lines on standard output, and the report as data."""
    path = folder / "report.json"
    answer = subprocess.run(
        [sys.executable, "-m", "livestream", "parity", *options, "--json", str(path)],
        capture_output=True, text=True, timeout=240)
    assert answer.stderr == ""
    return answer.returncode, answer.stdout.splitlines(), json.loads(path.read_text())


def by_verdict(report, verdict):
    return {result["name"]: result for result in report["results"] if result["verdict"] == verdict}


# --- runs of a minute, all at the same time


def judge_profile(command, folder, served, expected_profile):
    server = command("--profile", served)
    return parity(
        server.url, "--profile", expected_profile, "--pid", str(server.process.pid), folder=folder)


def judge_independent(command, folder):
    layers = ("silence", "handshake", "frames", "messages", "cadence", "contract")
    options = [word for layer in layers for word in ("--only", layer)]
    with independent_server() as url:
        return parity(url, *options, folder=folder)


RUNS = {
    **{profile: (judge_profile, profile, profile) for profile in PROFILES},
    "corrected as original": (judge_profile, "corrected", "original"),
    "independent": (judge_independent,),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """By name: exit code, lines and report."""
    started = []

    def start(*options):
        started.append(Command("--log-level", "error", *options))
        return started[-1]

    folders = [tmp_path_factory.mktemp("report") for _ in RUNS]
    with ThreadPoolExecutor(len(RUNS)) as pool:
        futures = [
            pool.submit(run, start, folder, *more) for (run, *more), folder in zip(RUNS.values(), folders)]
    for server in started:
        server.kill()
    return {name: future.result() for name, future in zip(RUNS, futures)}


# --- against the corpus


@pytest.mark.parametrize("profile", PROFILES)
def test_the_port_is_the_same_as_what_its_profile_promises(runs, profile):
    code, lines, report = runs[profile]
    assert code == 0, lines
    explained = by_verdict(report, "explained")
    by_name = f"{len(explained)} of them explained by name"
    assert lines[0] == f"explained: {len(report['results'])} cases, {by_name}"
    assert all(result["reason"] for result in explained.values())
    layers = {layer["name"] for layer in report["layers"]}
    speaking = {"frames", "messages", "cadence", "contract"} if profile != "shipped" else set()
    assert layers == {"silence", "handshake", "http", "statistics", "threads"} | speaking


def test_the_corpus_without_sessions_is_quickly_played(command, tmp_path):
    """It takes a third of the limit on two quiet cores."""
    layers = ("silence", "handshake", "frames", "messages", "http", "statistics", "contract")
    options = [word for layer in layers for word in ("--only", layer)]
    code, _, report = parity(command().url, *options, folder=tmp_path)
    assert code == 0
    assert len(report["results"]) > 230
    assert report["seconds"] < 20


def test_corrected_differs_from_the_original_in_the_cases_of_its_flags(runs):
    """Which cases those are follows from the flags and SPEC, not from what the port did."""
    changed = {
        name_of(case) for case in recorded_cases(AS_RECORDED)
        if differences(expected(case, AS_RECORDED), dict(expected(case, CORRECTED).observed))
    } | {
        f"cadence/{name}" for name in SESSIONS
        if session_differences(load_session(name), expected_session(load_session(name), CORRECTED))
    }
    code, lines, report = runs["corrected as original"]
    different = by_verdict(report, "different")
    assert code == 1
    assert different.keys() == changed
    assert by_verdict(report, "no answer") == {}
    named = {flag for result in different.values() for flag in result["flags"]}
    assert all(result["flags"] for result in different.values())
    # The mute flag is no fault of `original`; a fast source's drift is too small for a session to show.
    assert named == {flag.name for flag in FLAGS} - {"refuses_blocking_sends", "sleeps_a_fixed_delay"}
    assert lines[0].startswith("different: cadence/repeat-subscribe") or "turned round" in lines[0]


# --- server against server


def test_port_against_port_with_a_twin_and_fuzz_500(command, tmp_path):
    subject, reference, twin = command(), command(), command()
    code, lines, report = parity(
        subject.url, "--against", reference.url, "--twin", twin.url, "--fuzz", "500",
        "--pid", str(subject.process.pid), "--against-pid", str(reference.process.pid), folder=tmp_path)
    # What is simulated may make the twins differ from each other, which is then explained as noise.
    assert (code, by_verdict(report, "different"), by_verdict(report, "no answer")) == (0, {}, {}), lines
    assert {layer["name"] for layer in report["layers"]} == {
        "silence", "handshake", "frames", "messages", "http", "cadence", "statistics", "threads", "fuzz"}
    assert "noise learned from" in report["reference"]
    assert any(note.startswith("noise learned from the twin: values at ") for note in report["notes"])
    assert len(by_verdict(report, "same")) > 230


def test_fuzzing_finds_another_json_reader_and_keeps_the_case(command, tmp_path):
    found = tmp_path / "found.jsonl"
    with independent_server() as other:
        url = command().url
        options = (url, "--against", other, "--only", "fuzz")
        code, lines, report = parity(
            *options, "--fuzz", "200", "--generate", "messages", "--seed", "5", "--append", str(found),
            folder=tmp_path)
        assert code == 1
        assert lines[0].startswith("different: fuzz/fuzz-messages-5-1: ")
        assert "as a corpus case:" in lines
        assert len(found.read_text().splitlines()) == 2
        # The case holds what the other server did, so that one is the same and the port is not.
        again = ("--corpus", str(found), "--only", "messages")
        assert parity(other, *again, folder=tmp_path)[0] == 0
        assert parity(url, *again, folder=tmp_path)[0] == 1


# --- another implementation


def test_an_independent_server_is_the_same_where_it_follows_the_spec(runs):
    code, lines, report = runs["independent"]
    assert code == 1
    assert lines[0].startswith("different: ")
    assert by_verdict(report, "no answer") == {}
    same = by_verdict(report, "same").keys()
    assert {name_of(case) for case in SAME_EVERYWHERE} <= same
    assert {f"cadence/{name}" for name in SESSIONS} | {"silence/nothing sent"} <= same
    # Its JSON reader is Python's, and it echoes a channel that is no text as it is.
    assert {"messages/lit-nan", "contract/every message"} <= by_verdict(report, "different").keys()


def test_an_independent_server_is_the_same_as_itself(tmp_path):
    layers = ("silence", "handshake", "frames", "messages")
    options = [word for layer in layers for word in ("--only", layer)]
    with independent_server() as url, independent_server() as other, independent_server() as twin:
        code, lines, report = parity(url, "--against", other, "--twin", twin, *options, folder=tmp_path)
        assert code == 0, lines
    assert len(by_verdict(report, "same")) > 200


def test_a_twin_that_is_another_server_does_not_make_all_the_same(command, tmp_path):
    """What it wrongly takes for noise is explained by that name, so one sees it."""
    corrected, original = command("--profile", "corrected"), command()
    options = ("--against", original.url, "--twin", corrected.url, "--only", "messages")
    code, _, report = parity(corrected.url, *options, folder=tmp_path)
    explained = by_verdict(report, "explained")
    assert code == 0
    assert "messages/unsub" in explained
    assert all(result["reason"].startswith("noise: ") for result in explained.values())


# --- the contract


def test_asyncapi_prints_the_document():
    answer = subprocess.run(
        [sys.executable, "-m", "livestream", "asyncapi"], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == document()


def test_the_rules_are_printed_in_the_form_in_which_they_are_read(command, tmp_path):
    command_line = [sys.executable, "-m", "livestream", "parity", "--show-rules"]
    answer = subprocess.run(command_line, capture_output=True, text=True, check=True)
    own = tmp_path / "rules.toml"
    own.write_text(answer.stdout)
    server = command()
    assert parity(server.url, "--only", "messages", "--rules", str(own), folder=tmp_path)[0] == 0
    own.write_text('[[rule]]\nname = "none"\nroot = "pong"\npath = "timestamp"\npattern = "never"\n')
    code, lines, _ = parity(server.url, "--only", "messages", "--rules", str(own), folder=tmp_path)
    assert (code, lines[0].partition(":")[0]) == (1, "different")


def test_deviations_of_ones_own_explain_and_are_named(command, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("\n".join((
        "[[deviation]]", 'name = "it confirms"', 'layer = "messages"', 'cases = ["unsub"]',
        'reason = "It answers."', 'rfc = "none"',
        f"instead = '''{json.dumps({'replies': [UNSUBSCRIBED]})}'''")))
    server = command("--profile", "corrected")
    options = ("--case", "messages/unsub", "--only", "messages")
    assert parity(server.url, *options, folder=tmp_path)[0] == 1
    code, _, report = parity(server.url, *options, "--deviations", str(own), folder=tmp_path)
    assert code == 0
    assert by_verdict(report, "explained")["messages/unsub"]["reason"] == "it confirms: It answers."


def test_strict_leaves_out_the_packaged_deviations(command, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("\n".join((
        "[[deviation]]", 'name = "mine"', 'layer = "frames"', 'cases = ["close-999-illegal"]',
        'reason = "It answers."', 'rfc = "none"', """instead = '{"close": {"code": 1002}}'""")))
    options = ("--case", "frames/close-999-illegal", "--case", "frames/close-1014", "--only", "frames")
    url = command().url
    assert parity(url, *options, folder=tmp_path)[0] == 0
    code, lines, report = parity(url, *options, "--strict", folder=tmp_path)
    assert (code, by_verdict(report, "different").keys()) == (
        1, {"frames/close-999-illegal", "frames/close-1014"})
    assert any(line.endswith("--strict --case frames/close-1014") for line in map(str.strip, lines))
    code, _, report = parity(url, *options, "--strict", "--deviations", str(own), folder=tmp_path)
    assert (code, by_verdict(report, "different").keys()) == (1, {"frames/close-1014"})


UNSUBSCRIBED = (
    '{"type":"unsubscription_confirmed","payload":{"channel":"tps_updates","status":"unsubscribed"},'
    '"timestamp":1795422288000}')
