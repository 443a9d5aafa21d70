"""Many new files made at once, and many files given their names at once.

Used by restore. Ordinary files go through tiering.hot.native_writes, in one call that holds no GIL; whatever that
refuses, and everything where there is no machine code, is left to be done one by one by whoever can say what is wrong.
Nothing here makes anything durable, and no name that is taken is touched.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from tiering.hot import machine_code


class NewFile(NamedTuple):
    """A file that is wanted: without attributes, in a folder that gives it none."""

    folder_fd: int
    mode: int
    """As st_mode has it."""
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    size: int
    """-1: where its last piece ends."""
    pieces: int
    """How many it has."""


class Naming(NamedTuple):
    """A file that is to have its name."""

    folder_fd: int
    hidden: bytes
    name: bytes
    """b"": it keeps the one it has."""
    is_dropped: bool
    """Whether the page cache forgets it before that."""


def make_all(
    names: Sequence[bytes],
    wanted: Sequence[NewFile],
    pieces: Sequence[tuple[int, bytes | memoryview]],
    owner: tuple[int, int],
) -> list[int]:
    """Make the files *names* and return of each whether it is there: new, with its bytes and metadata, closed.

    *pieces* are those of all files, one file after the other, ascending: (offset, bytes). Of a file that was not made
    nothing is left; what stood under its name before stands there still. *owner* is whose files new ones are.
    """
    kernel = machine_code.room("native_writes")
    if kernel is None or not wanted:
        return [False] * len(names)
    try:
        table = np.fromiter(chain.from_iterable(wanted), dtype=np.int64, count=len(NewFile._fields) * len(wanted))
    except OverflowError:  # a time beyond 63 bits
        return [False] * len(names)
    made: list[int] = kernel.make_all(names, table, pieces, owner)
    return made


def write_all(fd: int, pieces: Sequence[tuple[int, bytes | memoryview]]) -> bool:
    """Write *pieces*, ascending, to the open file *fd*; return whether they are there. If not, write them alone."""
    kernel = machine_code.room("native_writes")
    return kernel is not None and bool(pieces) and kernel.write_all(fd, pieces)


def name_all(files: Sequence[Naming]) -> list[int]:
    """Give durable files their names, and return which have theirs now; the others have their hidden ones."""
    kernel = machine_code.room("native_writes")
    if kernel is None or not files:
        return [False] * len(files)
    named: list[int] = kernel.name_all(files)
    return named
