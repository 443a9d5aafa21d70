"""Replays the records of segments into an empty catalog: what rebuild does first.

A segment at a time, each in one transaction; within it the last record of a thing wins, so a segment costs a
few batched statements per kind of record. Numbers of the lost catalog mean nothing: everything is found again
by name, key or id. Nothing is booked here: ledger entries are restored verbatim, and rebuild posts what remains
at the end.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite

from dedup.values import Digest, Fingerprint, PackEntry
from tiering.catalog import ledger, packs, recipes
from tiering.catalog.accounts import Line
from tiering.catalog.chunks import insert_chunks
from tiering.catalog.ledger import PostedEntry
from tiering.catalog.tables import files, roots, versions
from tiering.catalog.tables import packs as pack_rows
from tiering.catalog.tables import recipes as recipe_rows
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileState, NewChunk
from tiering.errors import Discrepancy

Value = Mapping[str, Any]
Path = tuple[str, str]
"""(root name, path as text)."""

_FILE_COLUMNS = (
    *("state", "size", "mtime_ns", "ctime_ns", "dev", "ino", "nlink", "mode", "uid", "gid", "tier", "pinned"),
    *("first_seen_ns", "last_access_ns", "access_quality", "missing_since_ns", "missing_from", "recalled_ns"),
    "stored_ns",
)
_PACK_COLUMNS = (
    *("key", "kind", "tier", "storage_class", "state", "size", "framing", "checksum", "created_ns", "doomed_ns"),
)
_SETTLED = {FileState.MIGRATING: FileState.DUAL, FileState.RECALLING: FileState.OFFLINE}


@dataclass(slots=True)
class Replayed:
    """What has been replayed so far, and what can only be applied at the end."""

    records: int = 0
    entries: int = 0
    pins: dict[Path, bool] = field(default_factory=dict)
    leaders: dict[Path, str] = field(default_factory=dict)
    """Path of a hard link with a stored copy -> path of the name that leads."""
    tickets: dict[int, Value] = field(default_factory=dict)
    stores: dict[str, Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_ledger_whole: bool = True


def apply(tx: Tx, texts: Sequence[str], done: Replayed) -> None:
    """Bring the catalog to the end of one segment. Records of a kind that is not known are noted and passed over."""
    by_kind: dict[str, list[Value]] = {}
    for text in texts:
        record: Value = json.loads(text)
        kind = str(record["record"])
        by_kind.setdefault(_TOGETHER.get(kind, kind), []).append(record)
    for kind, act in _IN_ORDER.items():
        act(tx, by_kind.pop(kind, []), done)
    for kind, unknown in by_kind.items():
        done.notes.append(f'{len(unknown)} records of the unknown kind "{kind}" were passed over')
    done.records += len(texts)


def finish(tx: Tx, done: Replayed) -> None:
    """Apply what needed all records: hard links, pins; forget recipes whose pack is gone."""
    ids = _root_ids(tx)
    for (root, path), leader in done.leaders.items():
        folder, name = split(path)
        lead_folder, lead_name = split(leader)
        of_root = files.c.root_id == ids[root]
        lead = (
            files.select()
            .with_only_columns(files.c.file_id)
            .where(of_root, files.c.dir == lead_folder, files.c.name == lead_name)
        )
        lead_id = tx.conn.execute(lead).scalar_one_or_none()
        follower = update(files).where(of_root, files.c.dir == folder, files.c.name == name)
        if lead_id is not None:
            tx.conn.execute(follower.values(leader_id=lead_id))
    gone = pack_rows.select().with_only_columns(pack_rows.c.pack_no).where(pack_rows.c.state == "deleted")
    tx.conn.execute(delete(recipe_rows).where(recipe_rows.c.pack_no.in_(gone), recipe_rows.c.state == "doomed"))


def apply_pins(tx: Tx, done: Replayed) -> None:
    """Pin what was pinned; for after the scan, which brings files without a stored copy back."""
    ids = _root_ids(tx)
    statement = update(files).values(pinned=True)
    for (root, path), pinned in done.pins.items():
        folder, name = split(path)
        if pinned and root in ids:
            tx.conn.execute(statement.where(files.c.root_id == ids[root], files.c.dir == folder, files.c.name == name))


def split(path: str) -> tuple[bytes, bytes]:
    """Return (dir with trailing slash or b"", name) of a record's path."""
    folder, slash, name = os.fsencode(path).rpartition(b"/")
    return folder + slash, name


