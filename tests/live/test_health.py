"""`serve --health`: what a probe is told while the server takes connections, is full, and stops."""

import json
import threading

import pytest

from livestream.contract import HEALTH_LIVE_PATH, HEALTH_READY_PATH
from livestream.wire.handshake import http_request
from tests.support import PATIENCE, next_text, wait_until

UP = (200, {"status": "UP"})


def down(why):
    return 503, {"status": "DOWN", "output": why}


def ask(served, path):
    answer = http_request(served.url, "GET", path, timeout=PATIENCE)
    assert answer.header("content-type") == "application/health+json"
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("path", [HEALTH_LIVE_PATH, HEALTH_READY_PATH])
def test_without_the_option_there_is_nothing(serve, path):
    assert http_request(serve().url, "GET", path, timeout=PATIENCE).status == 404


def test_a_server_that_takes_connections_is_up(serve):
    served = serve(health=True)
    assert ask(served, HEALTH_LIVE_PATH) == ask(served, HEALTH_READY_PATH) == UP


def test_a_full_server_lives_and_is_not_ready_until_a_place_is_free(serve):
    served = serve(health=True, max_connections=1)
    with served.connect() as client:
        next_text(client, "tps_update")
        assert ask(served, HEALTH_LIVE_PATH) == UP
        assert ask(served, HEALTH_READY_PATH) == down("all connections are taken")
        client.close()
    wait_until(lambda: ask(served, HEALTH_READY_PATH) == UP)


def test_a_stopping_server_lives_and_is_not_ready(serve):
    served = serve(health=True)
    probe = served.server.app.test_client()
    with served.connect() as client:
        # It answers no Close frame, so the server waits for it.
        next_text(client, "tps_update")
        left = []
        stop = threading.Thread(target=lambda: left.append(served.server.stop()))
        stop.start()
        try:
            wait_until(lambda: probe.get(HEALTH_READY_PATH).status_code == 503)
            assert probe.get(HEALTH_READY_PATH).json["output"] == "the server is stopping"
            assert probe.get(HEALTH_LIVE_PATH).status_code == 200
        finally:
            stop.join()
    assert left == [[]]
