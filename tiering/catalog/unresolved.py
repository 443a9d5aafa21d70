"""Blocks whose bases rebuild has not met yet: a trailer names a base by its digest, and it may stand in a pack that is
read later.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, select, update

from dedup.values import Digest
from tiering.catalog.chunks import UNRESOLVED, insert_based
from tiering.catalog.tables import blocks, chunks, packs
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import NewBlock, PackState

PAGE = 500


def insert_blocks(tx: Tx, new: Sequence[NewBlock]) -> None:
    """Insert blocks of data packs and their chunks; resolve() finds their bases when all packs are known."""
    insert_based(tx, [(item, None if item.block.base is None else UNRESOLVED) for item in new])


def resolve(tx: Tx, tiers_of: Mapping[str, Sequence[str]]) -> int:
    """Give every such block its base: the oldest copy in a live pack of the tiers that blocks of its own tier may draw
    on (*tiers_of*), one that is coded alone where there is one: no block comes to be its own base.

    Return how many chunks were forgotten because they have none: nothing can refer to those.
    """
    unresolved = (
        select(blocks.c.block_no, blocks.c.first_no, blocks.c.digest, packs.c.tier)
        .join(packs, packs.c.pack_no == blocks.c.pack_no)
        .where(blocks.c.base_no == UNRESOLVED)
        .limit(PAGE)
    )
    if tx.conn.execute(unresolved.limit(1)).first() is None:
        return 0
    # For this once: nothing in daily use asks for a chunk by its digest.
    tx.conn.exec_driver_sql("CREATE INDEX chunks_by_digest ON chunks (digest)")
    forgotten = 0
    while page := tx.conn.execute(unresolved).all():
        known = _by_digest(tx, {row.digest for row in page})
        for row in page:
            fit = [copy for tier, copy in known.get(row.digest, ()) if tier in tiers_of.get(row.tier, ())]
            if fit:
                of_block = update(blocks).where(blocks.c.block_no == row.block_no)
                tx.conn.execute(of_block.values(base_no=min(fit)[1], digest=None))
            else:
                forgotten += _forget(tx, row.block_no, row.first_no)
    tx.conn.exec_driver_sql("DROP INDEX chunks_by_digest")
    return forgotten


def find(tx: Tx, digest: Digest) -> int | None:
    """Return the number of a chunk of a live pack by its digest; reads all chunks, for one in a damaged pack."""
    return min((copy for _, copy in _by_digest(tx, [digest]).get(digest, ())), default=(False, None))[1]


def _by_digest(tx: Tx, digests: Iterable[bytes]) -> dict[bytes, list[tuple[str, tuple[bool, int]]]]:
    """Return digest -> (tier, (whether it has a base, chunk_no)) of its copies in live packs."""
    found: dict[bytes, list[tuple[str, tuple[bool, int]]]] = {}
    for batch in batches(digests):
        query = (
            select(chunks.c.digest, packs.c.tier, chunks.c.chunk_no, blocks.c.base_no)
            .join(blocks, blocks.c.block_no == chunks.c.block_no)
            .join(packs, packs.c.pack_no == blocks.c.pack_no)
            .where(chunks.c.digest.in_(batch), packs.c.state == PackState.LIVE)
        )
        for digest, tier, chunk_no, base_no in tx.conn.execute(query):
            found.setdefault(digest, []).append((tier, (base_no is not None, chunk_no)))
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
