"""Forecasts: a line that outliers do not bend, in a band that holds what it claims."""

import random

from hypothesis import given
from hypothesis import strategies as st

from policies.forecast import outlook


def test_steady_growth_is_continued_exactly() -> None:
    found = outlook([(day, 100.0 + 10 * day) for day in range(30)])

    assert found is not None
    assert found.at(10) == (490, 490, 490)
    assert found.days_until(490) == (10, 10, 10)
    assert found.days_until(100) == (0, 0, 0)


def test_a_week_of_moves_does_not_bend_the_line() -> None:
    series = [(day, 1000.0 + 5 * day - (800 if 40 <= day < 47 else 0)) for day in range(60)]
    found = outlook(series)

    assert found is not None
    assert 4.5 <= found.per_day <= 5.5


def test_what_does_not_grow_is_never_full() -> None:
    found = outlook([(day, 50.0) for day in range(20)])

    assert found is not None
    assert found.days_until(60) == (None, None, None)


def test_a_few_days_tell_nothing() -> None:
    assert outlook([(0, 1.0), (1, 2.0)]) is None
    assert outlook([]) is None


def test_nine_in_ten_noisy_futures_lie_within_the_band() -> None:
    inside = 0
    for seed in range(100):
        noise = random.Random(seed)
        series = [(day, 20.0 * day + noise.gauss(0, 30)) for day in range(60)]
        found = outlook(series[:50])
        assert found is not None
        low, _, high = found.at(9)
        inside += low <= series[59][1] <= high
    assert inside >= 90


@given(st.lists(st.floats(0, 1e15), min_size=7, max_size=30))
def test_the_band_is_around_the_line(values: list[float]) -> None:
    found = outlook(list(enumerate(values)))

    assert found is not None
    low, middle, high = found.at(30)
    assert low <= middle <= high
