"""Block and chunk rows: written by commits and by rebuild; and the records of those that could not be read from their
pack.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice, repeat

from sqlalchemy import select

from dedup.fingerprint import fingerprint_numbers
from dedup.values import MAX_BASE_DEPTH, Block, Digest, made_of
from tiering.catalog import bases, packs, recipes, records
from tiering.catalog.numbers import take_numbers
from tiering.catalog.outbox import Record
from tiering.catalog.tables import blocks, chunks
from tiering.catalog.transaction import Tx, insert_many
from tiering.catalog.values import NewBlock, PackRow, RecipeSpot
from tiering.config.sections import ARCHIVE_CLASSES

RECORD_CHUNKS = 2000  # per record: about 300 kB of JSON
_BLOCK_COLUMNS = (
    *("block_no", "pack_no", "offset", "stored_len", "raw_len", "codec_no", "first_no", "chunk_count"),
    *("base_no", "digest"),
)
_CHUNK_COLUMNS = ("chunk_no", "fingerprint", "digest", "block_no", "inner_offset", "raw_len", "stored_len")

UNRESOLVED = 0
"""blocks.base_no while rebuild does not know it; blocks.digest is the base's then. No chunk has this number."""


@dataclass(slots=True)
class Inserted:
    """Chunks whose rows were inserted in a row."""

    numbers: dict[Digest, int] = field(default_factory=dict)
    """Digest -> chunk_no; of the first where a chunk occurs twice."""
    first: int = 0
    """The lowest chunk_no; 0 if there is none."""
    raw: list[int] = field(default_factory=list)
    """Lengths, in the order of the numbers."""
    stored: list[int] = field(default_factory=list)
    """Shares of their blocks, in the order of the numbers."""


def insert_blocks(tx: Tx, new: Sequence[NewBlock], tiers: Sequence[str]) -> Inserted:
    """Insert blocks of data packs and their chunks.

    Left out, and so dead bytes of their pack: blocks whose base is neither among *new* nor live in *tiers*, or would
    have more than MAX_BASE_DEPTH bases behind it.
    """
    inserted = Inserted()
    _insert_based(tx, [(item, None) for item in new if item.block.base is None], inserted)
    waiting = [item for item in new if item.block.base is not None]
    if not waiting:
        return inserted
    numbers = inserted.numbers
    older = _older_bases(tx, waiting, tiers)
    depth = bases.depths(tx, older.values())
    while waiting:
        ready = []
        for item in waiting:
            base = item.block.base
            base_no = None if base is None else numbers.get(base, older.get(base))
            if base_no is not None and depth.get(base_no, 0) < MAX_BASE_DEPTH:
                ready.append((item, base_no))
        if not ready:
            break
        added = _insert_based(tx, ready, inserted)
        for item, base_no in ready:
            (chunk,) = item.block.chunks
            depth[added[chunk.digest]] = depth.get(base_no, 0) + 1
        done = {id(item) for item, _ in ready}
        waiting = [item for item in waiting if id(item) not in done]
    return inserted


def insert_based(tx: Tx, new: Sequence[tuple[NewBlock, int | None]]) -> dict[Digest, int]:
    """Insert (block, chunk_no of its base or None) with their chunks; return digest -> chunk_no, of the first where a
    chunk occurs twice.
    """
    return _insert_based(tx, new, Inserted())


def _insert_based(tx: Tx, new: Sequence[tuple[NewBlock, int | None]], inserted: Inserted) -> dict[Digest, int]:
    """Do what insert_based() does, and add it to what was *inserted* before."""
    if not new:
        return {}
    codecs = recipes.codec_numbers(tx, {item.block.codec for item, _ in new})
    found = list(chain.from_iterable([item.block.chunks for item, _ in new]))
    fingerprints, digests, lengths = zip(*found, strict=True)
    first = chunk_no = take_numbers(tx, "chunks", len(found))
    block_rows: list[tuple[object, ...]] = []
    of_block: list[int] = []
    offsets: list[int] = []
    shares: list[int] = []
    for number, (item, base_no) in enumerate(new, start=take_numbers(tx, "blocks", len(new))):
        block, count = item.block, len(item.block.chunks)
        place = (number, item.pack_no, block.offset, block.stored_len, block.raw_len, codecs[block.codec])
        block_rows.append((*place, chunk_no, count, base_no, block.base if base_no == UNRESOLVED else None))
        of_block += [number] * count
        offsets += islice(accumulate([chunk[2] for chunk in block.chunks], initial=0), count)
        shares += block.shares()
        chunk_no += count
    insert_many(tx, blocks, _BLOCK_COLUMNS, block_rows)
    names = (range(first, chunk_no), fingerprint_numbers(fingerprints), digests)
    insert_many(tx, chunks, _CHUNK_COLUMNS, zip(*names, of_block, offsets, lengths, shares, strict=True))
    numbers = dict(zip(reversed(digests), range(chunk_no - 1, first - 1, -1), strict=True))
    inserted.numbers |= numbers
    inserted.first = inserted.first or first
    inserted.raw += lengths
    inserted.stored += shares
    return numbers


