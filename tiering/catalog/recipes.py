"""Recipes: the stored file versions, and which chunks each refers to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import exists, func, insert, literal, select

from dedup.values import Digest, Recipe
from tiering.catalog.bases import IN_BLOCK, chains
from tiering.catalog.needs import Needs
from tiering.catalog.numbers import take_numbers
from tiering.catalog.tables import blocks, chunks, codecs, recipes, refs
from tiering.catalog.transaction import Tx, batches, fetch_among, fetch_raw, insert_many
from tiering.catalog.values import RecipeRow, RecipeSpot

_BY_NUMBER = f"SELECT {', '.join(column.name for column in recipes.columns)} FROM recipes WHERE recipe_no"  # noqa: S608  # our names


def get(tx: Tx, recipe_no: int) -> RecipeRow | None:
    """Return the recipe of that number."""
    return by_numbers(tx, [recipe_no]).get(recipe_no)


def by_numbers(tx: Tx, recipe_nos: Iterable[int]) -> dict[int, RecipeRow]:
    """Return recipe_no -> recipe for those that exist."""
    rows = fetch_among(tx, _BY_NUMBER, recipe_nos)
    return {row[0]: RecipeRow(*(*row[:-1], bool(row[-1]))) for row in rows}  # SQLite has no booleans of its own


def by_ids(tx: Tx, recipe_ids: Iterable[str]) -> dict[str, RecipeRow]:
    """Return recipe id -> recipe, live or doomed, for those that exist."""
    found: dict[str, RecipeRow] = {}
    for batch in batches(recipe_ids):
        for row in tx.conn.execute(select(recipes).where(recipes.c.recipe_id.in_(batch))):
            found[row.recipe_id] = RecipeRow(*row)
    return found


def in_pack(tx: Tx, pack_no: int) -> list[RecipeRow]:
    """Return the recipes that stand in a recipe pack, in its order."""
    query = select(recipes).join(blocks, blocks.c.block_no == recipes.c.block_no).where(blocks.c.pack_no == pack_no)
    query = query.order_by(blocks.c.offset, recipes.c.inner_offset)
    return [RecipeRow(*row) for row in tx.conn.execute(query)]


def codec_names(tx: Tx) -> dict[int, str]:
    """Return codec_no -> stored codec name."""
    return dict(fetch_raw(tx, "SELECT codec_no, name FROM codecs", ()))


def codec_numbers(tx: Tx, names: Iterable[str]) -> dict[str, int]:
    """Return name -> codec_no, adding those that are new."""
    known = {name: number for number, name in codec_names(tx).items()}
    missing = sorted(set(names) - set(known))
    for number, name in enumerate(missing, start=max(known.values(), default=0) + 1):
        tx.conn.execute(insert(codecs), {"codec_no": number, "name": name})
        known[name] = number
    return known


class NewRecipe(NamedTuple):
    """A recipe to be inserted, live."""

    recipe: Recipe
    spot: RecipeSpot
    tier: str
    read_under_lease: bool = False
    created_ns: int | None = None
    """None: now."""


_COLUMNS = (
    *("recipe_no", "recipe_id", "digest", "size", "owner_uid", "block_no", "inner_offset", "raw_len", "stored_len"),
    *("tier", "plain_bytes", "created_ns", "read_under_lease"),
)
_uid_of = attrgetter("uid")
_REF_COLUMNS = ("recipe_no", "chunk_no", "times")


def insert_recipes(tx: Tx, new: Sequence[NewRecipe]) -> range:
    """Insert recipes, live, whose blocks have rows; return their numbers, in order."""
    if not new:
        return range(0)
    found, spots, tiers, leases, created = zip(*new, strict=True)
    times = [tx.now_ns if at_ns is None else at_ns for at_ns in created]
    plain = Needs.of([recipe.parts for recipe in found]).plain_bytes()
    return insert_columns(tx, found, spots, (tiers, plain, times, leases))


def insert_columns(
    tx: Tx, found: Sequence[Recipe], spots: Sequence[RecipeSpot], others: tuple[Iterable[object], ...]
) -> range:
    """Do what insert_recipes() does; *others* are the columns tier, plain_bytes, created_ns and read_under_lease."""
    if not found:
        return range(0)
    numbers = range(first := take_numbers(tx, "recipes", len(found)), first + len(found))
    ids, _, _, _, sizes, digests, _, metas, _, _ = zip(*found, strict=True)
    _, block_nos, offsets, lengths, shares, _ = zip(*spots, strict=True)
    rows = zip(
        numbers, ids, digests, sizes, map(_uid_of, metas), block_nos, offsets, lengths, shares, *others, strict=False
    )
    insert_many(tx, recipes, _COLUMNS, rows, constants={"state": "live"})
    return numbers


def insert_refs(tx: Tx, used: Mapping[int, Mapping[int, int]]) -> set[int]:
    """Write which chunks recipes refer to: *used* is recipe_no -> chunk_no -> how often it occurs. Return the bases.

    The chunks that those are coded against, at however many removes, are referred to as well, 0 times where the file
    itself has no use for them.
    """
    behind: dict[int, tuple[int, ...]] = {}
    if any_base(tx):
        behind = chains(tx, {chunk_no for times in used.values() for chunk_no in times})
    insert_many(tx, refs, _REF_COLUMNS, _refs(used, behind))
    return set(chain.from_iterable(behind.values()))


def _refs(
    used: Mapping[int, Mapping[int, int]], behind: Mapping[int, tuple[int, ...]]
) -> Iterator[tuple[int, int, int]]:
    for recipe_no, times in used.items():
        if behind:
            of_bases = {base for chunk_no in times if chunk_no in behind for base in behind[chunk_no]}
            for chunk_no in sorted(times.keys() | of_bases):
                yield recipe_no, chunk_no, times.get(chunk_no, 0)
        else:
            for chunk_no in sorted(times):
                yield recipe_no, chunk_no, times[chunk_no]


def any_base(tx: Tx) -> bool:
    """Return whether anything is coded against a chunk."""
    return bool(fetch_raw(tx, "SELECT 1 FROM blocks WHERE base_no IS NOT NULL LIMIT 1", ()))


def contained_chunks(tx: Tx, recipe_nos: Sequence[int]) -> dict[int, Digest]:
    """Return chunk_no -> digest of the chunks that recipes contain."""
    found: dict[int, Digest] = {}
    for batch in batches(recipe_nos):
        query = (
            select(chunks.c.chunk_no, chunks.c.digest)
            .join(refs, refs.c.chunk_no == chunks.c.chunk_no)
            .where(refs.c.recipe_no.in_(batch), refs.c.times > 0)
        )
        found.update({row.chunk_no: Digest(row.digest) for row in tx.conn.execute(query)})
    return found


def packs_of(tx: Tx, recipe_nos: Sequence[int]) -> dict[int, list[int]]:
    """Return recipe_no -> numbers of the data packs it needs, those of its chunks' bases too, ascending."""
    found: dict[int, list[int]] = {number: [] for number in recipe_nos}
    for batch in batches(recipe_nos):
        query = (
            select(refs.c.recipe_no, blocks.c.pack_no)
            .join(chunks, chunks.c.chunk_no == refs.c.chunk_no)
            .join(blocks, blocks.c.block_no == chunks.c.block_no)
            .where(refs.c.recipe_no.in_(batch))
            .distinct()
            .order_by(refs.c.recipe_no, blocks.c.pack_no)
        )
        for recipe_no, pack_no in tx.conn.execute(query):
            found[recipe_no].append(pack_no)
    return found


