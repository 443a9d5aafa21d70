"""Replays the records of segments into an empty catalog: what rebuild does first.

A segment at a time, each in one transaction; within it the last record of a thing wins, so a segment costs a
few batched statements per kind of record. Numbers of the lost catalog mean nothing: everything is found again
by name, key or id. Nothing is booked here: ledger entries are restored verbatim, and rebuild posts what remains
at the end.
"""

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from dedup.recipe_id import recipe_key
from dedup.values import Block, ChunkPart, Digest, Fingerprint, Recipe, RecipeId
from tiering.catalog import ledger, pack_notes, packs, recipes, unresolved
from tiering.catalog.accounts import Line
from tiering.catalog.chunks import recipe_spots
from tiering.catalog.ledger import PostedEntry
from tiering.catalog.replay_files import apply_files
from tiering.catalog.replayed import RecipePacks, Replayed, Value, recipe_nos, root_ids, split, upsert
from tiering.catalog.tables import blocks as block_rows
from tiering.catalog.tables import files, roots, versions
from tiering.catalog.tables import packs as pack_rows
from tiering.catalog.tables import recipes as recipe_rows
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import NewBlock, RecipeSpot
from tiering.errors import Discrepancy

_PACK_COLUMNS = (
    *("key", "kind", "tier", "storage_class", "state", "size", "framing", "checksum", "created_ns", "doomed_ns"),
)


def apply(tx: Tx, texts: Sequence[str], done: Replayed, packed: RecipePacks) -> None:
    """Bring the catalog to the end of one segment. Records of a kind that is not known are noted and passed over."""
    by_kind: dict[str, list[Value]] = {}
    for text in texts:
        record: Value = json.loads(text)
        kind = str(record["record"])
        if kind in {"recipes", "stored"}:
            record = {**record, "found": _named(record, done, packed)}
        by_kind.setdefault(_TOGETHER.get(kind, kind), []).append(record)
        if kind == "stored":
            by_kind.setdefault("recipes", []).append(record)
    _insert_recipes(tx, by_kind.pop("recipes", []), by_kind.get("pack", []), done, packed)
    for kind, act in _IN_ORDER.items():
        act(tx, by_kind.pop(kind, []), done)
    for kind, unknown in by_kind.items():
        done.notes.append(f'{len(unknown)} records of the unknown kind "{kind}" were passed over')
    done.records += len(texts)


def finish(tx: Tx, done: Replayed) -> list[str]:
    """Apply what needed all records: hard links; forget recipes whose pack is gone. Return what could not be
    recovered.
    """
    problems = _lost_packs(tx, done)
    ids = root_ids(tx)
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
    of_gone = block_rows.select().with_only_columns(block_rows.c.block_no).where(block_rows.c.pack_no.in_(gone))
    tx.conn.execute(delete(recipe_rows).where(recipe_rows.c.block_no.in_(of_gone), recipe_rows.c.state == "doomed"))
    return problems


def is_known_whole(done: Replayed, key: str) -> bool:
    """Return whether records name every recipe of that pack that its commits announced."""
    return key in done.named and done.named[key] == 0


def _lost_packs(tx: Tx, done: Replayed) -> list[str]:
    rows = packs.by_keys(tx, done.unread)
    lost = [(key, count) for key, count in done.unread.items() if key not in rows or rows[key].state != "deleted"]
    return [
        f"{key} cannot be read: the {count} files that it described are known by their placeholders alone"
        for key, count in lost
    ]


def apply_pins(tx: Tx, done: Replayed) -> None:
    """Pin what was pinned; for after the scan, which brings files without a stored copy back."""
    ids = root_ids(tx)
    statement = update(files).values(pinned=True)
    for (root, path), pinned in done.pins.items():
        folder, name = split(path)
        if pinned and root in ids:
            tx.conn.execute(statement.where(files.c.root_id == ids[root], files.c.dir == folder, files.c.name == name))


