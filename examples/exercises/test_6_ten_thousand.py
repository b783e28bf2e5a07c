"""Exercise 6: serve ten thousand clients, by a broadcaster `single`: one thread, and one question for all."""

import json
import subprocess
import sys
import threading

import pytest
from talk import ask, connect, receive, serve

from livestream.contract import CHANNELS
from livestream.stream.channels import SimulatedSource
from livestream.stream.shared import BROADCASTERS

MANY, FEW = 10_000, 200
#: Updates that one client gets while the questions to the source are counted.
ROUNDS = 3
#: In percent of the updates that are due; the rest may be lost to stalls of the machine.
ENOUGH_DELIVERED = 99.0
NONE_YET = "there is no broadcaster `single` yet"


def connect_to_all(server):
    """A client that has got each channel's first update."""
    client = connect(server)
    waiting = {channel.message_type for channel in CHANNELS}
    for channel in CHANNELS[1:]:
        waiting -= {message["type"] for message in ask(client, type="subscribe", channel=channel.name)}
    while waiting:
        waiting -= {message["type"] for message in receive(client, sorted(waiting)[0])}
    return client


def count_questions(monkeypatch):
    """A list that grows with each question for a `tps_update`."""
    asked = []
    tps_update = SimulatedSource.tps_update

    def counted(source):
        asked.append(source)
        return tps_update(source)

    monkeypatch.setattr(SimulatedSource, "tps_update", counted)
    return asked


def test_two_hundred_clients_cost_one_channel_thread_and_one_question(monkeypatch):
    assert "single" in BROADCASTERS, NONE_YET
    asked = count_questions(monkeypatch)
    with serve(broadcaster="single") as server:
        clients = [connect_to_all(server)]
        threads = threading.active_count()
        clients += [connect_to_all(server) for _ in range(FEW - 1)]
        handlers = FEW - 1
        assert threading.active_count() == threads + handlers, "more clients cost more channel threads"
        assert len(server.parts.broadcaster.workers()) == 1, "more than one thread sends"

        # What it has not read yet.
        ask(clients[0])
        before = len(asked)
        for _ in range(ROUNDS):
            receive(clients[0], "tps_update")
        questions = len(asked) - before
        assert 0 < questions < FEW, f"in {ROUNDS} rounds the source was asked {questions} times"
        for client in clients:
            receive(client, "tps_update")
            client.release()


def run(command):
    """The exit code, and all that it says; who ends the test ends what the command has started, too."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said, _ = process.communicate()
        except BaseException:
            process.terminate()
            raise
    return process.returncode, said


@pytest.mark.timeout(300)
def test_ten_thousand_clients_are_served(tmp_path):
    assert "single" in BROADCASTERS, NONE_YET
    command = ["scale", "--clients", str(MANY), "--rate", "400", "--seconds", "10", "--out", str(tmp_path)]
    code, said = run([sys.executable, "-m", "livestream", *command, "--", "--broadcaster", "single"])
    assert code != 2, f"it could not be measured: {said}"
    [step] = json.loads((tmp_path / "results.json").read_text())["steps"]
    figures = step["figures"]
    assert figures.get("up") == MANY, f"not all clients came up: {said}"
    assert figures["delivered"] >= ENOUGH_DELIVERED, f"{figures['delivered']:.1f}% of the updates came"
    assert figures["channel_threads"] == 1, f"{figures['channel_threads']:.0f} threads send"
