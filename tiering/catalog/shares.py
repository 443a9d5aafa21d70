"""Which part of which packs a stored version answers for: what its dollars are reckoned by. Used by explain.

A pack's whole size, framing and dead bytes included, falls on the versions that use it: by coded bytes, a shared chunk
in equal parts on all that refer to it. The shares of all versions add up to the packs, so no dollar is lost or told
twice (docs/ledger.md). A recipe's share of its recipe pack is by coded bytes as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import func, select

from tiering.catalog import packs
from tiering.catalog.bases import IN_BLOCK
from tiering.catalog.tables import blocks, chunks, recipes, refs
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackRow


@dataclass(frozen=True, slots=True)
class PackShare:
    """A part of one pack."""

    pack: PackRow
    part: Fraction
    """Of everything the pack costs; above 0, at most 1."""


def shares_of(tx: Tx, recipe_no: int) -> list[PackShare]:
    """Return the parts of data packs and of the recipe pack that a stored version answers for, by pack number."""
    parts: dict[int, Fraction] = {}
    users = select(func.count()).where(refs.c.chunk_no == chunks.c.chunk_no).correlate(chunks).scalar_subquery()
    query = (
        select(blocks.c.pack_no, chunks.c.stored_len, users)
        .join(chunks, chunks.c.block_no == blocks.c.block_no)
        .join(refs, refs.c.chunk_no == chunks.c.chunk_no)
        .where(refs.c.recipe_no == recipe_no)
    )
    for pack_no, stored_len, count in tx.conn.execute(query):
        parts[pack_no] = parts.get(pack_no, Fraction(0)) + Fraction(int(stored_len), int(count))
    used = {pack_no: _used(tx, pack_no) for pack_no in parts}
    shares = {pack_no: part / used[pack_no] for pack_no, part in parts.items() if used[pack_no]}
    shares |= _recipe_share(tx, recipe_no)
    rows: Mapping[int, PackRow] = packs.by_numbers(tx, shares)
    return [PackShare(rows[pack_no], shares[pack_no]) for pack_no in sorted(shares) if pack_no in rows]


def _used(tx: Tx, pack_no: int) -> int:
    """Return the coded bytes of the pack's chunks that anything refers to."""
    is_used = select(refs.c.chunk_no).where(refs.c.chunk_no == chunks.c.chunk_no).exists()
    query = (
        select(func.coalesce(func.sum(chunks.c.stored_len), 0))
        .select_from(blocks.join(chunks, IN_BLOCK))
        .where(blocks.c.pack_no == pack_no, is_used)
    )
    return int(tx.conn.execute(query).scalar_one())


def _recipe_share(tx: Tx, recipe_no: int) -> dict[int, Fraction]:
    mine = select(recipes.c.block_no, recipes.c.stored_len).where(recipes.c.recipe_no == recipe_no)
    row = tx.conn.execute(mine).one_or_none()
    if row is None or row.block_no is None:
        return {}
    pack_no = tx.conn.execute(select(blocks.c.pack_no).where(blocks.c.block_no == row.block_no)).scalar_one()
    whole = (
        select(func.coalesce(func.sum(recipes.c.stored_len), 0))
        .join(blocks, blocks.c.block_no == recipes.c.block_no)
        .where(blocks.c.pack_no == pack_no)
    )
    total = int(tx.conn.execute(whole).scalar_one())
    return {int(pack_no): Fraction(int(row.stored_len), total)} if total else {}
