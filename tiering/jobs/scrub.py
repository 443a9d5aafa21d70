"""scrub: read stored packs again and check every byte of them against digests; say which files a fault touches.

Called by `frostline scrub`. Reads only: nothing is repaired, moved or marked, and hot files are not looked at. A pack
is sound when its bytes have the checksum that they were sent with, its trailer hashes to the name in its key and lists
what the catalog lists, and every chunk decodes to its digest. Archived packs without a readable copy are left out and
said so: reading them costs a restore.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from blake3 import blake3

from dedup.assemble import chunk_view, open_block
from dedup.errors import DedupError
from dedup.fingerprint import FINGERPRINT_LEN
from dedup.pack import content_hash, read_trailer
from dedup.values import Block, ChunkPart, Digest, Span
from tiering.catalog import files, packs, recipes
from tiering.catalog.transaction import Tx
from tiering.catalog.values import Location, PackRow, PackState
from tiering.errors import IntegrityError, ObjectArchived, ObjectMissing, UsageError
from tiering.jobs.context import Context
from tiering.jobs.fetch import chunk_bytes
from tiering.jobs.packing import is_named_by
from tiering.stores.archive import ARCHIVE_CLASSES, ensure_readable
from tiering.stores.checksum import checksum_of

PAGE = 500
FRACTION_DENOMINATOR = 1 << 32
FILES_NAMED = 100  # per pack; a fault in a popular chunk may touch a million


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one pack."""

    pack: str
    """Key in the store."""
    tier: str
    faults: tuple[str, ...]
    """A sentence each."""
    files: tuple[str, ...]
    """Paths (relative to their root) that need a damaged chunk or recipe; at most FILES_NAMED."""


@dataclass(frozen=True, slots=True)
class ScrubReport:
    """What was read and what was found."""

    packs_read: int = 0
    bytes_read: int = 0
    packs_archived: int = 0
    """Not read: they would have to be restored first."""
    faults: tuple[Fault, ...] = field(default=())
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """20 when anything is damaged, else 0."""
        return 20 if self.faults else 0


