"""How cold what is stored may stand: no chunk colder than the hottest file that needs it, or than what is coded
against it.

Used by the mover and repack, to survey packs and, inside the transaction that moves something, to make sure. A file's
temperature is the rank of the tier that its recipe belongs to. What nothing refers to may stand anywhere, but for what
is coded against it: a new file may come to be deduplicated against that.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, bindparam, case, func, literal, or_, select
from sqlalchemy.sql.elements import ColumnElement

from tiering.catalog import packs
from tiering.catalog.bases import IN_BLOCK
from tiering.catalog.tables import blocks, chunks, files, recipes, refs
from tiering.catalog.tables import packs as pack_rows
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import PackRow, PackState

PAGE = 200
"""Packs surveyed at once: their blocks are in memory, some ten thousand."""


@dataclass(slots=True)
class BlockHeat:
    """How cold the chunks of one block may stand, and how much of it is needed."""

    parts: dict[int, int] = field(default_factory=dict)
    """Rank of their hottest referrer's tier -> coded bytes (shares) of such chunks. Chunks that nothing refers to are
    in none."""
    cap: int | None = None
    """Rank of the warmest pack with something coded against it; None: there is no other pack with such a thing."""

    @property
    def coldest(self) -> int | None:
        """The greatest rank at which the block may stand; None: any."""
        return min((*self.parts, *(() if self.cap is None else (self.cap,))), default=None)

    def may(self, rank: int) -> int:
        """Return the greatest rank for a chunk of it whose hottest referrer is of *rank*."""
        return rank if self.cap is None else min(rank, self.cap)


@dataclass(frozen=True, slots=True)
class PackHeat:
    """A live data pack, and what is needed of it by how cold that may stand."""

    pack: PackRow
    parts: Mapping[int, int]
    """Rank -> coded bytes of needed chunks that may stand there and no colder."""
    coldest: int | None
    """The greatest rank for the pack as it is; None where nothing in it is needed."""
    waits: bool = False
    """Whether something in it could be colder but for what is coded against it in warmer packs: these go first."""

    @property
    def dead_bytes(self) -> int:
        """What a rewriting would free, but for framing."""
        return self.pack.size - self.pack.framing - sum(self.parts.values())


def survey(
    tx: Tx,
    tier: str,
    ranks: Mapping[str, int],
    *,
    after_no: int = 0,
    among: Sequence[int] | None = None,
    as_if: Mapping[int, int] | None = None,
) -> list[PackHeat]:
    """Return the next PAGE of live data packs of *tier* numbered above *after_no* (all of *among* instead, if given).
    Reads all references to them. *as_if* gives recipes (by number) another rank than they have.
    """
    if among is None:
        query = select(pack_rows).where(pack_rows.c.state == PackState.LIVE, pack_rows.c.kind == "data")
        query = query.where(pack_rows.c.tier == tier, pack_rows.c.pack_no > after_no)
        rows = [packs.pack_row(row) for row in tx.conn.execute(query.order_by(pack_rows.c.pack_no).limit(PAGE))]
    else:
        found = packs.by_numbers(tx, among)
        rows = [found[number] for number in sorted(found)]
        rows = [row for row in rows if (row.state, row.kind, row.tier) == (PackState.LIVE, "data", tier)]
    heats = block_heats(tx, [row.pack_no for row in rows], ranks, as_if)
    return [_of_pack(row, heats.get(row.pack_no, {}).values(), ranks[tier]) for row in rows]


def block_heats(
    tx: Tx, pack_nos: Iterable[int], ranks: Mapping[str, int], as_if: Mapping[int, int] | None = None
) -> dict[int, dict[int, BlockHeat]]:
    """Return pack_no -> block_no -> heat, of blocks that are needed or have something coded against them."""
    found: dict[int, dict[int, BlockHeat]] = {}
    for batch in batches(pack_nos):
        for pack_no, block_no, rank, needed in tx.conn.execute(_referred(batch, ranks, as_if or {})):
            heat = found.setdefault(pack_no, {}).setdefault(block_no, BlockHeat())
            heat.parts[int(rank)] = int(needed)
        for pack_no, block_no, cap in tx.conn.execute(_leant_on(batch, ranks)):
            found.setdefault(pack_no, {}).setdefault(block_no, BlockHeat()).cap = int(cap)
    return found


def chunk_ranks(tx: Tx, pack_no: int, ranks: Mapping[str, int]) -> dict[int, int]:
    """Return chunk_no -> rank of its hottest referrer's tier, of the chunks of a pack that something refers to."""
    query = (
        select(refs.c.chunk_no, func.min(_rank(recipes.c.tier, ranks)))
        .select_from(blocks.join(chunks, IN_BLOCK).join(refs, refs.c.chunk_no == chunks.c.chunk_no))
        .join(recipes, recipes.c.recipe_no == refs.c.recipe_no)
        .where(blocks.c.pack_no == pack_no)
        .group_by(refs.c.chunk_no)
    )
    return {chunk_no: int(rank) for chunk_no, rank in tx.conn.execute(query)}


