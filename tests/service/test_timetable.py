"""Duties are due when the configuration says, missed ones at once, and cron means the operator's zone."""

from datetime import UTC, datetime

import pytest

from tiering.clock import NS_PER_S
from tiering.config import Config
from tiering.config.sections import ScheduleConfig
from tiering.service.timetable import ClockSteps, first_run, trigger_of, triggers, upkeep_s

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * NS_PER_S
HOUR_NS = 3600 * NS_PER_S


def test_never_is_no_trigger() -> None:
    assert trigger_of("", "UTC") is None
    assert set(triggers(ScheduleConfig(gc=""))) == {"scan", "cycle", "tickets", "accrue"}


@pytest.mark.parametrize(
    ("last_started_ns", "due"),
    [
        (None, NOON),
        (NOON_NS - 25 * HOUR_NS, NOON),
        (NOON_NS + 25 * HOUR_NS, NOON),  # the clock was wrong then
        (NOON_NS - 23 * HOUR_NS, datetime(2026, 6, 1, 13, 0, tzinfo=UTC)),
    ],
)
def test_a_missed_interval_is_made_up_at_once(last_started_ns: int | None, due: datetime) -> None:
    trigger = trigger_of("24h", "UTC")
    assert trigger is not None
    assert first_run(trigger, last_started_ns=last_started_ns, now_ns=NOON_NS) == due


def test_cron_waits_for_its_hour_and_makes_up_a_missed_one() -> None:
    trigger = trigger_of("30 2 * * *", "Europe/Berlin")
    assert trigger is not None
    tomorrow = datetime(2026, 6, 2, 0, 30, tzinfo=UTC)  # 02:30 in Berlin's summer
    assert first_run(trigger, last_started_ns=None, now_ns=NOON_NS) == tomorrow
    assert first_run(trigger, last_started_ns=NOON_NS - 8 * HOUR_NS, now_ns=NOON_NS) == tomorrow
    assert first_run(trigger, last_started_ns=NOON_NS - 40 * HOUR_NS, now_ns=NOON_NS) == NOON
    assert first_run(trigger, last_started_ns=NOON_NS + 900 * HOUR_NS, now_ns=NOON_NS) == tomorrow


def test_only_a_step_back_is_noticed_and_each_once() -> None:
    steps = ClockSteps(now_ns=NOON_NS, monotonic_s=5.0)
    assert steps.back_s(now_ns=NOON_NS + 10 * NS_PER_S, monotonic_s=15.0) == 0
    assert steps.back_s(now_ns=NOON_NS + HOUR_NS, monotonic_s=16.0) == 0  # forward: what was missed is due at once
    assert steps.back_s(now_ns=NOON_NS, monotonic_s=16.0) == pytest.approx(3600)
    assert steps.back_s(now_ns=NOON_NS + NS_PER_S, monotonic_s=17.0) == 0
    assert steps.back_s(now_ns=NOON_NS - 2 * NS_PER_S, monotonic_s=17.0) == 0  # an adjustment


def test_a_clock_that_is_put_back_in_small_steps_is_noticed_too() -> None:
    steps = ClockSteps(now_ns=NOON_NS, monotonic_s=0.0)
    found = [steps.back_s(now_ns=NOON_NS - second * NS_PER_S, monotonic_s=float(second)) for second in range(60)]
    assert sum(found) > 60


def test_upkeep_comes_round_at_least_each_minute(smallest: dict[str, object]) -> None:
    assert upkeep_s(Config.model_validate(smallest)) == 60
    assert upkeep_s(Config.model_validate({**smallest, "segments": {"max_age": "5s"}})) == 5
