"""Rows by the thousand fetched as one value: what a migrate asks while its threads read files.

sqlite3 gives the interpreter's lock away for every row and every column of it, and a thread that reads takes it: then
fetching a value waits for that thread's turn to end. So SQLite writes many rows as one text, of JSON, without the lock.
Used by tiering.catalog.commit and files.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from dedup.fingerprint import fingerprint_numbers
from dedup.values import Digest, Fingerprint, made_of
from tiering.catalog import packs
from tiering.catalog.booking import file_rows, load_files, rows_of_columns
from tiering.catalog.transaction import STATEMENT_ROWS, Tx, batches, fetch_raw, marks
from tiering.catalog.values import FileRow, FileState

_PATH = tuple(map(FileRow._fields.index, ("dir", "name")))
_path_of = itemgetter(*_PATH)
_HEXED = tuple(f"hex({name})" if name in {"dir", "name"} else name for name in FileRow._fields)


def fetch_files(tx: Tx, chosen: str, values: Sequence[object]) -> list[FileRow]:
    """Return the files of `SELECT * FROM files` and *chosen*, whose "?" stand for *values*, by (dir, name)."""
    if tx.is_sqlite:
        arrays = ", ".join(f"json_group_array({name})" for name in _HEXED)  # of a column each: of one row all in step
        packed = fetch_raw(tx, f"SELECT {arrays} FROM (SELECT * FROM files {chosen})", values)[0]  # noqa: S608
        columns: list[Iterable[Any]] = list(map(json.loads, packed))
        for at in _PATH:
            columns[at] = map(bytes.fromhex, columns[at])
        rows = rows_of_columns(columns)
    else:
        rows = file_rows(fetch_raw(tx, f"SELECT {', '.join(FileRow._fields)} FROM files {chosen}", values))  # noqa: S608
    return sorted(rows, key=_path_of)  # SQLite promises no order within a group


def load_again(tx: Tx, seen: Sequence[FileRow], file_ids: Iterable[int]) -> dict[int, FileRow]:
    """Return load_files() of *file_ids*; those *seen* before they were claimed are compared, not fetched."""
    found = _as_seen(tx, seen) if seen and tx.is_sqlite else {}
    others = [file_id for file_id in file_ids if file_id not in found]
    return found | load_files(tx, others) if others else found


def _as_seen(tx: Tx, seen: Sequence[FileRow]) -> dict[int, FileRow]:
    """Return the rows of files that are migrating and in all else as they were *seen*."""
    columns: dict[str, Sequence[Any]] = dict(zip(FileRow._fields, zip(*seen, strict=True), strict=True))
    rows = made_of(FileRow, (columns | {"state": [FileState.MIGRATING] * len(seen)}).values())
    columns = columns | {"state": [str(FileState.MIGRATING)] * len(seen), "pinned": list(map(int, columns["pinned"]))}
    # Of most columns, mode and owner among them, all the files of a batch have the same value.
    same = {name: values[0] for name, values in columns.items() if values.count(values[0]) == len(values)}
    other = ["file_id", *(name for name in columns.keys() - same.keys() - {"file_id"})]
    tests = [f"files.{name} IS new.column{number}" for number, name in enumerate(other, start=1)]
    where = " AND ".join(["files.file_id = new.column1", *tests, *(f"files.{name} IS ?" for name in same)])
    ids: list[int] = []
    for batch in batches(zip(*map(columns.__getitem__, other), strict=True), STATEMENT_ROWS):
        new = ", ".join([marks(other)] * len(batch))
        text = f"SELECT json_group_array(file_id) FROM (VALUES {new}) AS new CROSS JOIN files WHERE {where}"  # noqa: S608
        ids += json.loads(fetch_raw(tx, text, [*chain.from_iterable(batch), *same.values()])[0][0])
    found = dict(zip(columns["file_id"], rows, strict=True))
    return found if len(ids) == len(found) else {file_id: found[file_id] for file_id in ids}


def oldest(tx: Tx, wanted: Mapping[Digest, Fingerprint], tiers: Sequence[str]) -> dict[Digest, int]:
    """Return digest -> chunk_no of the chunks that packs.lookup() returns for *wanted*; the oldest where one has
    several.
    """
    if not tx.is_sqlite:
        hits = packs.lookup(tx, wanted.values(), tiers)
        return {digest: number for found in hits.values() for digest, number in reversed(found) if digest in wanted}
    digests = list(wanted)
    names = zip(fingerprint_numbers(list(wanted.values())), digests, range(len(digests)), strict=True)
    rows: list[list[int]] = []
    for batch in batches(names, STATEMENT_ROWS):
        # CROSS: in this order, the one in which the index of fingerprints is of use.
        text = (
            "SELECT json_group_array(json_array(new.column3, chunk_no, block_no)) "  # noqa: S608
            f"FROM (VALUES {', '.join(['(?, ?, ?)'] * len(batch))}) AS new CROSS JOIN chunks "
            "WHERE chunks.fingerprint = new.column1 AND chunks.digest = new.column2"
        )
        rows += json.loads(fetch_raw(tx, text, list(chain.from_iterable(batch)))[0][0])
    live = packs.live_blocks(tx, {row[2] for row in rows}, tiers)
    rows.sort(key=itemgetter(1), reverse=True)
    return {digests[at]: number for at, number, block_no in rows if block_no in live}
