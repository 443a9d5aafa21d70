"""Blocks whose bases rebuild has not met yet: a trailer names a base by its digest, and it may stand in a pack that is
read later.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, delete, or_, select, update

from dedup.values import MAX_BASE_DEPTH, Digest
from tiering.catalog.bases import depths
from tiering.catalog.chunks import UNRESOLVED, insert_based
from tiering.catalog.tables import blocks, chunks, packs
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import NewBlock, PackState

PAGE = 500


def insert_blocks(tx: Tx, new: Sequence[NewBlock]) -> None:
    """Insert blocks of data packs and their chunks; resolve() finds their bases when all packs are known."""
    insert_based(tx, [(item, None if item.block.base is None else UNRESOLVED) for item in new])


def resolve(tx: Tx, tiers_of: Mapping[str, Sequence[str]], *, is_final: bool = True) -> int:
    """Give every such block its base: a copy in a live pack of the tiers that blocks of its own tier may draw on
    (*tiers_of*), the one with the fewest bases below it and of those the oldest. Nothing comes to be its own base, at
    however many removes, and no chain longer than it was.

    Return how many chunks were forgotten because they have none: nothing can refer to those. With *is_final* False they
    are left for a later call, which may know more packs.
    """
    if tx.conn.execute(_unresolved(0)).first() is None:
        return 0
    # For this once: nothing in daily use asks for a chunk by its digest.
    tx.conn.exec_driver_sql("CREATE INDEX chunks_by_digest ON chunks (digest)")
    for depth in range(MAX_BASE_DEPTH):
        _resolve_layer(tx, tiers_of, depth)
    forgotten = 0
    while is_final and (page := tx.conn.execute(_unresolved(0)).all()):
        forgotten += sum(_forget(tx, row.block_no, row.first_no) for row in page)
    tx.conn.exec_driver_sql("DROP INDEX chunks_by_digest")
    return forgotten


def _unresolved(after_no: int) -> Select[Any]:
    return (
        select(blocks.c.block_no, blocks.c.first_no, blocks.c.digest, packs.c.tier)
        .join(packs, packs.c.pack_no == blocks.c.pack_no)
        .where(blocks.c.base_no == UNRESOLVED, blocks.c.block_no > after_no)
        .order_by(blocks.c.block_no)
        .limit(PAGE)
    )


def _resolve_layer(tx: Tx, tiers_of: Mapping[str, Sequence[str]], depth: int) -> None:
    """Give a base to the blocks for which there is one with no more than *depth* bases below it."""
    after_no = 0
    while page := tx.conn.execute(_unresolved(after_no)).all():
        after_no = page[-1].block_no
        known = _copies(tx, {row.digest for row in page})
        for row in page:
            usable = tiers_of.get(row.tier, ())
            fit = [copy for tier, copy in known.get(row.digest, ()) if tier in usable and copy[0] <= depth]
            if fit:
                of_block = update(blocks).where(blocks.c.block_no == row.block_no)
                tx.conn.execute(of_block.values(base_no=min(fit)[1], digest=None))


def find(tx: Tx, digest: Digest) -> int | None:
    """Return the number of a chunk of a live pack by its digest; reads all chunks, for one in a damaged pack."""
    return min((copy for _, copy in _copies(tx, [digest]).get(digest, ())), default=(0, None))[1]


def _copies(tx: Tx, digests: Iterable[bytes]) -> dict[bytes, list[tuple[str, tuple[int, int]]]]:
    """Return digest -> (tier, (bases below it, chunk_no)) of its copies in live packs whose bases are all known."""
    found: dict[bytes, list[tuple[str, tuple[int, int]]]] = {}
    for batch in batches(digests):
        query = (
            select(chunks.c.digest, packs.c.tier, chunks.c.chunk_no)
            .join(blocks, blocks.c.block_no == chunks.c.block_no)
            .join(packs, packs.c.pack_no == blocks.c.pack_no)
            .where(chunks.c.digest.in_(batch), packs.c.state == PackState.LIVE)
            .where(or_(blocks.c.base_no.is_(None), blocks.c.base_no != UNRESOLVED))
        )
        rows = tx.conn.execute(query).all()
        below = depths(tx, [row.chunk_no for row in rows])
        for digest, tier, chunk_no in rows:
            found.setdefault(digest, []).append((tier, (below[chunk_no], chunk_no)))
    return found


def _forget(tx: Tx, block_no: int, chunk_no: int) -> int:
    """Forget a chunk without its base, and what was found to be coded against it; return how many."""
    forgotten = 0
    going = [(block_no, chunk_no)]
    while going:
        number, chunk = going.pop()
        query = select(blocks.c.block_no, blocks.c.first_no).where(blocks.c.base_no == chunk)
        going += [(row.block_no, row.first_no) for row in tx.conn.execute(query)]
        tx.conn.execute(delete(chunks).where(chunks.c.chunk_no == chunk))
        tx.conn.execute(delete(blocks).where(blocks.c.block_no == number))
        forgotten += 1
    return forgotten
