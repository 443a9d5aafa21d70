"""Replays what records say of files: stored, described whole, changed a little, gone. Used by catalog.replay."""

import os
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from sqlalchemy import bindparam, delete, update

from dedup.values import Recipe
from tiering.catalog.records import FILE_COLUMNS, STORED_AS_THEY_ARE
from tiering.catalog.replayed import Path, Replayed, Value, recipe_nos, root_ids, split, upsert
from tiering.catalog.tables import files
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileState

_SETTLED = {FileState.MIGRATING: FileState.DUAL, FileState.RECALLING: FileState.OFFLINE}


def apply_files(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    """Bring the rows of files to the end of a segment; *found* are its records of files, in order."""
    last = _last(found)
    ids = root_ids(tx)
    numbers = recipe_nos(tx, [record for record in last.values() if record.get("recipe")])
    rows, gone = [], []
    changed: dict[tuple[str, ...], list[dict[str, object]]] = {}
    for (root, path), record in last.items():
        if record["record"] == "file_changed":
            values = {f"to_{name}": record[name] for name in FILE_COLUMNS if name in record}
            folder, name = split(path)
            place = {"of_root": ids[root], "of_dir": folder, "of_name": name}
            changed.setdefault(tuple(values), []).append(_settled(values, "to_state") | place)
            continue
        done.leaders.pop((root, path), None)
        if record.get("recipe") in numbers:
            rows.append(_file_row(record, ids[root], numbers[record["recipe"]]))
            if record["leader"] is not None:
                done.leaders[root, path] = record["leader"]
            continue
        gone.append((ids[root], *split(path)))
        if record.get("recipe"):
            done.notes.append(f"{path} names recipe {record['recipe']}, which no record describes")
    upsert(tx, files, ["root_id", "dir", "name"], rows)
    for columns, group in changed.items():
        _change(tx, columns, group)
    for root_id, folder, name in gone:
        tx.conn.execute(delete(files).where(files.c.root_id == root_id, files.c.dir == folder, files.c.name == name))


def _last(found: Sequence[Value]) -> dict[Path, dict[str, Any]]:
    """Return the last that is said of each path; changes are worked into what they change."""
    last: dict[Path, dict[str, Any]] = {}
    for record in found:
        for entry in _described(record) if record["record"] == "stored" else (record,):
            at = (entry["root"], entry["path"])
            if entry["record"] == "file_changed" and at in last:
                last[at] |= {name: value for name, value in entry.items() if name != "record"}
            else:
                last[at] = dict(entry)
    return last


def _change(tx: Tx, columns: Sequence[str], rows: Sequence[dict[str, object]]) -> None:
    """Set a few columns of rows that earlier records described."""
    at = (
        files.c.root_id == bindparam("of_root"),
        files.c.dir == bindparam("of_dir"),
        files.c.name == bindparam("of_name"),
    )
    values: dict[str, Any] = {name.removeprefix("to_"): bindparam(name) for name in columns}
    if values:
        for batch in batches(rows):
            tx.conn.execute(update(files).where(*at).values(values), batch)


def _settled(values: dict[str, Any], name: str) -> dict[str, Any]:
    if name not in values:
        return values
    state = FileState(str(values[name]))
    return values | {name: _SETTLED.get(state, state)}


def _described(record: Value) -> Iterator[Value]:
    """Yield a `file` record for each file of a `stored` one, from what its recipe says."""
    found: list[Recipe | None] = record["found"]
    columns = {name: _column(record[name], len(found)) for name in STORED_AS_THEY_ARE}
    columns |= {name: _column(record[name], len(found)) for name in ("ctime_ns", "last_access_ns")}
    columns |= {name: _summed(record[name], len(found)) for name in ("ino", "first_seen_ns")}
    for at, recipe in enumerate(found):
        if recipe is None:
            continue
        meta = recipe.meta
        row = {name: values[at] for name, values in columns.items()}
        row["ctime_ns"] += meta.mtime_ns
        if row["last_access_ns"] is not None:
            row["last_access_ns"] += meta.atime_ns
        yield row | {
            "record": "file",
            "root": recipe.root,
            "path": os.fsdecode(recipe.path),
            "state": FileState.DUAL,
            "recipe": str(recipe.recipe_id),
            "tier": record["tier"],
            "size": recipe.size,
            "mtime_ns": meta.mtime_ns,
            "mode": meta.mode,
            "uid": meta.uid,
            "gid": meta.gid,
            "missing_since_ns": None,
            "missing_from": None,
            "stored_ns": record["created_ns"],
            "leader": None,
        }


def _column(value: Any, count: int) -> list[Any]:
    """Return a column of a `stored` record: one value stands for all of them."""
    return value if isinstance(value, list) else [value] * count


def _summed(value: Any, count: int) -> list[int]:
    """Return a column whose values are differences to the one before."""
    return list(accumulate(_column(value, count)))


def _file_row(record: Value, root_id: int, recipe_no: int) -> dict[str, object]:
    folder, name = split(record["path"])
    values = _settled({column: record[column] for column in FILE_COLUMNS}, "state")
    return values | {
        "root_id": root_id,
        "dir": folder,
        "name": name,
        "leader_id": None,
        "recipe_no": recipe_no,
        "stored_seq": 0,  # a segment holds it, or it would not be here
    }
