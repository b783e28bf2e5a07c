"""The claims: figures as they are known, verdicts as the lab judges them, commands that run as written."""

import json
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import NamedTuple

import click
import pytest

from livestream import contract
from livestream.cli import cli
from livestream.lab.reports.claims import Verdict, judged
from livestream.lab.reports.reference import ORIGINAL, REPORT, reference, references
from livestream.lab.results import Results, Step
from tests.examples.tour import EXAMPLES, chapters
from tests.support import Command

ROOT = EXAMPLES.parent
CLAIMS = (EXAMPLES / "CLAIMS.md").read_text()
README = (ROOT / "README.md").read_text()
SCALING = (EXAMPLES / "SCALING.md").read_text()
SERVING = (EXAMPLES / "SERVING.md").read_text()
TOUR = (EXAMPLES / "README.md").read_text()
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)*")
_BLOCK = re.compile(r"(?:^    \S.*\n)+", re.M)
#: Where `livestream serve` listens when it is not told.
PLACE = f"localhost:{contract.PORT}"
TIMEOUT = 60


class Section(NamedTuple):
    """One claim: the four cells of its table, and its blocks of commands."""

    title: str
    says: str
    original: str
    port: str
    verdict: str
    blocks: list[list[str]]


def sections():
    for part in CLAIMS.split("\n## ")[1:]:
        rows = [line for line in part.splitlines() if line.startswith("| ")]
        if rows[:1] == ["| the report | the original, measured | the port | verdict |"]:
            _, row = rows
            blocks = [[line.strip() for line in block.splitlines()] for block in _BLOCK.findall(part)]
            yield Section(part.partition("\n")[0], *row.strip("| ").split(" | "), blocks)


SECTIONS = {section.title: section for section in sections()}
BLOCKS = [block for section in SECTIONS.values() for block in section.blocks]
COMMANDS = sorted({line for block in BLOCKS for line in block})
THREADS, BYTES, REGISTRY, CLEANUP, CHANNELS, READY, OPTIMAL, _, COUNTING, CORS, NULL, PORTAL = SECTIONS

# By section, the claims of the lab's file that it is about, and what the original's figures make of them.
JUDGED = {
    THREADS: ({"threads-per-client", "threads-at-100", "threads-at-1000"}, "sweep"),
    BYTES: ({"bytes-per-client", "bytes-at-100", "bytes-at-1000"}, "sweep"),
    REGISTRY: ({"registry-entry"}, "soak"),
    CLEANUP: ({"cleanup-at-once"}, "lifecycle"),
}
# SPEC, "Life of a connection", 7: how late the last thread notices.
SLOWEST = max(channel.interval_ms for channel in contract.CHANNELS) / 1_000
FOUR = len(contract.CHANNELS)


def numbers(text):
    return [float(number.replace(",", "")) for number in _NUMBER.findall(text)]


def known(figure, clients, source=ORIGINAL):
    return reference(source, figure).at(clients)


def table_of(text):
    """The rows of figures in a text."""
    return text[text.index("| clients | server |"):].partition("\n\n")[0].splitlines()[2:]


def scaling_row(clients, server):
    """A row of the whole table: delivered, late p50 and p99, µs a message, kB a client, threads."""
    here = ""
    for line in table_of(SCALING):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        here = cells[0] or here
        if (here, cells[1]) == (f"{clients:,}", server):
            (delivered,), (p50, p99), (cpu,), (rss,), (threads,) = map(numbers, cells[2:])
            return {"delivered": delivered, "late_p50": p50, "late_p99": p99,
                    "cpu_per_message_us": cpu, "rss_per_client_kb": rss, "threads": threads}
    raise LookupError((clients, server))


def port(figure, clients, server="port"):
    return scaling_row(clients, server)[figure]


def port_bytes():
    return numbers(re.search(r"client in place of (\d+)", SERVING)[1])[0]


def recorded_messages():
    """Cases, the header left out; and of how many the connection answered afterwards."""
    text = (files("livestream.parity") / "corpus" / "messages.jsonl").read_text(encoding="utf-8")
    cases = [case for case in map(json.loads, text.splitlines()) if "observed" in case]
    return len(cases), sum(case["observed"]["answers_ping_after"] for case in cases)


# Every number in a cell, in its order.
SAYS = {
    THREADS: [known("channel_threads_per_client", 1, REPORT), 100, known("channel_threads", 100, REPORT),
              1_000, known("channel_threads", 1_000, REPORT)],
    BYTES: [known("bytes_per_client", 1, REPORT),
            *(known(f"bytes_{channel.name}", 1, REPORT) for channel in contract.CHANNELS)],
    REGISTRY: [known("rss_per_closed_connection_bytes", 1, REPORT)],
}
MEASURED = {
    THREADS: [known("channel_threads_per_client", 1_000), known("threads", 100), 100,
              known("threads", 1_000), 1_000],
    BYTES: [known("bytes_per_client", 1_000)],
    REGISTRY: [known("rss_per_client_kb", 1_000), 1_000],
    CLEANUP: [SLOWEST],
    READY: [known("delivered", 4_000), 4_000, contract.MAX_CONNECTIONS],
    OPTIMAL: [1_000, known("cpu_per_message_us", 1_000), known("late_p99", 1_000), 99,
              4_000, known("cpu_per_message_us", 4_000), known("late_p99", 4_000)],
    # SPEC, "Life of a connection", 8.
    COUNTING: [contract.MAX_FRAME_BYTES, 1, 0],
    NULL: [recorded_messages()[1]],
}
PORT = {
    THREADS: [FOUR, port("threads", 1_000), 1_000],
    BYTES: [port_bytes()],
    REGISTRY: [port("rss_per_client_kb", 1_000), 1_000],
    READY: [port("delivered", 4_000), 4_000],
    OPTIMAL: [1_000, port("cpu_per_message_us", 1_000), port("late_p99", 1_000), 99,
              4_000, port("cpu_per_message_us", 4_000), port("late_p99", 4_000)],
    NULL: [recorded_messages()[0]],
}


