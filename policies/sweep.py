"""Recognises a sweep: a backup, an antivirus or an indexer that read a whole tree within hours.

Its reads are nobody's interest in the files. A sweep is told by most of a root's access times lying within one window
of hours and rising (or staying close together) in walk order. Recorded by the scan, not counted as access.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from policies.values import NS_PER_DAY, NS_PER_HOUR, NS_PER_S

WINDOW_HOURS = 12  # a nightly backup's window; longer sweeps are seen once half of them has passed
LOOK_BACK_DAYS = 30  # older access times cannot have moved between two scans of a daemon that runs
MIN_FILES = 50  # a person or one training step may well read fewer in order
MOST = 0.5  # "most access times"
NEAR_NS = NS_PER_S  # a reader that lists a folder in disk order is unordered inside it, but near
IN_ORDER = 0.75  # of neighbours in walk order; random reading gives 0.5
SWEEPS_BLIND_NS = 3 * NS_PER_DAY
"""Sweeps closer together than this leave no undisturbed day to see a reader by (relatime moves atime once a day)."""


@dataclass(frozen=True, slots=True)
class SweepWindow:
    """When the sweep read: access times in [start_ns, end_ns) are its doing."""

    start_ns: int
    end_ns: int

    def covers(self, atime_ns: int) -> bool:
        """Return whether an access time falls into it."""
        return self.start_ns <= atime_ns < self.end_ns


class SweepDetector:
    """Takes access times in walk order, in memory that does not grow with their number."""

    def __init__(self, now_ns: int) -> None:
        """Judge relative to *now_ns*; access times older than LOOK_BACK_DAYS or in the future cannot be a sweep."""
        self._now_hour = now_ns // NS_PER_HOUR
        self._first_hour = self._now_hour - LOOK_BACK_DAYS * 24
        self._files = 0
        self._in_hour: Counter[int] = Counter()
        self._pairs: Counter[int] = Counter()
        self._ordered: Counter[int] = Counter()
        self._previous_ns: int | None = None

    def feed(self, atime_ns: int, *, mtime_ns: int = 0) -> None:
        """Add the next file. One whose atime is no later than its mtime was not read since it was written."""
        self._files += 1
        hour = atime_ns // NS_PER_HOUR
        if atime_ns <= mtime_ns or not self._first_hour <= hour <= self._now_hour:
            return
        self._in_hour[hour] += 1
        if self._previous_ns is not None:
            self._pairs[hour] += 1
            self._ordered[hour] += -NEAR_NS <= atime_ns - self._previous_ns < NS_PER_HOUR
        self._previous_ns = atime_ns

    def feed_many(self, stamps: Iterable[tuple[int, int]]) -> None:
        """Add (atime_ns, mtime_ns) of the next files: feed() for scans of millions."""
        first_ns, end_ns = self._first_hour * NS_PER_HOUR, (self._now_hour + 1) * NS_PER_HOUR
        files = 0
        for atime_ns, mtime_ns in stamps:
            files += 1
            if atime_ns > mtime_ns and first_ns <= atime_ns < end_ns:
                self.feed(atime_ns)
                files -= 1
        self._files += files

    def verdict(self) -> SweepWindow | None:
        """Return the sweep's window, or None."""
        if self._files < MIN_FILES or not self._in_hour:
            return None
        start = max(self._in_hour, key=lambda hour: (self._sum(self._in_hour, hour), hour))
        if self._sum(self._in_hour, start) <= MOST * self._files:
            return None
        if self._sum(self._ordered, start) < IN_ORDER * self._sum(self._pairs, start):
            return None
        return SweepWindow(start * NS_PER_HOUR, (start + WINDOW_HOURS) * NS_PER_HOUR)

    @staticmethod
    def _sum(counts: "Counter[int]", start_hour: int) -> int:
        return sum(counts[hour] for hour in range(start_hour, start_hour + WINDOW_HOURS))


def is_sweep(atimes_ns: Iterable[int], now_ns: int) -> bool:
    """Return whether access times, in walk order, look like a sweep."""
    detector = SweepDetector(now_ns)
    for atime_ns in atimes_ns:
        detector.feed(atime_ns)
    return detector.verdict() is not None
