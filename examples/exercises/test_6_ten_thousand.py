"""Exercise 6: a broadcaster `single`: one thread sends to all, and asks the source once for all."""

import threading

from talk import ask, connect, receive, serve

from livestream.contract import CHANNELS
from livestream.stream.channels import SimulatedSource
from livestream.stream.shared import BROADCASTERS

CLIENTS = 200
#: Updates that one client gets while the questions to the source are counted.
ROUNDS = 3


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
    assert "single" in BROADCASTERS, "there is no broadcaster `single` yet"
    asked = count_questions(monkeypatch)
    with serve(broadcaster="single") as server:
        clients = [connect_to_all(server)]
        threads = threading.active_count()
        clients += [connect_to_all(server) for _ in range(CLIENTS - 1)]
        handlers = CLIENTS - 1
        assert threading.active_count() == threads + handlers, "more clients cost more channel threads"
        assert len(server.parts.broadcaster.workers()) == 1, "more than one thread sends"

        # What it has not read yet.
        ask(clients[0])
        before = len(asked)
        for _ in range(ROUNDS):
            receive(clients[0], "tps_update")
        questions = len(asked) - before
        assert 0 < questions < CLIENTS, f"in {ROUNDS} rounds the source was asked {questions} times"
        for client in clients:
            receive(client, "tps_update")
            client.release()
