"""Brings files where they were decided to be: moves stored ones, migrates the others, then releases what may go.

Used by apply for what a plan decided, and for files an operator named (`migrate`), who waits for no planner to load.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from policies.amounts import say_bytes
from tiering.catalog.values import FileRow
from tiering.jobs import mover
from tiering.jobs.context import Context
from tiering.jobs.items import MigrateItem
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release
from tiering.jobs.reports import JobReport

NOTHING: Mapping[str, Iterable[FileRow]] = MappingProxyType({})


def carry_out(
    ctx: Context,
    items: Iterable[MigrateItem],
    *,
    to_release: Iterable[MigrateItem] = (),
    to_move: Mapping[str, Iterable[FileRow]] = NOTHING,
    done: int = 0,
    wait_parked: bool,
) -> JobReport:
    """Move stored files to the tiers they are given to (*to_move*), store *items*, then release *to_release*.

    Each is iterated once, in this order, *to_release* when everything else is stored. *done* files need nothing but
    their release. files_done counts each file once: stored, moved or released.
    """
    report = JobReport(files_done=done)
    for tier, rows in to_move.items():
        report = report.merged(told(mover.move(ctx, rows, tier, reason="asked for")))
    report = report.merged(migrate(ctx, items))
    if ctx.stop.is_set():
        return report
    released = release(ctx, to_release, wait_parked=wait_parked)
    merged = report.merged(released)
    return replace(merged, files_done=max(report.files_done, released.files_done))


def told(moved: mover.MoveReport) -> JobReport:
    """Return what moved as the report of a job."""
    notes = [*moved.notes, f"{moved.packs_moved:,} packs, {say_bytes(moved.bytes_moved)}, changed class"]
    if moved.rewritten.packs_written:
        rewritten = moved.rewritten
        notes.append(f"{rewritten.packs_rewritten:,} packs were written anew as {rewritten.packs_written:,}")
    return JobReport(files_done=moved.files, notes=tuple(notes))
