"""The system calls that make many new files, and that give many files their names, each as one stretch of machine code
that holds no GIL.

Used by tiering.hot.new_files. Nothing here decides what a refusal means: a file that does not come out just as wanted
is removed, to be made again by whoever can say what is wrong.
"""

import ctypes
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.kernels.machine import I32, I64, VOID, compiled, external, inner, numbers_in, numbers_out
from tiering.hot import syscalls
from tiering.hot.native_statx import BASIC, EMPTY_PATH, WORDS, address_of, gid, mode, statx, uid

WANTED = 8
"""Of a wanted file: open folder, st_mode, uid, gid, atime_ns, mtime_ns, size or -1, number of pieces."""

# The columns of a table of wanted files: those, where a file's name stands, and whether it was made.
_FOLDER_AT, _MODE_AT, _UID_AT, _GID_AT, _ATIME_AT, _MTIME_AT, _SIZE_AT, _PIECES_AT, _NAME_AT, _MADE_AT = range(10)
_COLUMNS = 10
# And of files that get their names: open folder, whether the page cache is to forget it, where its hidden name stands,
# how far behind that the other one does (0: it keeps the one it has), and whether it has it now.
_DROPPED_AT, _HIDDEN_AT, _BEHIND_AT, _NAMED_AT = range(1, 5)
_NAMING = 5

WRITE_BYTES = 64 << 10
"""Written in one call. For more the kernel looks for longer runs of free memory, which it has to make where the page
cache fills the memory: up to three times the cost of a write.
"""
_NS = 10**9
_RIGHTS, _BITS = 0o777, 0o7777
_PRIVATE = 0o600
_MOST_VECTORS = 1024  # UIO_MAXIOV
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DO_NOT_NEED = os.POSIX_FADV_DONTNEED
_NO_REPLACE = syscalls.RENAME_NOREPLACE
_NAMES = (
    "openat",
    "close",
    "pwritev",
    "ftruncate",
    "fchown",
    "fchmod",
    "futimens",
    "unlinkat",
    "renameat2",
    "posix_fadvise",
)

_libc = ctypes.CDLL(None)
if any(not hasattr(_libc, name) for name in _NAMES):
    raise ImportError("this C library or machine is not one that many files can be made with at once")

_openat = external("openat", I32, I32, I64, I32, I32)
_close = external("close", I32, I32)
_pwrite = external("pwrite", I64, I32, I64, I64, I64)
_pwritev = external("pwritev", I64, I32, I64, I32, I64)
_ftruncate = external("ftruncate", I32, I32, I64)
_fchown = external("fchown", I32, I32, I32, I32)
_fchmod = external("fchmod", I32, I32, I32)
_futimens = external("futimens", I32, I32, I64)
_unlinkat = external("unlinkat", I32, I32, I64, I32)
_renameat2 = external("renameat2", I32, I32, I64, I32, I64, I32)
_posix_fadvise = external("posix_fadvise", I32, I32, I64, I64, I32)


@inner
def _is_piece_written(fd: Any, place: Any, count: Any, offset: Any) -> Any:
    """Write one piece, WRITE_BYTES at a time."""
    while count > 0:
        step = min(count, WRITE_BYTES - offset % WRITE_BYTES)
        if _pwrite(fd, place, step, offset) != step:
            return False
        place, count, offset = place + step, count - step, offset + step
    return True


@inner
def _is_written(fd: Any, vectors: Any, offsets: Any, first: Any, end: Any) -> Any:
    """Write the pieces from *first* to before *end*; short ones that adjoin in one call."""
    while first < end:
        behind, count = first + 1, vectors[2 * first + 1]
        while behind < end and behind - first < _MOST_VECTORS and offsets[behind] == offsets[first] + count:
            if count + vectors[2 * behind + 1] > WRITE_BYTES:
                break
            count += vectors[2 * behind + 1]
            behind += 1
        if behind == first + 1:
            if not _is_piece_written(fd, vectors[2 * first], count, offsets[first]):
                return False
        elif _pwritev(fd, address_of(vectors) + 16 * first, behind - first, offsets[first]) != count:
            return False
        first = behind
    return True


@inner
def _is_looked_at(fd: Any, scratch: Any) -> Any:
    return statx(fd, address_of(scratch) + 8 * WORDS, EMPTY_PATH, BASIC, address_of(scratch)) == 0


@inner
def _is_owned(row: Any, scratch: Any) -> Any:
    return uid(scratch) == row[_UID_AT] and gid(scratch) == row[_GID_AT]


@inner
def _is_as_wanted(fd: Any, row: Any, scratch: Any) -> Any:
    """Give the file its owner, mode and times, in the order of tiering.hot.meta.apply_meta()."""
    if not _is_looked_at(fd, scratch):
        return False
    if not _is_owned(row, scratch) or mode(scratch) != row[_MODE_AT]:
        if not _is_owned(row, scratch) and _fchown(fd, row[_UID_AT], row[_GID_AT]) != 0:
            return False
        if _fchmod(fd, row[_MODE_AT] & _BITS) != 0 or not _is_looked_at(fd, scratch):
            return False
        if not _is_owned(row, scratch) or mode(scratch) != row[_MODE_AT]:
            return False
    scratch[0], scratch[1] = row[_ATIME_AT] // _NS, row[_ATIME_AT] % _NS
    scratch[2], scratch[3] = row[_MTIME_AT] // _NS, row[_MTIME_AT] % _NS
    return _futimens(fd, address_of(scratch)) == 0


