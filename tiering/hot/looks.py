"""What stat says of many regular files of one folder, as columns: one comparison for all of a column, not one a file.

Used by tiering.hot.walk and by who scans millions of files. Machine code looks (tiering.hot.native_looks); a name that
it refuses, and every name where it cannot be had, is looked at alone.
"""

import os
from collections.abc import Sequence
from itertools import compress
from operator import attrgetter, not_
from typing import NamedTuple

from tiering.hot import machine_code

_NS = 10**9
_LAST = (1 << 63) - 1
_STAMPS = ("st_mtime_ns", "st_ctime_ns", "st_dev", "st_ino", "st_size", "st_nlink", "st_mode")
_numbers = attrgetter(*_STAMPS, "st_atime_ns", "st_uid", "st_gid")
_DEV, _INO = 2, 3


class Looks(NamedTuple):
    """Regular files with ordinary numbers, ascending by name: a column for each, all of one length."""

    names: Sequence[bytes] = ()
    mtime_ns: Sequence[int] = ()
    ctime_ns: Sequence[int] = ()
    dev: Sequence[int] = ()
    ino: Sequence[int] = ()
    size: Sequence[int] = ()
    nlink: Sequence[int] = ()
    mode: Sequence[int] = ()
    atime_ns: Sequence[int] = ()
    uid: Sequence[int] = ()
    gid: Sequence[int] = ()

    def statuses(self) -> list[os.stat_result]:
        """Return what os.stat() gives for each; of times both forms, of what the columns have not nothing."""
        return list(map(status_of, zip(*self[1:], strict=True)))


def status_of(numbers: tuple[int, ...]) -> os.stat_result:
    """Return the numbers of one file, in the order of Looks, as os.stat() would."""
    mtime_ns, ctime_ns, dev, ino, size, nlink, mode, atime_ns, uid, gid = numbers
    shown = (mode, ino, dev, nlink, uid, gid, size, atime_ns // _NS, mtime_ns // _NS, ctime_ns // _NS)
    exact = {"st_atime_ns": atime_ns, "st_mtime_ns": mtime_ns, "st_ctime_ns": ctime_ns}
    return os.stat_result(shown, exact)


NOTHING = Looks()


def looks_of(files: Sequence[tuple[bytes, os.stat_result]]) -> Looks:
    """Return files that were looked at alone, in the form of those that were not; their numbers may be any.

    Of device and inode the signed 64-bit numbers, as machine code has them.
    """
    if not files:
        return NOTHING
    columns = list(zip(*[_numbers(status) for _, status in files], strict=True))
    for at in (_DEV, _INO):
        if max(columns[at]) > _LAST:
            columns[at] = tuple(number - (1 << 64) if number > _LAST else number for number in columns[at])
    return Looks([name for name, _ in files], *columns)


def look_together(folder: int, names: Sequence[bytes]) -> tuple[Looks, Sequence[bytes]]:
    """Look at the *names*, which ascend, of the open *folder*; return what is a regular file, and the names that must
    be looked at alone.
    """
    kernel = machine_code.room("native_looks")
    if kernel is None:
        return NOTHING, names
    columns: list[list[int]] = kernel.look_all(folder, names)
    modes = Looks(names, *columns).mode
    if 0 not in modes:
        return Looks(names, *columns), ()
    found = Looks(list(compress(names, modes)), *(list(compress(column, modes)) for column in columns))
    return found, list(compress(names, map(not_, modes)))
