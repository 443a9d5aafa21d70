"""When the hot tier is full and what the next month will cost, from the books of the last months. Used by status."""

import os
from dataclasses import dataclass

from policies.forecast import outlook
from policies.prices import MONTH_HOURS
from tiering.catalog import growth
from tiering.jobs.context import Context

HISTORY_DAYS = 90
MONTH_DAYS = MONTH_HOURS / 24


@dataclass(frozen=True, slots=True)
class Forecast:
    """None where the books are too young, or it will not happen within ten years."""

    hot_bytes: int
    """Files under care, by now."""
    free_bytes: int
    """On the file systems of all roots together."""
    bytes_per_day: float | None
    """By which the hot bytes grow."""
    full_in_days: float | None
    full_in_days_soonest: float | None
    full_in_days_latest: float | None
    usd_nano_next_month: int | None
    """To providers, for the next 730 h; hot disks are not in it."""
    usd_nano_low: int | None
    usd_nano_high: int | None


def forecast(context: Context) -> Forecast:
    """Return what is to be expected, if it goes on as it did. Asks the catalog and statvfs."""
    with context.catalog.read() as tx:
        held = growth.hot_bytes(tx, days=HISTORY_DAYS)
        paid = growth.paid_nano(tx, days=HISTORY_DAYS)
    hot, bill, free = outlook(held), outlook(paid), _free_bytes(context)
    soonest, expected, latest = (None, None, None) if hot is None else hot.days_until(hot.now + free)
    ahead = None if bill is None else bill.at(MONTH_DAYS / 2)
    low, middle, high = (None, None, None) if ahead is None else (round(max(0.0, day) * MONTH_DAYS) for day in ahead)
    return Forecast(
        hot_bytes=int(held[-1][1]) if held else 0,
        free_bytes=free,
        bytes_per_day=None if hot is None else hot.per_day,
        full_in_days=expected,
        full_in_days_soonest=soonest,
        full_in_days_latest=latest,
        usd_nano_next_month=middle,
        usd_nano_low=low,
        usd_nano_high=high,
    )


def _free_bytes(context: Context) -> int:
    free: dict[int, int] = {}
    for root in context.roots:
        try:
            status = os.statvfs(root.path)
            free[os.stat(root.path).st_dev] = status.f_bavail * status.f_frsize
        except OSError:
            continue
    return sum(free.values())
