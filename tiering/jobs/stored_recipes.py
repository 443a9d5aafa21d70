"""Reads recipes out of recipe packs, block by block, each block verified by its digest.

Used by whatever brings files back: recall, restore, rebuild.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from dedup.assemble import chunk_view, open_block
from dedup.errors import DedupError
from dedup.recipe_block import decode_recipes
from dedup.values import Recipe
from tiering.catalog import packs
from tiering.catalog.values import RecipePlace, RecipeRow
from tiering.errors import FrostlineError, IntegrityError, ObjectArchived, ObjectMissing
from tiering.jobs.context import Context
from tiering.jobs.fetch import WORKERS, is_local, payload
from tiering.jobs.fetch_sinks import damaged


def read_recipes(ctx: Context, rows: Sequence[RecipeRow]) -> dict[int, Recipe | FrostlineError]:
    """Return recipe_no -> recipe; for one that cannot be had, the error instead."""
    by_block: dict[int, list[RecipeRow]] = {}
    for row in rows:
        by_block.setdefault(row.block_no, []).append(row)
    with ctx.catalog.read() as tx:
        places = packs.locate_recipes(tx, [held[0] for held in by_block.values()])
    found: dict[int, Recipe | FrostlineError] = {}
    with ExitStack() as stack:
        blocks: Iterable[bytes | FrostlineError] = map(partial(_block, ctx), places.values())
        if len(places) > 1 and not is_local(ctx, {place.block.tier for place in places.values()}):
            pool = ThreadPoolExecutor(min(WORKERS, len(places)), thread_name_prefix="frostline-recipes")
            blocks = stack.enter_context(pool).map(partial(_block, ctx), places.values())
        for held, block in zip(by_block.values(), blocks, strict=True):
            found.update(_decoded(held, block))
    return found


def _block(ctx: Context, place: RecipePlace) -> bytes | FrostlineError:
    try:
        raw = open_block(place.block.codec, payload(ctx, place.block), place.block.raw_len)
        chunk_view(raw, 0, place.block.raw_len, place.block_digest)
    except DedupError as error:
        return damaged(place.block, error)
    except (ObjectMissing, ObjectArchived) as error:
        return error
    return raw


def _decoded(rows: Sequence[RecipeRow], block: bytes | FrostlineError) -> dict[int, Recipe | FrostlineError]:
    """Return recipe_no -> recipe for recipes of one block."""
    if isinstance(block, FrostlineError):
        return {row.recipe_no: block for row in rows}
    found = decode_recipes(block, [(row.inner_offset, row.inner_offset + row.raw_len) for row in rows])
    return {row.recipe_no: _checked(row, recipe) for row, recipe in zip(rows, found, strict=True)}


def _checked(row: RecipeRow, recipe: Recipe | DedupError) -> Recipe | FrostlineError:
    if isinstance(recipe, DedupError):
        return IntegrityError(f"recipe {row.recipe_id} does not decode: {recipe}", hint="frostline scrub")
    if recipe.recipe_id != row.recipe_id or recipe.digest != row.digest or recipe.size != row.size:
        return IntegrityError(f"recipe {row.recipe_id} is not the one that the catalog names", hint="frostline audit")
    return recipe
