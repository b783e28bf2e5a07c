"""Rates: the window moves, what is beyond doesn't count, and what has gone is forgotten."""

import threading

import pytest

from livestream.contract import MAX_EXCESSES
from livestream.web.rates import MOST, MessageRate, Rate, parse_rate
from livestream.web.refusals import PolicyError


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_the_window_moves(clock):
    rate = Rate("--limit", "2/10 seconds", clock)
    assert rate.hit("a")
    clock.now += 6
    assert rate.hit("a")
    assert not rate.hit("a")
    assert rate.hit("b")
    clock.now += 5
    assert rate.hit("a")
    assert not rate.hit("a")


def test_it_says_when_to_come_again(clock):
    rate = Rate("--limit", "2/minute", clock)
    rate.hit("a")
    clock.now += 20.5
    rate.hit("a")
    assert not rate.hit("a")
    assert rate.retry_after("a") == 40
    clock.now += 40
    assert rate.hit("a")


def test_who_is_refused_is_not_punished_further(clock):
    rate = Rate("--limit", "1/second", clock)
    rate.hit("a")
    for _ in range(20):
        clock.now += 0.04
        assert not rate.hit("a")
    clock.now += 0.3
    assert rate.hit("a")


def test_addresses_that_have_gone_are_forgotten(clock):
    rate = Rate("--limit", "5/minute", clock)
    most = 0
    for number in range(20_000):
        clock.now += 0.06
        rate.hit(f"address {number}")
        most = max(most, len(rate.windows))
    # 1,000 a minute: never more than two windows' worth of them.
    assert 1_000 <= most <= 2_001
    clock.now += 120
    rate.hit("the last")
    assert len(rate.windows) == 1


def test_refused_hits_take_no_memory(clock):
    rate = Rate("--limit", "3/minute", clock)
    hits = [rate.hit("a") for _ in range(1_000)]
    assert sum(hits) == 3
    key = parse_rate("--limit", "3/minute").key_for("a")
    assert rate.windows.get_moving_window(key, 1_000, 60) == (clock.now, 3)


def test_it_starts_no_thread(clock):
    before = threading.active_count()
    rate = Rate("--limit", "3/minute", clock)
    for number in range(100):
        rate.hit(str(number))
    assert threading.active_count() == before


def test_many_threads_get_no_more_than_there_is():
    rate = Rate("--limit", "100/hour")
    passed = []

    def knock():
        passed.extend(rate.hit("a") for _ in range(100))

    threads = [threading.Thread(target=knock) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(passed), sum(passed)) == (800, 100)


def test_a_flood_is_answered_a_few_times_and_then_closed(clock):
    rate = MessageRate("--limit-messages", "2/second", clock=clock)
    answers = [rate.excess() for _ in range(2 + MAX_EXCESSES + 1)]
    assert answers[:2] == [None, None]
    assert [(excess.error, excess.closes) for excess in answers[2:]] == (
        [("Rate limit exceeded", False)] * MAX_EXCESSES + [("Rate limit exceeded", True)])


def test_who_slows_down_begins_anew(clock):
    rate = MessageRate("--limit-messages", "1/second", clock=clock)
    for _ in range(4):
        assert rate.excess() is None
        assert not any(rate.excess().closes for _ in range(MAX_EXCESSES))
        clock.now += 1


@pytest.mark.parametrize("text", [
    "often", "100", "minute", "0/minute", "-1/minute", "1.5/second", "100/fortnight",
    f"{MOST + 1}/hour", "1/second; 2/minute",
])
def test_what_is_no_rate_is_one_clear_line(text):
    with pytest.raises(PolicyError, match="^--limit-connections [^\n]+$"):
        parse_rate("--limit-connections", text)


@pytest.mark.parametrize("text", ["100/minute", "100 per minute", "20/second", "3/2 hours", f"{MOST}/day"])
def test_what_is_a_rate(text):
    assert parse_rate("--limit-connections", text).amount >= 1
