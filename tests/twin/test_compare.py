"""`make compare` in small: the port and the Java twin, started, judged, loaded, and told of on one page."""

import json
import re
import subprocess
import sys

import pytest

from livestream.lab.results import Results, Step
from tests.support import PATIENCE
from tests.twin.compare import PORT, TWIN, rows

pytestmark = pytest.mark.timeout(300)

SMALL = (
    "--clients", "2,3", "--seconds", "2", "--only", "messages", "--only", "fuzz",
    "--fuzz", "10", "--seed", "1")


def compare(*options):
    return subprocess.run(
        [sys.executable, "-m", "tests.twin.compare", *options], capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    done = compare(*SMALL, "--out", str(folder))
    assert "Traceback" not in done.stderr
    return folder, done


def test_parity_is_told_of_each_by_the_recordings_and_of_one_by_the_other(compared):
    folder, done = compared
    assert [line for line in done.stdout.splitlines() if line.startswith("parity")] == [
        "parity: the port, by what was recorded of the original …",
        "parity: the Java twin, by the same, without the port's excuses …",
        "parity: the port, by the Java twin, and 10 generated inputs …",
    ]
    records = {name: json.loads((folder / f"{name}.json").read_text())
               for name in ("port-by-corpus", "twin-by-corpus", "port-by-twin")}
    assert {record["verdict"] for record in records.values()} == {"same"}
    assert [len(record["results"]) for record in records.values()] == [123, 123, 124]
    assert all((folder / f"{name}.html").is_file() for name in records)


def test_both_are_measured_under_the_same_load_in_turn(compared):
    folder, done = compared
    results = json.loads((folder / "load" / "results.json").read_text())
    steps = [(step["condition"], step["clients"]) for step in results["steps"]]
    assert steps == [(PORT, 2), (TWIN, 2), (TWIN, 3), (PORT, 3)]
    assert all(step["figures"]["up"] == step["clients"] for step in results["steps"])
    assert results["finished"]


def test_the_report_has_both(compared):
    folder, done = compared
    page = (folder / "report.html").read_text()
    assert done.stdout.rstrip().endswith(f"report {folder / 'report.html'}")
    assert re.findall(r"<h3>(.*?): <span", page) == [
        "the port, by what was recorded of the original",
        "the Java twin, by the same, without the port&#39;s excuses",
        "the port, by the Java twin, and 10 generated inputs",
    ]
    assert re.findall(r'class="clients" colspan="7">(.*?)<', page) == ["2 clients", "3 clients"]
    assert page.count("data:image/svg+xml") >= 4
    # Nothing but its own files beside it.
    assert set(re.findall(r'(?:href|src)="(?!data:)(.*?)"', page)) == {
        "port-by-corpus.html", "twin-by-corpus.html", "port-by-twin.html", "load/report.html"}
    assert all((folder / name).is_file() for name in re.findall(r'href="(.*?)"', page))


def test_columns_are_divided_by_each_other():
    steps = [Step(PORT, 1_000, {"cpu_per_message_us": 80.0, "late_p99": 1.0}),
             Step(TWIN, 1_000, {"cpu_per_message_us": 240.0}),
             Step(TWIN, 2_000, {"cpu_per_message_us": 282.0}, invalid=("It broke.",))]
    found = {(row.clients, row.title): row for row in rows(Results("x", "x", "x", 3, steps=steps))}
    message = found[1_000, "processor time per message"]
    # SPEC, "Figures": 231 µs a message at 1,000 clients.
    assert message[3:] == ("80.0", "240.0", "0.33", "231", "1.04")
    assert found[1_000, "lateness of an update, p99"][3:] == ("1.00", "–", "–", "4.8", "–")
    assert {clients for clients, _ in found} == {1_000}


@pytest.mark.parametrize("options, complaint", [
    (("--only", "nothing"), "nothing"),
    (("--clients", "0x"), "invalid numbers value"),
    (("--clients", "30000000"), "limits are too low for 30,000,000 clients"),
])
def test_what_can_not_be_done_is_told_in_a_line(options, complaint, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.twin.compare", "--out", str(tmp_path), *options],
        capture_output=True, text=True, timeout=6 * PATIENCE)
    assert done.returncode not in (0, None)
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
