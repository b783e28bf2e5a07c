"""Ticks and labels that a person can read."""

import pytest

from livestream.lab.reports.ticks import (
    crowded, decade_ticks, decades, label_span, number, roomy, rows, spans_decades)


@pytest.mark.parametrize("value, text", [
    (4_000, "4,000"), (1_000_000, "1,000,000"), (0.05, "0.05"), (0.1 + 0.2, "0.3"), (2.5, "2.5"),
    (0, "0"),
])
def test_a_tick_is_written_out_in_full(value, text):
    assert number(value) == text


@pytest.mark.parametrize("values, log", [
    ([100, 4_000], True), ([100, 1_000], False), ([1_000], False), ([0, 4_000], False), ([], False),
])
def test_more_than_a_decade_is_logarithmic(values, log):
    assert spans_decades(values) is log


def test_a_logarithmic_axis_has_whole_decades_around_its_values():
    assert decades([0.2, 30]) == (0.1, 100)
    assert decades([100, 1_000]) == (10, 10_000)
    assert decade_ticks(0.1, 10) == pytest.approx([0.1, 0.2, 0.5, 1, 2, 5, 10])
    assert decade_ticks(0.1, 1_000) == pytest.approx([0.1, 1, 10, 100, 1_000])
    assert decade_ticks(1, 10, dense=False) == [1, 10]


def test_ticks_whose_labels_would_touch_are_left_out():
    assert roomy([100, 1_000, 2_000, 4_000], 80, 5_000, True, 350) == [100, 1_000, 2_000, 4_000]
    assert roomy([1_000, 1_010, 2_000, 1_000], 0, 2_500, False, 350) == [1_000, 2_000]


def test_of_many_values_the_round_ones_get_a_tick():
    assert roomy(range(100, 4_001, 100), 80, 5_000, True, 350) == [100, 200, 300, 500, 1_000, 2_000, 4_000]
    assert roomy(range(10, 41, 2), 0, 44, False, 350) == [10, 14, 20, 24, 30, 34, 40]


def test_names_at_even_distances_are_crowded_when_they_would_touch():
    assert not crowded(["0.005 s"] * 5, 305)
    assert crowded(["0.005 s"] * 8, 305)
    assert not crowded(["a name as long as the whole axis and longer than it"], 305)


def test_labels_that_would_touch_stand_in_rows():
    assert rows([(0, "all up"), (10, "closing"), (200, "gone")], 350) == [0, 1, 0]


def test_a_label_at_the_right_edge_ends_at_its_place():
    assert label_span(340, "threads gone", 350)[1] == 340
    assert label_span(100, "threads gone", 350)[0] == 100
