"""Writes what is needed of packs anew, to the tiers where each part belongs: read in ranges, every block decoded and
held against its digests on the way (P1), uploaded proven, taken over in one transaction.

Used by repack, and by the mover where a tier stands in another store. Memory is bounded by a range and a few blocks,
not by a pack. Of a block of which little is needed any more the rest is coded anew, if it becomes smaller.

Kill points: repack.read (a range is on the spool), .noted (the journal knows), .uploaded (one of the packs) and
.committed. What a dead process had read is taken from the spool; what it had uploaded is taken over by resume():
nothing is paid for twice but the request that was under way.
"""

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dedup.assemble import StoredChunk, chunk_view, open_block, open_by_digest
from dedup.errors import DedupError
from dedup.values import Digest, Span
from tiering.catalog import packs, repacking, temperature
from tiering.catalog.repacking import Moved, Outdated, Renewed, Rewriting
from tiering.catalog.values import BlockPlace, JournalRow, Location, PackRow, PackState, PendingPack
from tiering.clock import NS_PER_S
from tiering.errors import FrostlineError, IntegrityError, ObjectExists, ObjectMissing
from tiering.jobs.accrue import accrue
from tiering.jobs.context import Context
from tiering.jobs.pack_plans import ranks_of
from tiering.jobs.pack_ranges import Ranges
from tiering.jobs.packing import pack_key, put_pack
from tiering.jobs.sheaf import Item, Needed, Renewing, Sealed, Sheaf

LEASE_S = 6 * 3600
RENEWED_SHARE = 0.7
"""A block of which more is needed stays as it is."""
BASES_BYTES = 32 << 20
"""Decoded bases kept: the blocks of a checkpoint are coded against few others at a time."""


@dataclass(frozen=True, slots=True)
class Source:
    """A pack to be rewritten."""

    pack: PackRow
    goes: Mapping[int, str]
    """Rank up to which something may be colder -> tier that it is written to."""


@dataclass(slots=True)
class Written:
    """What a rewriting did."""

    sources: tuple[PackRow, ...] = ()
    """Packs of which nothing is needed any more."""
    packs_written: int = 0
    bytes_written: int = 0
    reads: int = 0
    damaged: list[str] = field(default_factory=list)
    """Sentences about packs that were left as they are."""


def rewrite(ctx: Context, sources: Sequence[Source], *, reason: str) -> Written:
    """Rewrite *sources* together. Where something changed meanwhile nothing is done; damaged packs are left out.

    Raises what the stores raise: nothing is changed then, and what was uploaded is doomed.
    """
    written = Written()
    ranges = Ranges(ctx)
    left = list(sources)
    while left:
        sheaf = Sheaf(ctx)
        try:
            damaged = _gather(ctx, left, sheaf, ranges, written)
            if damaged is None:
                _store(ctx, left, sheaf, written, reason)
                break
            written.damaged.append(f"pack {damaged.pack.key} is damaged and was left as it is")
            ranges.drop([damaged.pack.pack_no])
            left.remove(damaged)
        finally:
            sheaf.close()
    ranges.drop([source.pack.pack_no for source in left])
    return written


def resume(ctx: Context, entry: JournalRow, rewriting: Rewriting) -> str:
    """Bring the rewriting of a dead process to its end: what it uploaded is taken over. Returns "finished" or "undone".

    The caller has made the row its own.
    """
    with ctx.catalog.read() as tx:
        rows = packs.by_numbers(tx, rewriting.targets)
    pending = [row for row in rows.values() if row.state is PackState.PENDING]
    sizes = {row.pack_no: _standing(ctx, row) for row in pending}
    whole = [row.pack_no for row in pending if sizes[row.pack_no] == row.size]
    is_done = _commit(ctx, rewriting.only(whole), entry.op_id, sizes, reason="what a dead process uploaded")
    return "finished" if is_done else "undone"


def _gather(ctx: Context, sources: Sequence[Source], sheaf: Sheaf, ranges: Ranges, written: Written) -> Source | None:
    """Put what is needed of *sources* into packs on the spool; return a source that is damaged, if one is."""
    renewing = Renewing(ctx, sheaf)
    for source in sources:
        work = _Work.of(ctx, source)
        written.reads += ranges.fetch(source.pack, work.places)
        try:
            _copy(ctx, work, sheaf, renewing, ranges)
        except IntegrityError:
            return source
    renewing.flush()
    return None


