"""Compares the replayed rows with what the stores list, and reads what no record carries: chunks, references, and
objects that came after the last segment. Used by rebuild.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dedup.errors import DedupError
from dedup.pack import read_trailer
from dedup.recovery import Recovered, recover
from dedup.values import Block, Digest, Recipe, chunks_of
from tiering.catalog import packs, recovery, replay, roots, unresolved
from tiering.catalog.replayed import Replayed
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import NewBlock, PackRow, PackState, RecipeRow
from tiering.clock import NS_PER_DAY
from tiering.errors import FrostlineError, IntegrityError, ObjectArchived, ObjectMissing
from tiering.jobs.context import Context
from tiering.jobs.fetch import WORKERS, chunk_bytes
from tiering.jobs.findings import Findings
from tiering.jobs.recipe_packs import RecipePacks
from tiering.jobs.store_debris import Unknown, unknown_objects
from tiering.jobs.stored_recipes import read_recipes
from tiering.stores.archive import ensure_readable

PAGE = 200
PACKS_AT_ONCE = 2 * WORKERS  # of which the trailers are held: a pack of small files has thousands of chunks
RECIPE_BYTES = 2 << 20  # of encoded recipes that are held decoded: 50,000 chunks, 20 MB
LISTED = (PackState.LIVE, PackState.DOOMED, PackState.DELETING)


def compare_with_stores(ctx: Context, problems: Findings) -> list[int]:
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
            seen = {row.pack_no: _size(ctx, row, sizes) for row in page if row.tier in ctx.tiers}
            with ctx.catalog.write() as tx:
                problems.add_all(recovery.correct_packs(tx, seen))
    return added


def _size(ctx: Context, row: PackRow, listed: Mapping[str, int]) -> int | None:
    """Return the size of a pack's object, None if there is none: asked for by name where the listing has it not."""
    if row.key in listed:
        return listed[row.key]
    try:
        return ctx.tier(row.tier).store.head(row.key).size_bytes
    except ObjectMissing:
        return None


def index_chunks(ctx: Context, problems: Findings) -> int:
    """Write the block and chunk rows of all live data packs that have none, from their trailers; return how many
    packs.
    """
    after, read = 0, 0
    damaged: list[int] = []
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="frostline-index") as pool:
        while True:
            with ctx.catalog.read() as tx:
                page = recovery.without_blocks(tx, after_no=after, limit=PACKS_AT_ONCE)
            if not page:
                break
            new: list[NewBlock] = []
            for row, found in zip(page, pool.map(lambda row: _trailer(ctx, row), page), strict=True):
                if isinstance(found, str):
                    problems.add(f"{row.key}: {found}")
                elif found is None:
                    damaged.append(row.pack_no)
                else:
                    new += [NewBlock(row.pack_no, block) for block in found]
                    read += 1
            with ctx.catalog.write() as tx:
                unresolved.insert_blocks(tx, new)
            after = page[-1].pack_no
            ctx.progress.advance(files=len(page))
    with ctx.catalog.write() as tx:
        # What a damaged pack may be the base of waits until that one has been looked through.
        unresolved.resolve(tx, {name: tiers_for(ctx, name) for name in ctx.tiers}, is_final=not damaged)
    return read + _index_damaged(ctx, damaged, problems)


def _index_damaged(ctx: Context, numbers: Sequence[int], problems: Findings) -> int:
    """Find out by their block headers what packs hold whose trailer is damaged, now that the others are known."""
    tiers_of = {name: tiers_for(ctx, name) for name in ctx.tiers}
    todo, takes_all = numbers, False
    while todo:
        waiting: list[int] = []
        for number in todo:
            with ctx.catalog.read() as tx:
                row = packs.by_numbers(tx, [number])[number]
            found = _recovered(ctx, row)
            if found.waiting and not takes_all:
                waiting.append(number)  # for a block of another damaged pack, perhaps
                continue
            with ctx.catalog.write() as tx:
                unresolved.insert_blocks(tx, [NewBlock(number, block) for block in found.blocks])
                unresolved.resolve(tx, tiers_of, is_final=False)
            problems.add(f"{row.key}: its trailer is damaged; {len(found.blocks)} blocks were found by their headers")
            if found.waiting:
                problems.add(f"{row.key}: what {len(found.waiting)} of its blocks are coded against is nowhere")
        takes_all = len(waiting) == len(todo)  # where all wait, what there is
        todo = waiting
    if numbers:
        with ctx.catalog.write() as tx:
            unresolved.resolve(tx, tiers_of)
    return len(numbers)


def index_recipes(ctx: Context, problems: Findings) -> int:
    """Write the references of all live recipes, from the recipe packs; return how many recipes."""
    after, done = 0, 0
    while True:
        with ctx.catalog.read() as tx:
            page = recovery.without_refs(tx, after_no=after, limit=PAGE)
        if not page:
            return done
        for rows in _few(page):
            found = _sound_recipes(ctx, rows, problems)
            _write_refs(ctx, found, {row.recipe_no: row for row in rows}, problems)
            done += len(found)
            ctx.progress.advance(files=len(rows))
        after = page[-1].recipe_no


