"""The files table as a scan of millions meets it: plain tuples in walk order, and new rows many at a time.

Used by tiering.jobs.scan alone. What needs judgement goes through tiering.catalog.files; here is what is only read, or
only added.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tiering.catalog import accounts
from tiering.catalog.accounts import Amounts
from tiering.catalog.booking import book
from tiering.catalog.tables import files
from tiering.catalog.transaction import Tx, fetch_raw, insert_many
from tiering.catalog.values import FileState


class KnownFile(NamedTuple):
    """What a scan compares with; the columns that change with the file stand together, for one slice.

    Pages hold plain tuples of this shape; a KnownFile is made of the few that need work.
    """

    dir: bytes
    name: bytes
    mtime_ns: int
    ctime_ns: int
    dev: int
    ino: int
    size: int
    nlink: int
    mode: int
    state: str
    access_quality: str
    last_access_ns: int | None
    file_id: int

    @property
    def path(self) -> bytes:
        """Relative to the root."""
        return self.dir + self.name


KnownRow = tuple[Any, ...]
"""A KnownFile as the driver gives it."""

FreshFile = tuple[bytes, bytes, int, int, int, int, int, int, int, int, int, int | None]
"""A new file: dir, name, size, mtime_ns, ctime_ns, dev, ino (both signed), nlink, mode, uid, gid, last_access_ns."""

_FRESH = ("dir", "name", "size", "mtime_ns", "ctime_ns", "dev", "ino", "nlink", "mode", "uid", "gid", "last_access_ns")
_OF_ROOT = f"SELECT {', '.join(KnownFile._fields)} FROM files WHERE root_id = ?"  # noqa: S608  # our own names
_BEHIND = f"{_OF_ROOT} AND (dir, name) > (?, ?)"
_IN_WALK_ORDER = " ORDER BY dir, name LIMIT ?"


def known_page(tx: Tx, root_id: int, *, after: tuple[bytes, bytes] | None, limit: int) -> list[KnownRow]:
    """Return up to *limit* rows of a root in (dir, name) order, behind the given one."""
    if after is None:
        return fetch_raw(tx, _OF_ROOT + _IN_WALK_ORDER, (root_id, limit))
    return fetch_raw(tx, _BEHIND + _IN_WALK_ORDER, (root_id, *after, limit))


def add_fresh(tx: Tx, root_id: int, rows: Sequence[FreshFile], *, access_quality: str, op_id: str) -> None:
    """Insert files in state regular that are the only names of their inodes, and book them.

    As files.add_new() does, for very many of them: what they weigh is known without reading them back.
    """
    same: dict[str, int | str] = {
        "root_id": root_id,
        "state": str(FileState.REGULAR),
        "pinned": False,
        "first_seen_ns": tx.now_ns,
        "access_quality": str(access_quality),
    }
    insert_many(tx, files, _FRESH, rows, constants=same)
    size_bytes = sum(row[2] for row in rows)
    amounts = Amounts()
    amounts.add(accounts.FILES_HOT_ONLY, size_bytes)
    amounts.add(accounts.FILES_LOGICAL, -size_bytes)
    book(tx, amounts, op_id=op_id, kind="scan", reason="")
