"""StreamClient against servers that work: the port under each profile, and one that is not the port."""

import json
import socket
import ssl
import threading

import pytest
import trustme

import livestream
from livestream.client import ALL, ClientSettings, State, StreamClient, StreamError
from livestream.contract import CHANNELS, UPDATE_TYPES
from livestream.stream.profiles import PROFILES
from tests.client.support import (
    QUICK, accept, close_in_time, converse, leaving_nothing, message, own_threads, scripted, seen_by, text,
)
from tests.parity.independent_server import Conversation, independent_server, serving
from tests.support import PATIENCE, wait_until

FAST = 0.02


def test_it_is_a_public_name():
    assert livestream.StreamClient is StreamClient
    assert "StreamClient" in livestream.__all__


def talk(url):
    """A whole conversation: every channel, a ping; returns the states and the messages."""
    client = StreamClient(url, settings=QUICK)
    states, messages = seen_by(client)
    with client:
        for channel in CHANNELS[1:]:
            client.subscribe(channel.name)
        wait_until(lambda: {heard.type for heard in messages} >= UPDATE_TYPES)
        assert 0 < client.ping() < PATIENCE
        assert own_threads() == [f"{client._name}-stream"]
    return states, messages


@pytest.mark.parametrize("profile", ["original", "corrected"])
def test_a_conversation_with_the_port(serve, profile):
    served = serve(profile=PROFILES[profile], time_scale=FAST)
    with leaving_nothing():
        states, messages = talk(served.url)
        served.wait_for_active(0)
        wait_until(lambda: not served.threads())
    check_conversation(states, messages)


def test_a_conversation_with_a_server_that_is_not_the_port():
    with leaving_nothing(), independent_server(time_scale=FAST) as url:
        states, messages = talk(url)
        check_conversation(states, messages)


def check_conversation(states, messages):
    assert states == ["connecting", "open", "closed"]
    assert messages[0].type == "connection_established"
    assert [heard.payload["channel"] for heard in messages if heard.type == "subscription_confirmed"] == [
        channel.name for channel in CHANNELS[1:]]
    assert not [heard for heard in messages if heard.type == "error"]
    assert all(abs(heard.received - heard.timestamp) < PATIENCE * 1_000 for heard in messages)


def test_the_shipped_profile_is_open_and_mute(serve):
    served = serve(profile=PROFILES["shipped"])
    with leaving_nothing():
        client = StreamClient(served.url, settings=ClientSettings(ping_interval=0.05))
        states, messages = seen_by(client)
        with client:
            assert client.wait_for(State.OPEN, PATIENCE)
            client.subscribe("block_updates")
            with pytest.raises(StreamError, match="^No pong came within 0.2 s.$"):
                client.ping(timeout=0.2)
            assert client.state is State.OPEN
        assert (states, messages) == (["connecting", "open", "closed"], [])


def test_unsubscribe_works_where_the_server_can(serve):
    served = serve(profile=PROFILES["corrected"], time_scale=FAST)
    with leaving_nothing(), StreamClient(served.url) as client:
        stopped, late = threading.Event(), []
        client.on("unsubscription_confirmed", lambda confirmed: stopped.set())
        client.on("tps_update", lambda update: late.append(update) if stopped.is_set() else None)
        assert client.wait_for(State.OPEN, PATIENCE)
        client.unsubscribe("tps_updates")
        assert stopped.wait(PATIENCE)
        client.ping()
        assert late == []


def test_the_servers_own_restart_is_survived_with_every_subscription(serve):
    first = serve(time_scale=FAST)
    host, port = first.server.address
    with leaving_nothing():
        client = StreamClient(f"ws://localhost:{port}", settings=QUICK)
        states, messages = seen_by(client)
        client.subscribe("validator_metrics")
        with client:
            wait_until(lambda: "validator_update" in [heard.type for heard in messages])
            assert first.server.stop() == []
            wait_until(lambda: client.state is not State.OPEN)
            messages.clear()
            again = livestream.app.LiveServer(livestream.Settings(host=host, port=port, time_scale=FAST))
            again.start()
            wait_until(lambda: "validator_update" in [heard.type for heard in messages])
            kinds = [heard.type for heard in messages if not heard.polled]
            assert kinds[0] == "connection_established" and kinds.count("subscription_confirmed") == 1
        assert again.stop() == []
    assert states[0] == "connecting" and states[-1] == "closed" and states.count("open") == 2


