"""File rows of a commit: made dual, and as they are then.

Used by tiering.catalog.commit alone, inside a FileChange. Columns, not rows: of thousands of files nearly all are
stored for the first time, as the last scan saw them, under one name, and nothing is interpreted for each of those.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, repeat
from operator import and_, attrgetter, eq, itemgetter, not_
from typing import Any, Self

from sqlalchemy import bindparam, or_, update

from dedup.values import made_of
from tiering.catalog import records
from tiering.catalog.booking import FileChange, load_files, root_names
from tiering.catalog.hardlinks import ON_DISK
from tiering.catalog.tables import files
from tiering.catalog.transaction import INSERT_ROWS, STATEMENT_ROWS, Tx, batches, change_raw
from tiering.catalog.values import FileRow, FileState, Identity, StoredFile, signed64

Columns = Mapping[str, Sequence[Any]]
"""Of file rows, by the names of FileRow."""

IDENTITY = ("dev", "ino", "mtime_ns", "ctime_ns")
_STAMPS = ("size", *IDENTITY)
_stamps_of = attrgetter(*_STAMPS)
_leader_of = itemgetter(FileRow._fields.index("leader_id"))


def identity_values(identity: Identity) -> tuple[int, int, int, int]:
    """Return the values of the columns IDENTITY."""
    return signed64(identity.dev), signed64(identity.ino), identity.mtime_ns, identity.ctime_ns


def columns_of(rows: Sequence[FileRow]) -> Columns:
    """Return rows as columns."""
    columns = zip(*rows, strict=True) if rows else repeat(())
    return dict(zip(FileRow._fields, columns, strict=False))


@dataclass(frozen=True, slots=True)
class Placing:
    """Files about to refer to new recipes, all in one order.

    First of two steps are those that other changes of the commit may look at or touch: stored before, or with other
    names, or to be told of by a record of their own. The rest is written last, when it is known which record makes them
    durable.
    """

    tx: Tx
    tier: str
    numbers: range
    """Of the recipes."""
    file_ids: Sequence[int]
    now: Columns
    """Of their rows, with _STAMPS as they were read."""
    before: Sequence[FileRow]
    is_known: Sequence[bool]
    """Whether a file's row has _STAMPS as they were read."""
    is_told: Sequence[bool]
    """See records.are_told()."""
    is_fresh: Sequence[bool]
    """Whether a file is told of, had no stored copy and has no other name."""
    leaders: set[int | None]
    """Of files that have other names."""

    @classmethod
    def of(cls, change: FileChange, stored: Sequence[StoredFile], numbers: range, tier: str) -> Self:
        """Prepare; nothing is written."""
        file_ids, identities, found, _, _ = zip(*stored, strict=True) if stored else ((), (), (), (), ())
        before = list(map(change.before.__getitem__, file_ids))
        columns, read = columns_of(before), _read(identities)
        now = {**columns, **read}
        leaders = set(map(_leader_of, change.before.values()))
        is_told = records.are_told(now, found, root_names(change.tx))
        is_fresh = is_told
        if leaders != {None} or {*columns["recipe_no"]} != {None}:
            is_fresh = [
                told and row.recipe_no is None and row.file_id not in leaders
                for told, row in zip(is_told, before, strict=True)
            ]
        is_known = [True] * len(before)
        if any(columns[name] != read[name] for name in _STAMPS):
            is_known = list(map(eq, *(zip(*map(of.__getitem__, _STAMPS), strict=True) for of in (columns, read))))
        return cls(change.tx, tier, numbers, file_ids, now, before, is_known, is_told, is_fresh, leaders)

    def fresh(self, values: Iterable[Any]) -> list[Any]:
        """Return those of *values*, one per file, that belong to fresh ones."""
        return list(compress(values, self.is_fresh))

    def first(self) -> None:
        """Write those that are not fresh, and the other names of their inodes with them."""
        if all(self.is_fresh):
            return
        others = list(map(not_, self.is_fresh))
        numbers, ids = list(compress(self.numbers, others)), list(compress(self.file_ids, others))
        self._write(others, {})
        # Spelled out: executemany takes no IN list.
        on_disk = or_(*(files.c.state == str(state) for state in sorted(ON_DISK)))
        of_links = update(files).where(files.c.leader_id == bindparam("of_id"), on_disk)
        placed: dict[str, object] = {"state": FileState.DUAL, "tier": self.tier, "stored_ns": self.tx.now_ns}
        placed |= {"recipe_no": bindparam("to_recipe"), "size": bindparam("to_size")}
        for number, file_id, size in zip(numbers, ids, compress(self.now["size"], others), strict=True):
            if file_id in self.leaders:
                to = {"of_id": file_id, "to_recipe": number, "to_size": size}
                self.tx.conn.execute(of_links.values(placed), to)

    def last(self, seq: int) -> None:
        """Write the fresh ones, and on all of them that the outbox record *seq* makes their copies known."""
        if not all(self.is_fresh):
            text = "UPDATE files SET stored_seq = ? WHERE recipe_no >= ? AND recipe_no < ? AND leader_id IS NULL"
            change_raw(self.tx, text, [seq, self.numbers.start, self.numbers.stop])
        self._write(self.is_fresh, {"stored_seq": seq})

    def after(self) -> Columns:
        """Return the files as they are when all is written; the first step is."""
        count = sum(self.is_fresh)
        columns: dict[str, Sequence[Any]] = {name: self.fresh(column) for name, column in self.now.items()}
        same = {"state": FileState.DUAL, "tier": self.tier, "stored_ns": self.tx.now_ns}
        columns |= {name: [value] * count for name, value in same.items()}
        columns["recipe_no"] = self.fresh(self.numbers)
        if count == len(self.file_ids):
            return columns
        rows = {row.file_id: row for row in made_of(FileRow, columns.values())}
        rows |= load_files(self.tx, [file_id for file_id in self.file_ids if file_id not in rows])
        return columns_of([rows[file_id] for file_id in self.file_ids])

    def _write(self, which: Sequence[bool], more: Mapping[str, int]) -> None:
        same: dict[str, int | str] = {"tier": self.tier, "stored_ns": self.tx.now_ns, **more}
        # What was read is written only where it differs, which is next to never: an index has dev and ino.
        pairs = zip(self.file_ids, self.numbers, strict=True)
        _refer(self.tx, same, compress(pairs, map(and_, which, self.is_known)))
        if not all(self.is_known):
            is_changed = map(and_, which, map(not_, self.is_known))
            rows = zip(self.numbers, *map(self.now.__getitem__, _STAMPS), self.file_ids, strict=True)
            changed = [(str(FileState.DUAL), *same.values(), *row) for row in compress(rows, is_changed)]
            update_files(self.tx, ("state", *same, "recipe_no", *_STAMPS), changed)


