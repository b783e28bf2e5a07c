"""What clients see, by hand: nothing outside the window, and no tick that was due is forgotten."""

import json
from array import array
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.contract import BLOCK_UPDATES, CHANNELS, TPS_UPDATES
from livestream.lab.tally import NAMES, Tally, Watch, late_ticks_ms, missed_ticks, quantiles

TPS, BLOCK, NETWORK, VALIDATORS = NAMES
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
#: A time line of one channel: how long after it is due each update comes, in intervals; None: not at all.
UPDATES = st.lists(st.one_of(st.none(), st.floats(0, 0.24)), min_size=1, max_size=30)


def payload(message_type):
    """A message as the service writes it."""
    return json.dumps({"type": message_type.decode(), "payload": {}}, separators=(",", ":")).encode()


class Window:
    """A watch and its tally between two times."""

    def __init__(self, begin, end, time_scale=1.0):
        self.tally = Tally(time_scale)
        self.watch = Watch(self.tally)
        self.begin, self.end = begin, end

    def see(self, *updates, size=10):
        """Updates as (time, type), before, inside and after the window."""
        begun = ended = False
        for at, message_type in (*updates, (float("inf"), None)):
            if not begun and at >= self.begin:
                self.watch.note_begin(self.begin)
                self.tally.open = begun = True
            if not ended and at > self.end:
                self.tally.open = False
                self.watch.note_end(self.end)
                ended = True
            if message_type is not None:
                self.watch.note(payload(message_type), size, at)
        return self.tally


def silent(*types):
    """What a tally that has seen only these types says of the others, by type."""
    return {message_type: 0 for message_type in NAMES if message_type not in types}


def test_a_tick_that_was_swallowed_is_late_too():
    assert list(late_ticks_ms(5.0, 1.0)) == [4000.0, 3000.0, 2000.0, 1000.0, 0.0]
    assert list(late_ticks_ms(1.25, 1.0)) == [250.0]
    # What comes early is in time; and the second tick of 1.75 s is not due yet.
    assert list(late_ticks_ms(0.75, 1.0)) == [0.0]
    assert list(late_ticks_ms(1.75, 1.0)) == [750.0]


def test_an_update_is_missed_once_the_next_one_is_nearer():
    assert [missed_ticks(gap, 1.0) for gap in (0.1, 1.0, 1.49, 1.51, 2.0, 2.51, 5.0)] == [0, 0, 0, 1, 1, 2, 4]


@given(st.floats(0.001, 60), st.sampled_from([0.02, 1.0, 2.0, 3.0, 5.0]))
def test_each_tick_that_was_due_in_a_gap_is_late_by_an_interval_less_than_the_one_before(gap, interval):
    late = list(late_ticks_ms(gap, interval))
    assert len(late) == max(1, int(gap / interval))
    assert late[0] == pytest.approx(max(0, gap - interval) * 1_000)
    assert late == sorted(late, reverse=True)
    assert 0 <= late[-1] <= interval * 1_000 + 1e-6


def test_a_stall_that_is_made_up_for_has_missed_nothing_and_was_late_all_the_same():
    """Five updates of a stalled connection come at once: all came, and each tick was late."""
    seen = Window(10.0, 19.5).see((9.999, TPS), *[(15.0 + n / 1000, TPS) for n in range(5)], *[
        (16.0 + n, TPS) for n in range(4)])
    assert (seen.updates[TPS], seen.missed[TPS], seen.early) == (9, 0, 0)
    of_tps = sorted(round(late) for late in seen.lateness_ms)[-9:]
    assert of_tps[-4:] >= [1000, 2000, 3000, 4000]
    assert min(seen.lateness_ms) >= 0


def test_updates_that_come_too_often_are_early():
    seen = Window(10.0, 12.0).see((9.999, TPS), (10.2, TPS), (10.4, TPS), (11.4, TPS))
    assert (seen.updates[TPS], seen.early, seen.missed[TPS]) == (3, 2, 0)


def test_updates_in_the_window_count_with_their_bytes():
    seen = Window(10.0, 13.5).see(
        (9.5, TPS), (9.75, BLOCK), (10.5, TPS), (11.625, TPS), (11.75, BLOCK), (12.625, TPS))
    assert seen.updates == {TPS: 3, BLOCK: 1} | silent(TPS, BLOCK)
    assert seen.update_bytes == {TPS: 30, BLOCK: 10} | silent(TPS, BLOCK)
    assert (seen.messages, seen.bytes) == (4, 40)
    assert sum(seen.missed.values()) == 0
    # The network's update has been due since 13.0, the validators' is not due before 15.0.
    assert sorted(seen.lateness_ms) == [0.0, 0.0, 0.0, 125.0, 500.0]


def test_other_messages_count_but_are_no_updates():
    window = Window(0.0, 0.5)
    window.watch.note_begin(0.0)
    window.tally.open = True
    for other in (b'{"type":"pong","payload":{}}', b"", b"\x03\xe8", b"no JSON", b'{"type":"tps_updat'):
        window.watch.note(other, 7, 0.25)
    assert (window.tally.messages, window.tally.bytes) == (5, 35)
    assert sum(window.tally.updates.values()) == 0
    assert list(window.tally.lateness_ms) == []


