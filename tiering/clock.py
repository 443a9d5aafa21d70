"""The only place that asks what time it is, or sleeps.

Everything else takes `now` as an argument or a Clock. Times are integer nanoseconds since the Unix epoch, UTC.
"""

import time
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_S


class Clock(Protocol):
    """What jobs and stores need of time."""

    def now_ns(self) -> int:
        """Return wall time in ns since the epoch, UTC. May step; never used to measure durations."""

    def monotonic_s(self) -> float:
        """Return seconds on a clock that never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait. Zero or negative returns at once."""


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        """See Clock."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """See Clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        if seconds > 0:
            time.sleep(seconds)


class FakeClock:
    """A clock that moves only when told; `sleep` advances it. For tests and for simulated days."""

    def __init__(self, now_ns: int = 1_700_000_000 * NS_PER_S) -> None:
        """Start at *now_ns*."""
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """See Clock."""
        return self._now_ns

    def monotonic_s(self) -> float:
        """See Clock."""
        return self._now_ns / NS_PER_S

    def sleep(self, seconds: float) -> None:
        """Advance by *seconds*."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move forward by *seconds* (never back)."""
        self._now_ns += max(0, int(seconds * NS_PER_S))