@dataclass(frozen=True, slots=True)
class _Work:
    """What is needed of one pack."""

    held: Mapping[int, list[Location]]
    """block_no -> its chunks, in order; of blocks of which a chunk is needed."""
    tiers: Mapping[tuple[int, int], str]
    """(block_no, inner offset) -> where that chunk goes; of needed ones."""
    numbers: Mapping[tuple[int, int], int]
    """(block_no, inner offset) -> chunk_no."""
    bases: Mapping[Digest, Location]

    @classmethod
    def of(cls, ctx: Context, source: Source) -> "_Work":
        number = source.pack.pack_no
        ranks = ranks_of(ctx)
        with ctx.catalog.read() as tx:
            heats = temperature.block_heats(tx, [number], ranks).get(number, {})
            of_chunk = temperature.chunk_ranks(tx, number, ranks)
            found = packs.chunks_of(tx, number)
            numbers = repacking.chunk_numbers(tx, number)
            bases = packs.bases_of_pack(tx, number)
        held: dict[int, list[Location]] = {}
        tiers: dict[tuple[int, int], str] = {}
        for at in found:
            place = at.block.block_no, at.inner_offset
            held.setdefault(at.block.block_no, []).append(at)
            if numbers[place] in of_chunk:
                may = heats[at.block.block_no].may(of_chunk[numbers[place]])
                tiers[place] = source.goes.get(max(may, ranks[source.pack.tier]), source.pack.tier)
        wanted = {block_no for block_no, _ in tiers}
        return cls({block_no: chunks for block_no, chunks in held.items() if block_no in wanted}, tiers, numbers, bases)

    @property
    def places(self) -> list[BlockPlace]:
        """Blocks of which something is needed, in the pack's order."""
        return sorted((chunks[0].block for chunks in self.held.values()), key=lambda place: place.offset)


def _copy(ctx: Context, work: _Work, sheaf: Sheaf, renewing: Renewing, ranges: Ranges) -> None:
    """Verify and add every needed block, whole, or the needed chunks of it by where each goes. Raises IntegrityError
    for one that is damaged, and what stores raise.
    """
    opener = _Opener(ctx, ranges, work.bases)
    for place in work.places:
        chunks = work.held[place.block_no]
        payload = opener.payload(place)
        raw = opener.opened(place, payload, chunks)
        by_tier: dict[str, list[Needed]] = {}
        for at in chunks:
            spot = place.block_no, at.inner_offset
            if spot in work.tiers:
                data = raw[at.inner_offset : at.inner_offset + at.length]
                by_tier.setdefault(work.tiers[spot], []).append(Needed(at, work.numbers[spot], data))
        share = sum(item.at.stored_len for items in by_tier.values() for item in items)
        warmest = min(by_tier, key=lambda tier: ctx.tier(tier).rank)
        item = Item(place.block_no, place, payload, tuple(chunks), warmest)
        if len(by_tier) > 1 or (len(chunks) > 1 and share < RENEWED_SHARE * place.stored_len):
            renewing.add(item, by_tier)
        else:
            sheaf.move(item)


class _Opener:
    """Decodes blocks and proves them; a few bases are kept."""

    def __init__(self, ctx: Context, ranges: Ranges, bases: Mapping[Digest, Location]) -> None:
        self._ctx = ctx
        self._ranges = ranges
        self._bases = bases
        self._kept: OrderedDict[Digest, bytes] = OrderedDict()

    def payload(self, place: BlockPlace) -> bytes:
        """Return the coded bytes of a block, from the spool where they are there."""
        found = self._ranges.payload(place)
        if found is None:
            found = self._ctx.tier(place.tier).store.get(place.key, Span(place.offset, place.stored_len))
        return found

    def opened(self, place: BlockPlace, payload: bytes, held: Iterable[Location]) -> bytes:
        """Return the raw bytes of a block all of whose chunks are what their digests say. Raises IntegrityError."""
        try:
            base = None if place.base is None else self._base(place.base)
            raw = open_block(place.codec, payload, place.raw_len, base)
            for at in held:
                chunk_view(raw, at.inner_offset, at.length, at.digest)
        except (DedupError, ObjectMissing) as error:
            raise IntegrityError(f"pack {place.key}, offset {place.offset}: {error}") from error
        return raw

    def _base(self, digest: Digest) -> bytes:
        if digest not in self._kept:
            self._kept[digest] = open_by_digest(digest, self._find)
        self._kept.move_to_end(digest)
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > BASES_BYTES:
            self._kept.popitem(last=False)
        return self._kept[digest]

    def _find(self, wanted: Digest) -> StoredChunk:
        at = self._bases.get(wanted)
        if at is None:
            raise IntegrityError(f"chunk {wanted.hex()[:16]}... is nowhere in the catalog")
        place = at.block
        return StoredChunk(place.codec, self.payload(place), place.raw_len, at.inner_offset, at.length, place.base)