def scrub(ctx: Context, *, fraction: float = 1.0, keys: Sequence[str] = (), round_no: int = 0) -> ScrubReport:
    """Read a *fraction* (0 to 1] of all live packs, or the packs named by *keys* alone.

    Which packs a fraction means follows from their keys and *round_no*: rounds 0 to n-1 of fraction 1/n read each pack
    once. Raises UsageError for an unknown key or an impossible fraction, StoreUnavailable, StoreDenied.
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"fraction must be above 0 and at most 1 (got {fraction})")
    started_s = ctx.clock.monotonic_s()
    read = size = archived = 0
    faults: list[Fault] = []
    ctx.progress.start("scrub")
    try:
        for row in _named(ctx, keys) if keys else _chosen(ctx, fraction, round_no):
            if ctx.stop.is_set():
                break
            try:
                fault = check_pack(ctx, row)
            except ObjectArchived:
                archived += 1
                continue
            read, size = read + 1, size + row.size
            ctx.progress.advance(byte_count=row.size)
            if fault is not None:
                faults.append(fault)
    finally:
        ctx.progress.finish()
    return ScrubReport(read, size, archived, tuple(faults), ctx.clock.monotonic_s() - started_s)


def check_pack(ctx: Context, row: PackRow) -> Fault | None:
    """Read one pack and return what is wrong with it. Memory is bounded by the pack's size.

    What blocks are coded against is read from where it stands. Raises ObjectArchived where something cannot be read
    now, and what the store raises.
    """
    tier = ctx.tier(row.tier)
    try:
        if row.storage_class in ARCHIVE_CLASSES:
            ensure_readable(tier.store, row.key, tier.capabilities)
        data = memoryview(tier.store.get(row.key))
    except ObjectMissing:
        return _fault(ctx, row, ["the object is not in the store"], None)
    wrong: list[str] = []
    if row.checksum and checksum_of(data) != row.checksum:
        wrong.append(f"its {len(data)} bytes do not have the checksum that they were sent with")
    expected = _expected(ctx, row)

    def read(span: Span) -> bytes:
        return bytes(data[span.start : span.end])

    try:
        if not is_named_by(row.key, content_hash(read, len(data))):
            wrong.append("its trailer does not hash to the name in its key")
        found = read_trailer(read, len(data))
    except DedupError as error:
        wrong.append(f"its trailer is damaged: {error}")
        found = [_as_block(held) for held in expected.values()]
    bases = bases_behind(ctx, row)
    # A block that the catalog has forgotten is dead: what it was coded against may be gone.
    damaged = [
        block.offset
        for block in found
        if (block.base is None or block.offset in expected) and not is_sound(ctx, block, data, bases)
    ]
    wrong += [f"block at {offset} does not decode to what its digests say" for offset in damaged]
    names = {(block.offset, chunk.digest) for block in found for chunk in block.chunks}
    missing = {(at.block.offset, at.digest) for held in expected.values() for at in held} - names
    if missing:
        wrong.append(f"{len(missing)} chunks that the catalog expects are not in it")
    return _fault(ctx, row, wrong, set(damaged) | {offset for offset, _ in missing}) if wrong else None


def is_sound(ctx: Context, block: Block, data: memoryview, bases: Mapping[Digest, Location]) -> bool:
    """Return whether *block*, in the pack whose bytes are *data*, decodes to what its digests say."""
    payload = data[block.offset : block.offset + block.stored_len]
    try:
        base = None if block.base is None else chunk_bytes(ctx, bases, block.base)
        raw = open_block(block.codec, payload, block.raw_len, base)
        if block.chunks and len(block.chunks[0].fingerprint) != FINGERPRINT_LEN:
            chunk_view(raw, 0, block.raw_len, block.chunks[0].digest)  # recipes: one digest for all
            return True
        for placed in block.placed():
            chunk_view(raw, placed.inner_offset, placed.chunk.length, placed.chunk.digest)
    except (DedupError, IntegrityError, ObjectMissing):
        return False
    return True


def _named(ctx: Context, keys: Sequence[str]) -> Iterator[PackRow]:
    with ctx.catalog.read() as tx:
        found = packs.by_keys(tx, keys)
    for key in keys:
        if key not in found:
            raise UsageError(f"the catalog knows no pack {key}", hint="frostline audit names packs by their keys")
        yield found[key]


def _chosen(ctx: Context, fraction: float, round_no: int) -> Iterator[PackRow]:
    after_no = 0
    rounds = round(1 / fraction)
    while True:
        with ctx.catalog.read() as tx:
            page = packs.in_state(tx, PackState.LIVE, after_no=after_no, limit=PAGE)
        if not page:
            return
        after_no = page[-1].pack_no
        for row in page:
            share = int.from_bytes(blake3(row.key.encode()).digest()[:4], "big") / FRACTION_DENOMINATOR
            if fraction == 1 or int(share * rounds) == round_no % rounds:
                yield row


def _expected(ctx: Context, row: PackRow) -> dict[int, list[Location]]:
    """Return offset -> chunks of the blocks that the catalog has of a data pack; nothing for a recipe pack, whose
    trailer stands alone.
    """
    if row.kind != "data":
        return {}
    found: dict[int, list[Location]] = {}
    with ctx.catalog.read() as tx:
        for at in packs.chunks_of(tx, row.pack_no):
            found.setdefault(at.block.offset, []).append(at)
    return found


def _as_block(held: Sequence[Location]) -> Block:
    place = held[0].block
    parts = tuple(ChunkPart(at.fingerprint, at.digest, at.length) for at in held)
    return Block(place.offset, place.stored_len, place.raw_len, place.codec, parts, place.base)


def bases_behind(ctx: Context, row: PackRow) -> dict[Digest, Location]:
    """Return where everything is that blocks of the pack are coded against."""
    if row.kind != "data":
        return {}
    with ctx.catalog.read() as tx:
        return packs.bases_of_pack(tx, row.pack_no)


def _fault(ctx: Context, row: PackRow, wrong: Sequence[str], offsets: set[int] | None) -> Fault:
    """Describe a fault; *offsets* of its blocks, None means the whole pack."""
    with ctx.catalog.read() as tx:
        numbers = _recipes_hit(tx, row, offsets)
        paths = sorted({os.fsdecode(found.path) for number in numbers for found in files.by_recipe(tx, number)})
    return Fault(row.key, row.tier, tuple(wrong), tuple(paths[:FILES_NAMED]))


def _recipes_hit(tx: Tx, row: PackRow, offsets: set[int] | None) -> list[int]:
    if row.kind == "recipes":
        found = recipes.in_pack(tx, row.pack_no)
        places = packs.locate_recipes(tx, found)
        return [no for no, place in places.items() if offsets is None or place.block.offset in offsets]
    return recipes.needing(tx, row.pack_no, offsets)
