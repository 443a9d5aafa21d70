"""The last net under a release: a process opened the parked inode between the last look at the lease and the unlink.

That window is a few microseconds, and only a writer that was stopped for the whole parking time can be in it. Its
open cannot be refused any more, but the inode lives as long as our descriptor: when the writer has closed it, its
bytes are copied back to the path.
"""

import os

from tiering.clock import Clock, SystemClock
from tiering.errors import SourceBusy
from tiering.hot import names
from tiering.hot.identity import Identity
from tiering.hot.kept_times import KeptTimes
from tiering.hot.lease import LeaseUnavailable, write_lease
from tiering.hot.meta import apply_meta, read_meta
from tiering.hot.swap import put_back, unlink_if_there

_POLL_S = 0.02
_POLLS = 3000  # a minute: longer than any program takes from open to its first write; then what is there is taken
_COPY_BYTES = 4 << 20


def salvage(fd: int, dir_fd: int, name: bytes, *, target: bytes | None, op: str, clock: Clock | None = None) -> str:
    """Wait for the writers of the unlinked inode *fd*, copy it and put the copy at *name*. Return as put_back() does.

    No lease may be held on *fd* any more. Durable on return. OSError (no space) leaves the stored version, which the
    placeholder names, and loses what was written since.
    """
    clock = clock or SystemClock()
    temp = names.new(op)
    while True:
        _await_close(fd, clock)
        before = Identity.of(os.fstat(fd))
        times = KeptTimes(dir_fd)
        _copy(fd, dir_fd, temp)
        times.after()
        times.put_back()
        if Identity.of(os.fstat(fd)) == before:
            break
    where = put_back(dir_fd, name, temp, target=target, op=op)
    os.fsync(dir_fd)
    return where


def _await_close(fd: int, clock: Clock) -> None:
    for _ in range(_POLLS):
        try:
            with write_lease(fd, "the parked file"):
                return
        except SourceBusy:
            clock.sleep(_POLL_S)
        except LeaseUnavailable:
            return


def _copy(fd: int, dir_fd: int, temp: bytes) -> None:
    unlink_if_there(dir_fd, temp)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    out = os.open(temp, flags, 0o600, dir_fd=dir_fd)
    try:
        position = 0
        while block := os.pread(fd, _COPY_BYTES, position):
            written = 0
            while written < len(block):
                written += os.pwrite(out, memoryview(block)[written:], position + written)
            position += len(block)
        apply_meta(out, read_meta(fd, os.fstat(fd)))
        os.fsync(out)
    finally:
        os.close(out)
