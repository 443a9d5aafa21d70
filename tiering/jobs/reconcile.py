"""reconcile: finish or undo what dead processes left half done.

Run at every start and before every change. Journal rows whose process is dead, or whose lease has run out, are
taken over and resumed by the job that wrote them; packs of dead processes that never were committed are doomed
with what stands of them in the store; a pending segment is written; uploads nobody will finish are aborted;
leases of the dead are given up. Every step may run again; what cannot be done now (a root not mounted, a store
not reached) stays for the next time and is reported.
"""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module

from tiering.catalog import files, journal, leases, packs, runs, scans, segments
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, JournalKind, JournalRow, PackRow, PackState
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.errors import CatalogBusy, FrostlineError, NotOwner, ObjectMissing, RootMissing, SourceError, StoreError
from tiering.hot.marker import check_marker
from tiering.jobs import segments as segment_job
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.devices import follow_device
from tiering.jobs.processes import is_alive, is_dead
from tiering.jobs.reports import Skip, Skipped
from tiering.stores import ownership

LEASE_NAME = "reconcile"
LEASE_S = 3600
TAKEN_LEASE_NS = 900 * NS_PER_S
# A pack of another host has no lease; an upload takes minutes, and nothing else would tell that its host is gone.
FOREIGN_PENDING_NS = NS_PER_DAY
# Loaded for a row that a dead process left: seldom, and most of what whoever changes something would wait for.
_RESUMED_BY = {
    JournalKind.RELEASE: "tiering.jobs.release",
    JournalKind.RECALL: "tiering.jobs.recall",
    JournalKind.MOVE: "tiering.jobs.mover",
}


@dataclass(slots=True)
class ReconcileReport:
    """What was found and put right."""

    finished: int = 0
    """Operations brought to their end."""
    undone: int = 0
    """Operations of which no trace is left."""
    parked: int = 0
    """Released files whose parking time is not over: the next pass finishes them."""
    packs_doomed: int = 0
    uploads_aborted: int = 0
    leases_freed: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    """Files whose operation could be neither finished nor undone now."""
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """3 when something had to be left for later, else 0."""
        return 3 if self.skipped or self.notes else 0


def reconcile(ctx: Context) -> ReconcileReport:
    """Put right what can be put right now; return what was done and what must wait.

    While another process reconciles, returns at once with a note. Raises CatalogBusy for a locked catalog, and what
    resuming a file's operation raises beyond SourceError (integrity, space).
    """
    report = ReconcileReport()
    _free_leases(ctx, report)
    for root in ctx.roots:
        with suppress(RootMissing):
            follow_device(ctx, root)
    if not _is_needed(ctx):
        return report
    try:
        with leases.held(ctx.catalog, LEASE_NAME, owner=ctx.owner, seconds=LEASE_S):
            _resume_all(ctx, report)
            _doom_pending(ctx, report)
            _end_scans(ctx)
            _end_runs(ctx)
            _write_segment(ctx, report)
    except CatalogBusy as error:
        report.notes.append(error.what)
    return report


def is_abandoned(ctx: Context, pack: PackRow, *, now_ns: int) -> bool:
    """Return whether nobody will commit this pending pack any more. A file of many terabytes may let its packs wait for
    days.
    """
    if is_alive(pack.owner, mine=ctx.owner):
        return False
    return is_dead(pack.owner, mine=ctx.owner) or pack.created_ns < now_ns - FOREIGN_PENDING_NS


def _free_leases(ctx: Context, report: ReconcileReport) -> None:
    with ctx.catalog.read() as tx:
        found = {owner for owner, _ in leases.every(tx).values()}
    dead = sorted(owner for owner in found if is_dead(owner, mine=ctx.owner))
    if dead:
        with ctx.catalog.write() as tx:
            for owner in dead:
                leases.release_all(tx, owner=owner)
        report.leases_freed = len(dead)


def _is_needed(ctx: Context) -> bool:
    with ctx.catalog.read() as tx:
        after = ""
        while rows := journal.page(tx, after=after):
            if any(_is_orphaned(ctx, row, now_ns=tx.now_ns) for row in rows):
                return True
            after = rows[-1].op_id
        if segments.pending(tx) is not None or scans.running(tx) or _dead_runs(ctx, tx):
            return True
        waiting = packs.in_state(tx, PackState.PENDING)
        return any(is_abandoned(ctx, pack, now_ns=tx.now_ns) for pack in waiting)


def _is_orphaned(ctx: Context, row: JournalRow, *, now_ns: int) -> bool:
    if row.owner == ctx.owner:
        return False
    return row.lease_until_ns <= now_ns or is_dead(row.owner, mine=ctx.owner)


def _resume_all(ctx: Context, report: ReconcileReport) -> None:
    after = ""
    while True:
        with ctx.catalog.read() as tx:
            page = journal.page(tx, after=after)
            orphaned = [row for row in page if _is_orphaned(ctx, row, now_ns=tx.now_ns)]
            rows = files.by_ids(tx, [row.file_id for row in orphaned if row.file_id is not None])
        if not page:
            return
        after = page[-1].op_id
        _resume_some(ctx, orphaned, rows, report)


