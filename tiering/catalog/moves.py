"""Moves: rows that follow their file to another path of the same root, with its history, pin and stored copy.

Used by scan alone, which has seen that the inode stands at the new path and no longer at the old one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, tuple_, update

from tiering.catalog import outbox, records
from tiering.catalog.booking import FileChange, file_row, load_files, root_names
from tiering.catalog.tables import files
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileRow, signed64


@dataclass(frozen=True, slots=True)
class Move:
    """A row and the path it goes to; no row may stand there."""

    file_id: int
    dir: bytes
    name: bytes


def by_inodes(tx: Tx, root_id: int, inodes: Iterable[tuple[int, int]]) -> dict[tuple[int, int], list[FileRow]]:
    """Return (dev, ino) as given -> the rows of the root that stand on it, missing ones too; none: absent."""
    found: dict[tuple[int, int], list[FileRow]] = {}
    for batch in batches(inodes):
        signed = {(signed64(dev), signed64(ino)): (dev, ino) for dev, ino in batch}
        query = select(files).where(files.c.root_id == root_id, tuple_(files.c.dev, files.c.ino).in_(list(signed)))
        for row in map(file_row, tx.conn.execute(query)):
            found.setdefault(signed[row.dev, row.ino], []).append(row)
    return found


def follow(tx: Tx, moves: Sequence[Move], *, op_id: str) -> None:
    """Put the rows at their new paths. Nothing is booked: the same bytes stand under another name."""
    change = FileChange.begin(tx, [move.file_id for move in moves])
    names = root_names(tx)
    for move in moves:
        row = change.before[move.file_id]
        if row.recipe_no is not None or row.pinned:
            change.notes.append(records.file_gone(root_name=names[row.root_id], path=row.path))
    statement = update(files).where(files.c.file_id == bindparam("of_id"))
    for batch in batches(moves):
        tx.conn.execute(
            statement.values(dir=bindparam("to_dir"), name=bindparam("to_name")),
            [{"of_id": move.file_id, "to_dir": move.dir, "to_name": move.name} for move in batch],
        )
    change.finish(op_id=op_id, kind="scan", reason="renamed")
    moved = load_files(tx, [move.file_id for move in moves]).values()
    outbox.append(
        tx, [records.pin(root_name=names[row.root_id], path=row.path, pinned=True) for row in moved if row.pinned]
    )
