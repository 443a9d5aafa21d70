"""Makes many finished files durable at once.

Used by restore and recall. One sync of the whole file system costs one commit of its journal, where a sync of each file
costs one for each; from a handful of files on it is the cheaper, and it says as much.
"""

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tiering.errors import FrostlineError
from tiering.hot import syscalls

# Below it the others' unwritten data on the same disk may outweigh what is saved.
TOGETHER = 8


class NotDurable(FrostlineError):
    """The disk did not take what was written."""


def sync_files(folder_fd: int, files: Sequence[int]) -> None:
    """Make the content and metadata of open *files* durable; *folder_fd* is a folder of the same file system, open
    since before they were written. Raises NotDurable: then none of them may be relied on.
    """
    with _told():
        if len(files) >= TOGETHER and reports_errors():
            syscalls.sync_file_system(folder_fd)
            return
        for fd in files:
            os.fsync(fd)


def sync_names(found: Sequence[tuple[int, bytes]]) -> None:
    """The same for (open folder, name in it) of one file system; the folders are open since before the writing."""
    with _told():
        if len(found) >= TOGETHER and reports_errors():
            syscalls.sync_file_system(found[0][0])
            return
        for dir_fd, name in found:
            _sync_name(dir_fd, name)


def _sync_name(dir_fd: int, name: bytes) -> None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except PermissionError:  # it has its mode already, and its owner may not read it
        syscalls.sync_file_system(dir_fd)
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotDurable(
            f"finished files could not be written to the disk: {error.strerror or error}",
            now="none of them was put in place",
            hint="look at the disk's health and free space, then run it again",
        ) from error


def reports_errors() -> bool:
    """Whether a sync of the file system tells of data that could not be written: since Linux 5.8."""
    major, minor = platform.release().split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= (5, 8)