def test_the_readmes_rows_are_of_the_whole_table():
    others = ("processors", "floor")
    rows = [row for row in table_of(SCALING) if not any(other in row for other in others)]
    assert table_of(README) == rows


@pytest.mark.parametrize("title", SECTIONS)
def test_the_figures_are_those_that_are_known(title):
    section = SECTIONS[title]
    assert numbers(section.says) == SAYS.get(title, [])
    assert numbers(section.port) == PORT.get(title, [])
    # Quarkus's version is no figure.
    assert numbers(section.original.replace("3.28.2", "")) == MEASURED.get(title, [])


def test_the_floor_is_readmes():
    text = " ".join(CLAIMS.split())
    said = re.search(r"The same model in C needs (\S+) µs at 1,000 clients and (\S+) µs at 4,000", text)
    assert [*map(float, said.groups())] == [port("cpu_per_message_us", at, "floor") for at in (1_000, 4_000)]


def original_run(experiment):
    """A run that found what is known of the original."""
    clients = (100, 1_000)
    figures = ("channel_threads_per_client", "channel_threads", "bytes_per_client")
    seen = {at: {name: known(name, at) for name in figures} | {"delivered": 100.0} for at in clients}
    steps = [Step("", at, seen[at] | {"gone_seconds": SLOWEST}) for at in clients]
    return Results(experiment, "", "", len(steps), steps=steps)


@pytest.mark.parametrize("title", JUDGED)
def test_a_verdict_is_the_labs(title):
    ids, experiment = JUDGED[title]
    found = [one for one in judged(original_run(experiment)) if one.id in ids]
    assert [one.verdict.value for one in found] == [SECTIONS[title].verdict] * len(ids)
    experiments = {claim.experiment for claim in references().claims if claim.id in ids}
    named = "livestream scale" if experiment == "sweep" else f"livestream scale {experiment}"
    assert experiments == {experiment}
    assert [line for block in SECTIONS[title].blocks for line in block if line.startswith(named)]


def test_verdicts_are_few_words():
    said = {section.verdict for section in SECTIONS.values()}
    assert said == {verdict.value for verdict in Verdict} | {"in part"}


def accepted(words, monkeypatch):
    """The command, and the subcommand, that would be run; click raises for what it refuses."""
    called = []
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: called.append(command.name))
    cli.main(words, standalone_mode=False)
    return called[1:]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one(line, monkeypatch):
    program, *words = shlex.split(line)
    if program == "livestream":
        command, *sub = accepted(words, monkeypatch)
        assert command == words[0] and (sub in (["sweep"], []) or sub == words[1:2])
    elif program == "python":
        assert (ROOT / words[0]) in [chapter.script for chapter in chapters()]
    else:
        assert program == "curl"


def run(line, place):
    program, *words = shlex.split(line)
    start = [sys.executable, "-m", "livestream"] if program == "livestream" else [program]
    words = [word.replace(PLACE, place) for word in words]
    if words[0] == "watch":
        words.insert(1, f"ws://{place}")
    done = subprocess.run([*start, *words], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    return done.returncode, done.stdout


def served(block):
    """What the commands behind `livestream serve` print, each with its exit code."""
    server, *lines = block
    command = Command(*shlex.split(server)[2:])
    try:
        place = command.url.removeprefix("ws://").partition("/")[0]
        return [run(line, place) for line in lines]
    finally:
        command.kill()


@pytest.fixture(scope="module")
def printed():
    """Of every block that has a server, by its lines."""
    blocks = [block for block in BLOCKS if block[0].startswith("livestream serve")]
    with ThreadPoolExecutor(len(blocks)) as pool:
        return dict(zip(map(tuple, blocks), pool.map(served, blocks)))


def output(printed, title):
    (told,) = [printed[tuple(block)] for block in SECTIONS[title].blocks if tuple(block) in printed]
    assert [code for code, _ in told] == [0] * len(told), told
    return [text for _, text in told]


def test_all_four_channels_are_watched(printed):
    (watched,) = output(printed, CHANNELS)
    assert {kind for kind in contract.UPDATE_TYPES if f"\n{kind}: " in watched} == contract.UPDATE_TYPES


def test_the_counter_is_below_zero_afterwards(printed):
    parity, statistics = output(printed, COUNTING)
    assert parity.startswith("same: ")
    assert json.loads(statistics)["active_connections"] < 0 == json.loads(statistics)["open_connections"]


def test_cors_is_there_when_asked_for(printed):
    (answer,) = output(printed, CORS)
    assert "access-control-allow-origin: http://localhost:3000" in answer.lower()


@pytest.mark.parametrize("title, cases", [
    (READY, re.search(r"in (\d+) cases", CLAIMS)[1]), (NULL, recorded_messages()[0]), (PORTAL, 1),
])
def test_parity_says_same(printed, title, cases):
    (told,) = output(printed, title)
    assert told.startswith(f"same: {cases} case")


def test_map_and_claims_are_linked_from_the_end_of_the_tour():
    end = TOUR.partition("\n## The map, and the report against the facts\n")[2].partition("\n## ")[0]
    assert re.findall(r"\]\((\w+\.md)\)", end) == ["MAP.md", "CLAIMS.md"]
    links = re.findall(r"\]\(([^)#]+)", CLAIMS)
    assert links and [link for link in links if not (EXAMPLES / link).exists()] == []