@inner
def _is_made(where: Any, row: Any, data: Any, first: Any, scratch: Any) -> Any:
    # Its own mode at once, where it will have no other owner and none of the bits that make a program of it.
    is_ours = row[_UID_AT] == where[1] and row[_GID_AT] == where[2]
    at_once = row[_MODE_AT] & _RIGHTS if is_ours else _PRIVATE
    fd = _openat(row[_FOLDER_AT], where[0] + row[_NAME_AT], _CREATE, at_once)
    if fd < 0:
        return False
    vectors, offsets = data
    is_made = _is_written(fd, vectors, offsets, first, first + row[_PIECES_AT])
    if is_made and row[_SIZE_AT] >= 0:
        is_made = _ftruncate(fd, row[_SIZE_AT]) == 0
    is_made = is_made and _is_as_wanted(fd, row, scratch)
    if _close(fd) == 0 and is_made:
        return True
    _unlinkat(row[_FOLDER_AT], where[0] + row[_NAME_AT], 0)
    return False


def _make_all(where: Any, data: Any, scratch: Any, table: Any) -> None:
    """Make the files of *table*; *where* = address of their names, our uid and gid; *data* = address and length of each
    piece, and its offset in the file.
    """
    first = 0
    for at in range(0, table.shape[0], _COLUMNS):
        row = table[at : at + _COLUMNS]
        row[_MADE_AT] = _is_made(where, row, data, first, scratch)
        first += row[_PIECES_AT]


def _write_all(fd: Any, vectors: Any, offsets: Any) -> Any:
    """Write all pieces to an open file; tell whether that went well."""
    return _is_written(fd, vectors, offsets, 0, offsets.shape[0])


def _name_all(text: Any, table: Any) -> None:
    """Give the files of *table* their names, which stand at the address *text*."""
    for at in range(0, table.shape[0], _NAMING):
        row = table[at : at + _NAMING]
        folder, hidden = row[_FOLDER_AT], text + row[_HIDDEN_AT]
        if row[_DROPPED_AT]:
            fd = _openat(folder, hidden, _READ, 0)
            if fd >= 0:
                _posix_fadvise(fd, 0, 0, _DO_NOT_NEED)
                _close(fd)
        name = hidden + row[_BEHIND_AT]
        row[_NAMED_AT] = row[_BEHIND_AT] == 0 or _renameat2(folder, hidden, folder, name, _NO_REPLACE) == 0


_MAKE = compiled(_make_all, VOID, numbers_in(), (numbers_in(), numbers_in()), numbers_out(), numbers_out())
_WRITE = compiled(_write_all, I32, I32, numbers_in(), numbers_in())
_NAME = compiled(_name_all, VOID, I64, numbers_out())


def make_all(
    names: Sequence[bytes], wanted: NDArray[np.int64], pieces: Sequence[tuple[int, Any]], owner: tuple[int, int]
) -> list[int]:
    """Make the files *names*, a row of WANTED for each in *wanted*, and return which are there now, whole and closed.

    *pieces* are those of all files, one file after the other. New files belong to *owner*.
    """
    table = np.zeros((len(names), _COLUMNS), dtype=np.int64)
    table[:, :WANTED] = wanted.reshape(-1, WANTED)
    if table[:, _PIECES_AT].sum() != len(pieces) or table[:, _PIECES_AT].min(initial=0) < 0:
        raise ValueError("the table is not one of these pieces")
    text, table[:, _NAME_AT] = _laid_out(names)
    where = np.array((text.ctypes.data, *owner), dtype=np.int64)
    _MAKE(where, _addressed(pieces), np.zeros(WORDS + 1, dtype=np.int64), table.reshape(-1))
    made: list[int] = table[:, _MADE_AT].tolist()
    return made


def write_all(fd: int, pieces: Sequence[tuple[int, Any]]) -> bool:
    """Write *pieces*, ascending, to the open file; False: some of them may not be there."""
    return bool(_WRITE(fd, *_addressed(pieces)))


def name_all(files: Sequence[tuple[int, bytes, bytes, bool]]) -> list[int]:
    """Rename files inside their folders unless the name is taken, and return which have it.

    Each of *files* is (open folder, hidden name, name or b"", whether the page cache is to forget it before).
    """
    table = np.zeros((len(files), _NAMING), dtype=np.int64)
    text, table[:, _HIDDEN_AT] = _laid_out([hidden + b"\0" + name for _, hidden, name, _ in files])
    table[:, _FOLDER_AT] = [folder for folder, _, _, _ in files]
    table[:, _DROPPED_AT] = [is_dropped for _, _, _, is_dropped in files]
    table[:, _BEHIND_AT] = [len(hidden) + 1 if name else 0 for _, hidden, name, _ in files]
    _NAME(text.ctypes.data, table.reshape(-1))
    named: list[int] = table[:, _NAMED_AT].tolist()
    return named


def _addressed(pieces: Sequence[tuple[int, Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return address and length of each piece, and its offset. The pieces have to be held as long as these are used."""
    views = [np.frombuffer(data, dtype=np.uint8) for _, data in pieces]
    vectors = np.empty(2 * len(views), dtype=np.int64)
    vectors[0::2] = [view.__array_interface__["data"][0] for view in views]
    vectors[1::2] = [len(view) for view in views]
    return vectors, np.fromiter((offset for offset, _ in pieces), dtype=np.int64, count=len(pieces))


def _laid_out(names: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return all names, each with a zero behind it, and where each begins."""
    lengths = np.fromiter(map(len, names), dtype=np.int64, count=len(names)) + 1
    return np.frombuffer(b"\0".join([*names, b""]), dtype=np.uint8), np.cumsum(lengths) - lengths
