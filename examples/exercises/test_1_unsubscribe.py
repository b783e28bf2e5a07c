"""Exercise 1: make `unsubscribe` work, in the profile `original`."""

from talk import ask, connect, payloads, receive, serve

CHANNEL = "tps_updates"


def test_unsubscribe_is_answered_and_ends_the_channel():
    with serve(time_scale=0.01) as server, connect(server) as client:
        ask(client, type="subscribe", channel=CHANNEL)
        ask(client, type="subscribe", channel="block_updates")

        answers = payloads(ask(client, type="unsubscribe", channel=CHANNEL), "unsubscription_confirmed")
        assert answers == [{"channel": CHANNEL, "status": "unsubscribed"}], (
            "the profile `original` does not answer `unsubscribe`")

        after = [message["type"] for _ in range(5) for message in receive(client, "block_update")]
        assert "tps_update" not in after, "`tps_update` still comes after the answer to `unsubscribe`"

        ask(client, type="subscribe", channel=CHANNEL)
        receive(client, "tps_update")
