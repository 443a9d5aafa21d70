"""Shows how far a job is, on stderr: a bar with rate and time left on a terminal, now and then a line elsewhere."""

import importlib
import sys
from threading import Lock

from policies.amounts import say_bytes
from tiering.clock import Clock
from tiering.jobs.context import NoProgress
from tiering.jobs.context import Progress as JobProgress

LINE_EVERY_S = 30.0  # in a log file more often is noise, less often looks hung


def open_progress(clock: Clock, *, quiet: bool) -> JobProgress:
    """Return what fits the place: a bar, lines, or nothing when *quiet*."""
    if quiet:
        return NoProgress()
    return OnDemand() if sys.stderr.isatty() else LineProgress(clock)


class OnDemand:
    """Becomes a bar when a job starts: most commands never draw one, and the library that does takes time to load."""

    def __init__(self) -> None:
        """Load nothing."""
        self._lock = Lock()
        self._bar: JobProgress = NoProgress()

    def start(self, what: str, *, total_bytes: int | None = None, total_files: int | None = None) -> None:
        """See Progress."""
        with self._lock:
            if isinstance(self._bar, NoProgress):
                self._bar = importlib.import_module("tiering.cli.progress_bar").BarProgress()
        self._bar.start(what, total_bytes=total_bytes, total_files=total_files)

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        """See Progress."""
        self._bar.advance(byte_count=byte_count, files=files)

    def finish(self) -> None:
        """See Progress."""
        self._bar.finish()


class LineProgress:
    """One line every half minute. See tiering.jobs.context.Progress."""

    def __init__(self, clock: Clock) -> None:
        """Measure by *clock*."""
        self._clock = clock
        self._lock = Lock()
        self._what = ""
        self._total: int | None = None
        self._bytes = self._files = 0
        self._started = self._said = 0.0

    def start(self, what: str, *, total_bytes: int | None = None, total_files: int | None = None) -> None:
        """See Progress."""
        with self._lock:
            # A job that does not know its total goes on with the one its command announced.
            self._total = self._total if what == self._what and total_bytes is None else total_bytes
            self._what = what
            self._bytes = self._files = 0
            self._started = self._said = self._clock.monotonic_s()

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        """See Progress."""
        with self._lock:
            self._bytes += byte_count
            self._files += files
            now = self._clock.monotonic_s()
            if self._what and now - self._said >= LINE_EVERY_S:
                self._said = now
                print(self._line(now - self._started), file=sys.stderr, flush=True)

    def finish(self) -> None:
        """See Progress."""
        with self._lock:
            self._what = ""

    def _line(self, elapsed_s: float) -> str:
        rate = self._bytes / elapsed_s
        parts = [f"{self._what}: {self._files} files, {say_bytes(self._bytes)}"]
        if self._total:
            parts.append(f"of {say_bytes(self._total)}")
        parts.append(f"at {say_bytes(int(rate))}/s")
        if self._total and rate:
            parts.append(f"about {max(0, self._total - self._bytes) / rate / 60:.0f} min left")
        return ", ".join(parts)
