"""mover: files that are to be colder, and the packs that may follow them, move from one cold tier to a colder one.

Used by apply for files that are stored, and run after gc for packs that had to wait. Where two tiers share a store a
pack moves whole: its object changes class inside the provider, and no byte comes down. Nothing moves that would cost
more (the request, what reading it in its old class costs, the rest of its minimum stay) than it saves in a year.
Packs that something warmer still needs stay where they are: no hot file ever waits for an archive.

Kill points: mover.retargeted, .noted, .changed, .committed. From .noted on the journal knows of the pack, and reconcile
finishes it; an object that is of its new class already is not asked for again.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from policies.amounts import GIB
from policies.cost import early_delete_usd
from policies.prices import LOCAL
from tiering.catalog import files, journal, leases, moving, packs
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.moving import Sinking
from tiering.catalog.values import FileRow, FileState, JournalRow, PackRow
from tiering.clock import NS_PER_S
from tiering.config.policy import price_book
from tiering.errors import ObjectArchived
from tiering.jobs.accrue import accrue
from tiering.jobs.charges import charge, price_class
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.early_delete import charge_early_stay
from tiering.jobs.restore_cost import take_back_copy
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.base import ArchiveStore

LEASE_S = 6 * 3600
HORIZON_MONTHS = 12
HOUR_NS = 3600 * NS_PER_S


@dataclass(slots=True)
class MoveReport:
    """What moved."""

    files: int = 0
    """That belong to a colder tier now."""
    packs_moved: int = 0
    bytes_moved: int = 0
    packs_kept: int = 0
    """That would cost more to move than they save."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MoveQuote:
    """What moving one pack costs and saves, in nano-dollars."""

    once_nano: int
    saved_nano_month: int

    @property
    def pays(self) -> bool:
        """Whether a year's saving is more than it costs."""
        return self.saved_nano_month * HORIZON_MONTHS > self.once_nano


def can_follow(ctx: Context, row: FileRow, tier: str) -> bool:
    """Return whether a stored file can be moved to *tier*: one that is colder, in the same store."""
    if row.tier is None or row.tier not in ctx.tiers or tier not in ctx.tiers:
        return False
    here, there = ctx.tiers[row.tier], ctx.tiers[tier]
    is_stored = row.state in {FileState.DUAL, FileState.OFFLINE} and row.recipe_no is not None
    return is_stored and there.rank > here.rank and _are_one_store(here, there)


def move(ctx: Context, rows: Sequence[FileRow], tier: str, *, reason: str) -> MoveReport:
    """Give *rows* (see can_follow) to *tier*, and move the packs that nothing warmer needs. Runs again harmlessly."""
    report = MoveReport()
    with ctx.catalog.write() as tx:
        current = files.by_ids(tx, [row.file_id for row in rows]).values()
        wanted = [row.file_id for row in current if can_follow(ctx, row, tier)]
        report.files = len(moving.retarget(tx, wanted, tier, op_id=f"{reason}:{secrets.token_hex(8)}"))
    ctx.step("mover.retargeted")
    return sink(ctx, report)


def sink(ctx: Context, report: MoveReport | None = None) -> MoveReport:
    """Move every pack that may be colder and pays for it. Raises CatalogBusy while gc runs, and what stores raise."""
    report = report or MoveReport()
    with leases.held(ctx.catalog, leases.STORE_UPKEEP, owner=ctx.owner, seconds=LEASE_S):
        try:
            accrue(ctx)  # what moves now stood where it was until now
            for item in _worth_it(ctx, report):
                if ctx.stop.is_set():
                    break
                _move_pack(ctx, item, report)
        finally:
            charge(ctx, reason="mover")
    return report


