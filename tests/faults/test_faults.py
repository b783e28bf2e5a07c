"""`make faults` in small, each fault by itself; and that the table tells what went wrong."""

import subprocess
import sys

import pytest

from tests.faults import crowd, ends, inputs, lacks
from tests.faults.rude import ACTS
from tests.faults.table import Outcome

pytestmark = pytest.mark.timeout(300)


def well(outcome):
    assert outcome.well, outcome
    return outcome


def test_descriptors_used_up():
    assert well(lacks.no_descriptors()).lost == "whoever came beyond got 503"


def test_threads_refused():
    assert well(lacks.no_threads()).lost == "whoever came beyond got 503"


def test_memory_used_up():
    assert well(lacks.no_memory()).lost == "whoever came beyond got 503"


def test_a_full_disk_for_the_log():
    assert well(lacks.disk_full()).lost == "0 clients; the log"


def test_a_clock_that_jumps():
    assert "ms, of 100" in well(lacks.clock_jumps(6)).lost


def test_killed_and_started_again():
    assert well(ends.killed_and_started_again(10)).lost == "0 clients not back with all four channels"


def test_asked_to_stop():
    assert well(ends.asked_to_stop(30)).lost == "0 clients without Close 1001"


def test_bad_json():
    assert well(inputs.bad_json(5_000)).lost == "nothing raised"


def test_bad_frames():
    assert well(inputs.bad_frames(2_000)).lost == "nothing raised"


def test_bad_bytes_over_the_wire():
    assert well(inputs.bad_bytes(2_000)).lost == "0 connections not ended"


def test_a_target_that_raises_is_told():
    outcome = inputs.guided("raising", "inputs", 100_000, [b"{}"])
    assert not outcome.well
    assert "ValueError" in outcome.lost


def test_rude_clients_take_nothing_from_the_others():
    outcome = crowd.rude_clients(clients=30, seconds=crowd.QUIET + 10, rate=10)
    assert outcome.lost.endswith("0 of the rude not answered")
    assert outcome.left.startswith("0 threads, 0 descriptors")
    assert float(outcome.lost.partition(" ")[0]) <= crowd.LOST
    assert len(ACTS) == 6


@pytest.mark.parametrize("outcome, code, word", [
    (Outcome("a", "b", "c", True), 0, "as it should"),
    (Outcome("a", "b", "c", False, "because"), 1, "WRONG"),
])
def test_the_table_tells_and_the_exit_code_too(monkeypatch, capsys, outcome, code, word):
    from tests.faults import __main__ as program

    monkeypatch.setattr(program, "faults", lambda asked: {"one": lambda: outcome})
    monkeypatch.setattr(sys, "argv", ["faults"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    out = capsys.readouterr().out
    assert (ended.value.code, word in out, outcome.remark in out) == (code, True, True)


def test_a_fault_that_there_is_not():
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "nonsense"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "there is no fault 'nonsense', only descriptors, " in done.stderr
