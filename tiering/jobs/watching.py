"""Keeps an eye on the hot tier while a plan is carried out: files go on arriving, and a plan is as old as its making.

Used by cycle. Between two batches, and at the end, every hot file system with marks is looked at again. Where it will
be above its high mark although the rest of the plan frees what it frees, its roots are scanned and planned for anew.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from policies.plan import Action, ActionKind, Plan
from policies.windows import is_open, opens_at, parse_window
from tiering.catalog import journal
from tiering.catalog.values import JournalKind
from tiering.clock import NS_PER_S
from tiering.errors import FrostlineError, Retry
from tiering.jobs.apply import apply_plan, quota_of
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.hot_room import RULE, Room, rooms
from tiering.jobs.plan import make_plan
from tiering.jobs.reports import JobReport
from tiering.jobs.scan import scan_root

LOOKS = 8
"""Plans made anew in one cycle at most: what arrives faster than it can be stored is a matter for a larger disk."""
Expected = Mapping[tuple[str, ...], int]
"""Roots of a file system -> bytes it will hold when a plan is carried out, as far as could be told before."""
FREEING = frozenset({ActionKind.MIGRATE, ActionKind.RELEASE})


def carry_out_watching(
    ctx: Context,
    plan: Plan,
    roots: Sequence[OpenRoot],
    *,
    wait_parked: bool,
    warn: Callable[[str], None],
    keeps_windows: bool = False,
) -> JobReport:
    """Carry *plan* out; where the high mark is passed again meanwhile, plan anew for those *roots* and go on with that.

    *warn* hears what a new plan lacks. Where it *keeps_windows* (planning.windows), only what makes room is done while
    none is open, and what else is left when one closes waits for the next. Raises what apply_plan() and make_plan()
    raise; what was done before stays.
    """
    report, quota = JobReport(), quota_of(ctx)
    for look in range(LOOKS):
        closed = _closed(ctx) if keeps_windows else ""
        if closed:
            warn(closed)
            plan = _room_only(plan)
        expected = {room.roots: used for room, used in _projected(ctx, roots, plan.actions)}
        objection = partial(_objection, ctx, roots, expected, keeps_windows=keeps_windows and not closed)
        done = apply_plan(ctx, plan, wait_parked=wait_parked, objection=objection, quota=quota)
        report = report.merged(done)
        full = _overfull(ctx, roots, expected, ())
        if not full or not done.files_done or ctx.stop.is_set() or look + 1 == LOOKS or not _scanned(ctx, full):
            break
        plan = make_plan(ctx, roots=full)
        for warning in plan.warnings:
            warn(warning)
        if not any(action.kind in FREEING for action in plan.actions):
            break
    return report


def _objection(
    ctx: Context, roots: Sequence[OpenRoot], expected: Expected, left: Sequence[Action], *, keeps_windows: bool
) -> str:
    if _overfull(ctx, roots, expected, left):
        return "files arrived meanwhile, and the hot tier will be above its high mark again"
    return _closed(ctx) if keeps_windows else ""


def _closed(ctx: Context) -> str:
    """Return that and until when no window is open; "" while one is."""
    windows = [parse_window(window) for window in ctx.config.planning.windows]
    zone = ZoneInfo(ctx.config.schedule.timezone)
    local = datetime.fromtimestamp(ctx.clock.now_ns() / NS_PER_S, zone)
    if is_open(windows, local):
        return ""
    opens = opens_at(windows, local)
    return f"planning.windows: nothing but what makes room moves before {opens:%a %Y-%m-%d %H:%M} ({zone})"


def _room_only(plan: Plan) -> Plan:
    return replace(plan, actions=tuple(action for action in plan.actions if action.rule == RULE), moves=())


def _overfull(ctx: Context, roots: Sequence[OpenRoot], expected: Expected, left: Sequence[Action]) -> list[OpenRoot]:
    """Return the roots of file systems that will be above their high mark, and fuller than was *expected*, once the
    actions *left* are done. Roots with a capacity of their own are scanned for it: nobody else counts what is in them.
    """
    capped = {settings.name for settings in ctx.config.roots if settings.capacity_bytes and settings.high_water < 1}
    _scanned(ctx, [root for root in roots if root.name in capped])
    found: set[str] = set()
    for room, used in _projected(ctx, roots, left):
        if used >= room.high_bytes and used > expected.get(room.roots, 0):
            found.update(room.roots)
    return [root for root in roots if root.name in found]


def _projected(ctx: Context, roots: Sequence[OpenRoot], left: Sequence[Action]) -> Iterator[tuple[Room, int]]:
    """Yield the hot file systems with marks, and what they will hold once the actions *left* are done."""
    for room in rooms(ctx, roots):
        coming = sum(action.size_bytes for action in left if action.kind in FREEING and action.root in room.roots)
        yield room, room.used_bytes - coming - _parked_bytes(ctx, room)


def _parked_bytes(ctx: Context, room: Room) -> int:
    """Return what released files of the room still take until their parking time is over."""
    names = {root.root_id: root.name for root in ctx.roots}
    size_bytes, after = 0, ""
    with ctx.catalog.read() as tx:
        while rows := journal.page_of_kind(tx, JournalKind.RELEASE, step="parked", after=after):
            after = rows[-1].op_id
            details = (json.loads(row.detail) for row in rows)
            size_bytes += sum(
                detail["identity"][2] for detail in details if names.get(detail["spots"][0]["root"]) in room.roots
            )
    return size_bytes


def _scanned(ctx: Context, roots: Sequence[OpenRoot]) -> bool:
    """Look at the trees again; False where one of them cannot be believed now."""
    for root in roots:
        try:
            if scan_root(ctx, root).state != "complete":
                return False
        except FrostlineError as error:
            if error.retry is Retry.SOON:
                raise
            return False
    return True