def test_nothing_counts_before_the_window_or_after_it():
    """But the last update before it is what the first one inside is late after."""
    seen = Window(10.0, 10.75).see(
        (2.0, TPS), (9.0, TPS), (9.5, BLOCK), (10.25, TPS), (10.8, TPS), (11.5, BLOCK), (30.0, TPS))
    assert (seen.messages, seen.bytes) == (1, 10)
    assert seen.updates == {TPS: 1} | silent(TPS)
    assert list(seen.lateness_ms) == [250.0]


def test_a_channel_that_never_sends_is_missed_from_the_window_s_beginning():
    """The last tick that is due may still come, so it is late and not yet missed."""
    seen = Window(10.0, 14.25).see((10.75, BLOCK), (12.75, BLOCK))
    assert seen.updates == {BLOCK: 2} | silent(BLOCK)
    assert seen.missed == {TPS: 3} | silent(TPS)
    # The first came 0.75 s after the window's beginning, long before it was due: no lateness to speak of.
    blocks, ticks, networks = [0.0, 0.0], [3250.0, 2250.0, 1250.0, 250.0], [1250.0]
    assert sorted(seen.lateness_ms) == sorted(blocks + ticks + networks)


def test_a_channel_that_falls_silent_is_missed_from_its_last_update():
    """Also when that came before the window."""
    seen = Window(10.0, 14.0).see((8.0, BLOCK), (10.5, TPS))
    assert seen.missed == {TPS: 3, BLOCK: 2} | silent(TPS, BLOCK)
    assert max(seen.lateness_ms) == 4000.0, "the block update of 10.0"


def test_an_update_that_is_not_due_yet_at_the_end_is_not_late():
    seen = Window(10.0, 10.9).see((9.95, TPS))
    assert (sum(seen.missed.values()), list(seen.lateness_ms)) == (0, [])


@given(UPDATES, st.sampled_from([0.02, 1.0]), st.integers(0, 3), st.lists(st.floats(0.0, 3.0), max_size=3))
def test_what_was_swallowed_is_counted_whatever_the_rest_is_like(updates, scale, before, after):
    """An update a little late each time is never missed, and each that is swallowed is, once.

    But for the last that is due at the end: it may still come, and is only late.
    """
    interval = TPS_UPDATES.interval_ms / 1_000 * scale
    begin, end = 100.0, 100.0 + (len(updates) + 0.25) * interval
    sent = [(begin + (number + late) * interval, TPS)
            for number, late in enumerate(updates, 1) if late is not None]
    early = [(begin - number * interval, TPS) for number in range(before, 0, -1)]
    later = [(end + (0.01 + gap) * interval, TPS) for gap in sorted(after)]
    seen = Window(begin, end, scale).see(*early, (begin - 1e-9, TPS), *sent, *later)
    owed = int(updates[-1] is None)
    assert seen.updates[TPS] == len(sent)
    assert seen.missed[TPS] == updates.count(None) - owed
    assert min(seen.lateness_ms, default=0.0) >= 0.0
    if None in updates:
        first = updates.index(None) + 1
        came = next((at for at, _ in sent if at > begin + first * interval), end)
        assert max(seen.lateness_ms) >= (came - begin - (first + 0.25) * interval) * 1_000


@given(st.lists(st.sampled_from(list(NAMES)), max_size=40))
def test_channels_don_t_mix(types):
    seen = Window(0.0, 100.0).see(*((number, each) for number, each in enumerate(types, 1)))
    assert seen.updates == silent() | Counter(types)
    assert seen.update_bytes == {each: 10 * count for each, count in seen.updates.items()}


@pytest.mark.parametrize("scale", [0.02, 1.0, 3.0])
def test_the_intervals_are_the_contract_s_times_the_scale(scale):
    seconds = {channel.message_type.encode(): channel.interval_ms / 1_000 for channel in CHANNELS}
    assert Tally(scale).intervals == pytest.approx({each: one * scale for each, one in seconds.items()})
    interval = BLOCK_UPDATES.interval_ms / 1_000 * scale
    seen = Window(0.0, 3.9 * interval, scale).see((0.0, BLOCK), (interval, BLOCK), (3.0 * interval, BLOCK))
    assert seen.missed[BLOCK] == 1
    assert seen.updates[BLOCK] == 3


def test_quantiles_by_hand():
    assert quantiles([float(value) for value in range(1_000, -1, -1)]) == {
        "p50": 500.0, "p90": 900.0, "p99": 990.0, "p999": 999.0, "max": 1000.0}
    assert quantiles([3.0, 1.0]) == {"p50": 3.0, "p90": 3.0, "p99": 3.0, "p999": 3.0, "max": 3.0}
    assert quantiles([]) == quantiles(array("d")) == {}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_a_quantile_is_one_of_the_values_and_its_share_lies_below(values):
    found = quantiles(array("d", values))
    assert found["max"] == max(values)
    for name, share in SHARES.items():
        assert found[name] in values
        assert sum(value <= found[name] for value in values) >= share * len(values) - 1e-9
        assert sum(value < found[name] for value in values) <= share * (len(values) - 1) + 1
    json.dumps(found)
