"""A backup's reading is told from people's."""

import random

from hypothesis import given
from hypothesis import strategies as st

from policies.sweep import SweepDetector, is_sweep
from policies.values import NS_PER_DAY, NS_PER_HOUR, NS_PER_S
from tests.policies.facts import NOW_NS

NIGHT_NS = NOW_NS - 20 * NS_PER_HOUR


def test_reading_a_whole_tree_in_walk_order_within_hours_is_a_sweep() -> None:
    assert is_sweep([NIGHT_NS + i * 10 * NS_PER_S for i in range(1000)], NOW_NS)


def test_a_few_people_reading_beside_it_do_not_hide_it() -> None:
    atimes = [NIGHT_NS + i * 10 * NS_PER_S for i in range(1000)]
    atimes[100:1000:10] = [NOW_NS - NS_PER_HOUR] * 90

    assert is_sweep(atimes, NOW_NS)


def test_a_training_run_in_random_order_is_not_a_sweep() -> None:
    atimes = [NIGHT_NS + i * 10 * NS_PER_S for i in range(1000)]
    random.Random(7).shuffle(atimes)

    assert not is_sweep(atimes, NOW_NS)


def test_reading_spread_over_weeks_is_not_a_sweep() -> None:
    assert not is_sweep([NOW_NS - (1000 - i) * NS_PER_HOUR // 2 for i in range(1000)], NOW_NS)


def test_a_minority_read_in_order_is_not_a_sweep() -> None:
    atimes = [NIGHT_NS + i * NS_PER_S for i in range(400)] + [NOW_NS - 90 * NS_PER_DAY] * 600

    assert not is_sweep(atimes, NOW_NS)


def test_an_old_sweep_and_a_handful_of_files_are_none() -> None:
    assert not is_sweep([NOW_NS - 90 * NS_PER_DAY + i for i in range(1000)], NOW_NS)
    assert not is_sweep([NIGHT_NS + i for i in range(10)], NOW_NS)
    assert not is_sweep([], NOW_NS)


def test_files_never_read_since_they_were_written_say_nothing() -> None:
    detector = SweepDetector(NOW_NS)
    for i in range(1000):
        detector.feed(NIGHT_NS + i, mtime_ns=NIGHT_NS + i)

    assert detector.verdict() is None


def test_the_window_covers_the_sweep_and_not_the_next_day() -> None:
    detector = SweepDetector(NOW_NS)
    for i in range(1000):
        detector.feed(NIGHT_NS + i * NS_PER_S)
    window = detector.verdict()

    assert window is not None
    assert window.covers(NIGHT_NS)
    assert window.covers(NIGHT_NS + 999 * NS_PER_S)
    assert not window.covers(NIGHT_NS + 15 * NS_PER_HOUR)


@given(st.lists(st.integers(-(2**62), 2**62), max_size=200))
def test_any_times_at_all_get_an_answer(atimes: list[int]) -> None:
    assert is_sweep(atimes, NOW_NS) in {True, False}
