"""gc: end retentions, doom what nothing refers to, and delete what was doomed long enough ago.

Deletion is slow and doubted (P5). An object goes only when it was doomed in one run, that doom is in a durable
segment, the grace period is over (not by a leap of the clock: tiering.jobs.counted_time), nothing refers to it still,
and the store is still this catalog's at this epoch; the row is claimed (doomed -> deleting) in one transaction, then
the object is deleted, then booked. Each step may run again: a row that a dead process left deleting is deleted by the
next run. Objects that no row names are doomed first, like any other, and never deleted on the word of one listing. An
object is looked at before it is deleted: what goes is the version that was seen, for good also where the bucket keeps
old versions. What Object Lock keeps stays doomed, and on the books, until it may go (tiering.jobs.locks).

A minimum stay is not waited for: what is left of it is billed at once on deletion, or day by day on waiting, at the
same price, and waiting pays the part of an archive's overhead that is STANDARD on top. gc books it (early_delete).
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from policies.amounts import say_time
from tiering.catalog import commit, files, leases, outbox, pack_notes, packs, segments, versions
from tiering.catalog.transaction import batches
from tiering.catalog.values import FileRow, FileState, PackRow, PackState
from tiering.clock import NS_PER_DAY
from tiering.errors import CatalogBusy, FrostlineError, ObjectExists, ObjectLocked, ObjectMissing, StoreDenied
from tiering.hot.marker import check_marker
from tiering.jobs import locks, store_debris
from tiering.jobs import segments as segment_job
from tiering.jobs.accrue import accrue
from tiering.jobs.charges import charge
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.counted_time import LEAP_NS, counted_ns, mark
from tiering.jobs.early_delete import charge_early_deletion
from tiering.jobs.outdated import refuse_outdated
from tiering.stores import ownership
from tiering.stores.base import FOREVER_NS, ObjectInfo

LEASE_NAME = leases.STORE_UPKEEP
LEASE_S = 6 * 3600
BATCH = 500
DELETE_BATCH = 100  # objects between a claim and its booking


@dataclass(slots=True)
class GcReport:
    """What was ended, doomed and deleted."""

    versions_ended: int = 0
    files_forgotten: int = 0
    """Missing files whose retention was over."""
    packs_doomed: int = 0
    orphans_doomed: int = 0
    """Objects that no row named."""
    packs_deleted: int = 0
    bytes_deleted: int = 0
    uploads_aborted: int = 0
    packs_waiting: int = 0
    """Doomed, and still within their grace."""
    packs_locked: int = 0
    """Doomed, past their grace, and kept by Object Lock."""
    locked: str = ""
    """A sentence about them."""
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """3 when something had to be left, else 0."""
        return 3 if self.notes else 0


@dataclass(frozen=True, slots=True)
class GcPreview:
    """What a run would end and delete now; nothing was changed."""

    versions_ended: int
    files_forgotten: int
    packs_doomed: int
    packs_deleted: int
    bytes_deleted: int


def collect(ctx: Context) -> GcReport:
    """Do one run; return what was done. Safe to kill at any step.

    Raises CatalogBusy while another gc runs, NotOwner when a store is not this catalog's any more (nothing was
    deleted there), and what the stores raise.
    """
    report = GcReport()
    with leases.held(ctx.catalog, LEASE_NAME, owner=ctx.owner, seconds=LEASE_S):
        _check_owner(ctx)
        run = f"gc:{secrets.token_hex(8)}"
        counted = counted_ns(ctx)
        _note_leap(ctx, counted, report)
        mark(ctx)
        _end_versions(ctx, run, report, counted)
        _forget_missing(ctx, run, report, counted)
        _doom_unreferenced(ctx, run, report)
        store_debris.doom_orphans(ctx, run, report)
        store_debris.abort_uploads(ctx, report)
        if _make_durable(ctx, report):
            _delete_doomed(ctx, run, report, counted)
            kept = locks.locked(ctx)
            report.packs_locked = kept.packs if kept else 0
            report.locked = kept.sentence() if kept else ""
        store_debris.remove_probes(ctx)
        _flush(ctx, report)
        charge(ctx, reason="gc")
    return report


def preview(ctx: Context) -> GcPreview:
    """Return what collect() would do as things stand, but for what its own first steps set free."""
    grace_ns = ctx.config.gc.grace_ns
    now_ns = counted_ns(ctx)
    missing = sum(_is_forgettable(ctx, row.missing_since_ns, now_ns) for row in _missing(ctx))
    with ctx.catalog.read() as tx:
        ended = versions.count_expired(tx, before_ns=now_ns)
        doomable = packs.unreferenced(tx, created_before_ns=tx.now_ns + 1, limit=1_000_000)
        doomed = packs.in_state(tx, PackState.DOOMED, limit=1_000_000)
        due = [row for row in doomed if (row.doomed_ns or 0) <= now_ns - grace_ns]
    return GcPreview(ended, missing, len(doomable), len(due), sum(row.size for row in due))


def _check_owner(ctx: Context) -> None:
    for tier in stores_once(ctx):
        ownership.check(tier.store, ctx.catalog_id, ctx.epoch)
    refuse_outdated(ctx)


def stores_once(ctx: Context) -> Iterator[OpenTier]:
    """Yield one tier for each distinct store."""
    seen: set[str] = set()
    for tier in (*ctx.tiers.values(), ctx.metadata):
        if tier.store.url not in seen:
            seen.add(tier.store.url)
            yield tier


def _note_leap(ctx: Context, counted: int, report: GcReport) -> None:
    leapt_ns = ctx.clock.now_ns() - counted
    if leapt_ns > LEAP_NS:
        report.notes.append(
            f"nothing was recorded for {say_time(leapt_ns)}: the machine was off, or its clock is wrong. What time "
            f"ends waits for another {say_time(ctx.config.gc.grace_ns)}"
        )


def _end_versions(ctx: Context, run: str, report: GcReport, now_ns: int) -> None:
    number = 0
    while not ctx.stop.is_set():
        ctx.step("gc.versions")
        with ctx.catalog.write() as tx:
            ended = versions.expired(tx, before_ns=now_ns, limit=BATCH)
            if not ended:
                return
            commit.drop_versions(tx, ended, op_id=f"{run}:versions:{number}", reason="retention over")
        report.versions_ended += len(ended)
        number += 1


def _missing(ctx: Context) -> Iterator[FileRow]:
    """Yield missing files of buckets, and of roots that are mounted now: of another nothing is known, so nothing ends
    there.
    """
    for root in (*ctx.roots, *ctx.buckets):
        try:
            if root.marker:
                check_marker(root.path, root.marker)
        except FrostlineError:
            continue
        after = 0
        while True:
            with ctx.catalog.read() as tx:
                rows = files.by_state(tx, [FileState.MISSING], root_id=root.root_id, after_id=after, limit=BATCH)
            if not rows:
                break
            yield from rows
            after = rows[-1].file_id


def _is_forgettable(ctx: Context, since_ns: int | None, now_ns: int) -> bool:
    return since_ns is not None and since_ns <= now_ns - ctx.config.versions.missing_days * NS_PER_DAY


def _forget_missing(ctx: Context, run: str, report: GcReport, now_ns: int) -> None:
    due = (row.file_id for row in _missing(ctx) if _is_forgettable(ctx, row.missing_since_ns, now_ns))
    for number, batch in enumerate(batches(due)):
        if ctx.stop.is_set():
            return
        ctx.step("gc.missing")
        with ctx.catalog.write() as tx:
            still = [row.file_id for row in files.by_ids(tx, batch).values() if row.state is FileState.MISSING]
            commit.delete_files(tx, still, op_id=f"{run}:missing:{number}", reason="missing for longer than kept")
        report.files_forgotten += len(still)


def _doom_unreferenced(ctx: Context, run: str, report: GcReport) -> None:
    number = 0
    while not ctx.stop.is_set():
        ctx.step("gc.doom")
        with ctx.catalog.write() as tx:
            found = packs.unreferenced(tx, created_before_ns=tx.now_ns + 1, limit=BATCH)
            doomed = packs.doom(
                tx, [row.pack_no for row in found], op_id=f"{run}:doom:{number}", reason="nothing refers to it"
            )
        report.packs_doomed += len(doomed)
        if not doomed:
            return
        number += 1


def _make_durable(ctx: Context, report: GcReport) -> bool:
    """Write the dooms to a segment; True if they are all durable, so that deleting may follow."""
    with ctx.catalog.read() as tx:
        newest = outbox.last_seq(tx)
    _flush(ctx, report)
    with ctx.catalog.read() as tx:
        is_durable = segments.durable_through(tx) >= newest or segments.next_batch(tx) is None
    if not is_durable:
        report.notes.append("nothing was deleted: another process is writing the segment that must come first")
    return is_durable


def _flush(ctx: Context, report: GcReport) -> None:
    try:
        segment_job.flush(ctx)
    except CatalogBusy as error:
        report.notes.append(error.what)


def _delete_doomed(ctx: Context, run: str, report: GcReport, now_ns: int) -> None:
    before_ns = now_ns - ctx.config.gc.grace_ns
    for number, batch in enumerate(batches(_due(ctx, before_ns, report), DELETE_BATCH)):
        if ctx.stop.is_set():
            return
        if number == 0:
            accrue(ctx)  # what goes now stood there until now
        _check_owner(ctx)  # again before each batch: a rebuild elsewhere may have taken over meanwhile
        seen = _look(ctx, batch, report)
        with ctx.catalog.write() as tx:
            claimed = packs.claim_for_deletion(tx, list(seen), doomed_before_ns=before_ns)
        ctx.step("gc.claimed")
        gone = [row for row in claimed if _delete(ctx, row, seen[row.pack_no], report)]
        ctx.step("gc.deleted")
        with ctx.catalog.write() as tx:
            packs.mark_deleted(
                tx, [row.pack_no for row in gone], op_id=f"{run}:delete:{number}", reason="grace period over"
            )
            pack_notes.forget(tx, [row.pack_no for row in gone])
            charge_early_deletion(ctx, tx, gone)
        ctx.step("gc.booked")
        report.packs_deleted += len(gone)
        report.bytes_deleted += sum(row.size for row in gone)


def _look(ctx: Context, batch: Sequence[PackRow], report: GcReport) -> dict[int, ObjectInfo | None]:
    """Return pack number -> what stands in the store, None for nothing, of the packs that may be deleted now; note the
    locks of the others.
    """
    now_ns = ctx.clock.now_ns()
    seen: dict[int, ObjectInfo | None] = {}
    kept: list[tuple[PackRow, ObjectInfo]] = []
    for row in batch:
        tier = ctx.tiers.get(row.tier)
        if tier is None:
            report.notes.append(f'{row.key} stays: tier "{row.tier}" is not configured any more')
            continue
        try:
            info = tier.store.head(row.key)
        except ObjectMissing:
            info = None
        except StoreDenied:
            info = None  # a key that may not be used keeps nobody from deleting
        if info is not None and info.locked_until_ns > now_ns:
            kept.append((row, info))
        else:
            seen[row.pack_no] = info
    if kept:
        locks.note(ctx, kept)
    return seen


def _due(ctx: Context, before_ns: int, report: GcReport) -> Iterator[PackRow]:
    """Yield packs that a dead process left deleting, and doomed ones whose grace is over; count the others."""
    for state in (PackState.DELETING, PackState.DOOMED):
        after = 0
        while True:
            with ctx.catalog.read() as tx:
                page = packs.in_state(tx, state, after_no=after, limit=BATCH)
            if not page:
                break
            with ctx.catalog.read() as tx:
                known = pack_notes.locks_of(tx, [row.pack_no for row in page])
            for row in page:
                if ctx.clock.now_ns() < known.get(row.pack_no, 0) != FOREVER_NS:
                    continue
                if state is PackState.DELETING or (row.doomed_ns or 0) <= before_ns:
                    yield row
                else:
                    report.packs_waiting += 1
            after = page[-1].pack_no


def _delete(ctx: Context, row: PackRow, info: ObjectInfo | None, report: GcReport) -> bool:
    """Delete what was seen; True if it is gone from the listing. An old version that may not be deleted is hidden."""
    store = ctx.tiers[row.tier].store
    if info is None:
        store.delete(row.key)
        return True
    try:
        store.delete(row.key, etag=info.etag, version_id=info.version_id)
    except ObjectLocked as error:
        report.notes.append(error.what)  # locked since it was looked at: the next run looks again
        return False
    except ObjectExists as error:
        report.notes.append(f"{error.what}: it changed while gc looked")
        return False
    except StoreDenied as error:
        if not info.version_id:
            raise
        store.delete(row.key)
        report.notes.append(
            f"{row.key} is hidden, and billed until a lifecycle rule ends its old version: {error.what}. Let these "
            "credentials use s3:DeleteObjectVersion"
        )
    return True
