"""Compares what stands on the disk with the rows of dual and offline files. Used by audit; lstat and readlink only.

Folders are opened one by one: no path is too long. What is reached through a link on the way (a folder that was moved
to another disk, and a link left in its place) counts as standing, as the scan has it. Files that an operation is under
way on are left out: the journal says how they stand. A file that changed since the last scan is a discrepancy until the
next one has seen it. Where the ctime moved alone, a mode, owner or links that moved too explain it, which is a note;
else bytes may have been written and the mtime set back.
"""

import errno
import os
import stat

from tiering.catalog import files, journal, recipes
from tiering.catalog.values import FileRow, FileState, signed64
from tiering.config.sections import PlaceholderKind
from tiering.errors import RootMissing
from tiering.hot import paths
from tiering.hot.marker import check_marker
from tiering.hot.placeholder import parse_target, read_link
from tiering.hot.swap import status_of
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.findings import Findings

_AWAY = (FileState.OFFLINE, FileState.RECALLING)
PAGE = 2000


def check_root(ctx: Context, root: OpenRoot, found: Findings) -> None:
    """Check every dual and offline file of one root; a note where it is not mounted."""
    try:
        if root.marker:
            check_marker(root.path, root.marker)
    except RootMissing as error:
        found.note(f"disk: {os.fsdecode(root.path)} was not looked at: {error.what}")
        return
    leaves_links = ctx.config.root(root.name).placeholder is PlaceholderKind.LINK
    after = 0
    while True:
        with ctx.catalog.read() as tx:
            states = [FileState.DUAL, *_AWAY]
            page = files.by_state(tx, states, root_id=root.root_id, after_id=after, limit=PAGE)
            busy = journal.files_at_work(tx)
            ids = recipes.by_numbers(tx, {row.recipe_no for row in page if row.recipe_no is not None})
        if not page:
            return
        with _Folders(root.path) as folders:
            for row in page:
                if row.file_id in busy or (row.leader_id in busy):
                    continue
                recipe_id = ids[row.recipe_no].recipe_id if row.recipe_no in ids else ""
                if row.state is FileState.DUAL:
                    _check_dual(folders, row, found)
                elif leaves_links:
                    _check_placeholder(ctx, folders, row, recipe_id, found)
                else:
                    _check_absent(folders, row, found)
        after = page[-1].file_id


def _check_dual(folders: "_Folders", row: FileRow, found: Findings) -> None:
    status = folders.lstat(row)
    shown = folders.shown(row)
    if status is None:
        found.add(f"disk: {shown} is dual in the catalog and not there; scan again")
    elif not stat.S_ISREG(status.st_mode):
        found.add(f"disk: {shown} is dual in the catalog and no regular file; scan again")
    elif _identity(status) != (row.dev, row.ino, row.size, row.mtime_ns):
        found.add(f"disk: {shown} changed since it was stored; scan again")
    elif status.st_ctime_ns != row.ctime_ns and _attributes(status) == (row.mode, row.uid, row.gid, row.nlink):
        found.add(f"disk: {shown} was written to, or its attributes were, since it was stored; scan again")
    elif status.st_ctime_ns != row.ctime_ns:
        found.note(f"disk: the metadata of {shown} changed since the last scan")


def _check_placeholder(ctx: Context, folders: "_Folders", row: FileRow, recipe_id: str, found: Findings) -> None:
    shown = folders.shown(row)
    if folders.lstat(row) is None:
        found.add(f"disk: {shown} is offline and its placeholder is not there; scan again")
        return
    target = folders.readlink(row)
    if target is None:
        found.add(f"disk: {shown} is offline and something else than a placeholder stands there; scan again")
        return
    parsed = parse_target(target)
    if parsed is None or (parsed.store_id, parsed.recipe_id) != (ctx.store_id, recipe_id):
        found.add(
            f"disk: the link at {shown} does not name recipe {recipe_id}, which the catalog has for it; scan again"
        )


def _check_absent(folders: "_Folders", row: FileRow, found: Findings) -> None:
    if folders.lstat(row) is not None:
        found.note(f"disk: {folders.shown(row)} is offline without a placeholder, and something stands there")


def _attributes(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_mode, status.st_uid, status.st_gid, status.st_nlink


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return signed64(status.st_dev), signed64(status.st_ino), status.st_size, status.st_mtime_ns


class _Folders:
    """The folders of a page of rows below *root*, one of them open at a time."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._dir: bytes | None = None
        self._fd = -1

    def __enter__(self) -> "_Folders":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def lstat(self, row: FileRow) -> os.stat_result | None:
        """Return the status of what stands at the path of *row*; None for nothing."""
        fd = self._folder(row.dir)
        return None if fd < 0 else status_of(fd, row.name)

    def readlink(self, row: FileRow) -> bytes | None:
        """Return the target of the link there; None if there is no link."""
        fd = self._folder(row.dir)
        return None if fd < 0 else read_link(fd, row.name)

    def shown(self, row: FileRow) -> str:
        """Return the absolute path, for messages."""
        return paths.display(self._root, row.dir, row.name)

    def _folder(self, dir: bytes) -> int:
        """Return the descriptor of a folder; -1 if it is gone."""
        if dir != self._dir:
            self._close()
            self._dir = dir
            try:
                self._fd = self._opened(dir)
            except (FileNotFoundError, NotADirectoryError):
                pass
        return self._fd

    def _opened(self, dir: bytes) -> int:
        try:
            return paths.open_folder(self._root, dir)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
        return os.open(os.path.join(self._root, dir), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._dir, self._fd = None, -1