def misplaced(tx: Tx, ranks: Mapping[str, int], *, limit: int = 100) -> Iterator[tuple[str, str, str, PackState]]:
    """Yield (recipe id, its tier, key of a pack that it needs, the pack's state) where that pack is colder, or is not
    live; an audit finding: there are none.
    """
    of_recipe, of_pack = _rank(recipes.c.tier, ranks), _rank(pack_rows.c.tier, ranks)
    query = (
        select(recipes.c.recipe_id, recipes.c.tier, pack_rows.c.key, pack_rows.c.state)
        .select_from(refs)
        .join(recipes, recipes.c.recipe_no == refs.c.recipe_no)
        .join(chunks, chunks.c.chunk_no == refs.c.chunk_no)
        .join(blocks, blocks.c.block_no == chunks.c.block_no)
        .join(pack_rows, pack_rows.c.pack_no == blocks.c.pack_no)
        .where(or_(of_pack > of_recipe, pack_rows.c.state != PackState.LIVE))
        .distinct()
        .limit(limit)
    )
    for row in tx.conn.execute(query):
        yield str(row.recipe_id), str(row.tier), str(row.key), PackState(row.state)


def units(tx: Tx, pack_nos: Iterable[int]) -> dict[int, tuple[bytes, bytes]]:
    """Return pack_no -> (folder, name) of one file that is in it: the first that was stored."""
    found: dict[int, tuple[bytes, bytes]] = {}
    for batch in batches(pack_nos):
        first = (
            select(blocks.c.pack_no, func.min(refs.c.recipe_no).label("recipe_no"))
            .select_from(blocks.join(chunks, IN_BLOCK).join(refs, refs.c.chunk_no == chunks.c.chunk_no))
            .where(blocks.c.pack_no.in_(batch), refs.c.times > 0)
            .group_by(blocks.c.pack_no)
            .subquery()
        )
        query = select(first.c.pack_no, files.c.dir, files.c.name).join(files, files.c.recipe_no == first.c.recipe_no)
        for pack_no, folder, name in tx.conn.execute(query.order_by(files.c.file_id)):
            found.setdefault(pack_no, (folder, name))
    return found


def _of_pack(row: PackRow, heats: Iterable[BlockHeat], own: int) -> PackHeat:
    parts: dict[int, int] = {}
    coldest: int | None = None
    waits = False
    for heat in heats:
        if heat.coldest is None:
            continue
        coldest = heat.coldest if coldest is None else min(coldest, heat.coldest)
        waits |= heat.cap is not None and (not heat.parts or heat.cap < max(heat.parts))
        for rank, size_bytes in heat.parts.items():
            may = max(heat.may(rank), own)
            parts[may] = parts.get(may, 0) + size_bytes
    coldest = None if coldest is None else max(coldest, own)
    return PackHeat(row, parts, coldest if parts else None, waits)


def _rank(tier: ColumnElement[str], ranks: Mapping[str, int]) -> ColumnElement[int]:
    """A tier's rank in SQL; 0, warmer than all, for one that is not configured."""
    return case(dict(ranks), value=tier, else_=literal(0))


def _referred(pack_nos: Sequence[int], ranks: Mapping[str, int], as_if: Mapping[int, int]) -> Any:
    rank = _rank(recipes.c.tier, ranks)
    if as_if:
        by_rank: dict[int, list[int]] = {}
        for recipe_no, other in as_if.items():
            by_rank.setdefault(other, []).append(recipe_no)
        among = ((_spelled_out(other, numbers), other) for other, numbers in by_rank.items())
        rank = case(*among, else_=rank)
    per_chunk = (
        select(blocks.c.pack_no, chunks.c.block_no, chunks.c.chunk_no, chunks.c.stored_len)
        .add_columns(func.min(rank).label("rank"))
        .select_from(blocks.join(chunks, IN_BLOCK))
        .join(refs, refs.c.chunk_no == chunks.c.chunk_no)
        .join(recipes, recipes.c.recipe_no == refs.c.recipe_no)
        .where(blocks.c.pack_no.in_(pack_nos))
        .group_by(blocks.c.pack_no, chunks.c.block_no, chunks.c.chunk_no, chunks.c.stored_len)
        .subquery()
    )
    of = (per_chunk.c.pack_no, per_chunk.c.block_no, per_chunk.c.rank)
    return select(*of, func.sum(per_chunk.c.stored_len)).group_by(*of)


def _spelled_out(name: int, numbers: Sequence[int]) -> ColumnElement[bool]:
    """An IN list of more numbers than a statement may have parameters."""
    listed: BindParameter[int] = bindparam(f"of_rank_{name}", numbers, expanding=True, literal_execute=True)
    return recipes.c.recipe_no.in_(listed)


def _leant_on(pack_nos: Sequence[int], ranks: Mapping[str, int]) -> Any:
    above = blocks.alias("above")
    return (
        select(blocks.c.pack_no, blocks.c.block_no, func.min(_rank(pack_rows.c.tier, ranks)))
        .select_from(blocks.join(chunks, IN_BLOCK))
        .join(above, above.c.base_no == chunks.c.chunk_no)
        .join(pack_rows, pack_rows.c.pack_no == above.c.pack_no)
        .where(blocks.c.pack_no.in_(pack_nos), above.c.pack_no != blocks.c.pack_no)
        .where(pack_rows.c.state == PackState.LIVE)
        .group_by(blocks.c.pack_no, blocks.c.block_no)
    )
