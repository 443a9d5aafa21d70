"""Counts opens for the roots that ask for it, while the daemon runs.

A refinement of atime, never a condition: where the kernel or the unit does not allow it, the service says so once and
goes on with atime.
"""

import os
from threading import Lock

from tiering.hot.opens import OpenCounter, open_counter
from tiering.jobs.context import Context
from tiering.jobs.open_counts import note_opens
from tiering.logs import Log

POLL_S = 5.0
"""The kernel queues 16,384 different files between two polls; an overflow is noticed and believed for nothing."""


class OpenCounting:
    """The counter of a running service; a reload may stop it while it is polled."""

    def __init__(self, log: Log) -> None:
        """Count nothing before start()."""
        self._log = log
        self._counter: OpenCounter | None = None
        self._roots: tuple[bytes, ...] = ()
        self._lock = Lock()

    def start(self, context: Context) -> bool:
        """Count for the roots of the configuration in force; return whether anything is counted."""
        wanted = {root.name for root in context.config.roots if root.open_counter}
        roots = tuple(root.path for root in context.roots if root.name in wanted)
        if roots == self._roots:
            return self._counter is not None
        self.stop()
        self._roots = roots
        if not roots:
            return False
        try:
            self._counter = open_counter(roots)
        except OSError as error:
            self._log.warning(
                "opens_not_counted",
                what=f"the kernel does not let this process count opens: {os.strerror(error.errno or 0)}",
                now="evidence of reading is atime alone",
                next="docs/install.md: the open counter needs CAP_SYS_ADMIN",
            )
            return False
        self._log.info("opens_counted", roots=len(roots))
        return True

    def poll(self, context: Context) -> None:
        """Write what was opened since the last poll into the access history."""
        with self._lock:
            if self._counter is not None:
                note_opens(context, self._counter)

    def stop(self) -> None:
        """Stop counting. May be called twice."""
        with self._lock:
            if self._counter is not None:
                self._counter.close()
            self._counter, self._roots = None, ()
