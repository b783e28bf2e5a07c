"""Every way in which a server may be wrong is seen, and the report's first line names the right case.

Each row starts a server that is wrong in one way, in a process of its own, and lets `livestream parity`
judge it as a user would. They run a few at a time, since most of the time is spent waiting for sessions.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from livestream.parity.judging.deviations import LAYERS
from livestream.parity.judging.expectations import FLAGS

pytestmark = pytest.mark.timeout(900)

AT_ONCE = 8
PATIENCE = 300


class Row(NamedTuple):
    """A broken server, what it is judged by, and the case that must be named first."""

    server: tuple[str, ...]
    first: str
    parity: tuple[str, ...] = ()
    #: The only flags that may be named; None where no flag explains it.
    flag: str | None = None
    #: Another server to judge by.
    against: tuple[str, ...] | None = None


CORRECTED = ("--profile", "corrected")
SLOW = ("--break", "slow-source")
#: For faults that no session is needed to see: each takes half a minute.
BRIEFLY = tuple(word for layer in LAYERS.values() if layer != "cadence" for word in ("--only", layer))


def briefly(flag):
    """Without sessions, unless it takes one to see the fault."""
    return () if flag.shown_by.startswith("cadence/") else BRIEFLY


FIXED_DELAY = "sleeps_a_fixed_delay"
MUTE = "refuses_blocking_sends"
#: Mute and a fast source's drift are rows of their own.
AUDIBLE = [flag for flag in FLAGS if flag.name not in (MUTE, FIXED_DELAY)]

ROWS = {
    **{f"without {flag.name}": Row(("--flip", flag.name), flag.shown_by, flag=flag.name) for flag in AUDIBLE},
    **{
        f"corrected with {flag.name}": Row(
            (*CORRECTED, "--flip", flag.name), flag.shown_by, (*CORRECTED, *briefly(flag)), flag=flag.name)
        for flag in AUDIBLE
    },
    f"with {MUTE}": Row(("--flip", MUTE), "silence/nothing sent"),
    f"shipped without {MUTE}": Row(
        ("--profile", "shipped", "--flip", MUTE), "silence/nothing sent", ("--profile", "shipped")),
    f"corrected with {FIXED_DELAY}, slow": Row(
        (*CORRECTED, *SLOW, "--flip", FIXED_DELAY), "cadence/tps-only", CORRECTED),
    f"without {FIXED_DELAY}, both slow": Row(
        (*SLOW, "--flip", FIXED_DELAY), "cadence/tps-only", against=SLOW),
    "slower by 5%": Row(("--time-scale", "1.05"), "cadence/tps-only"),
    "a lost update": Row(("--break", "lost-update"), "cadence/tps-only"),
    "keys swapped": Row(("--break", "swapped-keys"), "messages/sub-empty", BRIEFLY),
    "doubles written out": Row(("--break", "double-text"), "messages/sub-float-1e22", BRIEFLY),
    "a frame after Close": Row(("--break", "frame-after-close"), "frames/close-1000", BRIEFLY),
    # Every case waits for its closing ping's answer.
    "no pong": Row(("--break", "no-pong"), "messages/ping", ("--only", "messages")),
    "no control pong": Row(("--break", "no-control-pong"), "frames/control-ping", BRIEFLY),
    "deflate accepted": Row(("--break", "deflate"), "handshake/deflate-offered", BRIEFLY),
    "one key more": Row(("--break", "extra-key"), "silence/nothing sent", BRIEFLY),
}
#: What the first line says besides the case's name.
WORDS = {
    "slower by 5%": "mean interval: expected 1.0017 s, got 1.0",
    "a lost update": "then a gap of 2.0 s",
    "keys swapped": '{"status":"subscribed","channel":""}',
    "doubles written out": '"channel":"10000000000000000000000.0"',
    "a frame after Close": "after the Close frame",
    "no pong": "got (nothing)",
    "no control pong": '{"opcode": "PONG", "payload_hex": "68656c6c6f"}, got (nothing)',
    "deflate accepted": '"sec-websocket-extensions": "permessage-deflate"',
}


@contextmanager
def broken_server(options):
    """Its URL and process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.parity.broken_server", *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.communicate("", timeout=PATIENCE)


def judged(row, folder):
    """The command's exit code, its first line, and its report as data."""
    with broken_server(row.server) as (url, pid):
        if row.against is None:
            return run_parity(folder, url, "--pid", str(pid), *row.parity)
        with broken_server(row.against) as (other, other_pid):
            return run_parity(
                folder, url, "--against", other, "--pid", str(pid), "--against-pid", str(other_pid))


def run_parity(folder, *options):
    path = folder / "report.json"
    answer = subprocess.run(
        [sys.executable, "-m", "livestream", "parity", *options, "--json", str(path)],
        capture_output=True, text=True, timeout=PATIENCE)
    assert answer.stderr == ""
    return answer.returncode, answer.stdout.partition("\n")[0], json.loads(path.read_text())


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folders = [tmp_path_factory.mktemp("report") for _ in ROWS]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Those with sessions first: whoever begins last must not take longest.
        order = sorted(ROWS, key=lambda name: "--only" in ROWS[name].parity)
        return dict(zip(order, pool.map(judged, map(ROWS.get, order), folders)))


@pytest.mark.parametrize("name", ROWS)
def test_it_is_caught_and_the_first_line_names_the_right_case(outcomes, name):
    code, first_line, report = outcomes[name]
    assert code == 1
    assert first_line.startswith(f"different: {ROWS[name].first}: "), first_line
    assert WORDS.get(name, "") in first_line


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.flag])
def test_a_flag_turned_round_is_named_and_no_other(outcomes, name):
    failed = [result for result in outcomes[name][2]["results"] if result["verdict"] == "different"]
    assert {tuple(result["flags"]) for result in failed} == {(ROWS[name].flag,)}
    assert [result for result in outcomes[name][2]["results"] if result["verdict"] == "no answer"] == []


def test_a_mute_server_is_not_waited_for(outcomes):
    report = outcomes[f"with {MUTE}"][2]
    verdicts = {(result["layer"], result["verdict"]) for result in report["results"]}
    assert {("messages", "no answer"), ("frames", "no answer"), ("cadence", "no answer")} <= verdicts
    assert report["seconds"] < 60


def test_one_key_more_is_no_valid_message(outcomes):
    [result] = [result for result in outcomes["one key more"][2]["results"] if result["layer"] == "contract"]
    assert result["verdict"] == "different"
    assert "more" in result["differences"][0]["where"]
