"""Which chunks other chunks are coded against: chains of bases, and what loses its base when a pack goes.

Used by commits, look-ups for deltas, rebuild and gc. A chunk whose base is gone cannot be read any more, so a recipe
refers to the bases of its chunks as to the chunks themselves (refs.times = 0), and what nothing refers to is
forgotten with its base.
"""

from collections.abc import Iterable

from sqlalchemy import and_, delete, select

from dedup.values import MAX_BASE_DEPTH, Dependants, Digest
from tiering.catalog.tables import blocks, chunks, recipes, refs
from tiering.catalog.transaction import Tx, batches
from tiering.errors import IntegrityError

IN_BLOCK = and_(chunks.c.chunk_no >= blocks.c.first_no, chunks.c.chunk_no < blocks.c.first_no + blocks.c.chunk_count)
"""Joins a block to its chunks, by their numbers."""


def bases_of(tx: Tx, chunk_nos: Iterable[int]) -> dict[int, int]:
    """Return chunk_no -> chunk_no of its base, for those that have one."""
    found: dict[int, int] = {}
    for batch in batches(chunk_nos):
        query = (
            select(chunks.c.chunk_no, blocks.c.base_no)
            .join(blocks, blocks.c.block_no == chunks.c.block_no)
            .where(chunks.c.chunk_no.in_(batch), blocks.c.base_no.is_not(None))
        )
        found.update({row.chunk_no: row.base_no for row in tx.conn.execute(query)})
    return found


def chains(tx: Tx, chunk_nos: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """Return chunk_no -> its base, that one's base and so on, for those that have one."""
    wanted = set(chunk_nos)
    base_of: dict[int, int] = {}
    frontier = set(wanted)
    while frontier:
        found = bases_of(tx, frontier)
        base_of |= found
        frontier = set(found.values()) - base_of.keys()
    return {number: _chain(number, base_of) for number in wanted if number in base_of}


def _chain(number: int, base_of: dict[int, int]) -> tuple[int, ...]:
    chain: list[int] = []
    while (base := base_of.get(number)) is not None and base not in chain:
        chain.append(base)
        number = base
    return tuple(chain)


def depths(tx: Tx, chunk_nos: Iterable[int]) -> dict[int, int]:
    """Return chunk_no -> how many bases stand behind it, 0 for a chunk that is coded alone."""
    wanted = set(chunk_nos)
    found = chains(tx, wanted)
    return {number: len(found.get(number, ())) for number in wanted}


def dependants(tx: Tx, chunk_nos: Iterable[int]) -> dict[int, Dependants]:
    """Return chunk_no -> what is coded against it, at however many removes."""
    found = {number: (0, set[int]()) for number in chunk_nos}
    above = {number: {number} for number in found}
    for level in range(1, MAX_BASE_DEPTH + 1):
        next_above: dict[int, set[int]] = {}
        for batch in batches(above):
            query = select(blocks.c.base_no, blocks.c.first_no).where(blocks.c.base_no.in_(batch))
            for base_no, first_no in tx.conn.execute(query):
                next_above.setdefault(first_no, set()).update(above[base_no])
        for number, below in next_above.items():
            found |= {root: (level, found[root][1] | {number}) for root in below}
        above = next_above
    digests = _digests(tx, {number for _, numbers in found.values() for number in numbers})
    return {
        root: Dependants(height, frozenset(digests[number] for number in numbers))
        for root, (height, numbers) in found.items()
    }


def _digests(tx: Tx, chunk_nos: Iterable[int]) -> dict[int, Digest]:
    found: dict[int, Digest] = {}
    for batch in batches(chunk_nos):
        query = select(chunks.c.chunk_no, chunks.c.digest).where(chunks.c.chunk_no.in_(batch))
        found.update({row.chunk_no: Digest(row.digest) for row in tx.conn.execute(query)})
    return found


def forget_dependants(tx: Tx, pack_nos: Iterable[int]) -> int:
    """Forget the chunks of other packs that are coded against a chunk of *pack_nos*, at however many removes; return
    how many.

    Nothing refers to them: a reference to one would be a reference to its base, and the pack would not go. What they
    take stays as dead bytes of their packs.
    """
    going: set[int] = set()
    for batch in batches(pack_nos):
        query = select(chunks.c.chunk_no).select_from(blocks.join(chunks, IN_BLOCK)).where(blocks.c.pack_no.in_(batch))
        going.update(tx.conn.execute(query).scalars())
    forgotten = 0
    while going:
        blocks_gone: set[int] = set()
        chunks_gone: set[int] = set()
        for batch in batches(going):
            query = select(blocks.c.block_no, blocks.c.first_no).where(blocks.c.base_no.in_(batch))
            for block_no, first_no in tx.conn.execute(query):
                blocks_gone.add(block_no)
                chunks_gone.add(first_no)  # such a block holds exactly one
        for batch in batches(chunks_gone):
            used = select(refs.c.chunk_no).where(refs.c.chunk_no.in_(batch)).limit(1)
            if tx.conn.execute(used).first() is not None:
                raise IntegrityError(
                    "a chunk in use is coded against one of a pack that nothing refers to",
                    now="nothing was doomed",
                    hint="frostline audit; then docs/runbook.md#missing-chunk",
                )
            tx.conn.execute(delete(chunks).where(chunks.c.chunk_no.in_(batch)))
        for batch in batches(blocks_gone):
            tx.conn.execute(delete(blocks).where(blocks.c.block_no.in_(batch)))
        forgotten += len(chunks_gone)
        going = chunks_gone
    return forgotten


def forget_contents(tx: Tx, pack_nos: Iterable[int]) -> None:
    """Forget the blocks, chunks and doomed recipes of packs whose objects are gone."""
    for batch in batches(pack_nos):
        found = tx.conn.execute(
            select(blocks.c.block_no, blocks.c.first_no, blocks.c.chunk_count).where(blocks.c.pack_no.in_(batch))
        ).all()
        for numbers in batches([row.block_no for row in found]):
            tx.conn.execute(delete(recipes).where(recipes.c.block_no.in_(numbers)))
        for row in found:
            if row.chunk_count:
                last = row.first_no + row.chunk_count
                of_block = and_(chunks.c.chunk_no >= row.first_no, chunks.c.chunk_no < last)
                tx.conn.execute(delete(chunks).where(of_block))
        tx.conn.execute(delete(blocks).where(blocks.c.pack_no.in_(batch)))
