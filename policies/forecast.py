"""Where a series of days is going: a line through it, and a band that says how far off the line has been.

The slope is Theil and Sen's (the median of the slopes between all pairs): a week of moves or one big delete does not
bend it. The band is the spread of what the line missed, growing with the days ahead. Pure; used by status and plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median, quantiles

MIN_DAYS = 7
"""Fewer tell nothing: a week has a rhythm."""
LONGEST_DAYS = 3650.0
"""Further ahead nobody is told a date."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """A line through (day, value) with its band; days count from the last one seen."""

    now: float
    """Where the line stands on the last day."""
    per_day: float
    per_day_low: float
    per_day_high: float
    """What the middle half of the slopes lies between."""
    miss: float
    """Half width of what 19 of 20 days lay within, around the line."""

    def at(self, days: float) -> tuple[float, float, float]:
        """Return (low, expected, high) so many days ahead."""
        return (
            self.now + self.per_day_low * days - self.miss,
            self.now + self.per_day * days,
            self.now + self.per_day_high * days + self.miss,
        )

    def days_until(self, level: float) -> tuple[float | None, float | None, float | None]:
        """Return (soonest, expected, latest) days until *level* is reached from below; None: not within ten years."""
        high = _until(level - self.now - self.miss, self.per_day_high)
        return high, _until(level - self.now, self.per_day), _until(level - self.now + self.miss, self.per_day_low)


def outlook(series: Sequence[tuple[int, float]]) -> Outlook | None:
    """Return where (day, value), ascending by day, is going; None from fewer than MIN_DAYS days."""
    if len(series) < 2 or series[-1][0] - series[0][0] + 1 < MIN_DAYS:
        return None
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(series, 2)]
    low, _, high = quantiles(slopes, n=4) if len(slopes) > 1 else (slopes[0],) * 3
    slope, last = median(slopes), series[-1][0]
    level = median(value - slope * (day - last) for day, value in series)
    misses = sorted(abs(value - level - slope * (day - last)) for day, value in series)
    miss = misses[min(len(misses) - 1, int(0.95 * len(misses)))]
    # The line's end tells more than one noisy day, unless that day is a step: then the line begins anew there.
    begin = level if abs(series[-1][1] - level) <= miss else series[-1][1]
    return Outlook(begin, slope, min(low, slope), max(high, slope), miss)


def _until(rise: float, per_day: float) -> float | None:
    if rise <= 0:
        return 0.0
    days = rise / per_day if per_day > 0 else LONGEST_DAYS + 1
    return days if days <= LONGEST_DAYS else None
