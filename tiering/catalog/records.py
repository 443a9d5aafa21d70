"""The records that segments carry: what rebuild needs of each state change, as plain JSON objects.
docs/records.md is their prose.

Rows are named by what survives the catalog: roots by name, files by root and path, packs by key, recipes by id;
never by number.
"""

import os
from collections.abc import Mapping, Sequence

from dedup.values import PackEntry
from tiering.catalog.outbox import Record
from tiering.catalog.values import FileRow, PackRow, RecipeRow, RootRow


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


def recipe(row: RecipeRow, *, pack_key: str, codec: str) -> Record:
    """A live recipe and where it stands."""
    return {
        "record": "recipe",
        "recipe": row.recipe_id,
        "tier": row.tier,
        "digest": row.digest.hex(),
        "size": row.size,
        "hole_bytes": row.hole_bytes,
        "owner_uid": row.owner_uid,
        "pack": pack_key,
        "offset": row.offset,
        "stored_len": row.stored_len,
        "raw_len": row.raw_len,
        "recipe_digest": row.recipe_digest.hex(),
        "codec": codec,
        "created_ns": row.created_ns,
    }


def chunks(*, key: str, entries: Sequence[PackEntry]) -> Record:
    """What a pack in an archive class holds; of other packs the trailer says it."""
    rows = [[e.fingerprint.hex(), e.digest.hex(), e.offset, e.stored_len, e.raw_len, e.codec] for e in entries]
    return {"record": "chunks", "pack": key, "chunks": rows}


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
