"""Packs written anew from what is needed of others: what is planned stands in the journal before anything is uploaded,
and what was uploaded becomes so in one transaction.

A block moves as it is, with chunks in it that are dead, and its chunks keep their numbers, so that whatever refers to
them knows nothing of it. Of a block much of which is dead the needed chunks go into a new block, under new numbers.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, insert, select, update

from dedup.fingerprint import fingerprint_from_number
from dedup.values import Block, ChunkPart, Digest
from tiering.catalog import journal, outbox, packs, records
from tiering.catalog.accounts import Amounts
from tiering.catalog.bases import IN_BLOCK
from tiering.catalog.booking import book
from tiering.catalog.chunks import insert_based
from tiering.catalog.moving import blocks_of, book_pack
from tiering.catalog.tables import blocks, chunks, refs
from tiering.catalog.tables import journal as journal_rows
from tiering.catalog.temperature import block_heats
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import JournalKind, JournalRow, NewBlock, PackState
from tiering.config.sections import ARCHIVE_CLASSES


@dataclass(frozen=True, slots=True)
class Moved:
    """A block that stands in a new pack as it stood in an old one."""

    block_no: int
    source: int
    """Number of the old pack."""
    target: int
    offset: int
    """In the new pack."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """A new block of chunks that stood in others."""

    target: int
    offset: int
    stored_len: int
    raw_len: int
    codec: str
    chunk_nos: tuple[int, ...]
    """As they were, in the order in which they stand in it."""


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Which blocks go where. Plain numbers: it goes through the journal as JSON."""

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    moved: tuple[Moved, ...]
    renewed: tuple[Renewed, ...] = ()

    def only(self, targets: Collection[int]) -> "Rewriting":
        """Return the part of it that concerns *targets*: each target is complete on its own."""
        return replace(
            self,
            targets=tuple(number for number in self.targets if number in targets),
            moved=tuple(item for item in self.moved if item.target in targets),
            renewed=tuple(item for item in self.renewed if item.target in targets),
        )


class Outdated(Exception):
    """What is to be committed does not fit the rows any more. The transaction must be rolled back."""


def begin(tx: Tx, rewriting: Rewriting, *, op_id: str, owner: str, until_ns: int) -> None:
    """Note in the journal what is about to be uploaded; its targets are pending rows of the same transaction."""
    detail = {
        "sources": rewriting.sources,
        "targets": rewriting.targets,
        "moved": [(item.block_no, item.source, item.target, item.offset) for item in rewriting.moved],
        "renewed": [
            (item.target, item.offset, item.stored_len, item.raw_len, item.codec, item.chunk_nos)
            for item in rewriting.renewed
        ],
    }
    values = {
        "op_id": op_id,
        "kind": JournalKind.MOVE,
        "file_id": None,
        "step": "noted",
        "detail": json.dumps(detail, separators=(",", ":")),
        "owner": owner,
        "lease_until_ns": until_ns,
        "created_ns": tx.now_ns,
    }
    tx.conn.execute(insert(journal_rows).values(values))


def noted(entry: JournalRow) -> Rewriting | None:
    """Return what a row of the journal says of a rewriting; None for one about something else."""
    detail = json.loads(entry.detail)
    if "targets" not in detail:
        return None
    return Rewriting(
        sources=tuple(detail["sources"]),
        targets=tuple(detail["targets"]),
        moved=tuple(Moved(*item) for item in detail["moved"]),
        renewed=tuple(
            Renewed(target, offset, stored_len, raw_len, codec, tuple(chunk_nos))
            for target, offset, stored_len, raw_len, codec, chunk_nos in detail["renewed"]
        ),
    )


def commit(tx: Tx, rewriting: Rewriting, ranks: Mapping[str, int], *, op_id: str, reason: str) -> None:
    """Make the pending targets live with their blocks, and doom those of the sources that nothing needs any more.

    Raises Outdated, when a pack or a block is not where it was, or something would come to stand colder than the
    hottest file that needs it: the caller's transaction must end without a commit then.
    """
    _check_places(tx, rewriting)
    amounts = Amounts()
    for row in packs.by_numbers(tx, rewriting.sources).values():
        book_pack(tx, amounts, row, row.tier, sign=-1)
    live = packs.go_live(tx, Amounts(), rewriting.targets)  # weighed below, with their blocks
    moved = [item for item in rewriting.moved if _exists(tx, item.block_no)]
    if moved:
        statement = update(blocks).where(blocks.c.block_no == bindparam("moved_no"))
        statement = statement.values(pack_no=bindparam("to_pack"), offset=bindparam("to_offset"))
        places = [{"moved_no": item.block_no, "to_pack": item.target, "to_offset": item.offset} for item in moved]
        tx.conn.execute(statement, places)
    for item in rewriting.renewed:
        _renew(tx, item)
    rows = packs.by_numbers(tx, (*rewriting.sources, *rewriting.targets))
    for row in rows.values():
        book_pack(tx, amounts, row, row.tier, sign=+1)
    archived = [rows[number] for number in rewriting.targets if rows[number].storage_class in ARCHIVE_CLASSES]
    outbox.append(tx, [records.blocks(key=row.key, found=blocks_of(tx, row.pack_no)) for row in archived])
    outbox.append(tx, live)
    book(tx, amounts, op_id=op_id, kind="repack", reason=reason)
    packs.doom(tx, rewriting.sources, op_id=f"{op_id}:doomed", reason="what was needed of it stands in another pack")
    heats = block_heats(tx, rewriting.targets, ranks)
    for number in rewriting.targets:
        rank = ranks[rows[number].tier]
        if any(heat.coldest is not None and heat.coldest < rank for heat in heats.get(number, {}).values()):
            raise Outdated("something warmer came to need it")


