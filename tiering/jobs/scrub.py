"""scrub: read stored packs again and check every byte of them against digests; say which files a fault touches.

Called by `frostline scrub`. Reads only: nothing is repaired, moved or marked, and hot files are not looked at. A pack
is sound when its bytes hash to the name in its key, its trailer lists what the catalog lists, and every chunk decodes
to its digest. Archived packs without a readable copy are left out and said so: reading them costs a restore.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from blake3 import blake3

from dedup.assemble import open_chunk
from dedup.errors import DedupError
from dedup.pack import read_trailer
from dedup.values import PackEntry, Span
from tiering.catalog import files, packs, recipes
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackRow, PackState
from tiering.errors import ObjectArchived, ObjectMissing, UsageError
from tiering.jobs.context import Context
from tiering.stores.archive import ARCHIVE_CLASSES, ensure_readable

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

    Raises ObjectArchived where it cannot be read now, and what the store raises.
    """
    tier = ctx.tier(row.tier)
    try:
        if row.storage_class in ARCHIVE_CLASSES:
            ensure_readable(tier.store, row.key, tier.capabilities)
        data = memoryview(tier.store.get(row.key))
    except ObjectMissing:
        return _fault(ctx, row, ["the object is not in the store"], None)
    wrong: list[str] = []
    named_hash = row.key.rpartition("/")[2].partition("-")[0]
    if not blake3(data).hexdigest().startswith(named_hash):
        wrong.append(f"its {len(data)} bytes do not hash to the name in its key")
    try:
        entries = read_trailer(lambda span: bytes(data[span.start : span.end]), len(data))
    except DedupError as error:
        wrong.append(f"its trailer is damaged: {error}")
        entries = _entries_of(ctx, row)
    damaged = [entry for entry in entries if not _is_sound(entry, data)]
    wrong += [f"chunk at {entry.offset} does not decode to {entry.digest.hex()[:16]}..." for entry in damaged]
    missing = {(entry.offset, entry.digest) for entry in _entries_of(ctx, row)} - {
        (entry.offset, entry.digest) for entry in entries
    }
    if missing:
        wrong.append(f"{len(missing)} chunks that the catalog expects are not in it")
    return _fault(ctx, row, wrong, {entry.offset for entry in damaged} | {at for at, _ in missing}) if wrong else None


def _is_sound(entry: PackEntry, data: memoryview) -> bool:
    span = Span(entry.offset, entry.stored_len)
    try:
        open_chunk(entry.codec, data[span.start : span.end], entry.raw_len, entry.digest)
    except DedupError:
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


def _entries_of(ctx: Context, row: PackRow) -> list[PackEntry]:
    """Return what the catalog says stands in a data pack; nothing for a recipe pack, whose trailer stands alone."""
    if row.kind != "data":
        return []
    with ctx.catalog.read() as tx:
        return [
            PackEntry(at.fingerprint, at.digest, at.raw_len, at.stored_len, at.offset, at.codec)
            for at in packs.chunks_of(tx, row.pack_no)
        ]


def _fault(ctx: Context, row: PackRow, wrong: Sequence[str], offsets: set[int] | None) -> Fault:
    """Describe a fault; *offsets* None means the whole pack."""
    with ctx.catalog.read() as tx:
        numbers = _recipes_hit(tx, row, offsets)
        paths = sorted({os.fsdecode(found.path) for number in numbers for found in files.by_recipe(tx, number)})
    return Fault(row.key, row.tier, tuple(wrong), tuple(paths[:FILES_NAMED]))


def _recipes_hit(tx: Tx, row: PackRow, offsets: set[int] | None) -> list[int]:
    if row.kind == "recipes":
        found = recipes.in_pack(tx, row.pack_no)
        return [recipe.recipe_no for recipe in found if offsets is None or recipe.offset in offsets]
    return recipes.needing(tx, row.pack_no, offsets)
