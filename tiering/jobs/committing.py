"""The second half of a batch of migrate: recipes packed and uploaded, and everything made so in one transaction.

Used by tiering.jobs.batch. The files have been read, their new chunks are in packs that stand in the store by then.
"""

import secrets
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, repeat
from operator import attrgetter
from typing import NamedTuple

from dedup.codecs import encode
from dedup.errors import FormatError
from dedup.fingerprint import digest
from dedup.recipe_batch import encode_recipes
from dedup.recipe_id import recipe_ids, recipe_keys
from dedup.values import Block, ChunkPart, Digest, Fingerprint, HolePart, Recipe, made_of
from tiering.catalog.needs import chunk_lists
from tiering.catalog.values import NewBlock, StoredBatch, StoredFile
from tiering.errors import SourceRefused
from tiering.jobs.context import Context
from tiering.jobs.outgoing import BatchOutcome, Outgoing, display_path
from tiering.jobs.packing import OpenPack, Packer, UploadedPack, spool_folder, upload_pack

# 256 KiB of neighbours' recipes, which are much alike, compress to a third; a recall decodes no more than that for one.
RECIPE_BLOCK_BYTES = 256 << 10
# As text, which is coded in one frame, and at a level above that of data: recipes are a thousandth of it. "small" saves
# three in a thousand of that thousandth, at four times the cost (of 44,000 files' 5,687 KB after .24 s, not 5,706 after
# .06); not as text, but in sections, 5,694 KB took .12 s.
RECIPE_KIND, RECIPE_EFFORT = "text", "balanced"

_digest_of = attrgetter("digest")
_size_of, _holes_of = attrgetter("recipe.size"), attrgetter("recipe.hole_bytes")
_file_id_of = attrgetter("outgoing.wanted.row.file_id")


class Described(NamedTuple):
    """A file with its recipe."""

    outgoing: Outgoing
    recipe: Recipe
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """What a commit needs beside the files."""

    used: Sequence[UploadedPack]
    """Data packs."""
    recipes: UploadedPack
    bases: Mapping[Digest, Fingerprint]
    """Of what the blocks are coded against."""


def describe(ctx: Context, outgoing: Sequence[Outgoing], outcome: BatchOutcome) -> list[Described]:
    """Return the files with their recipes, in order; those that no recipe can describe are skipped in *outcome*."""
    recipes = list(_recipes(ctx, outgoing))
    found = encode_recipes(recipes)
    if {*map(type, found)} == {bytes}:  # as a rule
        return list(made_of(Described, (outgoing, recipes, found)))
    described: list[Described] = []
    for item, recipe, encoded in zip(outgoing, recipes, found, strict=True):
        if isinstance(encoded, FormatError):  # a time beyond the year 2262, an attribute beyond 64 KiB
            shown = display_path(ctx.root(item.wanted.row.root_id), item.wanted.row)
            outcome.skip(item.wanted, SourceRefused(f"{shown} cannot be described exactly: {encoded}"))
        else:
            described.append(Described(item, recipe, encoded))
    return described


def _recipes(ctx: Context, outgoing: Sequence[Outgoing]) -> Iterator[Recipe]:
    if not outgoing:
        return iter(())
    wanted, identities, parts, digests, metas, chunkers, _ = zip(*outgoing, strict=True)
    rows, links, *_ = zip(*wanted, strict=True)
    names = {root_id: ctx.root(root_id).name for root_id in {row.root_id for row in rows}}
    columns = (
        recipe_ids(secrets.token_bytes(12)),
        [names[row.root_id] for row in rows],
        [row.dir + row.name for row in rows],
        [tuple([link.path for link in others]) if others else () for others in links],
        map(attrgetter("size"), identities),
        *(digests, chunkers, metas, parts),
        repeat(ctx.clock.now_ns()),
    )
    return made_of(Recipe, columns)


