"""What grows, and how surely: from time lines whose growth is known."""

import numpy
import pytest

from livestream.lab.experiments.soak import MEMORY_GROWTH, MEMORY_GROWTH_ERROR, PARTS, growth
from livestream.lab.results import Moment

MINUTES = 10


def line(kb_per_minute, noise_kb=0.0, steps=600, seed=1):
    """A time line of MINUTES whose memory grows so, with noise that holds on, as a process's does."""
    generator = numpy.random.default_rng(seed)
    drift = numpy.repeat(generator.normal(0, noise_kb, steps // 10 + 1), 10)
    return [
        Moment(at * 60, 100 + 3 * at, 50 + (kb_per_minute * at + drift[number]) / 1e3, 20 - at)
        for number, at in enumerate(numpy.linspace(0, MINUTES, steps))
    ]


def test_what_grows_evenly_is_told_without_error():
    found = growth(line(240.0))
    assert found[MEMORY_GROWTH] == pytest.approx(240)
    assert found[MEMORY_GROWTH_ERROR] == pytest.approx(0, abs=1e-6)
    assert found["threads_growth_per_minute"] == pytest.approx(3)
    assert found["descriptors_growth_per_minute"] == pytest.approx(-1)


def test_the_error_is_as_large_as_the_slopes_differ():
    """Of a hundred such runs; single moments would look three times as sure."""
    found = [growth(line(240.0, 100.0, seed=seed)) for seed in range(100)]
    slopes = [one[MEMORY_GROWTH] for one in found]
    told = numpy.median([one[MEMORY_GROWTH_ERROR] for one in found])
    assert numpy.mean(slopes) == pytest.approx(240, abs=3 * numpy.std(slopes) / 10)
    assert told == pytest.approx(numpy.std(slopes), rel=0.3)


def test_of_few_moments_no_error_is_told_and_of_one_nothing():
    assert MEMORY_GROWTH_ERROR not in growth(line(240.0)[:2 * PARTS - 1])
    assert MEMORY_GROWTH_ERROR in growth(line(240.0)[:2 * PARTS])
    assert growth(line(240.0)[:1]) == {}