def insert_recipe_blocks(tx: Tx, new: Sequence[NewBlock]) -> dict[bytes, RecipeSpot]:
    """Insert blocks of recipe packs, each pack's all and in order; return the 16 bytes of an id -> where the recipe
    stands.
    """
    if not new:
        return {}
    codecs = recipes.codec_numbers(tx, {item.block.codec for item in new})
    first = take_numbers(tx, "blocks", len(new))
    rows: list[tuple[object, ...]] = []
    spots: dict[bytes, RecipeSpot] = {}
    count: Counter[int] = Counter()
    for number, item in enumerate(new, start=first):
        block = item.block
        place = (number, item.pack_no, block.offset, block.stored_len, block.raw_len, codecs[block.codec])
        rows.append((*place, 0, 0, None, block.chunks[0].digest))
        keys, _, lengths = zip(*block.chunks, strict=True)
        places = (accumulate(lengths, initial=0), lengths, block.shares(), itertools.count(count[item.pack_no]))
        spots.update(zip(keys, made_of(RecipeSpot, (repeat(item.pack_no), repeat(number), *places)), strict=True))
        count[item.pack_no] += len(keys)
    insert_many(tx, blocks, _BLOCK_COLUMNS, rows)
    return spots


def recipe_spots(tx: Tx, pack_no: int, found: Sequence[Block]) -> dict[bytes, RecipeSpot]:
    """Return insert_recipe_blocks() of a pack, whose rows are inserted unless it has some already."""
    query = select(blocks.c.offset, blocks.c.block_no).where(blocks.c.pack_no == pack_no)
    number_at: dict[int, int] = {row.offset: row.block_no for row in tx.conn.execute(query)}
    if not number_at:
        return insert_recipe_blocks(tx, [NewBlock(pack_no, block) for block in found])
    spots: dict[bytes, RecipeSpot] = {}
    for block in found:
        for placed in block.placed():
            place = (placed.inner_offset, placed.chunk.length, placed.stored_share, len(spots))
            if block.offset in number_at:
                spots[placed.chunk.fingerprint] = RecipeSpot(pack_no, number_at[block.offset], *place)
    return spots


def archived_blocks(tx: Tx, new: Sequence[NewBlock]) -> list[Record]:
    """Return records of the blocks that go to archive classes: rebuild could not read those packs' trailers."""
    rows = packs.by_numbers(tx, {item.pack_no for item in new})
    archived = {number: row for number, row in rows.items() if row.storage_class in ARCHIVE_CLASSES}
    return [
        record
        for number, row in archived.items()
        for record in _records(row, [item.block for item in new if item.pack_no == number])
    ]


def _older_bases(tx: Tx, waiting: Iterable[NewBlock], tiers: Sequence[str]) -> Mapping[Digest, int]:
    wanted = {item.base_fingerprint for item in waiting if item.base_fingerprint is not None}
    found: dict[Digest, int] = {}
    for candidates in packs.lookup(tx, wanted, tiers).values():
        for digest, number in candidates:
            found.setdefault(digest, number)
    return found


def _records(row: PackRow, found: Sequence[Block]) -> list[Record]:
    held: list[Block] = []
    count = 0
    made: list[Record] = []
    for block in found:
        held.append(block)
        count += len(block.chunks)
        if count >= RECORD_CHUNKS:
            made.append(records.blocks(key=row.key, found=held))
            held, count = [], 0
    if held:
        made.append(records.blocks(key=row.key, found=held))
    return made