def quote(ctx: Context, pack: PackRow, target: str) -> MoveQuote:
    """Return what moving a pack to *target* costs now, and saves each month."""
    old, new = price_class(ctx, pack.tier, pack.storage_class), price_class(ctx, target)
    if LOCAL in {old, new}:
        return MoveQuote(0, 0)
    book = price_book(ctx.config)
    before, after = book.price(old), book.price(new)
    held_hours = max(0, (ctx.clock.now_ns() - pack.created_ns) // HOUR_NS)
    once = after.put_nano + before.retrieval_nano_per_gib * pack.size // GIB
    once += early_delete_usd(book, old, pack.size, held_hours=held_hours)
    overhead = sum(size * book.price(name).storage[0].nano_per_gib for name, size in after.overhead)
    overhead -= sum(size * book.price(name).storage[0].nano_per_gib for name, size in before.overhead)
    saved = before.storage[0].nano_per_gib * max(pack.size, before.min_billed_bytes)
    saved -= after.storage[0].nano_per_gib * max(pack.size, after.min_billed_bytes) + overhead
    return MoveQuote(once, saved // GIB)


def resume(ctx: Context, entry: JournalRow) -> str:
    """Bring the move of a dead process to its end; returns "finished". The caller has made the row its own."""
    with ctx.catalog.read() as tx:
        pack = packs.get(tx, moving.pack_of(entry))
    if pack is None:
        with ctx.catalog.write() as tx:
            journal.finish(tx, [entry.op_id])
        return "undone"
    tier = ctx.tier(pack.tier)
    if tier.store.head(pack.key).storage_class != tier.storage_class:
        _change_class(ctx, pack, tier)
    _finish(ctx, entry, tier)
    return "finished"


def _are_one_store(here: OpenTier, there: OpenTier) -> bool:
    return here.store.url == there.store.url and isinstance(here.store, ArchiveStore)


def _worth_it(ctx: Context, report: MoveReport) -> Iterator[Sinking]:
    ranks = {name: tier.rank for name, tier in ctx.tiers.items()}
    for name, tier in sorted(ctx.tiers.items(), key=lambda item: -item[1].rank):
        with ctx.catalog.read() as tx:
            found = moving.sinking(tx, name, ranks)
        for item in found:
            if not _are_one_store(tier, ctx.tiers[item.target]):
                continue
            if not quote(ctx, item.pack, item.target).pays:
                report.packs_kept += 1
                continue
            yield item


def _move_pack(ctx: Context, item: Sinking, report: MoveReport) -> None:
    source, target = ctx.tiers[item.pack.tier], ctx.tiers[item.target]
    if source.storage_class in ARCHIVE_CLASSES:
        report.notes.append(f"{item.pack.key} stays in {source.name}: it would have to be restored first")
        return
    op_id = f"move:{item.pack.pack_no}:{secrets.token_hex(8)}"
    until_ns = ctx.clock.now_ns() + LEASE_S * NS_PER_S
    is_archive = target.storage_class in ARCHIVE_CLASSES
    with ctx.catalog.write() as tx:
        is_ours = moving.begin(tx, item, op_id=op_id, owner=ctx.owner, until_ns=until_ns, is_archive=is_archive)
        entry = next((row for row in journal.every(tx) if row.op_id == op_id), None)
    if not is_ours or entry is None:
        return
    ctx.step("mover.noted")
    try:
        _change_class(ctx, item.pack, target, via=source)
    except ObjectArchived as error:
        report.notes.append(error.what)
        return  # the journal's row stays: reconcile tries again
    ctx.step("mover.changed")
    _finish(ctx, entry, target)
    ctx.step("mover.committed")
    report.packs_moved += 1
    report.bytes_moved += item.pack.size


def _change_class(ctx: Context, pack: PackRow, target: OpenTier, *, via: OpenTier | None = None) -> None:
    """Change the object's class; asked through the old tier, whose price its reading has."""
    store = (via or target).store
    assert isinstance(store, ArchiveStore), "checked by _are_one_store"
    store.change_class(pack.key, target.storage_class)


def _finish(ctx: Context, entry: JournalRow, target: OpenTier) -> None:
    with ctx.catalog.write() as tx:
        before = moving.finish(tx, entry, storage_class=target.storage_class)
        if before is None:
            return
        charge_early_stay(ctx, tx, before, reason="moved")
        restored = ticket_rows.restores_of(tx, [before.pack_no]).get(before.pack_no)
        if restored is not None:
            take_back_copy(ctx, tx, before, restored)