def _resume_some(
    ctx: Context, orphaned: Sequence[JournalRow], rows: Mapping[int, FileRow], report: ReconcileReport
) -> None:
    lost_roots = _lost_roots(ctx, {row.root_id for row in rows.values()})
    for entry in orphaned:
        file = rows.get(entry.file_id or 0)
        if file is not None and file.root_id in lost_roots and entry.kind is not JournalKind.MIGRATE:
            report.notes.append(f"{entry.kind} of {entry.op_id} waits: {lost_roots[file.root_id]}")
            continue
        with ctx.catalog.write() as tx:
            is_ours = journal.take_over(tx, entry.op_id, owner=ctx.owner, until_ns=tx.now_ns + TAKEN_LEASE_NS)
        if is_ours:
            ctx.step("reconcile.taken")
            _resume(ctx, entry, report)


def _resume(ctx: Context, row: JournalRow, report: ReconcileReport) -> None:
    try:
        how = _resumed(ctx, row)
    except (SourceError, OSError) as error:
        reason = error.what if isinstance(error, SourceError) else f"{error.strerror or error}"
        report.skipped.append(Skipped(row.op_id, f"{row.kind} cannot be ended now: {reason}", Skip.OTHER))
        return
    if how == "parked":
        report.parked += 1
    elif how == "undone":
        report.undone += 1
    else:
        report.finished += 1


def _resumed(ctx: Context, row: JournalRow) -> str:
    if row.kind in _RESUMED_BY:
        return str(import_module(_RESUMED_BY[row.kind]).resume(ctx, row))
    with ctx.catalog.write() as tx:  # a migrate changes nothing before its commit; its packs are looked at below
        journal.finish(tx, [row.op_id])
    return "undone"


def _lost_roots(ctx: Context, root_ids: set[int]) -> dict[int, str]:
    """Return root id -> why nothing can be done there now, for those of which that is so."""
    lost: dict[int, str] = {}
    for root_id in root_ids:
        try:
            root = ctx.root(root_id)
            if root.marker:
                check_marker(root.path, root.marker)
        except FrostlineError as error:
            lost[root_id] = error.what
    return lost


def _doom_pending(ctx: Context, report: ReconcileReport) -> None:
    with ctx.catalog.read() as tx:
        waiting = packs.in_state(tx, PackState.PENDING, limit=1_000_000)
        abandoned = [pack for pack in waiting if is_abandoned(ctx, pack, now_ns=tx.now_ns)]
    by_tier: dict[str, list[PackRow]] = {}
    for pack in abandoned:
        by_tier.setdefault(pack.tier, []).append(pack)
    for name, found in by_tier.items():
        tier = ctx.tiers.get(name)
        if tier is None:
            report.notes.append(f'{len(found)} unfinished packs wait: tier "{name}" is not configured any more')
            continue
        try:
            ownership.check(tier.store, ctx.catalog_id, ctx.epoch)
            report.uploads_aborted += _abort_uploads(tier, {pack.key for pack in found})
            sizes = [(pack.pack_no, _standing_bytes(tier, pack.key)) for pack in found]
        except (StoreError, NotOwner) as error:
            report.notes.append(f"{len(found)} unfinished packs wait: {error.what}")
            continue
        ctx.step("reconcile.pending")
        _doom(ctx, sizes)
        report.packs_doomed += len(found)


def _doom(ctx: Context, sizes: Sequence[tuple[int, int]]) -> None:
    op_id = f"reconcile:{secrets.token_hex(8)}"
    with ctx.catalog.write() as tx:
        packs.doom_pending(tx, sizes, op_id=op_id, reason="its process ended before the commit")


def _standing_bytes(tier: OpenTier, key: str) -> int:
    try:
        return tier.store.head(key).size_bytes
    except ObjectMissing:
        return 0


def _abort_uploads(tier: OpenTier, keys: set[str]) -> int:
    uploads = [upload for upload in tier.store.list_uploads() if upload.key in keys]
    for upload in uploads:
        tier.store.abort_upload(upload)
    return len(uploads)


def _end_scans(ctx: Context) -> None:
    """Close the records of scans that no process holds the lease of."""
    with ctx.catalog.write() as tx:
        held = {name for name, (_, until_ns) in leases.every(tx).items() if until_ns > tx.now_ns}
        scans.abandon(tx, [root_id for root_id in scans.running(tx) if f"scan:{root_id}" not in held])


def _end_runs(ctx: Context) -> None:
    """Close the records of runs whose process is dead."""
    with ctx.catalog.write() as tx:
        runs.abandon(tx, _dead_runs(ctx, tx))


def _dead_runs(ctx: Context, tx: Tx) -> list[int]:
    return [run_id for run_id, owner in runs.running(tx).items() if is_dead(owner, mine=ctx.owner)]


def _write_segment(ctx: Context, report: ReconcileReport) -> None:
    try:
        segment_job.flush(ctx)
    except (CatalogBusy, NotOwner, StoreError) as error:
        report.notes.append(f"records wait for a segment: {error.what}")
