"""The system calls that read many small files of one folder, as one stretch of machine code that holds no GIL.

Used by tiering.hot.small_files, which says what is proven by which call and reads, one by one and with today's words,
every file that this refuses. Nothing here decides what a refusal means: any doubt about a file is one.
"""

import ctypes
import errno
import fcntl
import os
import signal
import stat
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.kernels.machine import (
    ADDRESS,
    I32,
    I64,
    VOID,
    compiled,
    external,
    inner,
    numbers_in,
    numbers_out,
    viewed,
)
from tiering.hot import syscalls
from tiering.hot.native_statx import (
    ATIME,
    ATTRIBUTES,
    BASIC,
    BLOCKS,
    CTIME,
    EMPTY_PATH,
    INO,
    KNOWN,
    MTIME,
    NO_FOLLOW,
    SIZE,
    WORDS,
    address_of,
    device,
    gid,
    links,
    mode,
    statx,
    time_ns,
    uid,
)

EXPECTED = ("dev", "ino", "size", "mtime_ns", "ctime_ns")
"""Numbers that a file is expected by, as SQL keeps them."""
FOUND = ("is_read", "has_lease", "mode", "uid", "gid", "atime_ns")
"""Numbers that are found of it."""

# The columns of a table of files: the two above, and where a file's name stands.
_DEV_AT, _INO_AT, _SIZE_AT, _MTIME_AT, _CTIME_AT = range(5)
_READ_AT, _LEASE_AT, _MODE_AT, _UID_AT, _GID_AT, _ATIME_AT = range(5, 11)
_NAME_AT = 11
_COLUMNS = 12

_REFUSED, _READ, _COLD = 0, 1, 2
_SECTOR = 512  # what blocks are counted in
# The inode flags of syscalls.inode_flags() have the same numbers among the attributes.
_SEALED = syscalls.FS_IMMUTABLE_FL | syscalls.FS_APPEND_FL | syscalls.FS_VERITY_FL

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_ATIME = os.O_NOATIME
_SETSIG, _SETLEASE, _GETLEASE, _READ_LEASE = fcntl.F_SETSIG, fcntl.F_SETLEASE, fcntl.F_GETLEASE, fcntl.F_RDLCK
_SIGNAL = int(signal.SIGURG)  # as tiering.hot.lease does, for its reasons
_NOWAIT = os.RWF_NOWAIT
_SEEK_HOLE = os.SEEK_HOLE
_WILL_NEED, _DO_NOT_NEED = os.POSIX_FADV_WILLNEED, os.POSIX_FADV_DONTNEED
_GET_FLAGS = syscalls.FS_IOC_GETFLAGS
_EPERM, _EAGAIN, _EBUSY, _EINVAL, _ENOSYS = errno.EPERM, errno.EAGAIN, errno.EBUSY, errno.EINVAL, errno.ENOSYS
_ENOTSUP, _ENOTTY = errno.ENOTSUP, errno.ENOTTY

_NAMES = (
    "openat",
    "close",
    "fcntl",
    "preadv2",
    "flistxattr",
    "lseek",
    "ioctl",
    "posix_fadvise",
    "__errno_location",
)
_ERRNO = "__errno_location"
_TYPE, _REGULAR = stat.S_IFMT(0xFFFF), stat.S_IFREG
_SETUID, _SETGID, _GROUP_RUNS = stat.S_ISUID, stat.S_ISGID, stat.S_IXGRP

_libc = ctypes.CDLL(None)
if any(not hasattr(_libc, name) for name in _NAMES):
    raise ImportError("this C library or machine is not one that many files can be read with at once")

_openat = external("openat", I32, I32, I64, I32, I32)
_close = external("close", I32, I32)
_fcntl = external("fcntl", I32, I32, I32, I64)
_preadv2 = external("preadv2", I64, I32, I64, I32, I64, I32)
_flistxattr = external("flistxattr", I64, I32, I64, I64)
_lseek = external("lseek", I64, I32, I64, I32)
_ioctl = external("ioctl", I32, I32, I64, I64)
_posix_fadvise = external("posix_fadvise", I32, I32, I64, I64, I32)
_errno_location = external(_ERRNO, ADDRESS)


@inner
def _errno() -> Any:
    return viewed(_errno_location(), 1, np.int32)[0]


