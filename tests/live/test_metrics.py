"""`serve --metrics` as Prometheus reads it: what is counted is what the clients see."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from livestream.contract import CHANNELS, METRICS_PATH, REFUSALS
from livestream.stream.profiles import CORRECTED
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.frames import Opcode, encode_frame
from livestream.wire.handshake import handshake_request, http_request
from tests.support import PATIENCE, SUBSCRIBE, next_text, wait_until

#: A series by its name and the value of its label, if it has one.
TPS = ("livestream_messages_sent_total", "tps_update")


def read(served, *headers):
    answer = http_request(served.url, "GET", METRICS_PATH, headers=headers, timeout=PATIENCE)
    assert answer.status == 200
    return answer


def scrape(served):
    """Every sample by (name, value of its label)."""
    families = text_string_to_metric_families(read(served).body.decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families for sample in family.samples
    }


@pytest.fixture
def metered(serve):
    return lambda **settings: serve(metrics=True, **settings)


def knock(url, request=handshake_request("x")):
    """The status of a handshake."""
    client = WireClient.open(url, timeout=PATIENCE)
    status = client.handshake(request).status
    client.close() if status == 101 else client.release()
    return status


def test_without_the_option_there_is_nothing(serve):
    served = serve()
    assert http_request(served.url, "GET", METRICS_PATH, timeout=PATIENCE).status == 404


def test_connections_are_counted_as_the_original_does_and_truly(metered):
    served = metered()
    with served.connect() as stays:
        with served.connect() as leaves:
            next_text(leaves, "tps_update")
            leaves.close()
        served.wait_for_active(1)
        # An error is taken off twice.
        with served.connect() as errs:
            errs.send_raw(encode_frame(Opcode.TEXT, b"x" * 65_537))
            errs.receive_until(lambda event: event.kind is Kind.CLOSE, PATIENCE)
        served.wait_for_active(0)
        found = scrape(served)
        assert found[("livestream_active_connections",)] == 0
        assert found[("livestream_open_connections",)] == 1
        assert found[("livestream_registry_connections",)] == 3
        stays.close()


def test_threads_and_subscriptions_are_counted_by_channel(metered):
    served = metered()
    with served.connect() as client:
        for channel in ("block_updates", "tps_updates"):
            client.send_text(SUBSCRIBE % channel)
            next_text(client, "subscription_confirmed")
        wait_until(lambda: len(served.threads()) == 4)
        found = scrape(served)
    expected = {"tps_updates": 2, "block_updates": 1, "network_status": 0, "validator_metrics": 0}
    for gauge in ("livestream_channel_threads", "livestream_subscriptions"):
        assert {channel.name: found[(gauge, channel.name)] for channel in CHANNELS} == expected


def test_the_history_of_extensions_is_nobodys_subscription(metered):
    served = metered(extensions=True)
    with served.connect() as client:
        next_text(client, "tps_update")
        found = scrape(served)
    expected = {channel.name: channel.name == "tps_updates" for channel in CHANNELS}
    assert len(served.threads()) > sum(expected.values())
    for gauge in ("livestream_channel_threads", "livestream_subscriptions"):
        assert {channel.name: found[(gauge, channel.name)] for channel in CHANNELS} == expected


def test_a_pool_has_subscriptions_and_no_channel_threads(metered):
    served = metered(broadcaster="pool", time_scale=0.01)
    with served.connect() as client:
        next_text(client, "tps_update")
        next_text(client, "tps_update")
        found = scrape(served)
    assert found[("livestream_channel_threads", "tps_updates")] == 0
    assert found[("livestream_subscriptions", "tps_updates")] == 1
    assert found[("livestream_update_lateness_seconds_count",)] >= 1


def test_messages_and_their_bytes_are_counted_by_type(metered):
    served = metered(time_scale=1_000)
    texts = []
    with served.connect() as client:
        for name in ("ä😀", "block_updates"):
            client.send_text(SUBSCRIBE % name)
        client.send_text("no JSON")
        client.send_text('{"type":"ping"}')
        while sum('"pong"' in text or '"block_update"' in text for text in texts) < 2:
            texts.append(next_text(client).text)
        wait_until(lambda: scrape(served).get(("livestream_messages_sent_total", "block_update")) == 1)
        found = scrape(served)
    sent = {}
    for text in texts:
        messages, size = sent.get(text.split('"')[3], (0, 0))
        sent[text.split('"')[3]] = messages + 1, size + len(text.encode())
    assert set(sent) == {"connection_established", "tps_update", "subscription_confirmed", "error", "pong",
                         "block_update"}
    assert sent["subscription_confirmed"][0] == 2
    for name, numbers in sent.items():
        counted = [found[(f"livestream_{what}_total", name)] for what in ("messages_sent", "sent_bytes")]
        assert tuple(counted) == numbers


def test_the_lateness_of_every_update_but_the_first_is_observed(metered):
    served = metered(time_scale=0.02, profile=CORRECTED)
    with served.connect() as client:
        for _ in range(5):
            next_text(client, "tps_update")
        client.close()
    served.wait_for_active(0)
    wait_until(lambda: served.threads() == [])
    found = scrape(served)
    assert found[("livestream_update_lateness_seconds_count",)] == found[TPS] - 1 >= 4
    assert 0 < found[("livestream_update_lateness_seconds_sum",)] < PATIENCE


def test_a_send_into_a_lost_connection_is_an_error(metered):
    served = metered(time_scale=0.01)
    client = served.connect()
    next_text(client, "tps_update")
    [connection] = served.server.parts.registry.connections()
    session = connection.session
    client.close()
    served.wait_for_active(0)
    before = scrape(served)[("livestream_send_errors_total",)]
    with pytest.raises(OSError):
        session.send_text('{"type":"tps_update"}')
    assert scrape(served)[("livestream_send_errors_total",)] == before + 1


def test_refusals_are_counted_by_their_reason(metered):
    served = metered(max_connections=1)
    nothing = scrape(served)
    assert {reason: nothing[("livestream_connections_refused_total", reason)] for reason in REFUSALS} == {
        reason: 0 for reason in REFUSALS}
    with served.connect() as client:
        next_text(client, "tps_update")
        assert knock(served.url) == 503
    without_a_key = handshake_request("x").replace(b"Sec-WebSocket-Key", b"Some-Other-Key")
    assert knock(served.url, without_a_key) == 404
    assert knock(served.url, without_a_key) == 404
    found = scrape(served)
    assert found[("livestream_connections_refused_total", "full")] == 1
    assert found[("livestream_connections_refused_total", "handshake")] == 2


def test_two_servers_in_one_process_count_apart(metered):
    one, other = metered(), metered()
    with one.connect() as client:
        next_text(client, "tps_update")
        wait_until(lambda: scrape(one).get(TPS) == 1)
        assert TPS not in scrape(other)


def test_whoever_reads_open_metrics_gets_them(metered):
    answer = read(metered(), ("Accept", "application/openmetrics-text; version=1.0.0"))
    assert answer.header("content-type").startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"# EOF\n")


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("POST", 405), ("OPTIONS", 405)])
def test_it_can_only_be_read(metered, method, status):
    answer = http_request(metered().url, method, METRICS_PATH, timeout=PATIENCE)
    assert (answer.status, answer.body) == (status, b"")
