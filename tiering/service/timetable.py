"""When each duty is due: the schedule of the configuration as APScheduler triggers, and what was missed meanwhile."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from tiering.catalog.accounts import CARE
from tiering.clock import NS_PER_S
from tiering.config import Config
from tiering.config.bucket import BucketConfig
from tiering.config.quantities import parse_duration_ns
from tiering.config.sections import ScheduleConfig

DUTIES = ("scan", "cycle", "tickets", "accrue", "gc")
STEP_S = 5.0  # what an NTP client adjusts without stepping stays below it
UPKEEP_S = 60  # parked files are due a minute after their release, unless told otherwise


def trigger_of(schedule: str, timezone: str) -> BaseTrigger | None:
    """Return the trigger of "24h" or "30 2 * * *"; None for "", which is never."""
    if not schedule:
        return None
    if len(schedule.split()) == 5:
        return CronTrigger.from_crontab(schedule, timezone=ZoneInfo(timezone))
    return IntervalTrigger(seconds=parse_duration_ns(schedule) / NS_PER_S, timezone=UTC)


def triggers(schedule: ScheduleConfig, buckets: Sequence[BucketConfig] = ()) -> dict[str, BaseTrigger]:
    """Return duty -> trigger for every duty that is ever due; each bucket has its own, named CARE and the bucket."""
    found = {duty: trigger_of(getattr(schedule, duty), schedule.timezone) for duty in DUTIES}
    found |= {CARE + bucket.name: trigger_of(bucket.schedule, schedule.timezone) for bucket in buckets}
    return {duty: trigger for duty, trigger in found.items() if trigger is not None}


def upkeep_s(config: Config) -> float:
    """Return the seconds between two rounds of upkeep: segments are flushed at their age, parked files finished."""
    return max(1.0, min(UPKEEP_S, config.segments.max_age_ns / NS_PER_S))


class ClockSteps:
    """Tells when the wall clock was put back: what is due by it would wait until it has caught up."""

    def __init__(self, *, now_ns: int, monotonic_s: float) -> None:
        """Begin with what both clocks say now."""
        self._ahead_s = now_ns / NS_PER_S - monotonic_s

    def back_s(self, *, now_ns: int, monotonic_s: float) -> float:
        """Return by how many seconds the wall clock was put back since this was last said; 0 for STEP_S and less."""
        ahead_s = now_ns / NS_PER_S - monotonic_s
        back_s = self._ahead_s - ahead_s
        if 0 <= back_s <= STEP_S:
            return 0.0
        self._ahead_s = ahead_s
        return max(0.0, back_s)


def first_run(trigger: BaseTrigger, *, last_started_ns: int | None, now_ns: int) -> datetime:
    """Return when a duty is due first after start-up: at once if it was missed (or never ran), else when it would be.

    A cron duty that never ran waits for its hour: the operator chose the hour. A run that began later than now says
    that the clock was wrong then, and nothing more.
    """
    now = datetime.fromtimestamp(now_ns / NS_PER_S, UTC)
    if last_started_ns is None or last_started_ns > now_ns:
        return now if isinstance(trigger, IntervalTrigger) else _next(trigger, now)
    last = datetime.fromtimestamp(last_started_ns / NS_PER_S, UTC)
    due = (
        last + trigger.interval if isinstance(trigger, IntervalTrigger) else _next(trigger, last + timedelta(seconds=1))
    )
    return max(now, due)


def _next(trigger: BaseTrigger, after: datetime) -> datetime:
    found = trigger.get_next_fire_time(None, after)
    assert isinstance(found, datetime)  # neither interval nor five-field cron triggers ever end
    return found
