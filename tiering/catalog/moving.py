"""Moves between cold tiers: which tier a stored file belongs to, which packs may follow it, and the steps of a pack.

A file that is to be colder is given the tier first; its packs follow when all that refers to them is as cold. A pack
changes its tier before its object changes class, so that nothing warmer is deduplicated against it meanwhile; its row
of the journal says what is still to be done.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, insert, literal, select, update

from dedup.values import Block, ChunkPart
from tiering.catalog import accounts, journal, outbox, packs, records
from tiering.catalog.accounts import Amounts
from tiering.catalog.bases import IN_BLOCK
from tiering.catalog.booking import book, load_files, recipe_ids
from tiering.catalog.tables import blocks, chunks, files, recipes, refs, versions
from tiering.catalog.tables import journal as journal_rows
from tiering.catalog.tables import packs as pack_rows
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileState, JournalKind, JournalRow, PackRow, PackState

_STORED = (FileState.DUAL, FileState.OFFLINE)


@dataclass(frozen=True, slots=True)
class Sinking:
    """A pack that may stand in a colder tier: tiering.catalog.temperature says so."""

    pack: PackRow
    target: str


def retarget(tx: Tx, file_ids: Sequence[int], tier: str, *, op_id: str) -> list[int]:
    """Give stored files, and their recipes, to *tier*; return those that had another. Their packs stay as they are."""
    found = [row for row in load_files(tx, file_ids).values() if row.state in _STORED and row.tier not in {None, tier}]
    numbers = {row.recipe_no for row in found if row.recipe_no is not None}
    amounts = Amounts()
    for batch in batches(sorted(numbers)):
        _book_holders(tx, amounts, batch, sign=-1)
        tx.conn.execute(update(recipes).where(recipes.c.recipe_no.in_(batch)).values(tier=tier))
        tx.conn.execute(update(files).where(files.c.recipe_no.in_(batch)).values(tier=tier))
        _book_holders(tx, amounts, batch, sign=+1)
        outbox.append(tx, [{"record": "tiered", "tier": tier, "recipes": sorted(recipe_ids(tx, batch).values())}])
    book(tx, amounts, op_id=op_id, kind="move", reason=f"{len(found)} files belong to {tier} now")
    return [row.file_id for row in found]


def begin(tx: Tx, item: Sinking, *, op_id: str, owner: str, until_ns: int, is_archive: bool) -> bool:
    """Give the pack to its new tier, book its bytes there and note in the journal that its object is to follow; False,
    with nothing done, if it is not live in the old tier any more. A pack that will not be readable is described in a
    record.
    """
    number = item.pack.pack_no
    row = packs.get(tx, number)
    if row is None or (row.state, row.tier) != (PackState.LIVE, item.pack.tier):
        return False
    amounts = Amounts()
    book_pack(tx, amounts, row, row.tier, sign=-1)
    tx.conn.execute(update(pack_rows).where(pack_rows.c.pack_no == number).values(tier=item.target))
    book_pack(tx, amounts, row, item.target, sign=+1)
    detail = {"pack_no": number, "from": row.tier, "to": item.target}
    values = {
        "op_id": op_id,
        "kind": JournalKind.MOVE,
        "file_id": None,
        "step": "noted",
        "detail": json.dumps(detail),
        "owner": owner,
        "lease_until_ns": until_ns,
        "created_ns": tx.now_ns,
    }
    tx.conn.execute(insert(journal_rows).values(values))
    if is_archive:
        outbox.append(tx, [records.blocks(key=row.key, found=blocks_of(tx, number))])
    outbox.append(tx, [records.pack(moved) for moved in packs.by_numbers(tx, [number]).values()])
    book(tx, amounts, op_id=op_id, kind="move", reason=f"{row.key} goes from {row.tier} to {item.target}")
    return True


def finish(tx: Tx, entry: JournalRow, *, storage_class: str) -> PackRow | None:
    """Note that the object is of its new class from now on, and end the journal's row; return the pack as it was
    before, None if that was noted already.
    """
    number = pack_of(entry)
    row = packs.get(tx, number)
    journal.finish(tx, [entry.op_id])
    if row is None or row.storage_class == storage_class:
        return None
    changed = update(pack_rows).where(pack_rows.c.pack_no == number)
    tx.conn.execute(changed.values(storage_class=storage_class, created_ns=tx.now_ns))
    outbox.append(tx, [records.pack(moved) for moved in packs.by_numbers(tx, [number]).values()])
    return row


def pack_of(entry: JournalRow) -> int:
    """Return the number of the pack that a move's row is about."""
    return int(json.loads(entry.detail)["pack_no"])


