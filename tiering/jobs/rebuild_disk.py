"""Puts right what an interrupted release or recall left in the trees, when the journal that explained it is
lost.

Used by rebuild before its scan. A half-built file of a recall is removed: what it was made from is in the
store. A parked inode is put back at its path if the catalog knows which path that was: the segment that would
let it go had not been written, or it had, and then its bytes are the stored ones. Else it is left alone and
reported.
"""

import os

from tiering.catalog import files
from tiering.catalog.values import FileRow, FileState
from tiering.errors import FrostlineError
from tiering.hot import names, paths
from tiering.hot.parking import Slot, undo
from tiering.hot.swap import status_of, unlink_if_there
from tiering.hot.walk import find_ours
from tiering.jobs.context import Context, OpenRoot


def settle_hidden(ctx: Context, root: OpenRoot, notes: list[str]) -> int:
    """Put the hidden names of one root right; return how many were."""
    settled = 0
    for directory, name in list(find_ours(root.path)):
        shown = paths.display(root.path, directory, name)
        op = names.operation_of(name)
        if op is None:
            continue
        try:
            with paths.opened_dir(root.path, directory) as dir_fd:
                if name.startswith(names.new(op)):
                    unlink_if_there(dir_fd, name)
                    is_settled = True
                else:
                    is_settled = _put_back(ctx, root, dir_fd, (directory, name), op=op)
                os.fsync(dir_fd)
        except (FrostlineError, OSError) as error:
            notes.append(f"{shown} is left from an interrupted operation and could not be put right: {error}")
            continue
        if is_settled:
            settled += 1
        else:
            notes.append(
                f"{shown} is left from an interrupted release; compare it with the file it was, then remove it"
            )
    return settled


def _put_back(ctx: Context, root: OpenRoot, dir_fd: int, hidden: tuple[bytes, bytes], *, op: str) -> bool:
    directory, name = hidden
    status = status_of(dir_fd, name)
    if status is None:
        return True
    row = _row_of(ctx, root, directory, (status.st_dev, status.st_ino))
    if row is None:
        return False
    target = _link_at(dir_fd, row.name)
    undo([Slot(dir_fd, row.name, name, target)], inode=(status.st_dev, status.st_ino), op=op)
    return True


def _row_of(ctx: Context, root: OpenRoot, directory: bytes, inode: tuple[int, int]) -> FileRow | None:
    """Return the dual file of that directory whose inode it is."""
    with ctx.catalog.read() as tx:
        rows = files.by_inode(tx, *inode)
    fit = [row for row in rows if (row.root_id, row.dir, row.state) == (root.root_id, directory, FileState.DUAL)]
    return fit[0] if len(fit) == 1 else None


def _link_at(dir_fd: int, name: bytes) -> bytes | None:
    try:
        return os.readlink(name, dir_fd=dir_fd)
    except OSError:
        return None