def _tiered(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    for record in found:
        for batch in batches(record["recipes"]):
            of_batch = recipe_rows.c.recipe_id.in_(batch)
            numbers = select(recipe_rows.c.recipe_no).where(of_batch)
            tx.conn.execute(update(files).where(files.c.recipe_no.in_(numbers)).values(tier=record["tier"]))
            tx.conn.execute(update(recipe_rows).where(of_batch).values(tier=record["tier"]))


def _stores(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    done.stores.update({str(record["url"]): record for record in found})


def _roots(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    last = {record["name"]: record for record in found}
    rows = [
        {**{key: record[key] for key in ("name", "marker", "state", "added_ns")}, "path": os.fsencode(record["path"])}
        for record in last.values()
    ]
    upsert(tx, roots, ["name"], rows)


def _packs(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    last = {record["key"]: record for record in found}
    upsert(
        tx,
        pack_rows,
        ["key"],
        [{name: record[name] for name in _PACK_COLUMNS} | {"owner": ""} for record in last.values()],
    )


def _blocks(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    numbers = {key: row.pack_no for key, row in packs.by_keys(tx, {record["pack"] for record in found}).items()}
    new = [NewBlock(numbers[record["pack"]], block_of(row)) for record in found for row in record["blocks"]]
    unresolved.insert_blocks(tx, new)


def block_of(row: Sequence[Any]) -> Block:
    """Return a block of a `blocks` record: [offset, stored_len, raw_len, codec, base, [[fingerprint, digest, length],
    ...]].
    """
    offset, stored_len, raw_len, codec, base, held = row
    parts = tuple(
        ChunkPart(Fingerprint(bytes.fromhex(fingerprint)), Digest(bytes.fromhex(digest)), length)
        for fingerprint, digest, length in held
    )
    return Block(offset, stored_len, raw_len, codec, parts, None if base is None else Digest(bytes.fromhex(base)))


def _named(record: Value, done: Replayed, packed: RecipePacks) -> list[Recipe | None]:
    """Return the recipes that a record names, in its order; None for one that cannot be had."""
    key = str(record["pack"])
    found = packed.blocks(key)
    count = len(record["ids"]) if "ids" in record else sum(length for _, length in record["recipes"])
    if "of" in record:
        done.named[key] += record["of"] - count if key not in done.named else -count
    if found is None:
        done.unread[key] += count
        return [None] * count  # deleted since, or lost: which of the two, the pack's last record tells
    if "ids" in record:
        wanted: list[bytes | None] = [recipe_key(RecipeId(text)) for text in record["ids"]]
    else:
        every = {
            block.first + index: bytes(chunk.fingerprint) for block in found for index, chunk in enumerate(block.chunks)
        }
        wanted = [every.get(at) for first, length in record["recipes"] for at in range(first, first + length)]
    recipes_of = packed.recipes(key, [name for name in wanted if name is not None])
    named = [None if name is None else recipes_of.get(name) for name in wanted]
    if lost := named.count(None):
        done.unread[key] += lost
    return named


def _insert_recipes(
    tx: Tx, found: Sequence[Value], pack_records: Sequence[Value], done: Replayed, packed: RecipePacks
) -> None:
    """Insert the recipes that records name, with their blocks, after the packs that the same segment brings."""
    _packs(tx, pack_records, done)
    numbers = {key: row.pack_no for key, row in packs.by_keys(tx, {record["pack"] for record in found}).items()}
    spots: dict[str, dict[bytes, RecipeSpot]] = {}
    for record in found:
        key = str(record["pack"])
        held = packed.blocks(key)
        if held is None or key not in numbers:
            continue
        if key not in spots:
            spots[key] = recipe_spots(tx, numbers[key], held)
        ids = {str(recipe.recipe_id) for recipe in record["found"] if recipe is not None}
        known = recipes.by_ids(tx, ids)
        recipes.insert_recipes(
            tx,
            [
                recipes.NewRecipe(
                    recipe, spots[key][recipe_key(recipe.recipe_id)], record["tier"], False, record["created_ns"]
                )
                for recipe in record["found"]
                if recipe is not None and str(recipe.recipe_id) not in known
            ],
        )


def _versions(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    ids, numbers = root_ids(tx), recipe_nos(tx, found)
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
    ids, numbers = root_ids(tx), recipe_nos(tx, found)
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


def _dooms(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    for batch in batches({record["recipe"] for record in found}):
        tx.conn.execute(update(recipe_rows).where(recipe_rows.c.recipe_id.in_(batch)).values(state="doomed"))


def _pins(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    done.pins.update({(record["root"], record["path"]): bool(record["pinned"]) for record in found})


def _packs_read(tx: Tx, found: Sequence[Value], done: Replayed) -> None:
    pack_notes.restore_reads(tx, {key: at_ns for record in found for key, at_ns in record["packs"].items()})


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
_TOGETHER = {"file_gone": "file", "file_changed": "file", "stored": "file"}
_IN_ORDER: dict[str, Callable[[Tx, Sequence[Value], Replayed], None]] = {
    "store": _stores,
    "root": _roots,
    "pack": _packs,
    "packs_read": _packs_read,
    "blocks": _blocks,
    "version": _versions,
    "version_end": _version_ends,
    "file": apply_files,
    "recipe_doomed": _dooms,
    "tiered": _tiered,
    "pin": _pins,
    "ticket": _tickets,
    "ledger": _ledger,
}
