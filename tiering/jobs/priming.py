"""Puts models that were stored before onto the shelf, so that a checkpoint that comes today finds yesterday's.

Used by migrate before it reads a batch. Only what still stands on the hot tier is of use, since that is where a
reference's bytes are read: its header again, and its recipe from the store, one ranged read for many.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dedup.formats.segmentation import segment
from dedup.formats.series import is_kept_whole, series_key, step_of
from dedup.references import CAST_ELEMENTS, Model, Shelf, StoredPiece
from dedup.values import MAX_BASE_DEPTH, ChunkPart, Dependants, Digest, Recipe, Region
from tiering.catalog import bases, files, packs, recipes
from tiering.catalog.values import FileRow, FileState, Location
from tiering.errors import FrostlineError, SourceError
from tiering.hot.source import open_source
from tiering.jobs.context import Context
from tiering.jobs.outgoing import SMALL_BYTES, Wanted, is_model
from tiering.jobs.references import SourceBytes, hot_file
from tiering.jobs.stored_recipes import read_recipes

LOOKED_AT_ROWS = 4000
"""Per folder that holds a series or its siblings."""
PRIMED_MODELS = 16
"""Per such folder: the newest."""


def prime(ctx: Context, shelf: Shelf, tiers: Sequence[str], wanted: Sequence[Wanted]) -> list[Wanted]:
    """Put stored models that those among *wanted* may be coded against onto *shelf*; *tiers* are those whose chunks
    may be reused. What cannot be read is left out: it only makes a delta impossible.

    Return those stored models that were the newest of their series until now: worth storing again, against what is
    newer. Raises what the store raises when it is away.
    """
    models = [item for item in wanted if is_model(item)]
    if not models:
        return []
    folders = {(item.row.root_id, family_folder(item.row)) for item in models}
    mine = {item.row.file_id for item in models}
    with ctx.catalog.read() as tx:
        rows = [
            row
            for root_id, folder in sorted(folders)
            for row in _newest(
                row
                for row in files.stored_among(tx, root_id, under=folder, limit=LOOKED_AT_ROWS, larger=SMALL_BYTES)
                if row.state is FileState.DUAL and row.tier in tiers and row.file_id not in mine and row.is_leader
            )
        ]
    new = {row.file_id: row for row in rows if not shelf.knows(_path(ctx, row))}
    # Most files that are named like models hold no tensors: seen by a look at their first bytes, before any recipe.
    named = {file_id: tensors for file_id, row in new.items() if (tensors := _tensors(ctx, row))}
    primed: list[FileRow] = []
    for row, recipe, known in _described(ctx, [new[file_id] for file_id in named]):
        model = Model(_path(ctx, row), hot_file(ctx, Wanted(row, (), "")).read_at)
        _enter(model, named[row.file_id], recipe, known)
        if model.tensors:
            shelf.put(model)
            primed.append(row)
    overtaken = list(_overtaken(primed, models, tiers[-1]))
    shelf.note_dependants(_dependants(ctx, overtaken))
    return [Wanted(row, (), "a newer checkpoint came", is_again=True) for row in overtaken]


def _dependants(ctx: Context, rows: Sequence[FileRow]) -> dict[Digest, Dependants]:
    """Return what is coded against each chunk of stored files, by digest."""
    if not rows:
        return {}
    with ctx.catalog.read() as tx:
        numbers = recipes.contained_chunks(tx, [row.recipe_no for row in rows if row.recipe_no is not None])
        found = bases.dependants(tx, numbers)
    return {digest: found[number] for number, digest in numbers.items()}


def _overtaken(stored: Sequence[FileRow], models: Iterable[Wanted], tier: str) -> Iterator[FileRow]:
    """Yield the newest stored step of each series of which a newer one is among *models*."""
    newest: dict[tuple[int, bytes], int] = {}
    for item in models if stored else ():
        if (step := step_of(item.row.path)) is not None:
            key = (item.row.root_id, series_key(item.row.path))
            newest[key] = max(step, newest.get(key, -1))
    last: dict[tuple[int, bytes], tuple[int, FileRow]] = {}
    for row in stored:
        step, key = step_of(row.path), (row.root_id, series_key(row.path))
        if step is not None and row.tier == tier and step > last.get(key, (-1, row))[0]:
            last[key] = (step, row)
    for key, (step, row) in last.items():
        if newest.get(key, -1) > step and row.nlink == 1 and not is_kept_whole(row.path):
            yield row


def family_folder(row: FileRow) -> bytes:
    """Return the folder, "" or with a slash at its end, below which the relatives of a model are looked for: that of
    its series, or the one that its own folder stands in.
    """
    key = series_key(row.path)
    if step_of(row.path) is not None and b"#" in key:
        return key[: key.index(b"#")].rpartition(b"/")[0] + b"/" if b"/" in key[: key.index(b"#")] else b""
    above = row.dir[:-1].rpartition(b"/")[0]
    return above + b"/" if above else row.dir


def _newest(rows: Iterable[FileRow]) -> list[FileRow]:
    models = [row for row in rows if is_model(Wanted(row, (), ""))]
    return sorted(models, key=lambda row: row.mtime_ns)[-PRIMED_MODELS:]


def _described(ctx: Context, rows: Sequence[FileRow]) -> Iterator[tuple[FileRow, Recipe, Mapping[Digest, Location]]]:
    if not rows:
        return
    with ctx.catalog.read() as tx:
        stored = recipes.by_numbers(tx, {row.recipe_no for row in rows if row.recipe_no is not None})
        places = packs.locate_all(tx, stored)
    found = read_recipes(ctx, list(stored.values()))
    for row in rows:
        recipe = found.get(row.recipe_no or 0)
        if recipe is not None and not isinstance(recipe, FrostlineError):
            yield row, recipe, places[row.recipe_no or 0]


def _tensors(ctx: Context, row: FileRow) -> list[Region]:
    """Return the named tensors of a file that stands hot; none where it cannot be read."""
    wanted = Wanted(row, (), "")
    hot = hot_file(ctx, wanted)
    try:
        with open_source(hot.root, row.dir, row.name, expect=wanted.identity) as source:
            regions = segment(SourceBytes(source), name=row.name) or ()
    except (SourceError, OSError):
        return []
    return [region for region in regions if region.name]


def _enter(model: Model, regions: Sequence[Region], recipe: Recipe, known: Mapping[Digest, Location]) -> None:
    chunks: dict[int, ChunkPart] = {}
    at = 0
    for part in recipe.parts:
        if isinstance(part, ChunkPart):
            chunks[at] = part
        at += part.length
    for region in regions:
        at = region.span.start
        head = model.read_at(at, min(4 * CAST_ELEMENTS, region.span.length)) or b""
        while at < region.span.end and at in chunks:
            chunk = chunks[at]
            model.enter(region, at - region.span.start, StoredPiece(chunk, _depth(chunk.digest, known)), head)
            at += chunk.length


def _depth(chunk: Digest, known: Mapping[Digest, Location]) -> int:
    """Return how many bases stand behind a chunk; the greatest depth for one that cannot be followed."""
    depth = 0
    while (location := known.get(chunk)) is not None:
        if location.block.base is None:
            return depth
        chunk, depth = location.block.base, depth + 1
        if depth >= MAX_BASE_DEPTH:
            break
    return MAX_BASE_DEPTH


def _path(ctx: Context, row: FileRow) -> bytes:
    return os.path.join(ctx.root(row.root_id).path, row.path)