def test_iteration_gives_every_message_once_and_in_order(serve):
    served = serve(time_scale=FAST)
    with leaving_nothing(), StreamClient(served.url) as client:
        heard = []
        client.on(ALL, heard.append)
        iterated = [taken for taken, _ in zip(client, range(20))]
        wait_until(lambda: len(heard) >= 20)
        assert iterated == heard[:20]
        assert client.dropped == 0


def test_nobody_can_iterate_before_connect():
    with pytest.raises(StreamError, match="before connect"):
        iter(StreamClient("ws://127.0.0.1:9"))


def test_the_iteration_queue_has_a_limit(caplog):
    def flood(connection, head):
        accept(connection, head, b"".join(message("tps_update", number=number) for number in range(500)))
        converse(connection)

    with leaving_nothing(), scripted(flood) as server:
        client = StreamClient(server.url, settings=ClientSettings(queue_size=10))
        heard = []
        client.on(ALL, heard.append)
        client.connect()
        messages = iter(client)
        wait_until(lambda: len(heard) == 500)
        assert [next(messages).payload["number"] for _ in range(10)] == list(range(490, 500))
        assert 0 < client.dropped <= 490
        close_in_time(client)
    assert [record.getMessage() for record in caplog.records] == [
        "more than 10 messages wait to be iterated over: the oldest are dropped"]


def test_handlers_come_and_go_while_messages_come(serve):
    served = serve(time_scale=0.001)
    with leaving_nothing(), StreamClient(served.url) as client:
        steady = []
        client.on("tps_update", steady.append)
        client.on("tps_update", lambda update: 1 / 0)
        for _ in range(200):
            called = threading.Event()
            remove = client.on("tps_update", lambda update, called=called: called.set())
            assert called.wait(PATIENCE)
            remove()
        assert len(steady) >= 100


def test_a_state_handler_that_is_removed_hears_no_more(serve):
    served = serve()
    with leaving_nothing():
        client = StreamClient(served.url)
        early, late = [], []
        remove = client.on_state(lambda state: (early.append(state), state == "open" and remove()))
        client.on_state(late.append)
        with client:
            assert client.wait_for(State.OPEN, PATIENCE)
    assert (early, late) == (["connecting", "open"], ["connecting", "open", "closed"])


def test_connect_again_changes_nothing(serve):
    served = serve()
    with leaving_nothing(), StreamClient(served.url).connect() as client:
        assert client.connect() is client
        assert client.wait_for(State.OPEN, PATIENCE)
        assert len(own_threads()) == 1