def _root_ids(tx: Tx) -> dict[str, int]:
    return {row.name: row.root_id for row in tx.conn.execute(roots.select())}


def _upsert(tx: Tx, table: Any, keys: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    dialect = sqlite if tx.is_sqlite else postgresql
    for batch in batches(rows):
        statement = dialect.insert(table)
        others = {name: statement.excluded[name] for name in batch[0] if name not in keys}
        tx.conn.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=others), batch)


def _stores(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    done.stores.update({str(record["url"]): record for record in found})


def _roots(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    last = {record["name"]: record for record in found}
    rows = [
        {**{key: record[key] for key in ("name", "marker", "state", "added_ns")}, "path": os.fsencode(record["path"])}
        for record in last.values()
    ]
    _upsert(tx, roots, ["name"], rows)


def _packs(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    last = {record["key"]: record for record in found}
    _upsert(
        tx,
        pack_rows,
        ["key"],
        [{name: record[name] for name in _PACK_COLUMNS} | {"owner": ""} for record in last.values()],
    )


def _chunks(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    numbers = {key: row.pack_no for key, row in packs.by_keys(tx, {record["pack"] for record in found}).items()}
    insert_chunks(
        tx, [NewChunk(numbers[record["pack"]], entry_of(row)) for record in found for row in record["chunks"]]
    )


def entry_of(row: Sequence[Any]) -> PackEntry:
    """Return a chunk of a `chunks` record: [fingerprint, digest, offset, stored_len, raw_len, codec]."""
    fingerprint, digest, offset, stored_len, raw_len, codec = row
    return PackEntry(
        fingerprint=Fingerprint(bytes.fromhex(fingerprint)),
        digest=Digest(bytes.fromhex(digest)),
        raw_len=raw_len,
        stored_len=stored_len,
        offset=offset,
        codec=codec,
    )


def _recipes(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    codecs = recipes.codec_numbers(tx, {record["codec"] for record in found})
    numbers = {key: row.pack_no for key, row in packs.by_keys(tx, {record["pack"] for record in found}).items()}
    rows = [
        {
            "recipe_id": record["recipe"],
            "state": "live",
            "tier": record["tier"],
            "digest": bytes.fromhex(record["digest"]),
            "size": record["size"],
            "hole_bytes": record["hole_bytes"],
            "owner_uid": record["owner_uid"],
            "pack_no": numbers[record["pack"]],
            "offset": record["offset"],
            "stored_len": record["stored_len"],
            "raw_len": record["raw_len"],
            "recipe_digest": bytes.fromhex(record["recipe_digest"]),
            "codec_no": codecs[record["codec"]],
            "created_ns": record["created_ns"],
        }
        for record in {record["recipe"]: record for record in found}.values()
    ]
    _upsert(tx, recipe_rows, ["recipe_id"], rows)


def _versions(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    ids, numbers = _root_ids(tx), _recipe_nos(tx, found)
    rows = []
    for record in found:
        if record["recipe"] not in numbers:
            done.notes.append(
                f"a version of {record['path']} names recipe {record['recipe']}, which no record describes"
            )
            continue
        folder, name = split(record["path"])
        kept = {key: record[key] for key in ("from_ns", "superseded_ns", "keep_until_ns", "reason")}
        rows.append(
            {
                "root_id": ids[record["root"]],
                "dir": folder,
                "name": name,
                "recipe_no": numbers[record["recipe"]],
                **kept,
            }
        )
    for batch in batches(rows):
        tx.conn.execute(insert(versions), batch)


def _version_ends(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    ids, numbers = _root_ids(tx), _recipe_nos(tx, found)
    for record in found:
        folder, name = split(record["path"])
        tx.conn.execute(
            delete(versions).where(
                versions.c.root_id == ids[record["root"]],
                versions.c.dir == folder,
                versions.c.name == name,
                versions.c.recipe_no == numbers.get(record["recipe"], -1),
                versions.c.superseded_ns == record["superseded_ns"],
            )
        )


def _files(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    ids, numbers = _root_ids(tx), _recipe_nos(tx, [record for record in found if record.get("recipe")])
    last: dict[Path, Value] = {(record["root"], record["path"]): record for record in found}
    rows, gone = [], []
    for (root, path), record in last.items():
        done.leaders.pop((root, path), None)
        if not record.get("recipe"):
            gone.append((ids[root], *split(path)))
        elif record["recipe"] not in numbers:
            done.notes.append(f"{path} names recipe {record['recipe']}, which no record describes")
            gone.append((ids[root], *split(path)))
        else:
            rows.append(_file_row(record, ids[root], numbers[record["recipe"]]))
            if record["leader"] is not None:
                done.leaders[root, path] = record["leader"]
    _upsert(tx, files, ["root_id", "dir", "name"], rows)
    for root_id, folder, name in gone:
        tx.conn.execute(delete(files).where(files.c.root_id == root_id, files.c.dir == folder, files.c.name == name))


def _file_row(record: Value, root_id: int, recipe_no: int) -> dict[str, object]:
    folder, name = split(record["path"])
    values: dict[str, object] = {column: record[column] for column in _FILE_COLUMNS}
    state = FileState(str(record["state"]))
    return values | {
        "root_id": root_id,
        "dir": folder,
        "name": name,
        "state": _SETTLED.get(state, state),
        "leader_id": None,
        "recipe_no": recipe_no,
        "stored_seq": 0,  # a segment holds it, or it would not be here
    }


def _recipe_nos(tx: Tx, found: Sequence[Value]) -> dict[str, int]:
    return {key: row.recipe_no for key, row in recipes.by_ids(tx, {record["recipe"] for record in found}).items()}


def _dooms(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    for batch in batches({record["recipe"] for record in found}):
        tx.conn.execute(update(recipe_rows).where(recipe_rows.c.recipe_id.in_(batch)).values(state="doomed"))


def _pins(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    done.pins.update({(record["root"], record["path"]): bool(record["pinned"]) for record in found})


def _tickets(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    done.tickets.update({int(record["ticket_no"]): record for record in found})


def _ledger(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    if not done.is_ledger_whole or not found:
        return
    try:
        ledger.restore(tx, [_posted(record) for record in found])
    except Discrepancy as error:
        done.is_ledger_whole = False
        done.notes.append(f"{error.what}: what follows is summed up in one entry of rebuild's own")
        return
    done.entries += len(found)


def _posted(record: Value) -> PostedEntry:
    heads = ("entry_no", "op_id", "at_ns", "kind", "reason", "price_book", "prev_hash", "hash")
    lines = tuple(Line(account, tier, unit, amount) for account, tier, unit, amount in record["lines"])
    return PostedEntry(**{name: record[name] for name in heads}, lines=lines)


# A path may be given up and taken again within one segment: only the order of both kinds together tells.
_TOGETHER = {"file_gone": "file"}
_IN_ORDER: dict[str, Callable[[Tx, Sequence[Value], Replayed], None]] = {
    "store": _stores,
    "root": _roots,
    "pack": _packs,
    "chunks": _chunks,
    "recipe": _recipes,
    "version": _versions,
    "version_end": _version_ends,
    "file": _files,
    "recipe_doomed": _dooms,
    "pin": _pins,
    "ticket": _tickets,
    "ledger": _ledger,
}
