"""The second half of a batch of migrate: recipes packed and uploaded, and everything made so in one transaction.

Used by tiering.jobs.batch. The files have been read, their new chunks are in packs that stand in the store by then.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import attrgetter
from typing import NamedTuple

from dedup.codecs import encode
from dedup.errors import FormatError
from dedup.fingerprint import digest
from dedup.recipe_batch import encode_recipes
from dedup.recipe_id import recipe_ids, recipe_key
from dedup.values import Block, ChunkPart, Digest, Fingerprint, Recipe, chunks_of, made_of
from tiering.catalog.values import NewBlock, StoredBatch, StoredFile
from tiering.errors import SourceRefused
from tiering.jobs.context import Context
from tiering.jobs.outgoing import BatchOutcome, Outgoing, display_path
from tiering.jobs.packing import OpenPack, Packer, UploadedPack, spool_folder, upload_pack

# 256 KiB of neighbours' recipes, which are much alike, compress to a third; a recall decodes no more than that for one.
RECIPE_BLOCK_BYTES = 256 << 10
# Recipes are a thousandth of the data: what the strongest level costs is not felt, what it saves stays for ever.
RECIPE_EFFORT = "small"


class Described(NamedTuple):
    """A file with its recipe."""

    outgoing: Outgoing
    recipe: Recipe
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """What a commit needs beside the data packs."""

    recipes: UploadedPack
    bases: Mapping[Digest, Fingerprint]
    """Of what the blocks are coded against."""


def describe(ctx: Context, outgoing: Sequence[Outgoing], outcome: BatchOutcome) -> list[Described]:
    """Return the files with their recipes, in order; those that no recipe can describe are skipped in *outcome*."""
    recipes = list(_recipes(ctx, outgoing))
    described: list[Described] = []
    for item, recipe, encoded in zip(outgoing, recipes, encode_recipes(recipes), strict=True):
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
        held: list[Described] = []
        size_bytes = 0
        for item in described:
            held.append(item)
            size_bytes += len(item.encoded)
            if size_bytes >= RECIPE_BLOCK_BYTES:
                _add_block(pack, held)
                held, size_bytes = [], 0
        if held:
            _add_block(pack, held)
        summary = pack.writer.finish()
        uploaded = upload_pack(ctx, ctx.metadata, pack.spool, summary, kind="recipes", journal=packer.journal)
    finally:
        pack.spool.close()
    ctx.step("migrate.recipes_uploaded")
    return uploaded


def _add_block(pack: OpenPack, held: Sequence[Described]) -> Block:
    raw = b"".join([item.encoded for item in held])
    whole = digest(raw)
    keys = [recipe_key(item.recipe.recipe_id) for item in held]
    chunks = list(made_of(ChunkPart, (keys, repeat(whole), [len(item.encoded) for item in held])))
    coded = encode(raw, effort=RECIPE_EFFORT)
    return pack.writer.add_block(coded.codec, coded.payload, len(raw), chunks)


def used_packs(data_packs: Sequence[UploadedPack], ready: Sequence[Described]) -> list[UploadedPack]:
    """Return the packs that hold a chunk of a file to be committed, or what such a chunk is coded against."""
    lists = [chunks_of(item.recipe.parts) for item in ready]
    wanted = {chunk[1] for chunk in chain.from_iterable(lists)}
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
    op_id: str, tiers: tuple[str, ...], ready: Sequence[Described], used: Sequence[UploadedPack], packed: Packed
) -> StoredBatch:
    """Return the commit of *ready*: their chunks are in *used* and in packs that were live before; the batch's own tier
    is the last of *tiers*.
    """
    recipes, bases = packed.recipes, packed.bases
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
        files=tuple(
            StoredFile(
                file_id=item.outgoing.wanted.row.file_id,
                identity=item.outgoing.identity,
                recipe=item.recipe,
                read_under_lease=item.outgoing.has_lease,
            )
            for item in ready
        ),
        reason="; ".join(sorted({item.outgoing.wanted.reason for item in ready} - {""}))[:500],
    )