def test_many_threads_may_speak_at_once(serve):
    served = serve(time_scale=0.01, max_threads_per_connection=0)
    with leaving_nothing(), StreamClient(served.url) as client:
        confirmed = []
        client.on("subscription_confirmed", lambda said: confirmed.append(said.payload["channel"]))
        assert client.wait_for(State.OPEN, PATIENCE)

        def speak(number):
            for turn in range(50):
                client.subscribe(f"{number}-{turn}-" + "x" * 5_000)
                client.ping(PATIENCE)

        threads = [threading.Thread(target=speak, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: len(confirmed) == 400)
        assert len(set(confirmed)) == 400 and client.state is State.OPEN


# --- ping


def test_a_ping_without_a_connection_says_what_the_client_does():
    with scripted(lambda *_: None) as server:
        client = StreamClient(server.url)
        with pytest.raises(StreamError, match="^There is no open connection: the client is closed.$"):
            client.ping()
        with client:
            assert client.wait_for(State.RECONNECTING, PATIENCE)
            with pytest.raises(StreamError, match="^There .* connection: the client is reconnecting.$"):
                client.ping()


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_ping_that_would_not_wait_is_refused(timeout):
    client = StreamClient("ws://127.0.0.1:9")
    with pytest.raises(StreamError, match="can't wait"):
        client.ping(timeout)


def test_a_ping_in_a_handler_is_refused_and_not_waited_for(serve):
    served = serve()
    with StreamClient(served.url) as client:
        refused = []

        def ping(update):
            try:
                client.ping()
            except StreamError as error:
                refused.append(str(error))

        client.on("tps_update", ping)
        assert wait_until(lambda: refused) == [
            "ping() waits for an answer, which can't come while a handler runs."]


def test_a_ping_is_given_up_when_the_connection_is_lost():
    def script(connection, head):
        accept(connection, head)
        connection.recv(1)

    with leaving_nothing(), scripted(script) as server, StreamClient(server.url) as client:
        assert client.wait_for(State.OPEN, PATIENCE)
        with pytest.raises(StreamError, match="^The connection was lost before the pong came.$"):
            client.ping(timeout=60)


def test_a_late_pong_is_not_taken_for_the_next_ones():
    pings = []

    def script(connection, head):
        def answer(said):
            pings.append(said)
            if len(pings) == 2:
                connection.sendall(message("pong", timestamp=1))
                second.wait(PATIENCE)
                connection.sendall(message("pong", timestamp=2))

        accept(connection, head)
        converse(connection, answer)

    second = threading.Event()
    with leaving_nothing(), scripted(script) as server, StreamClient(server.url) as client:
        assert client.wait_for(State.OPEN, PATIENCE)
        pongs = []
        client.on("pong", pongs.append)
        with pytest.raises(StreamError, match="No pong"):
            client.ping(timeout=0.05)
        trips = []
        thread = threading.Thread(target=lambda: trips.append(client.ping(PATIENCE)))
        thread.start()
        wait_until(lambda: pongs)
        assert trips == []
        second.set()
        thread.join()
    assert len(trips) == 1
    assert pings == [{"type": "ping"}] * 2


def test_a_pong_that_nobody_asked_for_does_no_harm():
    def script(connection, head):
        accept(connection, head, message("pong", timestamp=1))
        converse(connection, lambda said: connection.sendall(message("pong", timestamp=2)))

    with leaving_nothing(), scripted(script) as server, StreamClient(server.url) as client:
        assert next(iter(client)).type == "pong"
        assert client.ping(PATIENCE) >= 0


# --- TLS


@pytest.fixture(scope="module")
def locked():
    """A server behind TLS and a login: its URL, and the authority that vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def check(connection, request):
        return None if request.headers.get("Authorization") == "Bearer x" else connection.respond(401, "")

    def handler(connection):
        Conversation(connection, lambda text: text, FAST).run()

    with serving(handler, ssl=context, process_request=check) as url:
        yield url.replace("ws://", "wss://"), authority


def test_over_tls_with_a_login(locked):
    url, authority = locked
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with leaving_nothing():
        client = StreamClient(url, headers=[("Authorization", "Bearer x")], ssl_context=context)
        heard = []
        client.on(ALL, heard.append)
        with client:
            client.subscribe("block_updates")
            wait_until(lambda: "block_update" in [said.type for said in heard])
            for _ in range(20):
                client.ping(PATIENCE)
            client.subscribe("x" * 300_000)
            wait_until(lambda: [said for said in heard if len(said.payload.get("channel", "")) == 300_000])
            close_in_time(client)


def test_a_certificate_that_nobody_vouches_for(locked):
    with leaving_nothing(), StreamClient(locked[0], settings=QUICK) as client:
        wait_until(lambda: client.problem)
        assert client.problem.startswith(f"Could not set up TLS with {locked[0]}: ")
        assert "certificate verify failed" in client.problem


def test_close_while_tls_shakes_hands():
    with leaving_nothing(), socket.create_server(("127.0.0.1", 0)) as listener:
        client = StreamClient("wss://%s:%d" % listener.getsockname()).connect()
        with listener.accept()[0] as connection:
            assert connection.recv(1) == b"\x16"
            close_in_time(client)


# --- messages that are none


def test_what_is_no_message_is_passed_over_and_counted(caplog):
    garbage = [text("not JSON"), text("[]"), text("{}"), text(json.dumps({"type": "x"})),
               bytes([0x82, 3]) + b"\x00\xff\x00"]

    def script(connection, head):
        accept(connection, head, b"".join(garbage) + message("tps_update", currentTPS=1))
        converse(connection)

    with leaving_nothing(), scripted(script) as server, StreamClient(server.url) as client:
        assert next(iter(client)).type == "tps_update"
        assert (client.unreadable, client.state) == (5, State.OPEN)
    assert len(caplog.records) == 1
