"""mover: files that are to be colder, and the packs that may follow them, move from one cold tier to a colder one.

Used by apply for files that are stored, and run after gc for packs that had to wait. Where two tiers share a store a
pack moves whole: its object changes class inside the provider, and no byte comes down. Packs of which only a part may
be colder, and those whose tier stands in another store, are written anew (tiering.jobs.repack). Nothing moves that
would cost more (requests, what reading it in its old class costs, the rest of its minimum stay) than it saves in a
year. What something warmer still needs stays where it is: no hot file ever waits for an archive.

Kill points: mover.retargeted, .noted, .changed, .committed, and those of tiering.jobs.rewriting. From .noted on the
journal knows of the pack, and reconcile finishes it; an object that is of its new class already is not asked for again.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from policies.moving import CHANGE, DROP, REWRITE, MoveQuote, decide, quote_drop
from tiering.catalog import files, journal, leases, moving, packs, recipes, repacking, temperature, twins
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.moving import Sinking
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileRow, JournalKind, JournalRow, PackRow
from tiering.clock import NS_PER_S
from tiering.config.policy import price_book
from tiering.errors import ObjectArchived
from tiering.jobs import rewriting
from tiering.jobs.accrue import accrue
from tiering.jobs.charges import charge
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.early_delete import charge_early_stay
from tiering.jobs.items import can_follow
from tiering.jobs.pack_plans import PackPlan, content_of, homes, plans, ranks_of, standing
from tiering.jobs.pack_ranges import tidy
from tiering.jobs.repack import RepackReport, rewrite_all
from tiering.jobs.restore_cost import take_back_copy
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.base import ArchiveStore

LEASE_S = 6 * 3600
BATCH_FILES = 1000
"""Given to a tier in one transaction: a tenth of a second."""
PASSES = 7
"""A base may follow once what is coded against it has gone: as many passes as links, and one."""


@dataclass(slots=True)
class MoveReport:
    """What moved."""

    files: int = 0
    """That belong to a colder tier now."""
    packs_moved: int = 0
    bytes_moved: int = 0
    packs_kept: int = 0
    """That would cost more to move than they save."""
    packs_dropped: int = 0
    """Of which everything stands in a warmer tier too."""
    quote: MoveQuote = field(default_factory=MoveQuote)
    """What was expected of the class changes."""
    rewritten: RepackReport = field(default_factory=RepackReport)
    """Packs that were written anew, because a part of them may be colder."""
    notes: list[str] = field(default_factory=list)


def move(ctx: Context, rows: Iterable[FileRow], tier: str, *, reason: str) -> MoveReport:
    """Give *rows* (see can_follow) to *tier*, all of them, and move what nothing warmer needs of their packs then.

    Some are given at a time; those of a run that was killed meanwhile are given, and their packs follow when the mover
    looks next. Runs again harmlessly. Raises what tend_packs() raises.
    """
    report = MoveReport()
    among: set[int] = set()
    for some in batches(rows, BATCH_FILES):
        with ctx.catalog.write() as tx:
            current = files.by_ids(tx, [row.file_id for row in some]).values()
            wanted = [row for row in current if can_follow(ctx, row, tier)]
            among |= _packs_of(tx, wanted)
            given = moving.retarget(tx, [row.file_id for row in wanted], tier, op_id=f"{reason}:{_nonce()}")
        report.files += len(given)
    ctx.step("mover.retargeted")
    return tend_packs(ctx, report, among=sorted(among))


def sink(ctx: Context, report: MoveReport | None = None) -> MoveReport:
    """Move every pack that may be colder, whole, and pays for it. Raises CatalogBusy while gc runs, and what stores
    raise.
    """
    return tend_packs(ctx, report, ways=(CHANGE,))


def tend_packs(
    ctx: Context,
    report: MoveReport | None = None,
    *,
    ways: Sequence[str] = (CHANGE, REWRITE, DROP),
    among: Sequence[int] | None = None,
) -> MoveReport:
    """Do with every pack (of *among*, where given) what policies.moving decides, but for what is not in *ways*.

    Raises CatalogBusy while gc runs, and what the stores raise; what was done before stays.
    """
    report = report or MoveReport()
    with leases.held(ctx.catalog, leases.STORE_UPKEEP, owner=ctx.owner, seconds=LEASE_S):
        try:
            accrue(ctx)  # what moves now stood where it was until now
            _resume_own(ctx)
            for _ in range(PASSES):
                if not _pass(ctx, report, ways, among):
                    break
            if among is None and REWRITE in ways and not ctx.stop.is_set():
                tidy(ctx)
        finally:
            charge(ctx, reason="mover")
    return report


def quote_move(ctx: Context, rows: Iterable[FileRow], tier: str) -> tuple[int, MoveQuote]:
    """Return how many of *rows* can be given to *tier*, what that would move now, and what it costs and saves.

    Packs that something else keeps warm count with what could leave them, or not at all where that does not pay.
    Changes nothing. Memory: a number for each version.
    """
    ranks, places = ranks_of(ctx), homes(ctx)
    total, count = MoveQuote(), 0
    going: dict[int, int] = {}
    packs_needed: set[int] = set()
    for some in batches(rows, BATCH_FILES):
        wanted = [row for row in some if can_follow(ctx, row, tier)]
        count += len(wanted)
        going.update((row.recipe_no, ranks[tier]) for row in wanted if row.recipe_no is not None)
        with ctx.catalog.read() as tx:
            packs_needed |= _packs_of(tx, wanted)
    among = sorted(packs_needed)
    with ctx.catalog.read() as tx:
        heats = [heat for name in ctx.tiers for heat in temperature.survey(tx, name, ranks, among=among, as_if=going)]
    for heat in heats:
        if heat.parts:
            home = places[heat.pack.tier]
            before = standing(ctx, heat.pack, home)
            content = content_of(heat, ranks)
            pack_bytes = ctx.config.chunking.pack_bytes
            total += decide(price_book(ctx.config), before, content, places, pack_bytes=pack_bytes).quote
    return count, total


def resume(ctx: Context, entry: JournalRow) -> str:
    """Bring the move or the rewriting of a dead process to its end; returns "finished" or "undone". The caller has made
    the row its own.
    """
    noted = repacking.noted(entry)
    if noted is not None:
        return rewriting.resume(ctx, entry, noted)
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


def _packs_of(tx: Tx, rows: Sequence[FileRow]) -> set[int]:
    numbers = [row.recipe_no for row in rows if row.recipe_no is not None]
    return {number for found in recipes.packs_of(tx, numbers).values() for number in found}


def _pass(ctx: Context, report: MoveReport, ways: Sequence[str], among: Sequence[int] | None) -> bool:
    """Look at every pack once, coldest tiers first; return whether another pass may find more to do."""
    before = (report.packs_moved, report.rewritten.packs_written)
    waits = False
    kept = 0
    for name in sorted(ctx.tiers, key=lambda name: -ctx.tiers[name].rank):
        chosen: list[PackPlan] = []
        for plan in plans(ctx, name, among=among):
            if DROP in ways and _drop(ctx, plan, report):
                continue
            waits |= plan.heat.waits
            kept += plan.could_be_better or (plan.decision.way not in {CHANGE, REWRITE} and _may_sink(ctx, plan))
            if plan.decision.way in ways:
                chosen.append(plan)
        for plan in chosen:
            if plan.decision.way == CHANGE and not ctx.stop.is_set():
                _change(ctx, plan, report)
        rewrite_all(ctx, [plan for plan in chosen if plan.decision.way == REWRITE], report.rewritten)
    report.packs_kept = kept
    has_moved = (report.packs_moved, report.rewritten.packs_written) != before
    return has_moved and waits and not ctx.stop.is_set()


def _may_sink(ctx: Context, plan: PackPlan) -> bool:
    coldest = plan.heat.coldest
    return coldest is not None and coldest > ctx.tiers[plan.heat.pack.tier].rank


def _drop(ctx: Context, plan: PackPlan, report: MoveReport) -> bool:
    """Give up a pack of which everything stands in a warmer tier as well, if that pays; return whether it is gone."""
    pack = plan.heat.pack
    rank = ctx.tiers[pack.tier].rank
    warmer = [name for name, tier in ctx.tiers.items() if tier.rank < rank]
    if not warmer or not quote_drop(price_book(ctx.config), standing(ctx, pack, homes(ctx)[pack.tier])).pays:
        return False
    with ctx.catalog.read() as tx:
        if not twins.twins(tx, pack.pack_no, warmer):
            return False
    with ctx.catalog.write() as tx:
        found = twins.twins(tx, pack.pack_no, warmer)
        reason = f"all that is needed of {pack.key} stands in a warmer tier too"
        is_done = bool(found) and twins.give_up(tx, pack.pack_no, found, op_id=f"twins:{_nonce()}", reason=reason)
    report.packs_dropped += is_done
    return is_done


def _resume_own(ctx: Context) -> None:
    """End what this very process began and could not bring to its end, for want of its store."""
    with ctx.catalog.read() as tx:
        left = journal.of_kind(tx, JournalKind.MOVE, owner=ctx.owner)
    for entry in left:
        resume(ctx, entry)


def _change(ctx: Context, plan: PackPlan, report: MoveReport) -> None:
    item = Sinking(plan.heat.pack, plan.decision.target)
    source, target = ctx.tiers[item.pack.tier], ctx.tiers[item.target]
    if not plan.is_readable:
        report.notes.append(f"{item.pack.key} stays in {source.name}: it would have to be restored first")
        return
    op_id = f"move:{item.pack.pack_no}:{_nonce()}"
    until_ns = ctx.clock.now_ns() + LEASE_S * NS_PER_S
    is_archive = target.storage_class in ARCHIVE_CLASSES
    with ctx.catalog.write() as tx:
        (now,) = temperature.survey(tx, source.name, ranks_of(ctx), among=[item.pack.pack_no]) or (None,)
        if now is None or now.coldest is None or now.coldest < target.rank:
            return  # something warmer came to need it since it was looked at
        is_ours = moving.begin(tx, item, op_id=op_id, owner=ctx.owner, until_ns=until_ns, is_archive=is_archive)
        entry = journal.get(tx, op_id)
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
    report.quote += plan.decision.quote


def _change_class(ctx: Context, pack: PackRow, target: OpenTier, *, via: OpenTier | None = None) -> None:
    """Change the object's class; asked through the old tier, whose price its reading has."""
    store = (via or target).store
    assert isinstance(store, ArchiveStore), "decided only where both tiers share such a store"
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


def _nonce() -> str:
    return secrets.token_hex(8)
