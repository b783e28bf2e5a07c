"""The live page's data and addresses on a real server, without a browser."""

import json

import pytest

from livestream.contract import (
    CHANNELS, LAB_PATH, LAB_PROFILES_PATH, LAB_THREADS_PATH, NOT_FOUND_PAGE, WEBSOCKET_STATS_PATH,
)
from livestream.stream.profiles import FAULTS, PROFILES
from livestream.stream.shared import BROADCASTERS
from livestream.wire.handshake import http_request
from tests.support import PATIENCE, SUBSCRIBE, Command, next_text, wait_until


def get(served, path, method="GET"):
    return http_request(served.url, method, path, timeout=PATIENCE)


def listed(served, path=LAB_THREADS_PATH):
    return json.loads(get(served, path).body)


def channel_cells(served):
    return [cell for lane in listed(served)["lanes"] for cell in lane["threads"] if cell["role"] == "channel"]


def states(answer):
    """What the threads of the first connection do."""
    return [cell["state"] for lane in answer["lanes"][:1] for cell in lane["threads"]]


def subscribe_to_all(client):
    for channel in CHANNELS[1:]:
        client.send_text(SUBSCRIBE % channel.name)
        next_text(client, "subscription_confirmed")


def test_the_page_and_what_stays_unknown(serve):
    served = serve()
    page = get(served, LAB_PATH)
    assert page.status == 200 and page.body.startswith(b"<!doctype html>")
    headers = dict(page.headers)
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert headers["cache-control"] == "no-cache" and headers["etag"]
    for path in ("/", "/lab/nope", "/lab/../app.py", "/lab/%2e%2e/page.py", "/lab/..%2Fpage.py",
                 "/lab/vendor/", "/lab/vendor%2FuPlot.esm.js", "/lab//lab/"):
        answer = get(served, path)
        assert (answer.status, answer.body) == (404, NOT_FOUND_PAGE.encode())
    for path in (LAB_PATH, f"{LAB_PATH}main.js", LAB_THREADS_PATH):
        assert (get(served, path, "POST").status, get(served, path, "HEAD").body) == (405, b"")


def test_the_command_prints_the_pages_address():
    command = Command()
    try:
        address = command.greeting["page"]
        assert address.startswith("http://127.0.0.1:") and address.endswith(LAB_PATH)
        assert http_request(address, "GET", LAB_PATH, timeout=PATIENCE).status == 200
        assert command.stop()[0] == 0
    finally:
        command.kill()


def test_threads_of_a_connection_from_its_opening_to_after_its_end(serve):
    served = serve(time_scale=0.2)
    with served.connect() as client:
        welcome = json.loads(next_text(client).text)
        subscribe_to_all(client)
        # A handler bears its name only when its connection is open; a thread may just be at work.
        idle = ["reading", *["sleeping"] * len(CHANNELS)]
        answer = wait_until(lambda: next((one for one in [listed(served)] if states(one) == idle), None))
        [lane] = answer["lanes"]
        assert lane["connection"] == welcome["payload"]["connectionId"][:8] and lane["open"]
        assert [cell["channel"] for cell in lane["threads"]] == [None, *(one.name for one in CHANNELS)]
        names = sorted(cell["name"] for cell in lane["threads"])
        assert names == served.threads()
        assert (answer["clients"], answer["formula"], answer["channel_threads"]) == (1, 4, 4)
        assert answer["handler_threads"] == 1
    wait_until(lambda: listed(served)["clients"] == 0)
    wait_until(lambda: listed(served)["lanes"] == [], 20)
    assert served.threads() == []


def test_threads_linger_when_their_client_is_gone(serve):
    served = serve()
    with served.connect() as client:
        next_text(client, "tps_update")
        subscribe_to_all(client)
        wait_until(lambda: len(channel_cells(served)) == 4)
    wait_until(lambda: [lane["open"] for lane in listed(served)["lanes"]] == [False])
    assert {cell["state"] for cell in channel_cells(served)} <= {"sleeping", "running"}


