"""The system calls that look at many names of one folder, as one stretch of machine code that holds no GIL.

Used by tiering.hot.looks, which looks at every name that this refuses alone. Nothing here decides what a refusal means:
any doubt about a name is one.
"""

import ctypes
import stat
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from dedup.kernels.machine import I32, I64, VOID, compiled, external, inner, numbers_in, numbers_out

COLUMNS = 10
"""Those of tiering.hot.looks.Looks behind the names; mode, the seventh, is 0 for a name that is refused."""

_STATX_WORDS = 32
# struct statx, include/uapi/linux/stat.h: the same on every architecture. In words of eight bytes.
_MASK, _IDS, _MODE, _INO, _SIZE, _DEVICE = 0, 2, 3, 4, 5, 17
_ATIME, _CTIME, _MTIME = 8, 12, 14
# Neither links nor what an automounter would put there are followed, as with fstatat().
_FLAGS = 0x100 | 0x800
_BASIC = 0x7FF
_NS = 10**9
_LOW = 0xFFFFFFFF
_LAST_S = 9_223_372_035  # seconds whose nanoseconds fit 63 bits whatever stands behind the point
_MOST_BYTES, _MOST_LINKS = 1 << 53, (1 << 31) - 1  # what is beyond is told in words, by tiering.jobs.scan_limits
_TYPE, _REGULAR = stat.S_IFMT(0xFFFF), stat.S_IFREG

if sys.byteorder != "little" or sys.maxsize < 1 << 32 or not hasattr(ctypes.CDLL(None), "statx"):
    raise ImportError("this C library or machine is not one that many names can be looked at with at once")

_statx = external("statx", I32, I32, I64, I32, I32, I64)


@inner
def _place(array: Any) -> Any:
    return np.int64(array.ctypes.data)


@inner
def _is_time(seconds: Any) -> Any:
    return -_LAST_S <= seconds <= _LAST_S


@inner
def _is_plain(found: Any) -> Any:
    """Tell whether a statx is that of a regular file with numbers that nobody has to look at twice."""
    return (
        found[_MASK] & _BASIC == _BASIC
        and found[_MODE] >> 32 & _TYPE == _REGULAR
        and found[_INO] >= 0
        and 0 <= found[_SIZE] <= _MOST_BYTES
        and found[_IDS] & _LOW <= _MOST_LINKS
        and _is_time(found[_MTIME])
        and _is_time(found[_CTIME])
        and _is_time(found[_ATIME])
    )


@inner
def _time(found: Any, at: Any) -> Any:
    return found[at] * _NS + (found[at + 1] & _LOW)


def _look_all(where: Any, starts: Any, found: Any, table: Any) -> None:
    """Look at names: *where* = descriptor of their folder, address of their text; each begins at one of *starts*."""
    count = starts.shape[0]
    for at in range(count):
        if _statx(where[0], where[1] + starts[at], _FLAGS, _BASIC, _place(found)) != 0 or not _is_plain(found):
            continue
        major, minor = found[_DEVICE] & _LOW, found[_DEVICE] >> 32 & _LOW
        table[at] = _time(found, _MTIME)
        table[at + count] = _time(found, _CTIME)
        table[at + 2 * count] = (
            (major & 0xFFFFF000) << 32 | (major & 0xFFF) << 8 | (minor & 0xFFFFFF00) << 12 | minor & 0xFF
        )
        table[at + 3 * count] = found[_INO]
        table[at + 4 * count] = found[_SIZE]
        table[at + 5 * count] = found[_IDS] & _LOW
        table[at + 6 * count] = found[_MODE] >> 32 & 0xFFFF
        table[at + 7 * count] = _time(found, _ATIME)
        table[at + 8 * count] = found[_IDS] >> 32 & _LOW
        table[at + 9 * count] = found[_MODE] & _LOW


_KERNEL = compiled(_look_all, VOID, numbers_in(), numbers_in(), numbers_out(), numbers_out())


def look_all(folder: int, names: Sequence[bytes]) -> list[list[int]]:
    """Return COLUMNS of the regular files among *names* of the open *folder*; zeros for every other name, and for files
    whose numbers are beyond what SQL and recipes hold.
    """
    table = np.zeros(COLUMNS * len(names), dtype=np.int64)
    lengths = np.fromiter(map(len, names), dtype=np.int64, count=len(names)) + 1
    text = np.frombuffer(b"\0".join([*names, b""]), dtype=np.uint8)
    where = np.array((folder, text.ctypes.data), dtype=np.int64)
    _KERNEL(where, np.cumsum(lengths) - lengths, np.zeros(_STATX_WORDS, dtype=np.int64), table)
    columns: list[list[int]] = table.reshape(COLUMNS, -1).tolist()
    return columns
