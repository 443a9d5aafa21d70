"""What restores that were killed left in a target folder under hidden names, and removes it.

Used by tiering.jobs.restore before it begins, and by leave. Only where a dead restore's marker stands is anything
looked for, and only under the names that it answers for (tiering.jobs.restore_mark): no link is followed, and nothing
else is touched.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tiering.hot import names, paths
from tiering.hot.swap import unlink_if_there
from tiering.hot.walk import find_ours
from tiering.jobs.restore_folders import DIRECTORY
from tiering.jobs.restore_mark import Dead, dead

# A folder that is gone, that has become a link or a file, or that this user cannot read: a restore of his made nothing
# in it.
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM})


@dataclass(slots=True)
class Remains:
    """What became of them."""

    removed: int = 0
    """Files."""
    kept: list[str] = field(default_factory=list)
    """What could not be removed: its path below the target, and why."""

    def keep(self, path: bytes, error: OSError) -> None:
        """Note one of these."""
        self.kept.append(f"{os.fsdecode(path)}: {error.strerror or error}")

    def in_words(self, to: str) -> Iterator[str]:
        """Yield what a user is told; *to* is the target folder."""
        if self.removed:
            yield f"hidden files left in {to} by a restore that was killed: {self.removed:,} removed"
        if self.kept:
            more = f", and {len(self.kept) - 1:,} more" if len(self.kept) > 1 else ""
            yield f"what a killed restore left cannot be removed: {os.path.join(to, self.kept[0])}{more}"


def clear(to_fd: int, *, mine: str, is_stopped: Callable[[], bool]) -> Remains:
    """Remove what dead restores left in the open target folder, and their markers. *mine* is what this process is
    called. What cannot be removed, or is not reached before *is_stopped*, is left to the next restore.
    """
    remains = Remains()
    for marker in map(os.fsencode, os.listdir(to_fd)):
        if names.restore_of(marker) is not None:
            with dead(to_fd, marker, mine=mine) as left:
                if left is not None and _is_swept(to_fd, left, remains, is_stopped):
                    with _told(remains, marker):
                        unlink_if_there(to_fd, marker)
    return remains


def clear_below(root: bytes, *, mine: str) -> None:
    """Do what clear() does in every folder below the absolute path *root*: for who leaves it."""
    marked = [directory for directory, name in find_ours(root) if names.restore_of(name) is not None]
    for directory in marked:
        with suppress(OSError), paths.opened_dir(root, directory) as folder:
            clear(folder, mine=mine, is_stopped=lambda: False)


def _is_swept(to_fd: int, left: Dead, remains: Remains, is_stopped: Callable[[], bool]) -> bool:
    """Remove what one restore left; return whether all of it is gone."""
    prefix, kept = names.new(left.run) + b".", len(remains.kept)
    _sweep(to_fd, b"", prefix, remains)
    pending = [top + b"/" for top in left.tops]
    while pending:
        if is_stopped():
            return False
        pending += _sweep(to_fd, pending.pop(), prefix, remains)
    return len(remains.kept) == kept


def _sweep(to_fd: int, path: bytes, prefix: bytes, remains: Remains) -> list[bytes]:
    """Remove what has a name with *prefix* in one folder; return the folders in it that have another."""
    try:
        fd = paths.open_dir(to_fd, path)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            remains.keep(path, error)
        return []
    below: list[bytes] = []
    found: list[tuple[bytes, bool]] = []
    try:
        with _told(remains, path), os.scandir(fd) as listing:
            for item in listing:
                name, is_folder = os.fsencode(item.name), item.is_dir(follow_symlinks=False)
                if name.startswith(prefix):
                    if is_folder or item.is_file(follow_symlinks=False):
                        found.append((name, is_folder))
                elif is_folder and name not in names.FOREIGN_DIRS:
                    below.append(path + name + b"/")
        for name, is_folder in found:
            with _told(remains, path + name):
                remains.removed += _removed_folder(fd, name) if is_folder else _removed(fd, name)
    finally:
        os.close(fd)
    return below


def _removed(dir_fd: int, name: bytes) -> int:
    unlink_if_there(dir_fd, name)
    return 1


def _removed_folder(dir_fd: int, name: bytes) -> int:
    """Remove a hidden folder and the files in it; a restore makes no folders there, and no links."""
    fd = os.open(name, DIRECTORY, dir_fd=dir_fd)
    try:
        with os.scandir(fd) as listing:
            files = [os.fsencode(item.name) for item in listing if item.is_file(follow_symlinks=False)]
        for file in files:
            unlink_if_there(fd, file)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=dir_fd)
    return len(files)


@contextmanager
def _told(remains: Remains, path: bytes) -> Iterator[None]:
    """Keep what cannot be removed, and go on."""
    try:
        yield
    except OSError as error:
        remains.keep(path, error)