def _store(ctx: Context, sources: Sequence[Source], sheaf: Sheaf, written: Written, reason: str) -> None:
    """Note, upload, commit."""
    sealed = sheaf.finish()
    if not sealed:
        return
    accrue(ctx)  # what moves now stood where it was until now
    op_id = f"repack:{secrets.token_hex(8)}"
    rows = [_pending(ctx, made) for made in sealed]
    with ctx.catalog.write() as tx:
        numbers = [packs.add_pending(tx, row) for row in rows]
        rewriting = _rewriting([source.pack.pack_no for source in sources], sealed, numbers)
        repacking.begin(tx, rewriting, op_id=op_id, owner=ctx.owner, until_ns=tx.now_ns + LEASE_S * NS_PER_S)
    ctx.step("repack.noted")
    sizes = dict.fromkeys(numbers, 0)
    try:
        for number, row, made in zip(numbers, rows, sealed, strict=True):
            _upload(row, made)
            sizes[number] = row.size
            ctx.step("repack.uploaded")
    except FrostlineError:
        with ctx.catalog.write() as tx:
            repacking.finish(tx, op_id, list(sizes.items()))
        raise
    if _commit(ctx, rewriting, op_id, sizes, reason=reason):
        written.sources = tuple(source.pack for source in sources)
        written.packs_written = len(rows)
        written.bytes_written = sum(row.size for row in rows)


def _pending(ctx: Context, made: Sealed) -> PendingPack:
    summary = made.summary
    assert summary is not None, "finish() sealed it"
    return PendingPack(
        key=pack_key("data", summary.content_hash, secrets.token_hex(8)),
        kind="data",
        tier=made.tier.name,
        storage_class=made.tier.storage_class,
        size=summary.size_bytes,
        framing=summary.framing_bytes,
        checksum=made.spool.checksum.text(),
        owner=ctx.owner,
    )


def _rewriting(sources: Sequence[int], sealed: Sequence[Sealed], numbers: Sequence[int]) -> Rewriting:
    moved = [
        Moved(block_no, source, number, offset)
        for made, number in zip(sealed, numbers, strict=True)
        for block_no, source, offset in made.moved
    ]
    renewed = [
        Renewed(number, offset, len(coded.payload), raw_len, coded.codec, chunk_nos)
        for made, number in zip(sealed, numbers, strict=True)
        for offset, coded, raw_len, chunk_nos in made.renewed
    ]
    return Rewriting(tuple(sources), tuple(numbers), tuple(moved), tuple(renewed))


def _upload(row: PendingPack, made: Sealed) -> None:
    if not put_pack(made.tier, row.key, made.spool.rewind, row.size, row.checksum):
        raise ObjectExists(
            f"{made.tier.store.url} says of a new key that it is taken",
            now="nothing was changed; every pack stands as it did",
            hint="frostline doctor probes what the store really does",
        )


def _commit(ctx: Context, rewriting: Rewriting, op_id: str, sizes: Mapping[int, int], *, reason: str) -> bool:
    """Make it so, and doom what was uploaded for nothing; False where all of it was."""
    is_done = False
    if rewriting.targets:
        try:
            with ctx.catalog.write() as tx:
                repacking.commit(tx, rewriting, ranks_of(ctx), op_id=op_id, reason=reason)
                unused = [(number, size) for number, size in sizes.items() if number not in rewriting.targets]
                repacking.finish(tx, op_id, unused)
            is_done = True
        except Outdated:
            pass  # told by the packs that stay as they are; the next pass looks again
    if not is_done:
        with ctx.catalog.write() as tx:
            repacking.finish(tx, op_id, list(sizes.items()))
    ctx.step("repack.committed")
    return is_done


def _standing(ctx: Context, row: PackRow) -> int:
    """Return how many bytes of a pending pack stand in its store, 0 unless they are those that were sent."""
    try:
        info = ctx.tier(row.tier).store.head(row.key)
    except ObjectMissing:
        return 0
    return row.size if (info.size_bytes, info.checksum) == (row.size, row.checksum) else info.size_bytes
