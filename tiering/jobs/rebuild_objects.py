"""Compares the replayed rows with what the stores list, and reads what no record carries: chunks, references, and
objects that came after the last segment. Used by rebuild.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dedup.assemble import open_chunk
from dedup.errors import DedupError
from dedup.pack import read_trailer, scan_pack
from dedup.recipe import decode_recipe
from dedup.values import ChunkPart, PackEntry, Recipe, Span
from tiering.catalog import packs, recipes, recovery, roots
from tiering.catalog.chunks import insert_chunks
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import NewChunk, PackRow, PackState, RecipeRow
from tiering.clock import NS_PER_DAY
from tiering.errors import FrostlineError, ObjectArchived, ObjectMissing
from tiering.jobs.context import Context
from tiering.jobs.fetch import WORKERS, read_recipes
from tiering.jobs.store_debris import Unknown, unknown_objects
from tiering.stores.archive import ensure_readable

PAGE = 200
LISTED = (PackState.LIVE, PackState.DOOMED, PackState.DELETING)


def compare_with_stores(ctx: Context, problems: list[str]) -> list[int]:
    """Bring rows to what stands in the stores; give objects that no row names a live row. Return those rows'
    numbers.
    """
    stores = list({tier.store.url: tier for tier in (*ctx.tiers.values(), ctx.metadata)}.values())
    added: list[int] = []
    for tier in stores:
        for batch in batches(unknown_objects(ctx, tier)):
            rows = [_row_of(item) for item in batch]
            with ctx.catalog.write() as tx:
                added += recovery.insert_packs(tx, rows).values()
    sizes: dict[str, int] = {}
    for tier in stores:
        for prefix in ("packs/", "recipes/"):
            sizes.update({info.key: info.size_bytes for info in tier.store.list(prefix)})
    for state in LISTED:
        for page in _pages(ctx, state):
            seen = {row.pack_no: sizes.get(row.key) for row in page if row.tier in ctx.tiers}
            with ctx.catalog.write() as tx:
                problems += recovery.correct_packs(tx, seen)
    return added


def index_chunks(ctx: Context, problems: list[str]) -> int:
    """Write the chunk rows of all live data packs that have none, from their trailers; return how many packs."""
    after, read = 0, 0
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="frostline-index") as pool:
        while True:
            with ctx.catalog.read() as tx:
                page = recovery.without_chunks(tx, after_no=after, limit=PAGE)
            if not page:
                return read
            entries = list(pool.map(lambda row: _entries(ctx, row), page))
            new = []
            for row, found in zip(page, entries, strict=True):
                if isinstance(found, str):
                    problems.append(f"{row.key}: {found}")
                    continue
                new += [NewChunk(row.pack_no, entry) for entry in found]
                read += 1
            with ctx.catalog.write() as tx:
                insert_chunks(tx, new)
            after = page[-1].pack_no
            ctx.progress.advance(files=len(page))


def index_recipes(ctx: Context, problems: list[str]) -> int:
    """Write the references of all live recipes, from the recipe packs; return how many recipes."""
    after, done = 0, 0
    while True:
        with ctx.catalog.read() as tx:
            page = recovery.without_refs(tx, after_no=after, limit=PAGE)
        if not page:
            return done
        found: dict[int, Recipe] = {}
        for number, recipe in read_recipes(ctx, page).items():
            if isinstance(recipe, FrostlineError):
                problems.append(recipe.what)
            else:
                found[number] = recipe
        _write_refs(ctx, found, {row.recipe_no: row for row in page}, problems)
        after = page[-1].recipe_no
        done += len(found)
        ctx.progress.advance(files=len(page))


def salvage_recipes(ctx: Context, pack_nos: Sequence[int], problems: list[str]) -> int:
    """Take in the recipes that no segment names, of the packs *pack_nos* and of those only partly named; return how
    many.

    They were stored after the last segment, or the segments are lost: a commit's records may be in two of them.
    """
    with ctx.catalog.read() as tx:
        wanted = {*pack_nos, *recovery.with_unknown_recipes(tx)}
        rows = [row for row in packs.by_numbers(tx, wanted).values() if row.kind == "recipes"]
    salvaged = 0
    for row in rows:
        entries = _entries(ctx, row)
        if isinstance(entries, str):
            problems.append(f"{row.key}: {entries}")
            continue
        for recipe, entry in _decoded(ctx, row, entries, problems):
            with ctx.catalog.write() as tx:
                if not recipes.by_ids(tx, [str(recipe.recipe_id)]):
                    recovery.insert_recipe(tx, recipe, entry, pack=row, tier=_tier_of(ctx, tx, recipe))
                    salvaged += 1
    with ctx.catalog.write() as tx:
        recovery.set_framing(tx, pack_nos)
        recovery.record_packs(tx, pack_nos)
    return salvaged


def hold_unheld(ctx: Context, problems: list[str]) -> int:
    """Keep recipes that no file and no version holds as versions, as long as missing files are kept; return how many.

    Their files may stand somewhere as placeholders, which the next scan takes up, or be asked for by name.
    """
    keep_until_ns = ctx.clock.now_ns() + ctx.config.versions.missing_days * NS_PER_DAY
    with ctx.catalog.read() as tx:
        rows = recovery.unheld(tx)
        ids = {root.name: root.root_id for root in roots.all_roots(tx)}
    for number, recipe in read_recipes(ctx, rows).items():
        if isinstance(recipe, FrostlineError):
            problems.append(recipe.what)
        elif recipe.root not in ids:
            problems.append(f"recipe {recipe.recipe_id} is of root {recipe.root}, which is not configured")
        else:
            with ctx.catalog.write() as tx:
                recovery.keep_as_version(
                    tx, number, root_id=ids[recipe.root], path=recipe.path, keep_until_ns=keep_until_ns
                )
    return len(rows)


def tiers_for(ctx: Context, tier: str) -> tuple[str, ...]:
    """Return the tiers whose chunks a recipe of *tier* may use: its own and warmer ones; all, if it is gone."""
    if tier not in ctx.tiers:
        return tuple(ctx.tiers)
    rank = ctx.tiers[tier].rank
    return tuple(name for name, other in ctx.tiers.items() if other.rank <= rank)


def _decoded(
    ctx: Context, row: PackRow, entries: Iterable[PackEntry], problems: list[str]
) -> Iterator[tuple[Recipe, PackEntry]]:
    for entry in entries:
        try:
            payload = ctx.tier(row.tier).store.get(row.key, Span(entry.offset, entry.stored_len))
            recipe = decode_recipe(open_chunk(entry.codec, payload, entry.raw_len, entry.digest))
        except (DedupError, ObjectMissing) as error:
            problems.append(f"{row.key}, offset {entry.offset}: {error}")
            continue
        yield recipe, entry


def _tier_of(ctx: Context, tx: Tx, recipe: Recipe) -> str:
    """Return the warmest tier from which, with the warmer ones, every chunk of the recipe can be had."""
    names = {part.fingerprint for part in recipe.parts if isinstance(part, ChunkPart)}
    ranked = [tier.name for tier in sorted(ctx.tiers.values(), key=lambda tier: tier.rank)]
    for count in range(1, len(ranked)):
        if len(packs.lookup(tx, names, ranked[:count])) == len(names):
            return ranked[count - 1]
    return ranked[-1]


def _write_refs(ctx: Context, found: Mapping[int, Recipe], rows: Mapping[int, RecipeRow], problems: list[str]) -> None:
    tiers_of = {number: tiers_for(ctx, rows[number].tier) for number in found}
    with ctx.catalog.write() as tx:
        missing = recovery.insert_refs(tx, found, tiers_of)
    for number, count in missing.items():
        path = os.fsdecode(found[number].path)
        problems.append(f"{path} (recipe {rows[number].recipe_id}) lacks {count} chunks that are in no pack")


def _row_of(item: Unknown) -> dict[str, object]:
    return {
        "key": item.info.key,
        "kind": item.kind,
        "tier": item.tier.name,
        "storage_class": item.info.storage_class,
        "size": item.info.size_bytes,
        "framing": 0,  # known when its trailer has been read
        "checksum": item.info.checksum,
        "created_ns": item.info.modified_ns,
        "doomed_ns": None,
    }


def _pages(ctx: Context, state: PackState) -> Iterator[list[PackRow]]:
    after = 0
    while True:
        with ctx.catalog.read() as tx:
            page = packs.in_state(tx, state, after_no=after, limit=5000)
        if not page:
            return
        yield page
        after = page[-1].pack_no


def _entries(ctx: Context, row: PackRow) -> list[PackEntry] | str:
    """Return what a pack holds, by its trailer, else by its chunk headers; or why that cannot be told."""
    tier = ctx.tiers.get(row.tier)
    if tier is None:
        return f'its tier "{row.tier}" is not configured'

    def read(span: Span) -> bytes:
        return tier.store.get(row.key, span)

    try:
        ensure_readable(tier.store, row.key, tier.capabilities)
        try:
            return read_trailer(read, row.size)
        except DedupError:
            return list(scan_pack(read, row.size))
    except ObjectArchived:
        return "it is archived and no record says what it holds; restore it, then run rebuild again"
    except ObjectMissing as error:
        return error.what
