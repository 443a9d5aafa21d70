"""repack: rewrite packs of which little is needed any more, so that the rest stops being paid for.

Run after gc. Blocks move as they are, each decoded and held against its digests on the way (P1), into a new pack that
is proven like any upload; the catalog changes over in one transaction, and the old packs are doomed like any other.
Nothing is rewritten where it would cost more than it saves within a year: requests, retrieval, and what is left of a
minimum stay. Packs in archive classes are left alone: reading them would have to be paid for.

Kill points: repack.uploaded, .committed. A process that dies before the commit leaves a pending pack, which reconcile
dooms.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dedup.pack import read_trailer
from dedup.values import Block
from policies.amounts import GIB
from policies.cost import early_delete_usd
from policies.prices import LOCAL
from tiering.catalog import leases, packs, repacking
from tiering.catalog.repacking import HalfDead
from tiering.clock import NS_PER_S
from tiering.config.policy import price_book
from tiering.errors import IntegrityError
from tiering.jobs.charges import charge, price_class
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.gc import LEASE_NAME, LEASE_S
from tiering.jobs.packing import OpenPack, UploadJournal, spool_folder, upload_pack
from tiering.jobs.scrub import bases_behind, is_sound
from tiering.stores.archive import ARCHIVE_CLASSES

DEAD_SHARE = 0.3
"""Less is not worth reading and writing the rest."""
HORIZON_MONTHS = 12
_HOUR_NS = 3600 * NS_PER_S


@dataclass(slots=True)
class RepackReport:
    """What was rewritten."""

    packs_rewritten: int = 0
    packs_written: int = 0
    bytes_moved: int = 0
    bytes_freed: int = 0
    """Of the store once gc has deleted the old packs."""
    packs_kept: int = 0
    """Half dead, and not worth their rewriting yet."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Move:
    """One needed block with its bytes."""

    block_no: int
    source: int
    block: Block
    payload: memoryview


def repack(ctx: Context) -> RepackReport:
    """Rewrite what is worth it, tier by tier. Raises CatalogBusy while gc or another repack runs, and what the stores
    raise; what was committed before stays.
    """
    report = RepackReport()
    with leases.held(ctx.catalog, LEASE_NAME, owner=ctx.owner, seconds=LEASE_S):
        try:
            for tier in ctx.tiers.values():
                if tier.capabilities.archives and tier.storage_class in ARCHIVE_CLASSES:
                    continue
                with ctx.catalog.read() as tx:
                    found = repacking.half_dead(tx, [tier.name], dead_share=DEAD_SHARE)
                worth = [item for item in found if is_worth_it(ctx, item)]
                report.packs_kept += len(found) - len(worth)
                for group in _groups(worth, ctx.config.chunking.pack_bytes):
                    if ctx.stop.is_set():
                        return report
                    _rewrite(ctx, tier, group, report)
        finally:
            charge(ctx, reason="repack")
    return report


def is_worth_it(ctx: Context, item: HalfDead) -> bool:
    """Return whether a year's storage of the dead bytes costs more than moving the others now."""
    row = item.pack
    name = price_class(ctx, row.tier, row.storage_class)
    if name == LOCAL:
        return True
    book = price_book(ctx.config)
    price = book.price(name)
    held_hours = max(0, (ctx.clock.now_ns() - row.created_ns) // _HOUR_NS)
    once = price.put_nano + price.get_nano + price.retrieval_nano_per_gib * row.size // GIB
    once += early_delete_usd(book, name, row.size, held_hours=held_hours)
    return price.storage[0].nano_per_gib * item.dead_bytes * HORIZON_MONTHS // GIB > once


def _groups(found: Sequence[HalfDead], pack_bytes: int) -> Iterator[list[HalfDead]]:
    """Yield packs whose needed parts fill one pack together."""
    held: list[HalfDead] = []
    size = 0
    for item in found:
        if held and size + item.live_bytes > pack_bytes:
            yield held
            held, size = [], 0
        held.append(item)
        size += item.live_bytes
    if held:
        yield held


def _rewrite(ctx: Context, tier: OpenTier, group: Sequence[HalfDead], report: RepackReport) -> None:
    journal = UploadJournal()
    pack = OpenPack.begin(spool_folder(ctx), "data")
    op_id = f"repack:{secrets.token_hex(8)}"
    moves: dict[int, tuple[int, int]] = {}
    sources: list[int] = []
    try:
        for item in group:
            try:
                found = list(_needed(ctx, tier, item))
            except IntegrityError as error:
                report.notes.append(f"{error.what}: {error.hint}")
                continue
            sources.append(item.pack.pack_no)
            for move in found:
                block = move.block
                placed = pack.writer.add_block(block.codec, move.payload, block.raw_len, block.chunks, block.base)
                moves[move.block_no] = (move.source, placed.offset)
        if not moves:
            return
        uploaded = upload_pack(ctx, tier, pack.spool, pack.writer.finish(), kind="data", journal=journal)
    finally:
        pack.spool.close()
    ctx.step("repack.uploaded")
    with ctx.catalog.write() as tx:
        is_moved = repacking.move_blocks(tx, moves, sources=sources, target=uploaded.pack_no, op_id=op_id)
        if not is_moved:
            sizes = list(journal.sizes.items())
            packs.doom_pending(tx, sizes, op_id=f"{op_id}:unused", reason="its packs changed while it was written")
    ctx.step("repack.committed")
    if is_moved:
        report.packs_written += 1
        report.packs_rewritten += len(sources)
        report.bytes_moved += uploaded.summary.size_bytes
        old = sum(item.pack.size for item in group if item.pack.pack_no in sources)
        report.bytes_freed += old - uploaded.summary.size_bytes


def _needed(ctx: Context, tier: OpenTier, item: HalfDead) -> Iterator[_Move]:
    """Yield the needed blocks of one pack, each verified. Raises IntegrityError for one that is damaged."""
    row = item.pack
    with ctx.catalog.read() as tx:
        wanted = repacking.needed_blocks(tx, row.pack_no)
    bases = bases_behind(ctx, row)
    data = memoryview(tier.store.get(row.key))
    for block in read_trailer(lambda span: bytes(data[span.start : span.end]), len(data)):
        if block.offset not in wanted:
            continue
        if not is_sound(ctx, block, data, bases):
            raise IntegrityError(
                f"pack {row.key} is damaged and was left as it is",
                hint="frostline scrub, then docs/runbook.md#half-dead-pack",
            )
        payload = data[block.offset : block.offset + block.stored_len]
        yield _Move(wanted[block.offset], row.pack_no, block, payload)