def homes(tx: Tx, rows: Iterable[RecipeRow]) -> dict[int, int]:
    """Return recipe_no -> number of the recipe pack that it stands in."""
    of_block = {row.recipe_no: row.block_no for row in rows}
    pack_of: dict[int, int] = {}
    for batch in batches(set(of_block.values())):
        query = select(blocks.c.block_no, blocks.c.pack_no).where(blocks.c.block_no.in_(batch))
        pack_of.update({row.block_no: row.pack_no for row in tx.conn.execute(query)})
    return {recipe_no: pack_of[block_no] for recipe_no, block_no in of_block.items()}


def stored_bytes(tx: Tx, recipe_nos: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return recipe_no -> (coded bytes of its distinct chunks and their bases, those of them that nothing else refers
    to).
    """
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


def needing(tx: Tx, pack_no: int, offsets: set[int] | None) -> list[int]:
    """Return the recipes that refer to chunks of a data pack, ascending; *offsets* narrows it to those blocks."""
    query = (
        select(refs.c.recipe_no)
        .select_from(blocks.join(chunks, IN_BLOCK).join(refs, refs.c.chunk_no == chunks.c.chunk_no))
        .where(blocks.c.pack_no == pack_no)
        .distinct()
    )
    if offsets is None:
        return sorted(tx.conn.execute(query).scalars())
    found: set[int] = set()
    for batch in batches(sorted(offsets)):
        found.update(tx.conn.execute(query.where(blocks.c.offset.in_(batch))).scalars())
    return sorted(found)
