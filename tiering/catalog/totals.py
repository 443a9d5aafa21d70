"""How many files are in which state, and their bytes: added up by the catalog, of a tree of any size.

SQLite sorts what it groups, all of it in memory; so it looks for the few kinds first, and adds up each of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tiering.catalog.booking import load_files
from tiering.catalog.files import rows_of_page
from tiering.catalog.transaction import Tx, fetch_raw
from tiering.catalog.values import FileRow, FileState


@dataclass(frozen=True, slots=True)
class StateTotal:
    """How many leaders are in a state, and their apparent bytes."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Alike:
    """Names of a root that agree in state, tier, pin, in leading or following, and in having a stored version."""

    example: FileRow
    """One of them."""
    files: int
    size_bytes: int


def alike(tx: Tx, root_id: int, *, under: bytes = b"") -> list[Alike]:
    """Return the names of a root in groups; only below the folder *under*."""
    chosen, values = rows_of_page(root_id, None, under)
    groups = _grouped(tx, chosen, values, ("state", "tier", "pinned", "leader_id IS NULL", "recipe_no IS NULL"))
    rows = load_files(tx, [file_id for _, file_id, _, _ in groups])
    return [Alike(rows[file_id], count, size) for _, file_id, count, size in groups]


def totals_of(tx: Tx, *, root_id: int | None = None) -> dict[FileState, StateTotal]:
    """Return files and bytes per state, leaders only (an inode counts once)."""
    chosen, values = "WHERE leader_id IS NULL", []
    if root_id is not None:
        chosen, values = f"{chosen} AND root_id = ?", [root_id]
    groups = _grouped(tx, chosen, values, ("state",))
    return {FileState(state): StateTotal(count, size) for (state,), _, count, size in groups}


def unstored_below(tx: Tx, root_id: int, *, under: bytes = b"") -> int:
    """Return how many names of a root have no stored copy, missing ones aside; only below the folder *under*."""
    chosen, values = rows_of_page(root_id, None, under)
    text = f"SELECT count(*) FROM files {chosen} AND recipe_no IS NULL AND state <> 'missing'"  # noqa: S608
    return int(fetch_raw(tx, text, values)[0][0])


def _grouped(
    tx: Tx, chosen: str, values: Sequence[object], by: Sequence[str]
) -> list[tuple[tuple[Any, ...], int, int, int]]:
    """Return (what they agree in, the lowest file_id, how many, their bytes) of the files *chosen* that agree in *by*;
    "?" in it stand for *values*.
    """
    named = ", ".join(by)
    sums = ("min(file_id)", "count(*)", "sum(size)")
    if not tx.is_sqlite:
        rows = fetch_raw(tx, f"SELECT {named}, {', '.join(sums)} FROM files {chosen} GROUP BY {named}", values)  # noqa: S608
        return [(tuple(row[: len(by)]), int(row[-3]), int(row[-2]), int(row[-1])) for row in rows]
    kinds = fetch_raw(tx, f"SELECT DISTINCT {named} FROM files {chosen}", values)  # noqa: S608
    if not kinds:
        return []
    fits = " AND ".join(f"({name}) IS ?" for name in by)
    one = ", ".join(f"{added} FILTER (WHERE {fits})" for added in sums)
    wanted = chain.from_iterable(kind * len(sums) for kind in kinds)
    text = f"SELECT {', '.join([one] * len(kinds))} FROM files {chosen}"  # noqa: S608
    found = fetch_raw(tx, text, [*wanted, *values])[0]
    return [(kind, *found[at : at + 3]) for kind, at in zip(kinds, range(0, len(found), len(sums)), strict=True)]
