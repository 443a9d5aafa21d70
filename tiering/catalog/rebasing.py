"""When a file is stored again in another coding, what was coded against its old chunks goes over to the new ones, so
that the old ones may go.

Used by commit_stored. An older checkpoint that was stored alone until now is coded against a newer one: its chunks have
the same digests and new places. Packs name bases by digest, so nothing in a store changes by this.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, select, update

from dedup.values import MAX_BASE_DEPTH, Digest, Recipe, chunks_of
from tiering.catalog import recipes
from tiering.catalog.accounts import Amounts
from tiering.catalog.bases import chains, depths
from tiering.catalog.booking import book, book_chunks
from tiering.catalog.tables import blocks, chunks, packs, refs
from tiering.catalog.transaction import Tx, batches


def replaced_chunks(
    tx: Tx, before: Sequence[int | None], found: Sequence[Recipe], known: Mapping[Digest, int]
) -> dict[int, int]:
    """Return old chunk_no -> new chunk_no of the same content, for files stored again, byte for byte the same.

    *before* has the recipe that each file had, *found* the one that it gets; *known* the chunks of the latter.
    """
    rows = recipes.by_numbers(tx, [number for number in before if number is not None])
    moved: dict[int, int] = {}
    for recipe_no, recipe in zip(before, found, strict=True):
        if recipe_no is None or rows[recipe_no].digest != recipe.digest:
            continue
        new = {part.digest: known[part.digest] for part in chunks_of(recipe.parts)}
        of_old = select(chunks.c.digest, chunks.c.chunk_no).join(refs, refs.c.chunk_no == chunks.c.chunk_no)
        for digest, old in tx.conn.execute(of_old.where(refs.c.recipe_no == recipe_no, refs.c.times > 0)).all():
            if new.get(digest, old) != old:
                moved[old] = new[digest]
    return moved


def rebase(tx: Tx, moved: Mapping[int, int], tiers: Sequence[str], *, op_id: str, reason: str) -> int:
    """Let what is coded against the old chunks of *moved* be coded against the new ones; return for how many that was
    done.

    Left alone: an old chunk that a file still contains; one whose dependants would come to stand too deep, or would
    become their own base; and one with a dependant in a warmer tier than the new chunk's, of *tiers*, those that the
    new chunk's file may draw on. Booked as an entry of its own.
    """
    going: set[int] = set()
    for old, new in moved.items():
        if _may_go(tx, old, new, tiers):
            tx.conn.execute(update(blocks).where(blocks.c.base_no == old).values(base_no=new))
            going.add(old)
    affected: set[int] = set()
    for batch in batches(going):
        affected.update(tx.conn.execute(select(refs.c.recipe_no).where(refs.c.chunk_no.in_(batch))).scalars())
    amounts = Amounts()
    for part in batches(sorted(affected)):
        used = used_chunks(tx, part)
        book_chunks(tx, amounts, part, sign=-1)
        tx.conn.execute(delete(refs).where(refs.c.recipe_no.in_(part)))
        recipes.insert_refs(tx, used)
        book_chunks(tx, amounts, part, sign=+1)
    book(tx, amounts, op_id=op_id, kind="migrate", reason=reason)
    return len(going)


def _may_go(tx: Tx, old: int, new: int, tiers: Sequence[str]) -> bool:
    contained = select(refs.c.chunk_no).where(refs.c.chunk_no == old, refs.c.times > 0).limit(1)
    if tx.conn.execute(contained).first() is not None:
        return False
    above, height = _dependants(tx, old)
    if not above:
        return False
    behind = {new, *chains(tx, [new]).get(new, ())}
    if behind & (above | {old}) or depths(tx, [new])[new] + height > MAX_BASE_DEPTH:
        return False
    home = _tiers(tx, [new])
    others = _tiers(tx, _first(tx, old))
    return all(tier in home or tier not in tiers for tier in others)


def _dependants(tx: Tx, chunk_no: int) -> tuple[set[int], int]:
    """Return what is coded against a chunk, at however many removes, and the most of those removes."""
    found: set[int] = set()
    level, height = {chunk_no}, 0
    while level:
        above: set[int] = set()
        for batch in batches(level):
            above.update(tx.conn.execute(select(blocks.c.first_no).where(blocks.c.base_no.in_(batch))).scalars())
        level = above - found
        found |= level
        height += bool(level)
    return found, height


def _first(tx: Tx, chunk_no: int) -> list[int]:
    return list(tx.conn.execute(select(blocks.c.first_no).where(blocks.c.base_no == chunk_no)).scalars())


def _tiers(tx: Tx, chunk_nos: Sequence[int]) -> set[str]:
    found: set[str] = set()
    for batch in batches(chunk_nos):
        query = (
            select(packs.c.tier)
            .join(blocks, blocks.c.pack_no == packs.c.pack_no)
            .join(chunks, chunks.c.block_no == blocks.c.block_no)
            .where(chunks.c.chunk_no.in_(batch))
        )
        found.update(tx.conn.execute(query).scalars())
    return found


def used_chunks(tx: Tx, recipe_nos: Iterable[int]) -> dict[int, dict[int, int]]:
    """Return recipe_no -> chunk_no -> how often it occurs, bases alone left out."""
    found: dict[int, dict[int, int]] = {}
    for batch in batches(sorted(recipe_nos)):
        query = select(refs.c.recipe_no, refs.c.chunk_no, refs.c.times)
        for recipe_no, chunk_no, times in tx.conn.execute(query.where(refs.c.recipe_no.in_(batch), refs.c.times > 0)):
            found.setdefault(recipe_no, {})[chunk_no] = times
    return found
