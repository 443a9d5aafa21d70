"""Carries out a plan's actions: migrate what is not stored, release what may go, move what is stored and may be colder.

Called by cycle and `apply`. Refuses whatever is no longer the file the decision was made for; the jobs below check
again at the disk.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from policies.plan import Action, ActionKind, Plan, Refusal
from policies.shifts import Shift
from policies.units import unit_of
from tiering.catalog import files, moving
from tiering.catalog.transaction import batches
from tiering.catalog.values import FileRow, FileState
from tiering.hot import paths
from tiering.jobs import mover
from tiering.jobs.carrying import carry_out, told
from tiering.jobs.context import Context
from tiering.jobs.foresight import as_planned, shift_of
from tiering.jobs.hot_room import RULE as ROOM_RULE
from tiering.jobs.items import MigrateItem, can_follow
from tiering.jobs.migrate import migrate
from tiering.jobs.reports import JobReport, Skip, Skipped, Skips
from tiering.jobs.saved_plan import CheckedPlan, check_plan

BATCH_ROWS = 1000  # rows looked up in one read transaction
BATCH_FILES = 20_000
"""Of a plan between two looks at the hot tier, where planning.look_every does not come first: minutes of work."""

Objection = Callable[[Sequence[Action]], str]
"""Asked between batches with what is left to do: why it is not to be done now, "" to go on."""


@dataclass(slots=True)
class Quota:
    """How much may still be released in this cycle."""

    files: int
    size_bytes: int


def quota_of(ctx: Context) -> Quota:
    """Return what a cycle may release."""
    return Quota(ctx.config.release.max_files_per_cycle, ctx.config.release.max_bytes_per_cycle)


def apply_plan(
    ctx: Context, plan: Plan, *, wait_parked: bool, objection: Objection | None = None, quota: Quota | None = None
) -> JobReport:
    """Do exactly what *plan* says; files that drifted since are left alone, with reasons.

    What makes room goes first, moves between cold tiers last. *objection* is asked between batches, with what is left
    to do: once it has one, the rest is left to another plan. Limits per cycle (release.max_files_per_cycle,
    max_bytes_per_cycle) hold here too, or what is left of them, a *quota* that this takes from: what is beyond them
    waits for the next plan. Nothing is done under read-only roots. Raises UsageError for a plan of another catalog.
    """
    quota = quota or quota_of(ctx)
    acting, beyond = _within_limits(ctx, plan.actions, quota)
    report = JobReport()
    todo = _batches(acting, ctx.config.planning.look_every_bytes) if objection is not None else [[*acting]]
    for number, batch in enumerate(todo):
        left = [action for later in todo[number:] for action in later]
        why_not = objection(left) if number and objection is not None else ""
        if why_not:
            report = report.merged(JobReport(notes=(f"{len(left):,} actions are left for another plan: {why_not}",)))
            _give_back(quota, left)
            break
        report = report.merged(_do(ctx, replace(plan, actions=tuple(batch)), wait_parked=wait_parked))
        if ctx.stop.is_set():
            break
    if beyond:
        waiting = f"{beyond:,} actions are beyond the limits per cycle and wait for the next"
        report = report.merged(JobReport(notes=(waiting,)))
    return report


def _give_back(quota: Quota, left: Sequence[Action]) -> None:
    for action in left:
        if action.kind is not ActionKind.MOVE:
            quota.files += 1
            quota.size_bytes += action.size_bytes


def _do(ctx: Context, plan: Plan, *, wait_parked: bool) -> JobReport:
    checked = check_plan(ctx, plan)
    to_release = chain(checked.release, _dual(ctx, checked.migrate))
    report = carry_out(ctx, checked.migrate, to_release=to_release, wait_parked=wait_parked)
    if checked.ahead and not ctx.stop.is_set():  # after what makes room
        report = report.merged(migrate(ctx, checked.ahead))
    if checked.move and not ctx.stop.is_set():
        moved = _sink(ctx, checked)
        released = {(item.root_id, item.dir, item.name) for item in checked.release}
        twice = sum((item.root_id, item.dir, item.name) in released for item in checked.move)
        report = report.merged(replace(moved, files_done=max(0, moved.files_done - twice)))
    return checked.drifted.report().merged(report)


def _batches(actions: Sequence[Action], batch_bytes: int) -> list[list[Action]]:
    """Return *actions* in batches, units whole: what makes room, then the rest as it comes, all moves at the end."""
    order = {ActionKind.PREMIGRATE: 1, ActionKind.MOVE: 2}
    urgent = sorted(actions, key=lambda action: (order.get(action.kind, 0), action.rule != ROOM_RULE))
    found: list[list[Action]] = []
    size, last = 0, None
    for action in urgent:
        unit = action.root, unit_of(action.dir, action.name), action.kind is ActionKind.MOVE
        is_full = not found or size >= batch_bytes or len(found[-1]) >= BATCH_FILES
        if is_full and unit != last and not (found and action.kind is ActionKind.MOVE and last and last[2]):
            found.append([])
            size = 0
        found[-1].append(action)
        size, last = size + action.size_bytes, unit
    return found


def _sink(ctx: Context, checked: CheckedPlan) -> JobReport:
    """Give the files of a plan's moves to their tiers, all of them first, and move the plan's packs and no others.

    Seen once more: where one that drifted holds a pack back, those that were to go with it are left alone as well.
    """
    file_ids: dict[tuple[str, bytes, bytes], int] = {}
    wanted: list[Shift] = []
    for item, row in _rows(ctx, checked.move):
        if row is not None and can_follow(ctx, row, item.tier):
            wanted.append(shift_of(ctx, row, item.tier, rule=item.reason))
            file_ids[wanted[-1].place] = row.file_id
    found = as_planned(ctx, wanted, checked.packs)
    moved = mover.MoveReport()
    with ctx.catalog.write() as tx:
        for tier in dict.fromkeys(action.target for action in found.actions):
            going = [file_ids[action.place] for action in found.actions if action.target == tier]
            moved.files += len(moving.retarget(tx, going, tier, op_id=f"plan:{tier}:{secrets.token_hex(8)}"))
    ctx.step("mover.retargeted")
    report = told(mover.tend_packs(ctx, moved, among=sorted(found.packs)))
    left = Skips()
    left.add_all(Skipped(_shown(ctx, refused), refused.reason, Skip.CHANGED) for refused in found.refused)
    return report.merged(left.report())


def _shown(ctx: Context, refused: Refusal) -> str:
    root = next(root for root in ctx.roots if root.name == refused.root)
    return paths.display(root.path, refused.dir, refused.name)


def _rows(ctx: Context, items: Sequence[MigrateItem]) -> Iterator[tuple[MigrateItem, FileRow | None]]:
    """Yield each with its row: the one that it carries, else that of the catalog."""
    for batch in batches(items, BATCH_ROWS):
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


def _within_limits(ctx: Context, actions: Sequence[Action], quota: Quota) -> tuple[list[Action], int]:
    """Return the actions that may be done now, and how many must wait. Those of read-only roots are neither."""
    may_act = {root.name for root in ctx.config.roots if not root.read_only}
    allowed = [action for action in actions if action.root in may_act]
    kept: list[Action] = []
    for action in allowed:
        if action.kind is ActionKind.MOVE:
            kept.append(action)  # nothing is released by it
        elif quota.files > 0 and action.size_bytes <= quota.size_bytes:
            kept.append(action)
            quota.files -= 1
            quota.size_bytes -= action.size_bytes
    return kept, len(allowed) - len(kept)


def _dual(ctx: Context, items: Iterable[MigrateItem]) -> Iterator[MigrateItem]:
    """Yield those of *items* that are on the hot tier and stored where they were to be; migrate counted the rest."""
    batch: list[MigrateItem] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH_ROWS:
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
