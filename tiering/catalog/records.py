"""The records that segments carry: what rebuild needs of each state change, as plain JSON objects.
docs/records.md is their prose.

Rows are named by what survives the catalog: roots by name, files by root and path, packs by key, recipes by id;
never by number.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import add, attrgetter, eq, sub
from typing import Any

from dedup.values import Block, Recipe
from tiering.catalog.outbox import Record
from tiering.catalog.values import FileRow, PackRow, RootRow


def root(row: RootRow) -> Record:
    """A root as it is now."""
    return {
        "record": "root",
        "name": row.name,
        "path": os.fsdecode(row.path),
        "marker": row.marker,
        "state": row.state,
        "added_ns": row.added_ns,
    }


def file(row: FileRow, *, root_name: str, recipe_id: str | None, leader: bytes | None) -> Record:
    """A file that has, or has just lost (recipe null), a stored copy; *leader* is the path that counts its bytes."""
    return {
        "record": "file",
        "root": root_name,
        "path": os.fsdecode(row.path),
        "state": row.state,
        "recipe": recipe_id,
        "tier": row.tier,
        "size": row.size,
        "mtime_ns": row.mtime_ns,
        "ctime_ns": row.ctime_ns,
        "dev": row.dev,
        "ino": row.ino,
        "nlink": row.nlink,
        "mode": row.mode,
        "uid": row.uid,
        "gid": row.gid,
        "pinned": row.pinned,
        "leader": None if leader is None else os.fsdecode(leader),
        "first_seen_ns": row.first_seen_ns,
        "last_access_ns": row.last_access_ns,
        "access_quality": row.access_quality,
        "missing_since_ns": row.missing_since_ns,
        "missing_from": row.missing_from,
        "recalled_ns": row.recalled_ns,
        "stored_ns": row.stored_ns,
    }


def file_changed(described: Record, before: FileRow, after: FileRow) -> Record:
    """What a file() record says beyond what was recorded of the same row and stored copy before."""
    changed = {name: described[name] for name in FILE_COLUMNS if getattr(before, name) != getattr(after, name)}
    return {"record": "file_changed", "root": described["root"], "path": described["path"], **changed}


FILE_COLUMNS = (
    *("state", "size", "mtime_ns", "ctime_ns", "dev", "ino", "nlink", "mode", "uid", "gid", "tier", "pinned"),
    *("first_seen_ns", "last_access_ns", "access_quality", "missing_since_ns", "missing_from", "recalled_ns"),
    "stored_ns",
)


def file_gone(*, root_name: str, path: bytes) -> Record:
    """A path that the catalog has forgotten."""
    return {"record": "file_gone", "root": root_name, "path": os.fsdecode(path)}


def pin(*, root_name: str, path: bytes, pinned: bool) -> Record:
    """A path pinned or unpinned, stored or not."""
    return {"record": "pin", "root": root_name, "path": os.fsdecode(path), "pinned": pinned}


def pack(row: PackRow) -> Record:
    """A pack as it is now; pending packs have no record."""
    return {
        "record": "pack",
        "key": row.key,
        "kind": row.kind,
        "tier": row.tier,
        "storage_class": row.storage_class,
        "state": row.state,
        "size": row.size,
        "framing": row.framing,
        "checksum": row.checksum,
        "created_ns": row.created_ns,
        "doomed_ns": row.doomed_ns,
    }


def version(row: Mapping[str, object], *, root_name: str, recipe_ids: Mapping[int, str]) -> Record:
    """A stored version that stopped being current; *row* has the columns of the versions table."""
    return {
        "record": "version",
        "root": root_name,
        "path": os.fsdecode(_bytes(row["dir"]) + _bytes(row["name"])),
        "recipe": recipe_ids[int(str(row["recipe_no"]))],
        "from_ns": row["from_ns"],
        "superseded_ns": row["superseded_ns"],
        "keep_until_ns": row["keep_until_ns"],
        "reason": row["reason"],
    }


def version_end(*, root_name: str, path: bytes, recipe_id: str, superseded_ns: int) -> Record:
    """A version whose retention is over."""
    return {
        "record": "version_end",
        "root": root_name,
        "path": os.fsdecode(path),
        "recipe": recipe_id,
        "superseded_ns": superseded_ns,
    }


def blocks(*, key: str, found: Sequence[Block]) -> Record:
    """What a pack in an archive class holds; of other packs the trailer says it."""
    rows = [
        [
            *(block.offset, block.stored_len, block.raw_len, block.codec),
            None if block.base is None else block.base.hex(),
            [[chunk.fingerprint.hex(), chunk.digest.hex(), chunk.length] for chunk in block.chunks],
        ]
        for block in found
    ]
    return {"record": "blocks", "pack": key, "blocks": rows}


def recipes(*, pack_key: str, tier: str, created_ns: int, places: Sequence[int], of: int) -> Record:
    """Recipes that are live, by their *places* in their pack (0, 1, 2 ..., ascending), which describes them; *of* is
    how many of the pack there are in all such records.
    """
    found = {"pack": pack_key, "tier": tier, "created_ns": created_ns, "of": of}
    return {"record": "recipes", **found, "recipes": runs_of(places)}


def recipe_found(*, recipe_id: str, pack_key: str, tier: str, created_ns: int) -> Record:
    """A recipe that rebuild found in a pack and that no record named."""
    found = {"pack": pack_key, "tier": tier, "created_ns": created_ns}
    return {"record": "recipes", **found, "ids": [recipe_id]}


def stored(live: Record, of: Mapping[str, Sequence[Any]], found: Sequence[Recipe]) -> Record:
    """Add to a record of recipes() that each is the stored copy of its path now; the columns *of* the file rows and
    what was *found* of them are in the same order, and are_told() of all.

    What the recipe says is not said again, and times are differences to its own: most of them are 0.
    """
    metas = list(map(_meta_of, found))
    atimes = list(map(_atime_of, metas))
    columns: dict[str, Sequence[object]] = {
        "ctime_ns": list(map(sub, of["ctime_ns"], map(_mtime_of, metas))),
        "last_access_ns": [
            None if at_ns is None else at_ns - atime_ns
            for at_ns, atime_ns in zip(of["last_access_ns"], atimes, strict=True)
        ],
        "ino": _steps(of["ino"]),
        "first_seen_ns": _steps(of["first_seen_ns"]),
    }
    columns |= {name: of[name] for name in STORED_AS_THEY_ARE}
    same = {name: values[0] if values.count(values[0]) == len(values) else values for name, values in columns.items()}
    return {**live, "record": "stored", **same}


def are_told(of: Mapping[str, Sequence[Any]], found: Sequence[Recipe], root_names: Mapping[int, str]) -> list[bool]:
    """Return whether stored() and the recipe together say all of the row of a file that was just stored, for each."""
    if not found:
        return []
    _, roots, paths, _, sizes, _, _, metas, _, _ = zip(*found, strict=True)
    modes, uids, gids, mtimes, *_ = zip(*metas, strict=True)
    of_rows = (
        *(map(root_names.get, of["root_id"]), map(add, of["dir"], of["name"])),
        *(of["size"], of["mode"], of["uid"], of["gid"], of["mtime_ns"], of["leader_id"], of["missing_from"]),
    )
    of_recipes = (roots, paths, sizes, modes, uids, gids, mtimes, repeat(None), repeat(None))
    return list(map(eq, zip(*of_rows, strict=True), zip(*of_recipes, strict=False)))


_meta_of = attrgetter("meta")
_mtime_of, _atime_of = attrgetter("mtime_ns"), attrgetter("atime_ns")
STORED_AS_THEY_ARE = ("dev", "nlink", "pinned", "access_quality", "recalled_ns")
STORED_COLUMNS = ("ctime_ns", "last_access_ns", "ino", "first_seen_ns", *STORED_AS_THEY_ARE)


def runs_of(places: Sequence[int]) -> list[list[int]]:
    """Return ascending numbers as [first, count] of each unbroken run."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][0] + runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([place, 1])
    return runs


def _steps(values: Sequence[int]) -> list[object]:
    """Return the first value and then the differences to the one before."""
    return [value - before for before, value in zip([0, *values], values, strict=False)]


def store(*, url: str, store_id: str, epoch: int, tier: str) -> Record:
    """A store and under which id it is owned: should its ownership file be lost, placeholders still name that id."""
    return {"record": "store", "url": url, "store_id": store_id, "epoch": epoch, "tier": tier}


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{value!r} is not bytes")
    return value


def ticket(row: object, *, paths: Sequence[tuple[str, bytes]]) -> Record:
    """A restore ticket as it is now, with (root name, path) of its files; *row* has the columns of the tickets
    table.
    """
    columns = ("ticket_no", "state", "speed", "reason", "requested_by", "created_ns", "deadline_ns", "quote", "note")
    values = {column: getattr(row, column) for column in columns}
    return {"record": "ticket", **values, "files": [[root_name, os.fsdecode(path)] for root_name, path in paths]}
