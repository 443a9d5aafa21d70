"""Carries out decided moves: migrate what is not stored, then release what may go.

Called with a plan's actions (cycle, `apply`) or with files an operator named (`migrate`). Refuses whatever is no longer
the file the decision was made for; the jobs below check again at the disk.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from policies.amounts import say_bytes
from policies.plan import Action, Plan
from tiering.catalog import files
from tiering.catalog.transaction import batches
from tiering.catalog.values import FileRow, FileState
from tiering.jobs import mover
from tiering.jobs.context import Context
from tiering.jobs.migrate import MigrateItem, migrate
from tiering.jobs.plan import check_plan
from tiering.jobs.release import release
from tiering.jobs.reports import JobReport

BATCH_FILES = 1000  # rows looked up in one read transaction


def apply_plan(ctx: Context, plan: Plan, *, wait_parked: bool) -> JobReport:
    """Do exactly what *plan* says; files that drifted since are left alone, with reasons.

    Limits per cycle (release.max_files_per_cycle, max_bytes_per_cycle) hold here too: what is beyond them waits for the
    next plan. Nothing is done under read-only roots. Raises UsageError for a plan of another catalog.
    """
    acting, beyond = _within_limits(ctx, plan.actions)
    checked = check_plan(ctx, replace(plan, actions=tuple(acting)))
    report = carry_out(ctx, checked.migrate, also_release=checked.release, releases=True, wait_parked=wait_parked)
    if checked.ahead and not ctx.stop.is_set():  # after what makes room
        report = report.merged(migrate(ctx, checked.ahead))
    notes = report.notes
    if beyond:
        notes = (*notes, f"{beyond:,} actions are beyond the limits per cycle and wait for the next")
    return replace(report, files_skipped=(*checked.drifted, *report.files_skipped), notes=notes)


def carry_out(
    ctx: Context,
    items: Sequence[MigrateItem],
    *,
    also_release: Sequence[MigrateItem] = (),
    releases: bool,
    wait_parked: bool,
) -> JobReport:
    """Migrate *items*, then, if it *releases*, release those of them that are stored now and *also_release*.

    files_done counts each file once: migrated or released.
    """
    items, moved = _moved(ctx, items)
    report = moved.merged(migrate(ctx, items)) if items else moved
    if not releases or ctx.stop.is_set():
        return report
    to_release = [*also_release, *_dual(ctx, items)]
    if not to_release:
        return report
    released = release(ctx, to_release, wait_parked=wait_parked)
    merged = report.merged(released)
    already_stored = max(0, released.files_done - report.files_done)
    return replace(merged, files_done=report.files_done + already_stored)


def _moved(ctx: Context, items: Sequence[MigrateItem]) -> tuple[list[MigrateItem], JobReport]:
    """Move files that are stored on a warmer tier of the same store; return the other items and what was moved."""
    rest: list[MigrateItem] = []
    report = JobReport()
    by_tier: dict[str, list[FileRow]] = {}
    for item, row in _rows(ctx, items):
        if row is not None and mover.can_follow(ctx, row, item.tier):
            by_tier.setdefault(item.tier, []).append(row)
        else:
            rest.append(item)
    for tier, rows in by_tier.items():
        moved = mover.move(ctx, rows, tier, reason="asked for")
        notes = [*moved.notes, f"{moved.packs_moved} packs, {say_bytes(moved.bytes_moved)}, changed class"]
        report = report.merged(JobReport(files_done=moved.files, notes=tuple(notes)))
    return rest, report


def _rows(ctx: Context, items: Sequence[MigrateItem]) -> Iterator[tuple[MigrateItem, FileRow | None]]:
    """Yield each with its row: the one that it carries, else that of the catalog."""
    for batch in batches(items, BATCH_FILES):
        asked = [item for item in batch if item.seen is None]
        with ctx.catalog.read() as tx:
            found = {
                (root_id, *place): row
                for root_id in {item.root_id for item in asked}
                for place, row in files.at_paths(
                    tx, root_id, [(item.dir, item.name) for item in asked if item.root_id == root_id]
                ).items()
            }
        for item in batch:
            yield item, item.seen or found.get((item.root_id, item.dir, item.name))


def _within_limits(ctx: Context, actions: Sequence[Action]) -> tuple[list[Action], int]:
    """Return the actions that may be done now, and how many must wait. Those of read-only roots are neither."""
    limits = ctx.config.release
    may_act = {root.name for root in ctx.config.roots if not root.read_only}
    allowed = [action for action in actions if action.root in may_act]
    kept: list[Action] = []
    total = 0
    for action in allowed:
        if len(kept) < limits.max_files_per_cycle and total + action.size_bytes <= limits.max_bytes_per_cycle:
            kept.append(action)
            total += action.size_bytes
    return kept, len(allowed) - len(kept)


def _dual(ctx: Context, items: Iterable[MigrateItem]) -> Iterator[MigrateItem]:
    """Yield those of *items* that are on the hot tier and stored where they were to be; migrate counted the rest."""
    batch: list[MigrateItem] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH_FILES:
            yield from _dual_of(ctx, batch)
            batch = []
    yield from _dual_of(ctx, batch)


def _dual_of(ctx: Context, batch: Sequence[MigrateItem]) -> list[MigrateItem]:
    places: dict[int, list[tuple[bytes, bytes]]] = {}
    for item in batch:
        places.setdefault(item.root_id, []).append((item.dir, item.name))
    dual: set[tuple[int, bytes, bytes, str | None]] = set()
    with ctx.catalog.read() as tx:
        for root_id, wanted in places.items():
            for place, row in files.at_paths(tx, root_id, wanted).items():
                if row.state is FileState.DUAL:
                    dual.add((root_id, *place, row.tier))
    return [item for item in batch if (item.root_id, item.dir, item.name, item.tier) in dual]
