"""Small files read whole, many to a folder: held still for as long as the reading takes, a tenth of a millisecond.

The same proof as tiering.hot.source gives (identity under a read lease, looked at again after the last byte), with
the fewest system calls that give it, because for small files these are the cost. Used by migrate.

Ordinary files go through tiering.hot.native_reads, a folder at a time; whatever it will not read goes through
Folder.read(), which says why. It holds a lease while it copies from the page cache, never while a disk is waited for.
"""

import errno
import os
import stat
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dedup.values import FileMeta
from tiering.errors import SourceBusy, SourceChanged, SourceRefused
from tiering.hot import machine_code, paths
from tiering.hot.identity import Identity, to_sql_int
from tiering.hot.lease import OneLease
from tiering.hot.meta import meta_of, plain_meta, read_xattrs
from tiering.hot.refusal import Surroundings, refusal_by_stat
from tiering.hot.source import is_mostly_cached, layout

_SECTOR = 512  # what st_blocks counts
_MODE = 2  # among native_reads.FOUND
_RUNS = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_NO_NOWAIT = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class SmallFile(NamedTuple):
    """A file that was read whole, in one state."""

    meta: FileMeta
    has_lease: bool
    """Whether a lease held while it was read."""
    has_holes: bool
    """What was read as zeros is, in part, not there: read it by its extents."""


class Folder:
    """One directory held open for reading files in it. Ends with close(); one thread at a time."""

    def __init__(self, root: bytes, directory: bytes, surroundings: Surroundings, lease: OneLease) -> None:
        """Open *directory* below *root*, following no link. Raises SourceError for a folder that cannot be read."""
        self.root, self.directory = root, directory
        self._surroundings = surroundings
        self._lease = lease
        try:
            self._fd = paths.open_folder(root, directory)
        except OSError as error:
            raise paths.as_source_error(error, paths.display(root, directory, b"")) from error

    def close(self) -> None:
        """Give the directory up."""
        os.close(self._fd)

    def read_ordinary(
        self, names: Sequence[bytes], expect: Sequence[Identity], buffer: memoryview
    ) -> list[SmallFile | None]:
        """Read files that have one name each to *buffer*, one behind the other, and return what belongs to their bytes.

        None for a file that is not quite as expected, or not quite ordinary; its place in *buffer* holds nothing then.
        That is never the last word: read() decides.
        """
        kernel = machine_code.room("native_reads")
        if kernel is None:
            return [None] * len(names)
        rows = kernel.read_all(self._fd, names, _as_numbers(expect), buffer).tolist()
        may_run = any(row[_MODE] & _RUNS for row in rows)
        in_use = self._surroundings.in_use([identity[:2] for identity in expect], may_run=may_run)
        found: list[SmallFile | None] = []
        for (dev, ino, _, mtime_ns, _), (is_read, has_lease, mode, uid, gid, atime_ns) in zip(
            expect, rows, strict=True
        ):
            if not is_read or (in_use and (dev, ino) in in_use and self._surroundings.use_of((dev, ino), mode)):
                found.append(None)
                continue
            meta = plain_meta(mode, uid, gid, mtime_ns=mtime_ns, atime_ns=atime_ns)
            found.append(SmallFile(meta, has_lease == 1, False))
        return found

    def read(self, name: bytes, expect: Identity, buffer: memoryview, *, names_known: int) -> SmallFile:
        """Fill *buffer*, exactly as long as the file, and return what belongs to its bytes.

        Raises SourceChanged unless it is still the state *expect*, SourceBusy when somebody writes or comes to write
        (they are let in at once), SourceRefused for what tiering.hot.refusal names.
        """
        try:
            # Looked at before it is opened: opening a device can do things.
            if not stat.S_ISREG(os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode):
                raise SourceRefused(f"{self._shown(name)} is not a regular file")
            fd = paths.open_file(self._fd, name)
        except OSError as error:
            raise paths.as_source_error(error, self._shown(name)) from error
        try:
            return self._read_open(fd, name, expect, buffer, names_known)
        finally:
            self._lease.end()
            os.close(fd)

    def _read_open(self, fd: int, name: bytes, expect: Identity, buffer: memoryview, names_known: int) -> SmallFile:
        try:
            has_lease = self._lease.begin(fd)
        except OSError as error:
            raise SourceBusy(f"{self._shown(name)} is open for writing in another process") from error
        count = _read_all(fd, buffer)
        try:
            xattrs = read_xattrs(fd)
        except OSError as error:
            why = f"has extended attributes that cannot be read ({error.strerror})"
            raise SourceRefused(f"{self._shown(name)} {why}") from error
        status = os.fstat(fd)
        has_holes = status.st_blocks * _SECTOR < status.st_size and any(e.is_hole for e in layout(fd, len(buffer)))
        if has_lease and not self._lease.is_whole():
            shown = self._shown(name)
            raise SourceBusy(f"{shown} was opened for writing while it was read", now="its writer was not held up")
        if count != len(buffer) or Identity.of(status) != expect:
            raise SourceChanged(f"{self._shown(name)} is not the file that was scanned: it changed since")
        reason = refusal_by_stat(status, names_known=names_known) or self._surroundings.refusal(fd, status, xattrs)
        if reason:
            raise SourceRefused(f"{self._shown(name)} {reason}")
        return SmallFile(meta_of(status, xattrs), has_lease, has_holes)

    def _shown(self, name: bytes) -> str:
        return paths.display(self.root, self.directory, name)


def _as_numbers(expect: Sequence[Identity]) -> NDArray[np.int64]:
    try:
        return np.fromiter(chain.from_iterable(expect), dtype=np.int64, count=len(Identity._fields) * len(expect))
    except OverflowError:  # an inode number beyond 2**63
        rows = [(to_sql_int(i.dev), to_sql_int(i.ino), i.size, i.mtime_ns, i.ctime_ns) for i in expect]
        return np.array(rows, dtype=np.int64)


def _read_all(fd: int, buffer: memoryview) -> int:
    """Fill *buffer* from the file's beginning and return how much came; leave the page cache as it was (P10)."""
    try:
        count = os.preadv(fd, [buffer], 0, os.RWF_NOWAIT) if buffer else 0
        was_cached = count * 2 >= len(buffer)
    except BlockingIOError:
        count, was_cached = 0, False
    except OSError as error:
        if error.errno not in _NO_NOWAIT:
            raise
        count, was_cached = 0, is_mostly_cached(fd, len(buffer))
    while count < len(buffer):
        got = os.preadv(fd, [buffer[count:]], count)
        if got == 0:
            break
        count += got
    if not was_cached:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return count