def store_recipes(ctx: Context, described: Sequence[Described], packer: Packer) -> UploadedPack:
    """Pack the recipes, many to a block, and upload them to the metadata tier."""
    pack = OpenPack.begin(spool_folder(ctx), "recipes")
    try:
        for of_block in _blocks_of(described):
            _add_block(pack, of_block)
        summary = pack.writer.finish()
        uploaded = upload_pack(ctx, ctx.metadata, pack.spool, summary, kind="recipes", journal=packer.journal)
    finally:
        pack.spool.close()
    ctx.step("migrate.recipes_uploaded")
    return uploaded


def bytes_read(described: Sequence[Described]) -> int:
    """Return how many bytes were read of the files: all but holes."""
    size_bytes: int = sum(map(_size_of, described))
    kinds = {*map(type, chain.from_iterable([item.recipe.parts for item in described]))}
    if HolePart in kinds:
        size_bytes -= sum(map(_holes_of, described))
    return size_bytes


def _blocks_of(described: Sequence[Described]) -> Iterator[Sequence[Described]]:
    """Yield *described* in stretches whose recipes have RECIPE_BLOCK_BYTES together, or the last of them just more."""
    upto = list(accumulate([len(item.encoded) for item in described]))
    start = before = 0
    while start < len(described):
        end = bisect_left(upto, before + RECIPE_BLOCK_BYTES, start) + 1
        yield described[start:end]
        start, before = end, upto[min(end, len(upto)) - 1]


def _add_block(pack: OpenPack, held: Sequence[Described]) -> Block:
    _, recipes, encoded = zip(*held, strict=True)
    raw = b"".join(encoded)
    keys = recipe_keys([recipe.recipe_id for recipe in recipes])
    chunks = list(made_of(ChunkPart, (keys, repeat(digest(raw)), map(len, encoded))))
    coded = encode(raw, kind=RECIPE_KIND, effort=RECIPE_EFFORT)
    return pack.writer.add_block(coded.codec, coded.payload, len(raw), chunks)


def used_packs(data_packs: Sequence[UploadedPack], ready: Sequence[Described]) -> list[UploadedPack]:
    """Return the packs that hold a chunk of a file to be committed, or what such a chunk is coded against."""
    lists = chunk_lists([item.recipe.parts for item in ready])
    wanted = set(map(_digest_of, chain.from_iterable(lists)))
    base_of = {
        block.chunks[0].digest: block.base
        for pack in data_packs
        for block in pack.summary.blocks
        if block.base is not None
    }
    below = {base_of[digest] for digest in wanted & base_of.keys()}
    while below - wanted:
        wanted |= below
        below = {base_of[digest] for digest in below & base_of.keys()}
    return [
        pack
        for pack in data_packs
        if any(chunk.digest in wanted for block in pack.summary.blocks for chunk in block.chunks)
    ]


def stored_batch(
    op_id: str, tiers: tuple[str, ...], ready: Sequence[Described], file_ids: Sequence[int], packed: Packed
) -> StoredBatch:
    """Return the commit of *ready*, which have those *file_ids*: their chunks are in *packed* and in packs that were
    live before; the batch's own tier is the last of *tiers*.
    """
    used, recipes, bases = packed.used, packed.recipes, packed.bases
    outgoing, found, _ = zip(*ready, strict=True)
    wanted, identities, _, _, _, _, leases = zip(*outgoing, strict=True)
    rows, _, reasons, _ = zip(*wanted, strict=True)
    return StoredBatch(
        op_id=op_id,
        tier=tiers[-1],
        tiers=tiers,
        pack_nos=(*(pack.pack_no for pack in used), recipes.pack_no),
        blocks=tuple(
            NewBlock(pack.pack_no, block, None if block.base is None else bases[block.base])
            for pack in used
            for block in pack.summary.blocks
        ),
        recipe_blocks=tuple(NewBlock(recipes.pack_no, block) for block in recipes.summary.blocks),
        files=tuple(made_of(StoredFile, (file_ids, identities, found, leases, rows))),
        reason="; ".join(sorted({*reasons} - {""}))[:500],
    )


def file_ids(described: Sequence[Described]) -> list[int]:
    """Return the file of each."""
    return list(map(_file_id_of, described))
