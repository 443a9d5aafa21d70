"""Walks a root in the catalog's order, reading nothing but names and stat.

Depth first, in ascending (dir, name) byte order where a dir ends in a slash: the order of the files table, so that a
scan is a merge. Never follows a link, never leaves the mount unless told, skips what is the file system's or
frostline's own. Memory is bounded by the names of the directories on the way down; no descriptor is kept open
between directories, so depth is not limited.
"""

import errno
import os
import stat
import sys
from bisect import bisect_left
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import attrgetter

from tiering.errors import RootMissing
from tiering.hot import names, paths
from tiering.hot.looks import NOTHING, Looks, look_together
from tiering.hot.placeholder import parse_target

SLICE = 2000
"""Names looked at together: what a directory of any size costs in stat results is bounded by it (about 2 MB)."""

ALONE = 10_000
"""Names of a walk that are looked at one by one: fewer do not repay loading machine code, 25 ms."""

_FEW = 32  # below it a call of machine code costs what it saves

_TYPE = 0o170000  # S_IFMT
_ENCODING = sys.getfilesystemencoding()
_BEHIND_OURS = names.PREFIX[:-1] + bytes([names.PREFIX[-1] + 1])
_by_name = attrgetter("name")


class Kind(Enum):
    """What stands at a path."""

    FILE = "file"
    SYMLINK = "symlink"
    """A symbolic link that is not a placeholder."""
    PLACEHOLDER = "placeholder"
    """A link whose target has the form of a placeholder; whether it is a true one, the catalog knows."""
    OTHER = "other"
    """A device, a FIFO or a socket."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name that is not a directory."""

    dir: bytes
    name: bytes
    kind: Kind
    stat: os.stat_result
    target: bytes | None
    """Of a symlink or placeholder."""

    @property
    def path(self) -> bytes:
        """Relative to the root."""
        return self.dir + self.name


@dataclass(frozen=True, slots=True)
class WalkProblem:
    """A path that could not be looked at; what is below it is unknown, not absent."""

    dir: bytes
    """The directory concerned, or the one that holds *name*."""
    name: bytes
    """b"" if the directory itself is meant."""
    reason: str
    is_mount: bool = False
    """It is another mount, left out because the root does not say cross_mounts."""


@dataclass(slots=True)
class Listing:
    """A stretch of one directory, at most SLICE names; the names of its stretches ascend."""

    dir: bytes
    last: bytes
    """No name of this stretch sorts behind it, and no name of a later one before it."""
    files: list[tuple[bytes, os.stat_result]] = field(default_factory=list)
    """Regular files that were looked at alone, ascending by name."""
    others: list[Entry | WalkProblem] = field(default_factory=list)
    """Links and special files, and names that could not be looked at, ascending by name."""
    looks: Looks = NOTHING
    """Regular files that were looked at together; none of them is among *files*."""


def walk(
    root: bytes, *, cross_mounts: bool = False, start_after: tuple[bytes, bytes] | None = None
) -> Iterator[Entry | WalkProblem]:
    """Yield every file, link and special file under the absolute path *root*, and every directory that could not be
    read.

    With *start_after* only what sorts behind that (dir, name). What is created, renamed or deleted meanwhile may or
    may not be seen. Raises RootMissing if the root itself cannot be opened.
    """
    for listing in listings(root, cross_mounts=cross_mounts, start_after=start_after):
        if isinstance(listing, WalkProblem):
            yield listing
            continue
        found = [*listing.files, *zip(listing.looks.names, listing.looks.statuses(), strict=True)]
        files = [Entry(listing.dir, name, Kind.FILE, status, None) for name, status in found]
        yield from sorted([*files, *listing.others], key=_by_name)


def listings(
    root: bytes,
    *,
    cross_mounts: bool = False,
    start_after: tuple[bytes, bytes] | None = None,
    alone: int = ALONE,
) -> Iterator[Listing | WalkProblem]:
    """Yield what walk() yields, a stretch of a directory at a time: for who looks at millions of files.

    The names after the first *alone* are looked at together, where a directory has enough of them.
    """
    left = alone
    try:
        root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RootMissing(
            f"the root {os.fsdecode(root)} cannot be opened: {error.strerror}", hint="mount it"
        ) from error
    try:
        pending = [b""]
        while pending:
            directory = pending.pop()
            if start_after is not None and directory < start_after[0] and not start_after[0].startswith(directory):
                continue
            folder = _list(root_fd, directory, cross_mounts=cross_mounts, start_after=start_after, together=left <= 0)
            below, count = yield from folder
            left -= count
            pending.extend(reversed(below))
    finally:
        os.close(root_fd)


