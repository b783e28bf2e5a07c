"""Exercise 2: refuse unknown channels, in a profile of your own, `strict`."""

from talk import ask, connect, payloads, serve

from livestream.stream.profiles import PROFILES

UNKNOWN = {"type": "subscribe", "channel": "nope"}
KNOWN = {"type": "subscribe", "channel": "block_updates"}


def test_strict_refuses_what_it_does_not_have():
    assert "strict" in PROFILES, "there is no profile `strict` yet"
    with serve(profile=PROFILES["strict"]) as server, connect(server) as client:
        answers = ask(client, **UNKNOWN)
        assert payloads(answers, "subscription_confirmed") == [], "`strict` confirms an unknown channel"
        assert payloads(answers, "error") == [{"error": "Unknown channel: nope"}]
        assert len(payloads(ask(client, **KNOWN), "subscription_confirmed")) == 1


def test_strict_is_otherwise_as_the_original_which_stays_as_it_is():
    assert "strict" in PROFILES, "there is no profile `strict` yet"
    with serve(profile=PROFILES["strict"]) as server, connect(server) as client:
        answers = ask(client, type="unsubscribe", channel="tps_updates")
        assert payloads(answers, "unsubscription_confirmed") == [], "`strict` has lost another fault"
    with serve() as server, connect(server) as client:
        assert len(payloads(ask(client, **UNKNOWN), "subscription_confirmed")) == 1, (
            "the profile `original` has changed")
