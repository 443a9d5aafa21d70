"""Windows of the week: over midnight they belong to the day they begin on."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.windows import DAYS, WindowError, is_open, opens_at, parse_window

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


def test_over_midnight_a_window_belongs_to_the_day_it_begins_on() -> None:
    windows = [parse_window("Mon-Fri 22:00-06:00")]

    assert is_open(windows, at(0, 22))
    assert is_open(windows, at(1, 5, 59))
    assert is_open(windows, at(5, 3))  # Saturday morning is Friday's night
    assert not is_open(windows, at(5, 22))
    assert not is_open(windows, at(0, 3))  # Sunday has no night
    assert not is_open(windows, at(1, 6))


def test_days_may_run_over_the_end_of_the_week_and_a_whole_day_is_one() -> None:
    windows = [parse_window("sat-mon 00:00-24:00")]

    assert [is_open(windows, at(day, 12)) for day in range(7)] == [True, False, False, False, False, True, True]


def test_no_window_at_all_is_always_open() -> None:
    assert is_open([], MONDAY)


@given(st.sampled_from(DAYS), st.sampled_from(DAYS), st.integers(0, 23), st.integers(0, 23), st.integers(0, 10_080))
def test_the_next_opening_is_open_and_nothing_before_it_is(
    first: str, last: str, begin: int, end: int, minutes: int
) -> None:
    if begin == end:
        return
    now = MONDAY + timedelta(minutes=minutes)
    windows = [parse_window(f"{first}-{last} {begin:02}:00-{end:02}:00")]
    opens = opens_at(windows, now)

    assert is_open(windows, opens)
    if opens > now:
        assert not is_open(windows, opens - timedelta(minutes=1))


@pytest.mark.parametrize(
    "written", ["", "22-6", "22:00", "24:00-25:00", "10:00-10:00", "Mon 1:00-2:60", "day 1:00-2:00"]
)
def test_what_cannot_be_meant_is_refused(written: str) -> None:
    with pytest.raises(WindowError):
        parse_window(written)
