"""leave: bring everything back and take frostline's names out of the trees.

The store, the catalog and the configuration are left as they are: the operator deletes them when satisfied. Nothing is
removed from a root before every file of it is back, verified by walking it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from tiering.catalog import accounts, files, journal, ledger, roots
from tiering.catalog.totals import totals_of
from tiering.catalog.values import FileState
from tiering.errors import FrostlineError, UsageError
from tiering.hot.marker import check_marker, remove_marker
from tiering.hot.placeholder import parse_target
from tiering.hot.walk import Entry, find_ours, walk
from tiering.jobs import segments
from tiering.jobs.bucket_roots import short
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.items import MigrateItem
from tiering.jobs.recall import recall
from tiering.jobs.release import finish_parked
from tiering.jobs.reports import JobReport
from tiering.jobs.restore import restore
from tiering.jobs.restore_remains import clear_below
from tiering.jobs.stored_paths import rows_below

AWAY = (FileState.OFFLINE, FileState.RECALLING)


@dataclass(frozen=True, slots=True)
class Away:
    """What has to come back first."""

    files: int
    size_bytes: int
    retained_bytes: int
    """Of missing files and of earlier versions: they do not come back, and are in the stores alone."""


@dataclass(frozen=True, slots=True)
class LeaveReport:
    """What was done."""

    job: JobReport
    left: tuple[str, ...]
    """Roots that carry nothing of frostline any more."""
    kept_placeholders: int
    """With *to*: placeholders that still stand, because the files went elsewhere."""


def away(ctx: Context) -> Away:
    """Return how many files are offline, and their bytes; and what no file on the disk stands for."""
    with ctx.catalog.read() as tx:
        totals = totals_of(tx)
        retained_bytes = -ledger.balance(tx, accounts.HELD_RETAINED)
    found = [totals[state] for state in AWAY if state in totals]
    return Away(sum(total.files for total in found), sum(total.size_bytes for total in found), retained_bytes)


def leave(ctx: Context, *, to: str = "") -> LeaveReport:
    """Recall every offline file of every root (or restore them below *to*), then remove markers and hidden names.

    Running it again goes on. Nothing is done under a root that is only looked at. Raises WaitingOnRestore while
    archives warm, RootMissing, NoSpace, and FrostlineError when a file could not be brought back: then no root has lost
    its marker, and everything works as before.
    """
    for root in ctx.roots:
        if root.marker:
            check_marker(root.path, root.marker)
    if not to:
        _refuse_objects(ctx)
        _refuse_looked_at(ctx)
    ctx.clock.sleep(_park_left_s(ctx))
    job = finish_parked(ctx)
    if to:
        everything = [os.fsdecode(root.path) for root in (*ctx.roots, *ctx.buckets)]
        job = job.merged(restore(ctx, everything, to))
    else:
        job = job.merged(recall(ctx, _offline(ctx), reason="leave"))
    if job.tickets or ctx.stop.is_set():
        return LeaveReport(job, (), 0)
    _refuse_rest(ctx, job, elsewhere=bool(to))
    segments.flush(ctx)
    kept = sum(_remove_traces(ctx, root) for root in ctx.roots)
    segments.flush(ctx)
    return LeaveReport(job, tuple(os.fsdecode(root.path) for root in ctx.roots), kept)


def _refuse_objects(ctx: Context) -> None:
    """Raise where objects of a bucket are stored here alone: they go back by a command of their own."""
    for root in ctx.buckets:
        with ctx.catalog.read() as tx:
            found = totals_of(tx, root_id=root.root_id).get(FileState.OFFLINE)
        if found is not None:
            raise UsageError(
                f"{found.files} objects of {os.fsdecode(root.path)} are stored in packs alone",
                now="nothing was changed",
                hint=f"frostline buckets restore {short(root).name} --yes puts them back; frostline leave --to DIR "
                "writes them to a folder",
            )


def _refuse_looked_at(ctx: Context) -> None:
    """Raise where files are away from a root that has been made read-only since."""
    for root in ctx.roots:
        if root.marker:
            continue
        with ctx.catalog.read() as tx:
            totals = totals_of(tx, root_id=root.root_id)
        count = sum(totals[state].files for state in AWAY if state in totals)
        if count:
            raise UsageError(
                f"{count} files of {os.fsdecode(root.path)} are offline, and the configuration says read_only",
                now="nothing was changed",
                hint="set read_only = false, run frostline init, then leave again; or frostline leave --to DIR",
            )


def _park_left_s(ctx: Context) -> float:
    with ctx.catalog.read() as tx:
        is_parked = journal.count(tx, step="parked") > 0
    return ctx.config.release.park_s if is_parked else 0.0


def _offline(ctx: Context) -> Iterator[MigrateItem]:
    for root in ctx.roots:
        for row in rows_below(ctx, root.root_id, only=files.Only(states=AWAY)):
            yield MigrateItem(root.root_id, row.dir, row.name, row.tier or "", "leave")


def _refuse_rest(ctx: Context, job: JobReport, *, elsewhere: bool) -> None:
    """Raise unless everything is back: by the job's word, the journal's, the catalog's, and the trees' own."""
    with ctx.catalog.read() as tx:
        under_way = journal.count(tx)
    rest = away(ctx).files
    standing, shown = 0, list[str]()
    for path in () if elsewhere else (path for root in ctx.roots for path in _placeholders(ctx, root)):
        standing += 1
        if len(shown) < 3:
            shown.append(path)
    if job.skipped_count or under_way or (rest and not elsewhere) or standing:
        example = job.files_skipped[0] if job.files_skipped else None
        first = f"{example.path}: {example.reason}" if example else "; ".join(shown)
        raise FrostlineError(
            f"not everything could be brought back: {max(rest, job.skipped_count, standing)} files"
            + (f" (first: {first})" if first else ""),
            now="markers and catalog are as they were; what came back is on the disk and stored as well",
            hint="frostline scan takes up what was moved, copied, replaced or deleted; frostline ls --state offline "
            "lists what is still away; then run frostline leave --yes again",
        )


def _placeholders(ctx: Context, root: OpenRoot) -> Iterator[str]:
    """Yield the paths of our store's placeholders that stand under *root*, whatever the catalog says."""
    for entry in walk(root.path):
        if isinstance(entry, Entry) and entry.target is not None:
            named = parse_target(entry.target)
            if named is not None and named.store_id == ctx.store_id:
                yield os.fsdecode(os.path.join(root.path, entry.dir, entry.name))


def _remove_traces(ctx: Context, root: OpenRoot) -> int:
    """Take the root out of care; return how many placeholders stay. Nothing is parked: the journal is empty."""
    kept = sum(1 for _ in _placeholders(ctx, root))
    if root.marker:
        clear_below(root.path, mine=ctx.owner)
    for directory, name in find_ours(root.path) if root.marker else ():
        raise FrostlineError(
            f"{os.fsdecode(os.path.join(root.path, directory, name))} is a hidden name that no operation explains",
            now="the markers still stand",
            hint="wait for a restore that writes there, or run it again if it was killed; frostline reconcile; "
            "then frostline leave --yes again",
        )
    with ctx.catalog.write() as tx:
        roots.leave(tx, root.root_id)
    if root.marker:  # else what stands there may be another installation's
        remove_marker(root.path)
    return kept