@inner
def _opened(folder: Any, name: Any) -> Any:
    """Open a file as tiering.hot.paths.open_file() does; -1 if that fails."""
    fd = _openat(folder, name, _OPEN | _NO_ATIME, 0)
    if fd < 0 and _errno() == _EPERM:
        fd = _openat(folder, name, _OPEN, 0)
    return fd


@inner
def _is_sealed(fd: Any, scratch: Any) -> Any:
    """Tell whether a file whose statx is in *scratch* is immutable, append-only or sealed with fs-verity."""
    if scratch[KNOWN] & _SEALED == _SEALED:
        return scratch[ATTRIBUTES] & _SEALED != 0
    scratch[WORDS] = 0
    if _ioctl(fd, _GET_FLAGS, address_of(scratch) + 8 * WORDS) == 0:
        return scratch[WORDS] & _SEALED != 0
    code = _errno()
    return code not in (_ENOTTY, _EINVAL, _ENOTSUP, _ENOSYS)


@inner
def _is_as_expected(scratch: Any, row: Any) -> Any:
    """Compare a statx in *scratch* with what tiering.hot.identity holds of a file; one name only, nothing special."""
    return (
        device(scratch) == row[_DEV_AT]
        and scratch[INO] == row[_INO_AT]
        and scratch[SIZE] == row[_SIZE_AT]
        and time_ns(scratch, MTIME) == row[_MTIME_AT]
        and time_ns(scratch, CTIME) == row[_CTIME_AT]
        and links(scratch) == 1
        and mode(scratch) & _TYPE == _REGULAR
        and mode(scratch) & _SETUID == 0
        and (mode(scratch) & _SETGID == 0 or mode(scratch) & _GROUP_RUNS == 0)
    )


@inner
def _fetched(fd: Any, place: Any, size: Any, scratch: Any) -> Any:
    """Read a file for the page cache's sake: no lease is held while the disk is waited for."""
    done = 0
    while done < size:
        scratch[0], scratch[1] = place + done, size - done
        got = _preadv2(fd, address_of(scratch), 1, done, 0)
        if got <= 0:
            return False
        done += got
    return True


@inner
def _held(fd: Any) -> Any:
    """Take a read lease: 1, 0 where none can be had, -1 where somebody writes."""
    if _fcntl(fd, _SETSIG, _SIGNAL) == 0 and _fcntl(fd, _SETLEASE, _READ_LEASE) == 0:
        return 1
    return -1 if _errno() in (_EAGAIN, _EBUSY) else 0


@inner
def _copied(fd: Any, place: Any, row: Any, scratch: Any) -> Any:
    """Copy a file from the page cache; _COLD where it is not all there, and then how much is, in place of the lease."""
    size = row[_SIZE_AT]
    if size == 0:
        return _READ
    scratch[0], scratch[1] = place, size
    got = _preadv2(fd, address_of(scratch), 1, 0, _NOWAIT)
    if got == size:
        return _READ
    row[_LEASE_AT] = max(got, 0)
    return _COLD if got >= 0 or _errno() == _EAGAIN else _REFUSED


@inner
def _has_attributes(fd: Any) -> Any:
    count = _flistxattr(fd, 0, 0)
    return count > 0 or (count < 0 and _errno() not in (_ENOTSUP, _ENOSYS, _EINVAL))


@inner
def _has_holes(fd: Any, size: Any, scratch: Any) -> Any:
    """Tell whether a file whose statx is in *scratch* may have holes, as tiering.hot.source.layout() finds them."""
    if scratch[BLOCKS] * _SECTOR >= size:
        return False
    end = _lseek(fd, 0, _SEEK_HOLE)
    return end < size and not (end < 0 and _errno() == _EINVAL)


@inner
def _is_ordinary(fd: Any, row: Any, scratch: Any) -> Any:
    """Look at all that must be as it was scanned when the last byte has been read; leaves a statx in *scratch*."""
    if _has_attributes(fd):
        return False
    empty = address_of(scratch) + 8 * (WORDS + 1)
    if statx(fd, empty, EMPTY_PATH, BASIC, address_of(scratch)) != 0 or not _is_as_expected(scratch, row):
        return False
    return not _has_holes(fd, row[_SIZE_AT], scratch) and not _is_sealed(fd, scratch)


