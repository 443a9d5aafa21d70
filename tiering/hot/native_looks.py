"""The system calls that look at many names of one folder, as one stretch of machine code that holds no GIL.

Used by tiering.hot.looks, which looks at every name that this refuses alone. Nothing here decides what a refusal means:
any doubt about a name is one.
"""

import stat
from collections.abc import Sequence
from typing import Any

import numpy as np

from dedup.kernels.machine import VOID, compiled, inner, numbers_in, numbers_out
from tiering.hot.native_statx import (
    ATIME,
    BASIC,
    CTIME,
    INO,
    MASK,
    MTIME,
    NO_AUTOMOUNT,
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

COLUMNS = 10
"""Those of tiering.hot.looks.Looks behind the names; mode, the seventh, is 0 for a name that is refused."""

# Neither links nor what an automounter would put there are followed, as with fstatat().
_FLAGS = NO_FOLLOW | NO_AUTOMOUNT
_LAST_S = 9_223_372_035  # seconds whose nanoseconds fit 63 bits whatever stands behind the point
_MOST_BYTES, _MOST_LINKS = 1 << 53, (1 << 31) - 1  # what is beyond is told in words, by tiering.jobs.scan_limits
_TYPE, _REGULAR = stat.S_IFMT(0xFFFF), stat.S_IFREG


@inner
def _is_time(seconds: Any) -> Any:
    return -_LAST_S <= seconds <= _LAST_S


@inner
def _is_plain(found: Any) -> Any:
    """Tell whether a statx is that of a regular file with numbers that nobody has to look at twice."""
    return (
        found[MASK] & BASIC == BASIC
        and mode(found) & _TYPE == _REGULAR
        and found[INO] >= 0
        and 0 <= found[SIZE] <= _MOST_BYTES
        and links(found) <= _MOST_LINKS
        and _is_time(found[MTIME])
        and _is_time(found[CTIME])
        and _is_time(found[ATIME])
    )


def _look_all(where: Any, starts: Any, found: Any, table: Any) -> None:
    """Look at names: *where* = descriptor of their folder, address of their text; each begins at one of *starts*."""
    count = starts.shape[0]
    for at in range(count):
        if statx(where[0], where[1] + starts[at], _FLAGS, BASIC, address_of(found)) != 0 or not _is_plain(found):
            continue
        table[at] = time_ns(found, MTIME)
        table[at + count] = time_ns(found, CTIME)
        table[at + 2 * count] = device(found)
        table[at + 3 * count] = found[INO]
        table[at + 4 * count] = found[SIZE]
        table[at + 5 * count] = links(found)
        table[at + 6 * count] = mode(found)
        table[at + 7 * count] = time_ns(found, ATIME)
        table[at + 8 * count] = uid(found)
        table[at + 9 * count] = gid(found)


_KERNEL = compiled(_look_all, VOID, numbers_in(), numbers_in(), numbers_out(), numbers_out())


def look_all(folder: int, names: Sequence[bytes]) -> list[list[int]]:
    """Return COLUMNS of the regular files among *names* of the open *folder*; zeros for every other name, and for files
    whose numbers are beyond what SQL and recipes hold.
    """
    table = np.zeros(COLUMNS * len(names), dtype=np.int64)
    lengths = np.fromiter(map(len, names), dtype=np.int64, count=len(names)) + 1
    text = np.frombuffer(b"\0".join([*names, b""]), dtype=np.uint8)
    where = np.array((folder, text.ctypes.data), dtype=np.int64)
    _KERNEL(where, np.cumsum(lengths) - lengths, np.zeros(WORDS, dtype=np.int64), table)
    columns: list[list[int]] = table.reshape(COLUMNS, -1).tolist()
    return columns
