"""What making a file under a hidden name takes, whoever makes it: creating, reserving, writing, and what its trouble is
called.

Used by tiering.jobs.assembly (recall) and tiering.jobs.landing (restore).
"""

import errno
import os
from collections.abc import Sequence

from tiering.errors import FrostlineError, NoSpace, SourceError
from tiering.hot.new_files import write_all
from tiering.hot.swap import unlink_if_there
from tiering.jobs.fetch_sinks import Piece

WHOLE_BYTES = 4 << 20
"""Up to this size a file may be taken in one piece; a larger one is written as its pieces come."""
READ_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE_BYTES = 64 << 10  # as tiering.hot.native_writes, for its reasons
_NO_RESERVING = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def created(dir_fd: int, hidden: bytes, mode: int, *, is_ours_alone: bool = True) -> int:
    """Return a new file, open for reading and writing. Under a name that is ours alone, what an earlier attempt left is
    removed; under any other, FileExistsError.
    """
    try:
        return os.open(hidden, READ_WRITE | os.O_CREAT | os.O_EXCL, mode, dir_fd=dir_fd)
    except FileExistsError:
        if not is_ours_alone:
            raise
        unlink_if_there(dir_fd, hidden)
        return os.open(hidden, READ_WRITE | os.O_CREAT | os.O_EXCL, mode, dir_fd=dir_fd)


def reserve(fd: int, size: int, hole_bytes: int) -> None:
    """Give the file its size; a large one without holes its blocks too, at once: laid out in one piece, and a full disk
    says so now.
    """
    if size:
        os.ftruncate(fd, size)
    if size <= WHOLE_BYTES or hole_bytes:
        return
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in _NO_RESERVING:
            raise


def write_pieces(fd: int, pieces: Sequence[Piece]) -> None:
    """Write all of *pieces*, ascending."""
    if write_all(fd, pieces):
        return
    for offset, data in pieces:
        view, at = memoryview(data), offset
        while view:
            count = os.pwrite(fd, view[:_WRITE_BYTES], at)
            view, at = view[count:], at + count


def trouble(error: Exception, shown: str) -> FrostlineError:
    """Return what *error* is for the file shown as *shown*."""
    if isinstance(error, FrostlineError):
        return error
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        now = "nothing at its path was changed"
        return NoSpace(f"{shown}: {error.strerror}", now=now, hint="free space and run it again")
    return SourceError(f"{shown} cannot be written: {getattr(error, 'strerror', None) or error}")