@inner
def _read_open(fd: Any, place: Any, row: Any, scratch: Any) -> Any:
    """Read one open file under a lease; whether it is whole is asked last."""
    lease = _held(fd)
    if lease < 0:
        return _REFUSED
    status = _copied(fd, place, row, scratch)
    if status != _READ:
        return status
    if not _is_ordinary(fd, row, scratch) or (lease == 1 and _fcntl(fd, _GETLEASE, 0) != _READ_LEASE):
        return _REFUSED
    row[_LEASE_AT] = lease
    row[_MODE_AT] = mode(scratch)
    row[_UID_AT] = uid(scratch)
    row[_GID_AT] = gid(scratch)
    row[_ATIME_AT] = time_ns(scratch, ATIME)
    return _READ


@inner
def _read_one(where: Any, place: Any, row: Any, scratch: Any, is_cold: Any) -> Any:
    """Open, read and close one file. Closing gives the lease up."""
    folder, name = where[0], where[1] + row[_NAME_AT]
    # Looked at before it is opened: opening a device can do things.
    if statx(folder, name, NO_FOLLOW, BASIC, address_of(scratch)) != 0 or not _is_as_expected(scratch, row):
        return _REFUSED
    fd = _opened(folder, name)
    if fd < 0:
        return _REFUSED
    was_cached = 2 * row[_LEASE_AT] >= row[_SIZE_AT]
    status = _REFUSED
    if not is_cold or _fetched(fd, place, row[_SIZE_AT], scratch):
        status = _read_open(fd, place, row, scratch)
    if is_cold and not was_cached:
        _posix_fadvise(fd, 0, 0, _DO_NOT_NEED)  # as it was (P10)
    if not is_cold and status == _COLD:
        _posix_fadvise(fd, 0, 0, _WILL_NEED)
    _close(fd)
    return status


def _read_all(where: Any, scratch: Any, table: Any) -> None:
    """Read the files of *table*, first those that are in the page cache; the disk fetches the others meanwhile.

    *where* = descriptor of their folder, addresses of their names and of the buffer that they fill in order.
    """
    cold, place = 0, where[2]
    for at in range(0, table.shape[0], _COLUMNS):
        row = table[at : at + _COLUMNS]
        row[_READ_AT] = _read_one(where, place, row, scratch, False)
        place += row[_SIZE_AT]
        cold += row[_READ_AT] == _COLD
    place = where[2]
    for at in range(0, table.shape[0] if cold else 0, _COLUMNS):
        row = table[at : at + _COLUMNS]
        if row[_READ_AT] == _COLD:
            row[_READ_AT] = _read_one(where, place, row, scratch, True) == _READ
        place += row[_SIZE_AT]


_KERNEL = compiled(_read_all, VOID, numbers_in(), numbers_out(), numbers_out())


def read_all(folder: int, names: Sequence[bytes], expected: NDArray[np.int64], buffer: memoryview) -> NDArray[np.int64]:
    """Read the files *names* of the open *folder* into *buffer*, one behind the other, and return what was found: a
    row of FOUND for each.

    *expected* has a row of EXPECTED for each. The bytes of a file that was not read are worthless: it is not as
    expected, is being written, has more names or attributes than its own, or holes, or is otherwise not ordinary.
    """
    table = np.zeros((len(names), _COLUMNS), dtype=np.int64)
    table[:, : len(EXPECTED)] = expected.reshape(-1, len(EXPECTED))
    lengths = np.fromiter((len(name) + 1 for name in names), dtype=np.int64, count=len(names))
    table[:, _NAME_AT] = np.cumsum(lengths) - lengths
    text = np.frombuffer(b"\0".join([*names, b""]), dtype=np.uint8)
    out = np.frombuffer(buffer, dtype=np.uint8)
    if table[:, _SIZE_AT].sum() != len(out) or table[:, _SIZE_AT].min(initial=0) < 0:
        raise ValueError("the buffer is not as long as the files")
    where = np.array((folder, text.ctypes.data, out.ctypes.data), dtype=np.int64)
    _KERNEL(where, np.zeros(WORDS + 2, dtype=np.int64), table.reshape(-1))
    return table[:, _READ_AT:_NAME_AT]