def salvage_recipes(
    ctx: Context, pack_nos: Sequence[int], packed: RecipePacks, done: Replayed, problems: Findings
) -> int:
    """Take in the recipes that no segment names, of the packs *pack_nos* and of all that records do not name whole;
    return how many.

    They were stored after the last segment, or the segments are lost: a commit's records may be in two of them.
    """
    with ctx.catalog.read() as tx:
        rows = [row for row in recovery.recipe_packs(tx) if not replay.is_known_whole(done, row.key)]
    salvaged = 0
    for row in rows:
        found = packed.blocks(row.key)
        if found is None:
            problems.add(f"{row.key} cannot be read")
            continue
        names = [chunk.fingerprint for block in found for chunk in block.chunks]
        for batch in batches(names, PAGE):
            wanted = list(packed.recipes(row.key, batch).values())
            with ctx.catalog.write() as tx:
                tiered = [(recipe, _tier_of(ctx, tx, recipe)) for recipe in wanted]
                salvaged += recovery.insert_found(tx, row, found, tiered)
    with ctx.catalog.write() as tx:
        recovery.set_framing(tx, pack_nos)
        recovery.record_packs(tx, pack_nos)
    return salvaged


def hold_unheld(ctx: Context, problems: Findings) -> int:
    """Keep recipes that no file and no version holds as versions, as long as missing files are kept; return how many.

    Their files may stand somewhere as placeholders, which the next scan takes up, or be asked for by name.
    """
    keep_until_ns = ctx.clock.now_ns() + ctx.config.versions.missing_days * NS_PER_DAY
    with ctx.catalog.read() as tx:
        ids = {root.name: root.root_id for root in roots.all_roots(tx)}
    strange: Counter[str] = Counter()
    after, count = 0, 0
    while True:
        with ctx.catalog.read() as tx:
            page = recovery.unheld(tx, after_no=after, limit=PAGE)
        if not page:
            problems.add_all(
                f"{of_root} recipes are of root {name}, which is not configured" for name, of_root in strange.items()
            )
            return count
        for rows in _few(page):
            by_number = {row.recipe_no: row for row in rows}
            held: list[tuple[RecipeRow, int, bytes]] = []
            for number, recipe in _sound_recipes(ctx, rows, problems).items():
                if recipe.root in ids:
                    held.append((by_number[number], ids[recipe.root], recipe.path))
                else:
                    strange[recipe.root] += 1
            if held:
                with ctx.catalog.write() as tx:
                    recovery.keep_as_versions(tx, held, keep_until_ns=keep_until_ns)
            count += len(held)
        after = page[-1].recipe_no


def _sound_recipes(ctx: Context, rows: Sequence[RecipeRow], problems: Findings) -> dict[int, Recipe]:
    """Return recipe_no -> recipe of those that can be read."""
    found: dict[int, Recipe] = {}
    for number, recipe in read_recipes(ctx, rows).items():
        if isinstance(recipe, FrostlineError):
            problems.add(recipe.what)
        else:
            found[number] = recipe
    return found


def _few(rows: Iterable[RecipeRow]) -> Iterator[list[RecipeRow]]:
    """Yield *rows* in lists of at most PAGE, and of RECIPE_BYTES but for a single one; none empty."""
    few: list[RecipeRow] = []
    size_bytes = 0
    for row in rows:
        if few and (len(few) == PAGE or size_bytes + row.raw_len > RECIPE_BYTES):
            yield few
            few, size_bytes = [], 0
        few.append(row)
        size_bytes += row.raw_len
    if few:
        yield few


def tiers_for(ctx: Context, tier: str) -> tuple[str, ...]:
    """Return the tiers whose chunks a recipe of *tier* may use: its own and warmer ones; all, if it is gone."""
    if tier not in ctx.tiers:
        return tuple(ctx.tiers)
    rank = ctx.tiers[tier].rank
    return tuple(name for name, other in ctx.tiers.items() if other.rank <= rank)


def _tier_of(ctx: Context, tx: Tx, recipe: Recipe) -> str:
    """Return the warmest tier from which, with the warmer ones, every chunk of the recipe can be had."""
    names = {part.fingerprint for part in chunks_of(recipe.parts)}
    ranked = [tier.name for tier in sorted(ctx.tiers.values(), key=lambda tier: tier.rank)]
    for count in range(1, len(ranked)):
        if len(packs.lookup(tx, names, ranked[:count])) == len(names):
            return ranked[count - 1]
    return ranked[-1]


def _write_refs(ctx: Context, found: Mapping[int, Recipe], rows: Mapping[int, RecipeRow], problems: Findings) -> None:
    tiers_of = {number: tiers_for(ctx, rows[number].tier) for number in found}
    with ctx.catalog.write() as tx:
        missing = recovery.insert_refs(tx, found, tiers_of)
    for number, count in missing.items():
        path = os.fsdecode(found[number].path)
        problems.add(f"{path} (recipe {rows[number].recipe_id}) lacks {count} chunks that are in no pack")


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


def _trailer(ctx: Context, row: PackRow) -> list[Block] | str | None:
    """Return what a pack holds by its trailer; None if that is damaged, or why it cannot be told."""
    tier = ctx.tiers.get(row.tier)
    if tier is None:
        return f'its tier "{row.tier}" is not configured'
    try:
        ensure_readable(tier.store, row.key, tier.capabilities)
        return read_trailer(lambda span: tier.store.get(row.key, span), row.size)
    except DedupError:
        return None
    except ObjectArchived:
        return "it is archived and no record says what it holds; restore it, then run rebuild again"
    except ObjectMissing as error:
        return error.what


def _recovered(ctx: Context, row: PackRow) -> Recovered:
    tier = ctx.tier(row.tier)

    def base_of(digest: Digest) -> bytes | None:
        with ctx.catalog.read() as tx:
            number = unresolved.find(tx, digest)
            known = {} if number is None else packs.locate_chunks(tx, [number])
        try:
            return chunk_bytes(ctx, known, digest) if known else None
        except (IntegrityError, ObjectMissing, ObjectArchived):
            return None

    return recover(lambda span: tier.store.get(row.key, span), row.size, kind="data", base_of=base_of)
