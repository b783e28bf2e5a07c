"""Exercise 3: a fifth channel, `server_threads`: how many threads the server's process has."""

from talk import ask, connect, payloads, receive, serve

from livestream.stream.profiles import CORRECTED

SUBSCRIBE = {"type": "subscribe", "channel": "server_threads"}


def threads_told_to(client):
    return receive(client, "thread_update")[-1]["payload"]["threads"]


def test_the_channel_tells_how_many_threads_there_are():
    # This profile says so when it doesn't know a channel.
    with serve(profile=CORRECTED, time_scale=0.01) as server, connect(server) as client:
        refusals = payloads(ask(client, **SUBSCRIBE), "error")
        assert refusals == [], "there is no channel `server_threads` yet"
        alone = threads_told_to(client)
        with connect(server) as other:
            ask(other, **SUBSCRIBE)
            # Its handler, and its channels tps_updates and server_threads.
            assert threads_told_to(other) == alone + 3, "`threads` is not the number of the server's threads"


def test_nobody_gets_it_unasked():
    with serve(time_scale=0.01) as server, connect(server) as client:
        messages = [message["type"] for _ in range(10) for message in receive(client, "tps_update")]
        assert "thread_update" not in messages, "`thread_update` comes without a subscribe"
