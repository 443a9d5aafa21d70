"""The marker of a restore in its target folder: says whose hidden files and folders are, and whether it still lives.

Used by tiering.jobs.restore and its parts. What a restore makes is called `.frostline-new-<id>.<number>` until it has
its name; the marker, `.frostline-restore-<id>`, is durable before the first of them is made, and goes after the last.
It is locked (flock) meanwhile. The kernel ends the lock with the process, however that ends; it holds in every
container of the machine, and over NFS on other hosts. Each restore removes what those before it left whose marker it
can lock.
"""

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from typing import NamedTuple

from tiering.hot import names
from tiering.hot.swap import is_inode, unlink_if_there
from tiering.jobs.processes import is_of_this_machine

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NFS locks only what is open for writing
_MOST_BYTES = 16 << 20  # of a marker: all that a command line may have, and more
_TRIES = 3


class Mark:
    """One living restore, and the hidden names that it answers for."""

    __slots__ = ("_fd", "_numbers", "_prefix", "_run", "_to_fd")

    def __init__(self, to_fd: int, run: str, fd: int) -> None:
        """Describe the restore *run* into the open folder *to_fd*; *fd* is its marker, locked, or -1."""
        self._to_fd = to_fd
        self._run = run
        self._fd = fd
        self._prefix = names.new(run)
        self._numbers = count(1)

    def name(self) -> bytes:
        """Return a hidden name that was not given before."""
        return self._prefix + b".%d" % next(self._numbers)

    def remove(self) -> None:
        """Remove the marker: nothing hidden is left."""
        if self._fd >= 0:
            with suppress(OSError):  # the next restore removes it
                unlink_if_there(self._to_fd, names.restoring(self._run))


class Dead(NamedTuple):
    """A restore that ended without removing its marker, held against all others who would clear up after it."""

    run: str
    tops: tuple[bytes, ...]
    """The names in the target folder below which it may have made something, beside the folder itself."""


@contextmanager
def marked(to_fd: int, tops: Iterable[bytes], owner: str) -> Iterator[Mark]:
    """Mark the open target folder; the restore makes nothing but in it and below the names *tops* in it.

    Where no marker can be had, in a folder that is not ours to write or knows no locks, it goes without: what it leaves
    when it is killed is then left to its user.
    """
    said = json.dumps({"owner": owner, "tops": [os.fsdecode(top) for top in tops]}).encode("ascii")
    run, fd = "", -1
    for _ in range(_TRIES):
        run = secrets.token_hex(8)
        with suppress(OSError):
            fd = _made(to_fd, names.restoring(run), said)
            break
    try:
        yield Mark(to_fd, run, fd)
    finally:
        if fd >= 0:
            os.close(fd)


def _made(to_fd: int, marker: bytes, said: bytes) -> int:
    """Return a new marker, open, locked and durable. Raises OSError; then it is not there."""
    fd = os.open(marker, _OPEN | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=to_fd)
    with ExitStack() as undo:
        undo.callback(os.close, fd)
        undo.callback(unlink_if_there, to_fd, marker)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.pwrite(fd, said, 0) < len(said):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)
        os.fsync(to_fd)
        if not _stands(to_fd, marker, fd):  # not locked yet, it was taken for a dead one's
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        undo.pop_all()
    return fd


def _stands(to_fd: int, marker: bytes, fd: int) -> bool:
    status = os.fstat(fd)
    return is_inode(to_fd, marker, (status.st_dev, status.st_ino))


@contextmanager
def dead(to_fd: int, marker: bytes, *, mine: str) -> Iterator[Dead | None]:
    """Hold a marker of the target folder, and yield whose it is; None where that restore lives, may live on another
    machine, or was another user's. *mine* is what this process is called.
    """
    run = names.restore_of(marker)
    with ExitStack() as stack:
        found = None
        with suppress(OSError, ValueError, KeyError, TypeError):
            fd = os.open(marker, _OPEN, dir_fd=to_fd)
            stack.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if run is not None and os.fstat(fd).st_uid == os.geteuid() and _stands(to_fd, marker, fd):
                found = _said(run, os.pread(fd, _MOST_BYTES, 0), mine)
        yield found


def _said(run: str, said: bytes, mine: str) -> Dead | None:
    """Raises ValueError, KeyError or TypeError for what no restore wrote."""
    if not said:
        return Dead(run, ())  # it was killed before it made anything
    value = json.loads(said)
    if not is_of_this_machine(str(value["owner"]), mine=mine):
        return None  # a file system may keep its locks from other machines
    tops = [os.fsencode(top) for top in value["tops"]]
    return Dead(run, tuple(top for top in tops if top not in {b"", b".", b".."} and b"/" not in top))