def find_ours(root: bytes, *, strict: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """Yield (dir, name) of every file that frostline itself left below *root*, the root's marker aside.

    For reconcile, doctor and leave: parked and half-built files of operations that did not end. Directories that
    cannot be read are passed over; *strict* raises OSError for them instead.
    """
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pending = [b""]
        while pending:
            directory = pending.pop()
            found, below = _names_below(root_fd, directory, strict=strict)
            pending.extend(below)
            for name in found:
                if names.is_ours(name) and (directory, name) != (b"", names.ROOT_MARKER):
                    yield directory, name
    finally:
        os.close(root_fd)


def _names_below(root_fd: int, directory: bytes, *, strict: bool) -> tuple[list[bytes], list[bytes]]:
    try:
        fd = paths.open_dir(root_fd, directory, cross_mounts=False)
    except OSError as error:
        if strict and error.errno not in {errno.EXDEV, errno.ENOENT}:
            raise
        return [], []
    try:
        return _names(fd, directory)
    finally:
        os.close(fd)


def _names(fd: int, directory: bytes) -> tuple[list[bytes], list[bytes]]:
    found, below = [], []
    with os.scandir(fd) as listing:
        for item in listing:
            if item.is_dir(follow_symlinks=False):
                below.append(item.name)
            else:
                found.append(item.name)
    folders = [name for name in _encoded(below) if name not in names.FOREIGN_DIRS and not names.is_ours(name)]
    return sorted(_encoded(found)), sorted(directory + name + b"/" for name in folders)


def _encoded(found: list[str]) -> list[bytes]:
    try:
        return [name.encode(_ENCODING) for name in found]  # half the cost of os.fsencode
    except UnicodeEncodeError:
        return [os.fsencode(name) for name in found]


def _list(
    root_fd: int, directory: bytes, *, cross_mounts: bool, start_after: tuple[bytes, bytes] | None, together: bool
) -> Generator[Listing | WalkProblem, None, tuple[list[bytes], int]]:
    """Yield the entries of one directory, or that it cannot be read; return its subdirectories in order, and how many
    names were looked at.
    """
    fd = -1
    try:
        try:
            fd = paths.open_dir(root_fd, directory, cross_mounts=cross_mounts)
            found, below = _names(fd, directory)
        except OSError as error:
            is_mount = error.errno == errno.EXDEV
            reason = "is another mount" if is_mount else error.strerror or str(error)
            yield WalkProblem(directory, b"", reason, is_mount=is_mount)
            return [], 0
        _leave_out(found, directory, start_after)
        for start in range(0, len(found), SLICE):
            yield _look(fd, directory, found[start : start + SLICE], together=together)
    finally:
        if fd >= 0:
            os.close(fd)
    return below, len(found)


def _leave_out(found: list[bytes], directory: bytes, start_after: tuple[bytes, bytes] | None) -> None:
    """Remove from the sorted names those of frostline's own, and those up to *start_after*."""
    del found[bisect_left(found, names.PREFIX) : bisect_left(found, _BEHIND_OURS)]
    if start_after is not None and directory <= start_after[0]:
        del found[: bisect_left(found, start_after[1] + b"\0") if directory == start_after[0] else len(found)]


def _look(fd: int, directory: bytes, found: Sequence[bytes], *, together: bool) -> Listing:
    listing = Listing(directory, found[-1])
    if together and len(found) >= _FEW:
        listing.looks, found = look_together(fd, found)
    add_file, look = listing.files.append, os.stat
    for name in found:
        try:
            status = look(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue  # deleted since it was listed
        except OSError as error:
            listing.others.append(WalkProblem(directory, name, error.strerror or str(error)))
            continue
        if status.st_mode & _TYPE == stat.S_IFREG:
            add_file((name, status))
        elif (other := _other(fd, directory, name, status)) is not None:
            listing.others.append(other)
    return listing


def _other(fd: int, directory: bytes, name: bytes, status: os.stat_result) -> Entry | WalkProblem | None:
    if stat.S_ISDIR(status.st_mode):
        return None  # a directory since it was listed: the next scan goes in
    if not stat.S_ISLNK(status.st_mode):
        return Entry(directory, name, Kind.OTHER, status, None)
    try:
        target = os.readlink(name, dir_fd=fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        return WalkProblem(directory, name, error.strerror or str(error))
    kind = Kind.SYMLINK if parse_target(target) is None else Kind.PLACEHOLDER
    return Entry(directory, name, kind, status, target)
