"""Packs of which little is needed any more: which they are, and how what is needed moves to another pack.

A block moves as it is, with chunks in it that are dead. Chunks keep their numbers, so whatever refers to them knows
nothing of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, exists, func, literal, select, update

from tiering.catalog import outbox, packs
from tiering.catalog.accounts import Amounts
from tiering.catalog.bases import IN_BLOCK
from tiering.catalog.booking import book
from tiering.catalog.packs import pack_row
from tiering.catalog.tables import blocks, chunks, refs
from tiering.catalog.tables import packs as packs_table
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import PackRow, PackState

_IS_NEEDED = exists(
    select(literal(1)).select_from(chunks.join(refs, refs.c.chunk_no == chunks.c.chunk_no)).where(IN_BLOCK)
)
"""Of a block: something refers to one of its chunks."""


@dataclass(frozen=True, slots=True)
class HalfDead:
    """A live data pack and how much of it is needed."""

    pack: PackRow
    live_bytes: int
    """Coded bytes of blocks that hold a chunk which something refers to."""

    @property
    def dead_bytes(self) -> int:
        """What a repacking would free, but for framing."""
        return self.pack.size - self.pack.framing - self.live_bytes


def half_dead(tx: Tx, tiers: Sequence[str], *, dead_share: float, limit: int = 500) -> list[HalfDead]:
    """Return up to *limit* live data packs of *tiers* of whose coded bytes at least *dead_share*, and not all, are
    dead; those with the most dead bytes first. Reads all chunks and refs of these tiers: minutes on a large catalog.
    """
    live = func.sum(blocks.c.stored_len)
    query = (
        select(*packs_table.c, live.label("live"))
        .select_from(packs_table.join(blocks, blocks.c.pack_no == packs_table.c.pack_no))
        .where(packs_table.c.state == PackState.LIVE, packs_table.c.kind == "data")
        .where(packs_table.c.tier.in_(tiers), _IS_NEEDED)
        .group_by(packs_table.c.pack_no)
        .having(live <= (packs_table.c.size - packs_table.c.framing) * (1 - dead_share))
        .order_by((packs_table.c.size - live).desc())
        .limit(limit)
    )
    return [HalfDead(pack_row(row[:-1]), int(row.live)) for row in tx.conn.execute(query)]


def needed_blocks(tx: Tx, pack_no: int) -> dict[int, int]:
    """Return offset -> block_no of the blocks of a pack that hold a chunk which something refers to."""
    query = select(blocks.c.offset, blocks.c.block_no).where(blocks.c.pack_no == pack_no, _IS_NEEDED)
    return {row.offset: row.block_no for row in tx.conn.execute(query)}


def move_blocks(
    tx: Tx, moves: Mapping[int, tuple[int, int]], *, sources: Sequence[int], target: int, op_id: str
) -> bool:
    """Make the pending pack *target* live, with the blocks of *moves* (block_no -> (pack it stands in, new offset)),
    and doom those of *sources* that nothing needs any more, all in the caller's transaction.

    Returns False, with nothing changed, when a block or a pack is not where it was: the caller's work is void then.
    """
    rows = packs.by_numbers(tx, [*sources, target])
    if rows[target].state != PackState.PENDING or any(rows[number].state != PackState.LIVE for number in sources):
        return False
    standing = {}
    for batch in batches(moves):
        query = select(blocks.c.block_no, blocks.c.pack_no).where(blocks.c.block_no.in_(batch))
        standing.update({row.block_no: row.pack_no for row in tx.conn.execute(query)})
    if standing != {block_no: source for block_no, (source, _) in moves.items()}:
        return False
    amounts = Amounts()
    outbox.append(tx, packs.go_live(tx, amounts, [target]))
    moved = (
        update(blocks)
        .where(blocks.c.block_no == bindparam("moved_no"))
        .values(pack_no=target, offset=bindparam("new_offset"))
    )
    tx.conn.execute(moved, [{"moved_no": number, "new_offset": offset} for number, (_, offset) in moves.items()])
    book(tx, amounts, op_id=op_id, kind="repack", reason=f"{len(sources)} packs of which little was needed")
    packs.doom(tx, sources, op_id=f"{op_id}:doomed", reason="what was needed of it moved to another pack")
    return True
