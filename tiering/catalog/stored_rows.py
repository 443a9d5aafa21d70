"""Which files below a folder have a stored copy, by the page, and which: of a file no more than a restore wants.

Used by restore. What SQLite finds comes as one row of columns, as in tiering.catalog.located.
"""

import json
from collections.abc import Collection
from typing import Any, NamedTuple

from dedup.values import made_of
from tiering.catalog import files, recipes
from tiering.catalog.transaction import Tx, fetch_raw
from tiering.catalog.values import FileRow, FileState, RecipeRow

Path = tuple[bytes, bytes]
"""(dir, name)."""

_COLUMNS = (
    "json_group_array(hex(dir)), json_group_array(hex(name)), "
    "json_group_array(CASE WHEN state <> 'missing' THEN recipe_no END), "
    "json_group_array(CASE WHEN nlink > 1 THEN COALESCE(leader_id, file_id) END)"
)
_RECIPES = ", ".join(f"json_group_array({'hex(digest)' if name == 'digest' else name})" for name in RecipeRow._fields)


class StoredRow(NamedTuple):
    """A path whose stored copy is the current one."""

    dir: bytes
    name: bytes
    recipe_no: int
    inode_of: int | None
    """File id of the leader of a hard link group; None for a lone file."""


def inode_of(row: FileRow) -> int | None:
    """Return the file id of the leader of the row's hard link group; None for a lone file."""
    leader = row.leader_id if row.leader_id is not None else row.file_id
    return leader if row.nlink > 1 else None


def stored_page(
    tx: Tx, root_id: int, *, after: Path | None, limit: int, under: bytes
) -> tuple[list[StoredRow], Path | None]:
    """Return what of the next *limit* rows of a root is stored and not missing, in (dir, name) order, and the path of
    the last of those rows; None if there are no more. *after* and *under* as in files.page().
    """
    if tx.is_sqlite:
        rows = _fetched(tx, root_id, after, limit, under)
    else:
        page = files.page(tx, root_id, after=after, limit=limit, under=under)
        rows = [(row.dir, row.name, None if _is_missing(row) else row.recipe_no, inode_of(row)) for row in page]
    end = rows[-1][:2] if len(rows) == limit else None
    return [StoredRow(folder, name, number, inode) for folder, name, number, inode in rows if number is not None], end


def recipe_rows(tx: Tx, recipe_nos: Collection[int]) -> dict[int, RecipeRow]:
    """Return recipe_no -> recipe for those that exist; some thousands at a time."""
    if not (recipe_nos and tx.is_sqlite):
        return recipes.by_numbers(tx, recipe_nos)
    text = f"SELECT {_RECIPES} FROM recipes WHERE recipe_no IN (SELECT value FROM json_each(?))"  # noqa: S608
    packed = fetch_raw(tx, text, [json.dumps(list(recipe_nos))])[0]
    columns: dict[str, list[Any]] = dict(zip(RecipeRow._fields, map(json.loads, packed), strict=True))
    columns["digest"] = list(map(bytes.fromhex, columns["digest"]))
    columns["read_under_lease"] = list(map(bool, columns["read_under_lease"]))
    return dict(zip(columns["recipe_no"], made_of(RecipeRow, columns.values()), strict=True))


def _fetched(
    tx: Tx, root_id: int, after: Path | None, limit: int, under: bytes
) -> list[tuple[bytes, bytes, int | None, int | None]]:
    where, values = files.rows_of_page(root_id, after, under)
    text = f"SELECT {_COLUMNS} FROM (SELECT * FROM files {where} ORDER BY dir, name LIMIT ?)"  # noqa: S608
    folders, names, numbers, inodes = map(json.loads, fetch_raw(tx, text, [*values, limit])[0])
    # One object for all that stand in a folder: of a tree of small files they would take as much as the names.
    known = {folder: bytes.fromhex(folder) for folder in set(folders)}
    rows = zip(map(known.__getitem__, folders), map(bytes.fromhex, names), numbers, inodes, strict=True)
    return sorted(rows)  # SQLite promises no order within a group


def _is_missing(row: FileRow) -> bool:
    return row.state == FileState.MISSING