def chunk_numbers(tx: Tx, pack_no: int) -> dict[tuple[int, int], int]:
    """Return (block_no, inner offset) -> chunk_no of a pack's chunks."""
    of_pack = select(chunks.c.block_no, chunks.c.inner_offset, chunks.c.chunk_no)
    query = of_pack.select_from(blocks.join(chunks, IN_BLOCK)).where(blocks.c.pack_no == pack_no)
    return {(row.block_no, row.inner_offset): row.chunk_no for row in tx.conn.execute(query)}


def _check_places(tx: Tx, rewriting: Rewriting) -> None:
    rows = packs.by_numbers(tx, (*rewriting.sources, *rewriting.targets))
    if any(number not in rows or rows[number].state != PackState.LIVE for number in rewriting.sources):
        raise Outdated("a pack is gone")
    if any(number not in rows or rows[number].state != PackState.PENDING for number in rewriting.targets):
        raise Outdated("an upload was given up")
    sources = {item.block_no: item.source for item in rewriting.moved}
    for batch in batches(sources):
        query = select(blocks.c.block_no, blocks.c.pack_no).where(blocks.c.block_no.in_(batch))
        if any(pack_no != sources[block_no] for block_no, pack_no in tx.conn.execute(query)):
            raise Outdated("a block moved")
    wanted = {number for item in rewriting.renewed for number in item.chunk_nos}
    standing = 0
    for batch in batches(wanted):
        of_chunk = select(chunks.c.chunk_no).join(blocks, blocks.c.block_no == chunks.c.block_no)
        of_chunk = of_chunk.where(chunks.c.chunk_no.in_(batch), blocks.c.pack_no.in_(rewriting.sources))
        standing += len(tx.conn.execute(of_chunk).all())
    if standing != len(wanted):
        raise Outdated("a chunk moved")


def _exists(tx: Tx, block_no: int) -> bool:
    """Whether the block is still known: what nothing needed was forgotten with what it was coded against."""
    return tx.conn.execute(select(blocks.c.block_no).where(blocks.c.block_no == block_no)).first() is not None


def _renew(tx: Tx, item: Renewed) -> None:
    """Insert the new block and let everything refer to the chunks in it instead of to the old ones."""
    found = {}
    for batch in batches(item.chunk_nos):
        query = select(chunks.c.chunk_no, chunks.c.fingerprint, chunks.c.digest, chunks.c.raw_len)
        for number, fingerprint, digest, raw_len in tx.conn.execute(query.where(chunks.c.chunk_no.in_(batch))):
            found[number] = ChunkPart(fingerprint_from_number(fingerprint), Digest(digest), raw_len)
    parts = tuple(found[number] for number in item.chunk_nos)
    block = Block(item.offset, item.stored_len, item.raw_len, item.codec, parts)
    names = insert_based(tx, [(NewBlock(item.target, block), None)])
    changes = [
        {"old_no": number, "new_no": names[part.digest]} for number, part in zip(item.chunk_nos, parts, strict=True)
    ]
    refer = update(refs).where(refs.c.chunk_no == bindparam("old_no")).values(chunk_no=bindparam("new_no"))
    tx.conn.execute(refer, changes)
    lean = update(blocks).where(blocks.c.base_no == bindparam("old_no")).values(base_no=bindparam("new_no"))
    tx.conn.execute(lean, changes)


def finish(tx: Tx, op_id: str, unused: Sequence[tuple[int, int]]) -> None:
    """End the journal's row, and doom the targets that came to nothing: (pack_no, bytes that stand in the store)."""
    if unused:
        packs.doom_pending(tx, unused, op_id=f"{op_id}:unused", reason="uploaded, then not needed")
    journal.finish(tx, [op_id])