@pytest.mark.parametrize("broadcaster", BROADCASTERS)
def test_the_sends_are_those_that_the_client_received(serve, broadcaster):
    """Also when two subscriptions share a channel, and where no subscription has a thread of its own."""
    served = serve(time_scale=0.05, broadcaster=broadcaster)
    with served.connect() as client:
        next_text(client, "tps_update")
        subscribe_to_all(client)
        client.send_text(SUBSCRIBE % "tps_updates")
        types = {channel.message_type for channel in CHANNELS}
        received = 1
        while received < 100:
            received += json.loads(next_text(client).text)["type"] in types
        sent = sum(cell["sends"] for cell in channel_cells(served))
        assert received <= sent
        # What has been sent since is on its way: the client catches up with what was counted.
        while received < sent:
            received += json.loads(next_text(client).text)["type"] in types
        assert all(cell["sends"] > 0 for cell in channel_cells(served))


@pytest.mark.parametrize(("broadcaster", "workers"), [("pool", "pool-"), ("ticker", "ticker-")])
def test_shared_threads_are_listed_apart(serve, broadcaster, workers):
    served = serve(broadcaster=broadcaster)
    with served.connect() as client:
        next_text(client, "tps_update")
        answer = listed(served)
        assert answer["broadcaster"] == broadcaster
        assert answer["workers"] and all(cell["name"].startswith(workers) for cell in answer["workers"])
        assert (answer["shared_threads"], answer["channel_threads"]) == (len(answer["workers"]), 0)
        assert [cell["state"] for cell in channel_cells(served)] == ["shared"]
        wait_until(lambda: {cell["state"] for cell in listed(served)["workers"]} == {"sleeping"})


def test_one_sends_and_the_others_wait_for_the_lock_when_a_client_does_not_read(serve):
    served = serve(time_scale=0.001)
    with served.connect() as client:
        next_text(client, "tps_update")
        for _ in range(3):
            client.send_text(SUBSCRIBE % "tps_updates")

        def standing():
            cells = channel_cells(served)
            return sorted((cell["state"], str(cell["at"]).partition(",")[0]) for cell in cells)

        waiting = [("waiting", "WebSocket.send_text")] * 3
        wait_until(lambda: standing() == [("sending", "WebSocket._write"), *waiting], 30)
        client.abort()
    wait_until(lambda: listed(served)["lanes"] == [])


def test_the_connections_that_are_asked_for_come_first(serve):
    served = serve()
    with served.connect() as oldest, served.connect() as newest:
        welcomes = [json.loads(next_text(client).text) for client in (oldest, newest)]
        ids = [welcome["payload"]["connectionId"][:8] for welcome in welcomes]
        wait_until(lambda: listed(served)["clients"] == 2)
        answer = listed(served, f"{LAB_THREADS_PATH}?first={ids[0]}")
        assert [lane["connection"] for lane in answer["lanes"]] == ids


@pytest.mark.parametrize("name", PROFILES)
def test_the_profiles_are_told_in_their_own_sentences(serve, name):
    served = serve(profile=PROFILES[name])
    answer = listed(served, LAB_PROFILES_PATH)
    assert answer["running"] == name == listed(served)["profile"]
    assert [profile["name"] for profile in answer["profiles"]] == list(PROFILES)
    for profile in answer["profiles"]:
        assert profile["faults"] == [flag for flag in FAULTS if getattr(PROFILES[profile["name"]], flag)]
    assert answer["faults"] == [{"name": flag, **fault._asdict()} for flag, fault in FAULTS.items()]


def test_the_true_number_stands_beside_what_the_original_counts(serve):
    served = serve()
    with served.connect() as client:
        next_text(client, "tps_update")
        client.abort()
    with served.connect() as client:
        next_text(client, "tps_update")
        right = {"active_connections": 0, "total_connections": 2, "open_connections": 1}
        wait_until(lambda: listed(served, WEBSOCKET_STATS_PATH) == right)
