"""The names that a release or a recall works on: kept in its journal row, and found again after a crash.

A spot names a directory twice: by its path, and by its inode and file handle, because a user may rename it while a
file is parked in it. Only the process that could not look (no CAP_DAC_READ_SEARCH, and the path leads elsewhere) has
to say that it does not know.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tiering.catalog.values import FileRow
from tiering.errors import RootMissing, SourceError
from tiering.hot import names, paths, syscalls
from tiering.hot.identity import Identity
from tiering.hot.marker import check_marker
from tiering.hot.walk import find_ours
from tiering.jobs.context import Context


@dataclass(frozen=True, slots=True)
class Spot:
    """One name of a file under way."""

    file_id: int
    root_id: int
    dir: bytes
    name: bytes
    dir_inode: tuple[int, int]
    """(dev, ino) of the directory when the operation began."""
    dir_handle: tuple[int, bytes] | None
    """Its file handle, where the file system has one."""

    def as_json(self) -> dict[str, object]:
        """Return it for a journal row's detail."""
        return {
            "file": self.file_id,
            "root": self.root_id,
            "dir": os.fsdecode(self.dir),
            "name": os.fsdecode(self.name),
            "dir_inode": list(self.dir_inode),
            "dir_handle": None if self.dir_handle is None else [self.dir_handle[0], self.dir_handle[1].hex()],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Spot":
        """Undo as_json()."""
        dev, ino = value["dir_inode"]
        handle = value["dir_handle"]
        return cls(
            value["file"],
            value["root"],
            os.fsencode(value["dir"]),
            os.fsencode(value["name"]),
            (dev, ino),
            None if handle is None else (handle[0], bytes.fromhex(handle[1])),
        )


class SpotLost(SourceError):
    """The directory was renamed and this process may not find it by its handle."""


def spot_of(row: FileRow, dir_fd: int) -> Spot:
    """Return the spot of *row*, whose directory is open as *dir_fd*."""
    status = os.fstat(dir_fd)
    try:
        handle = syscalls.handle_of(dir_fd)
    except OSError:
        handle = None
    return Spot(row.file_id, row.root_id, row.dir, row.name, (status.st_dev, status.st_ino), handle)


@contextmanager
def opened(ctx: Context, rows: Sequence[FileRow]) -> Iterator[list[int]]:
    """Hold the directories of *rows* open, each once, in the order of the rows. Raises SourceError for one that is
    gone or unreadable.
    """
    with ExitStack() as stack:
        fds: dict[tuple[int, bytes], int] = {}
        for row in rows:
            root = ctx.root(row.root_id).path
            try:
                if (row.root_id, row.dir) not in fds:
                    fds[row.root_id, row.dir] = stack.enter_context(paths.opened_dir(root, row.dir))
            except OSError as error:
                raise paths.as_source_error(error, paths.display(root, row.dir, row.name)) from error
        yield [fds[row.root_id, row.dir] for row in rows]


@contextmanager
def found_again(ctx: Context, op_id: str, spots: Sequence[Spot]) -> Iterator[list[tuple[Spot, int]]]:
    """Hold the directories of *spots* open wherever they are now; those that were deleted are left out.

    Raises SpotLost when that cannot be told: a root that is not mounted looks like one whose directories were all
    deleted.
    """
    with ExitStack() as stack:
        found = []
        for root_id in {spot.root_id for spot in spots}:
            _check_root(ctx, root_id)
        for spot in spots:
            fd = _find(ctx, op_id, spot)
            if fd is not None:
                stack.callback(os.close, fd)
                found.append((spot, fd))
        yield found


def sync_directories(ctx: Context, places: Iterable[tuple[int, bytes]]) -> None:
    """Make what was renamed in the (root id, dir) directories durable, each once. One deleted meanwhile needs
    nothing.
    """
    for root_id, directory in sorted(set(places)):
        try:
            with paths.opened_dir(ctx.root(root_id).path, directory) as fd:
                os.fsync(fd)
        except FileNotFoundError:
            continue


def identity_json(identity: Identity) -> list[int]:
    """Return an identity for a journal row's detail."""
    return [identity.dev, identity.ino, identity.size, identity.mtime_ns, identity.ctime_ns]


def identity_from(value: Sequence[int]) -> Identity:
    """Undo identity_json()."""
    return Identity(*value)


def on_device_of(identity: Identity, dir_fd: int) -> Identity:
    """Return *identity* with the device number that its directory has now: after a reboot it may be another."""
    return identity._replace(dev=os.fstat(dir_fd).st_dev)


def encode_detail(detail: dict[str, Any]) -> str:
    """Return a journal row's detail as text: ASCII, whatever bytes the names have."""
    return json.dumps(detail, ensure_ascii=True, separators=(",", ":"))


def _check_root(ctx: Context, root_id: int) -> None:
    root = ctx.root(root_id)
    try:
        check_marker(root.path, root.marker)
    except RootMissing as error:
        raise SpotLost(error.what, now=error.now, hint=error.hint) from error


def _find(ctx: Context, op_id: str, spot: Spot) -> int | None:
    root_path = ctx.root(spot.root_id).path
    root_fd = os.open(root_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fd = paths.open_dir(root_fd, spot.dir)
            if _is_directory_of(spot, fd):
                return fd
            os.close(fd)
        except (FileNotFoundError, NotADirectoryError):
            pass
        return _by_handle(root_fd, root_path, op_id, spot)
    finally:
        os.close(root_fd)


def _is_directory_of(spot: Spot, fd: int) -> bool:
    """The handle decides where there is one: device numbers may differ after a reboot."""
    if spot.dir_handle is not None:
        return syscalls.handle_of(fd) == spot.dir_handle
    status = os.fstat(fd)
    return (status.st_dev, status.st_ino) == spot.dir_inode


def _by_handle(root_fd: int, root_path: bytes, op_id: str, spot: Spot) -> int | None:
    """Return the directory wherever it was renamed to; None if it was deleted, with everything in it."""
    try:
        if spot.dir_handle is not None:
            return syscalls.open_handle(root_fd, spot.dir_handle, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        pass
    except OSError:
        return None  # ESTALE
    return _by_search(root_fd, root_path, op_id, spot)


def _by_search(root_fd: int, root_path: bytes, op_id: str, spot: Spot) -> int | None:
    """Do it without CAP_DAC_READ_SEARCH: look for our hidden name in the whole root, which takes long and is rarely
    needed.
    """
    try:
        for directory, name in find_ours(root_path, strict=True):
            if names.operation_of(name) == op_id.rsplit(":", 1)[-1]:
                fd = paths.open_dir(root_fd, directory)
                if _is_directory_of(spot, fd):
                    return fd
                os.close(fd)
    except OSError as error:
        raise SpotLost(
            f"{paths.display(root_path, spot.dir, spot.name)}: its folder was renamed or deleted meanwhile",
            now=f"where it is now cannot be told: {error.strerror}; the file itself is in it under a hidden name",
            hint="put the folder back to its old place, or run frostline as root",
        ) from error
    return None
