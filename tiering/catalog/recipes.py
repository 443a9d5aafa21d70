"""Recipes: the stored file versions, and which chunks each refers to."""

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import exists, func, insert, literal, select

from tiering.catalog.tables import chunks, codecs, packs, recipes, refs
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import PackState, RecipeRow


def get(tx: Tx, recipe_no: int) -> RecipeRow | None:
    """Return the recipe of that number."""
    return by_numbers(tx, [recipe_no]).get(recipe_no)


def by_numbers(tx: Tx, recipe_nos: Iterable[int]) -> dict[int, RecipeRow]:
    """Return recipe_no -> recipe for those that exist."""
    found: dict[int, RecipeRow] = {}
    for batch in batches(recipe_nos):
        for row in tx.conn.execute(select(recipes).where(recipes.c.recipe_no.in_(batch))):
            found[row.recipe_no] = RecipeRow(*row)
    return found


def by_ids(tx: Tx, recipe_ids: Iterable[str]) -> dict[str, RecipeRow]:
    """Return recipe id -> recipe, live or doomed, for those that exist."""
    found: dict[str, RecipeRow] = {}
    for batch in batches(recipe_ids):
        for row in tx.conn.execute(select(recipes).where(recipes.c.recipe_id.in_(batch))):
            found[row.recipe_id] = RecipeRow(*row)
    return found


def in_pack(tx: Tx, pack_no: int) -> list[RecipeRow]:
    """Return the recipes that stand in a recipe pack, by offset."""
    query = select(recipes).where(recipes.c.pack_no == pack_no).order_by(recipes.c.offset)
    return [RecipeRow(*row) for row in tx.conn.execute(query)]


def codec_names(tx: Tx) -> dict[int, str]:
    """Return codec_no -> stored codec name."""
    return {row.codec_no: row.name for row in tx.conn.execute(select(codecs.c.codec_no, codecs.c.name))}


def codec_numbers(tx: Tx, names: Iterable[str]) -> dict[str, int]:
    """Return name -> codec_no, adding those that are new."""
    known = {name: number for number, name in codec_names(tx).items()}
    missing = sorted(set(names) - set(known))
    for number, name in enumerate(missing, start=max(known.values(), default=0) + 1):
        tx.conn.execute(insert(codecs), {"codec_no": number, "name": name})
        known[name] = number
    return known


def packs_of(tx: Tx, recipe_nos: Sequence[int]) -> dict[int, list[int]]:
    """Return recipe_no -> numbers of the data packs it needs, ascending."""
    found: dict[int, list[int]] = {number: [] for number in recipe_nos}
    for batch in batches(recipe_nos):
        query = (
            select(refs.c.recipe_no, chunks.c.pack_no)
            .join(chunks, chunks.c.chunk_no == refs.c.chunk_no)
            .where(refs.c.recipe_no.in_(batch))
            .distinct()
            .order_by(refs.c.recipe_no, chunks.c.pack_no)
        )
        for recipe_no, pack_no in tx.conn.execute(query):
            found[recipe_no].append(pack_no)
    return found


def stored_bytes(tx: Tx, recipe_nos: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return recipe_no -> (coded bytes of its distinct chunks, those of them that nothing else refers to)."""
    found = dict.fromkeys(recipe_nos, (0, 0))
    others = refs.alias("others")
    shared = exists(
        select(literal(1))
        .select_from(others)
        .where(others.c.chunk_no == refs.c.chunk_no, others.c.recipe_no != refs.c.recipe_no)
    )
    for batch in batches(recipe_nos):
        joined = select(refs.c.recipe_no, func.sum(chunks.c.stored_len)).join(
            chunks, chunks.c.chunk_no == refs.c.chunk_no
        )
        joined = joined.where(refs.c.recipe_no.in_(batch)).group_by(refs.c.recipe_no)
        total = {number: int(size) for number, size in tx.conn.execute(joined)}
        alone = {number: int(size) for number, size in tx.conn.execute(joined.where(~shared))}
        found.update({number: (total[number], alone.get(number, 0)) for number in total})
    return found


def unplaced(tx: Tx, *, after_no: int = 0, limit: int = 1000) -> Iterator[int]:
    """Yield numbers of live recipes that refer to a chunk outside a live pack (an audit finding; there are none)."""
    query = (
        select(refs.c.recipe_no)
        .join(chunks, chunks.c.chunk_no == refs.c.chunk_no)
        .join(packs, packs.c.pack_no == chunks.c.pack_no)
        .where(refs.c.recipe_no > after_no, packs.c.state != PackState.LIVE)
        .distinct()
        .order_by(refs.c.recipe_no)
        .limit(limit)
    )
    yield from tx.conn.execute(query).scalars()


def needing(tx: Tx, pack_no: int, offsets: set[int] | None) -> list[int]:
    """Return the recipes that refer to chunks of a data pack, ascending; *offsets* narrows it to those chunks."""
    query = (
        select(refs.c.recipe_no)
        .join(chunks, chunks.c.chunk_no == refs.c.chunk_no)
        .where(chunks.c.pack_no == pack_no)
        .distinct()
    )
    if offsets is None:
        return sorted(tx.conn.execute(query).scalars())
    found: set[int] = set()
    for batch in batches(sorted(offsets)):
        found.update(tx.conn.execute(query.where(chunks.c.offset.in_(batch))).scalars())
    return sorted(found)
