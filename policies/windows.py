"""When things may be moved: windows of the week, in the operator's own time.

A window is "22:00-06:00" (every day; over midnight it belongs to the day it begins on) or "Mon-Fri 22:00-06:00". Pure:
the caller says what the local time is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_SHAPE = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? )?(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})", re.IGNORECASE)


class WindowError(ValueError):
    """A window cannot be meant."""


@dataclass(frozen=True, slots=True)
class Window:
    """Some hours on some days of the week."""

    days: frozenset[int]
    """0 is Monday; of those on which it begins."""
    begin: int
    """Minutes of the day."""
    end: int
    """Exclusive; above 24 h where it ends on the next day."""

    def holds(self, local: datetime) -> bool:
        """Return whether it is open at a local time."""
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if day in self.days and self.begin <= minute < self.end:
            return True
        return (day - 1) % 7 in self.days and minute + _DAY_MINUTES < self.end


def parse_window(written: str) -> Window:
    """Return the window that is written. Raises WindowError."""
    found = _SHAPE.fullmatch(written.strip())
    if found is None:
        raise WindowError(f'must be like "22:00-06:00" or "Mon-Fri 22:00-06:00" (got "{written}")')
    first, last, *numbers = found.groups()
    from_hour, from_minute, to_hour, to_minute = map(int, numbers)
    begin, end = from_hour * 60 + from_minute, to_hour * 60 + to_minute
    if from_hour > 23 or from_minute > 59 or to_minute > 59 or end > _DAY_MINUTES or begin == end:
        raise WindowError(f'no such hours: "{written}"')
    return Window(_days(first, last or first, written), begin, end if end > begin else end + _DAY_MINUTES)


def is_open(windows: Iterable[Window], local: datetime) -> bool:
    """Return whether one of *windows* is open, or there is none at all."""
    known = list(windows)
    return not known or any(window.holds(local) for window in known)


def opens_at(windows: Iterable[Window], local: datetime) -> datetime:
    """Return the next whole minute, at the earliest now, at which one is open: within a week there is one."""
    known = list(windows)
    moment = local.replace(second=0, microsecond=0)
    while not is_open(known, moment):
        moment += timedelta(minutes=1)
    return moment


def _days(first: str | None, last: str | None, written: str) -> frozenset[int]:
    if first is None or last is None:
        return frozenset(range(7))
    if first.lower() not in DAYS or last.lower() not in DAYS:
        raise WindowError(f'days are {", ".join(DAYS)} (got "{written}")')
    begin, end = DAYS.index(first.lower()), DAYS.index(last.lower())
    return frozenset(day % 7 for day in range(begin, end + 1 if end >= begin else end + 8))