def _read(identities: Sequence[Identity]) -> Columns:
    """Return _STAMPS of files that were read, as columns of their rows."""
    columns = zip(*map(_stamps_of, identities), strict=True) if identities else repeat(())
    read: dict[str, Sequence[int]] = dict(zip(_STAMPS, columns, strict=False))
    for name in ("dev", "ino"):
        if max(read[name], default=0) >= 1 << 63:
            read[name] = tuple(map(signed64, read[name]))
    return read


def _refer(tx: Tx, same: Mapping[str, int | str], numbers: Iterable[tuple[int, int]]) -> None:
    """Let files refer to recipes: (file_id, recipe_no) for each. Many to a statement: half the cost of one by one."""
    assigned = "".join(f"{column} = ?, " for column in same)
    for batch in batches(numbers, STATEMENT_ROWS):
        rows = ", ".join(["(?, ?)"] * len(batch))
        text = (
            f"UPDATE files SET state = '{FileState.DUAL}', {assigned}recipe_no = new.column2 "  # noqa: S608  # our names
            f"FROM (VALUES {rows}) AS new WHERE file_id = new.column1"
        )
        change_raw(tx, text, [*same.values(), *chain.from_iterable(batch)])


def update_files(tx: Tx, columns: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    """Set *columns* of files; each row has their values and then the file_id. By the driver itself, as insert_many."""
    mark = "?" if tx.is_sqlite else "%s"
    assigned = ", ".join(f"{column} = {mark}" for column in columns)
    for batch in batches(rows, INSERT_ROWS):
        tx.conn.exec_driver_sql(f"UPDATE files SET {assigned} WHERE file_id = {mark}", batch)  # noqa: S608  # our names
