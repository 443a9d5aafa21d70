"""The recorded history of use, file by file, for a replay: what each file was, since when, and on which days it was
read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.sql.elements import ColumnElement

from tiering.catalog.booking import bucket_names
from tiering.catalog.tables import access_days, files
from tiering.catalog.transaction import Tx

PAGE_ROWS = 5000


@dataclass(frozen=True, slots=True)
class FileHistory:
    """One file (the leader of its hard links) as it is now, and its days of use."""

    file_id: int
    name: bytes
    size_bytes: int
    first_seen_ns: int
    missing_since_ns: int | None
    days: tuple[tuple[int, int], ...]
    """(days since the epoch, opens), ascending; where several sources saw the same day, the largest count."""


def count_leaders(tx: Tx) -> int:
    """Return how many files each_history() would yield at *every* = 1."""
    return int(tx.conn.execute(select(func.count()).where(files.c.leader_id.is_(None), _of_roots(tx))).scalar_one())


def each_history(tx: Tx, *, every: int = 1) -> Iterator[FileHistory]:
    """Yield files in the order of their ids, only those whose id *every* divides, a page at a time."""
    columns = (files.c.file_id, files.c.name, files.c.size, files.c.first_seen_ns, files.c.missing_since_ns)
    of_roots = _of_roots(tx)
    after = -1
    while True:
        chosen = select(*columns).where(files.c.file_id > after, files.c.leader_id.is_(None), of_roots)
        if every > 1:
            chosen = chosen.where(files.c.file_id % every == 0)
        rows = tx.conn.execute(chosen.order_by(files.c.file_id).limit(PAGE_ROWS)).all()
        if not rows:
            return
        days = _days(tx, rows[0].file_id, rows[-1].file_id)
        for row in rows:
            yield FileHistory(*row, days=tuple(days.get(row.file_id, ())))
        after = rows[-1].file_id


def _of_roots(tx: Tx) -> ColumnElement[bool]:
    """Return the condition of files that are, or were, on a disk: objects of buckets never stood on the hot tier."""
    return files.c.root_id.not_in(list(bucket_names(tx)))


def _days(tx: Tx, first_id: int, last_id: int) -> dict[int, list[tuple[int, int]]]:
    query = (
        select(access_days.c.file_id, access_days.c.day, func.max(access_days.c.opens))
        .where(access_days.c.file_id.between(first_id, last_id))
        .group_by(access_days.c.file_id, access_days.c.day)
        .order_by(access_days.c.file_id, access_days.c.day)
    )
    found: dict[int, list[tuple[int, int]]] = {}
    for file_id, day, opens in tx.conn.execute(query):
        found.setdefault(file_id, []).append((day, opens))
    return found
