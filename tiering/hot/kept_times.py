"""Puts a directory's modification time back after frostline itself changed an entry of it.

Build tools, rsync and people read a directory's mtime as "something was added or removed here"; a swap is neither.
"""

import os


class KeptTimes:
    """Remembers a directory's mtime across our own operations; a change by others in between is kept."""

    def __init__(self, dir_fd: int) -> None:
        """Note the mtime of the open directory *dir_fd*."""
        self._fd = dir_fd
        self._wanted_ns = self._last_seen_ns = os.fstat(dir_fd).st_mtime_ns

    def before(self) -> None:
        """Call before an operation of ours: what moved the mtime since our last one was somebody else."""
        now_ns = os.fstat(self._fd).st_mtime_ns
        if now_ns != self._last_seen_ns:
            self._wanted_ns = now_ns

    def after(self) -> None:
        """Call after an operation of ours."""
        self._last_seen_ns = os.fstat(self._fd).st_mtime_ns

    def put_back(self) -> None:
        """Set the mtime; nothing if this process may not."""
        self.before()
        status = os.fstat(self._fd)
        if status.st_mtime_ns == self._wanted_ns:
            return
        try:
            os.utime(self._fd, ns=(status.st_atime_ns, self._wanted_ns))
        except PermissionError:
            return  # neither owner nor CAP_FOWNER: the time stays moved
        self.after()