def _book_holders(tx: Tx, amounts: Amounts, recipe_nos: Sequence[int], *, sign: int) -> None:
    """Book everything that holds these recipes, as catalog.sums adds it up."""
    is_missing = files.c.state == FileState.MISSING
    current = (
        select(recipes.c.tier, is_missing, func.sum(recipes.c.size), func.sum(recipes.c.plain_bytes))
        .join(files, files.c.recipe_no == recipes.c.recipe_no)
        .where(recipes.c.recipe_no.in_(recipe_nos), files.c.leader_id.is_(None))
        .group_by(recipes.c.tier, is_missing)
    )
    retained = (
        select(recipes.c.tier, literal(True), func.sum(recipes.c.size), func.sum(recipes.c.plain_bytes))
        .join(versions, versions.c.recipe_no == recipes.c.recipe_no)
        .where(recipes.c.recipe_no.in_(recipe_nos))
        .group_by(recipes.c.tier)
    )
    for query in (current, retained):
        for tier, is_retained, size, plain in tx.conn.execute(query).all():
            account = accounts.HELD_RETAINED if is_retained else accounts.HELD_CURRENT
            amounts.add(account, -sign * int(size), tier)
            amounts.add(accounts.STORE_DEDUP_SAVED, sign * int(plain), tier)
            amounts.add(accounts.STORE_COMPRESSION_SAVED, sign * (int(size) - int(plain)), tier)


def book_pack(tx: Tx, amounts: Amounts, row: PackRow, tier: str, *, sign: int) -> None:
    """Book a live data pack and the chunks in it that something refers to, on *tier*."""
    of_chunk = refs.c.chunk_no == chunks.c.chunk_no
    is_used = exists(select(literal(1)).where(of_chunk, refs.c.times > 0))
    query = (
        select(is_used, func.sum(chunks.c.raw_len), func.sum(chunks.c.stored_len))
        .select_from(blocks.join(chunks, IN_BLOCK))
        .where(blocks.c.pack_no == row.pack_no, exists(select(literal(1)).where(of_chunk)))
        .group_by(is_used)
    )
    live = row.framing
    overhead = -row.framing
    for used, raw, stored in tx.conn.execute(query).all():
        live += int(stored)
        if used:
            amounts.add(accounts.STORE_COMPRESSION_SAVED, sign * (int(raw) - int(stored)), tier)
            amounts.add(accounts.STORE_DEDUP_SAVED, -sign * int(raw), tier)
        else:
            overhead -= int(stored)
    amounts.add(accounts.STORE_LIVE, sign * live, tier)
    amounts.add(accounts.STORE_OVERHEAD, sign * overhead, tier)
    amounts.add(accounts.BUCKET_LIVE, sign * live, tier)
    amounts.add(accounts.BUCKET_DEAD, sign * (row.size - live), tier)
    amounts.add(accounts.BUCKET_TOTAL, -sign * row.size, tier)


def blocks_of(tx: Tx, pack_no: int) -> list[Block]:
    """Return what the catalog knows of a pack's blocks, as a `blocks` record tells them."""
    held: dict[int, list[ChunkPart]] = {}
    places = {}
    for at in packs.chunks_of(tx, pack_no):
        held.setdefault(at.block.block_no, []).append(ChunkPart(at.fingerprint, at.digest, at.length))
        places[at.block.block_no] = at.block
    return [
        Block(place.offset, place.stored_len, place.raw_len, place.codec, tuple(held[number]), place.base)
        for number, place in places.items()
    ]
