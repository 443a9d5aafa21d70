"""Counts which files are being opened, with fanotify: finer evidence of reading than atime, on mounts that keep none
as well.

Opt-in per root (open_counter = true); needs CAP_SYS_ADMIN to watch a file system and CAP_DAC_READ_SEARCH to name
what was opened. The kernel merges events on one object while they wait, so a slow poll is cheap and says "used in
this interval". If its queue overflows, the interval is incomplete and proves nothing about files that were not seen.
"""

import errno
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tiering.hot import syscalls

# include/uapi/linux/fanotify.h
_CLASS_NOTIF, _CLOEXEC, _NONBLOCK, _REPORT_FID = 0x00, 0x01, 0x02, 0x200
_MARK_ADD, _MARK_FILESYSTEM = 0x01, 0x100
_CLOSE_NOWRITE, _OPEN, _Q_OVERFLOW = 0x10, 0x20, 0x4000
_INFO_TYPE_FID = 1
_METADATA = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BBH")
_FID = struct.Struct("=QIi")  # file system id, length and type of the handle
_READ_BYTES = 256 << 10

Handle = tuple[int, int, bytes]
"""(file system id, handle type, handle)."""


@dataclass(frozen=True, slots=True)
class OpensSeen:
    """What one poll found."""

    inodes: Mapping[tuple[int, int], int]
    """(dev, ino) -> events since the last poll; at least 1, merged ones count once."""
    overflowed: bool
    """Events were lost: files that are not listed may have been opened too."""


class OpenCounter:
    """Watches the file systems of some roots. A context manager; polled by one thread."""

    def __init__(self, group_fd: int, mounts: Mapping[int, int]) -> None:
        """Take over the open group, and a directory descriptor per file system id. Use open_counter()."""
        self._group_fd = group_fd
        self._mounts = dict(mounts)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        self.close()

    def close(self) -> None:
        """Stop watching. May be called twice."""
        for fd in (self._group_fd, *self._mounts.values()):
            if fd >= 0:
                os.close(fd)
        self._group_fd = -1
        self._mounts = {}

    def poll(self) -> OpensSeen:
        """Return what was opened since the last poll, by others than this process. Never blocks."""
        counts: dict[Handle, int] = {}
        overflowed = False
        while True:
            try:
                data = os.read(self._group_fd, _READ_BYTES)
            except BlockingIOError:
                break
            overflowed |= parse_events(data, counts, own_pid=os.getpid())
        inodes: dict[tuple[int, int], int] = {}
        for handle, count in counts.items():
            inode = self._inode(handle)
            if inode is not None:
                inodes[inode] = inodes.get(inode, 0) + count
        return OpensSeen(inodes, overflowed)

    def _inode(self, handle: Handle) -> tuple[int, int] | None:
        fs_id, kind, body = handle
        if fs_id not in self._mounts:
            return None
        try:
            fd = syscalls.open_handle(self._mounts[fs_id], (kind, body), os.O_PATH)
        except OSError as error:
            if error.errno in {errno.ESTALE, errno.ENOENT}:  # deleted since
                return None
            raise
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        return status.st_dev, status.st_ino


def open_counter(roots: Sequence[bytes]) -> OpenCounter:
    """Begin to watch the file systems that *roots* are on. Raises OSError: EPERM without the capability, EXDEV,
    ENODEV or EOPNOTSUPP where the file system has no handles.
    """
    group_fd = syscalls.fanotify_init(_CLASS_NOTIF | _CLOEXEC | _NONBLOCK | _REPORT_FID, 0)
    counter = OpenCounter(group_fd, {})
    mounts: dict[int, int] = {}
    try:
        for root in roots:
            syscalls.fanotify_mark(group_fd, _MARK_ADD | _MARK_FILESYSTEM, _OPEN | _CLOSE_NOWRITE, root)
            fs_id = os.statvfs(root).f_fsid & (1 << 64) - 1
            if fs_id not in mounts:
                mounts[fs_id] = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        for fd in mounts.values():
            os.close(fd)
        counter.close()
        raise
    return OpenCounter(group_fd, mounts)


def parse_events(data: bytes, counts: dict[Handle, int], *, own_pid: int) -> bool:
    """Add the events in *data* to *counts*, those of *own_pid* left out; return whether the queue overflowed."""
    overflowed = False
    position = 0
    while position + _METADATA.size <= len(data):
        length, _, _, header_length, mask, _, pid = _METADATA.unpack_from(data, position)
        if length < _METADATA.size:
            break  # malformed: never loop
        overflowed |= bool(mask & _Q_OVERFLOW)
        if pid != own_pid:
            handle = _handle(data[position + header_length : position + length])
            if handle is not None:
                counts[handle] = counts.get(handle, 0) + 1
        position += length
    return overflowed


def _handle(records: bytes) -> Handle | None:
    position = 0
    while position + _INFO.size <= len(records):
        kind, _, length = _INFO.unpack_from(records, position)
        if length < _INFO.size:
            return None
        if kind == _INFO_TYPE_FID and length >= _INFO.size + _FID.size:
            fs_id, handle_length, handle_type = _FID.unpack_from(records, position + _INFO.size)
            start = position + _INFO.size + _FID.size
            return fs_id, handle_type, records[start : start + handle_length]
        position += length
    return None
