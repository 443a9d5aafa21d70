"""Plan: what should be migrated and released, as a value; and, before it is carried out, whether it still holds.

make_plan() only reads (P9). check_plan() compares every action with the catalog and the disk and returns exactly the
items that the migrate and release jobs are to do, and what drifted, with reasons.
"""

import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from policies.globs import matches
from policies.judging import judge
from policies.plan import Action, ActionKind, More, Plan, PlanBuilder, PlanError, Refusal
from policies.planner import Explanation, decisions, explain
from policies.room import Market, candidates
from policies.units import top_of
from policies.values import HOT, FileFacts, FileIdentity, Residency
from tiering.catalog import files
from tiering.catalog.values import FileRow, FileState, signed64
from tiering.config import RootConfig
from tiering.config.hints import Hint, read_hints
from tiering.config.policy import root_limits
from tiering.errors import UsageError
from tiering.hot.evidence import is_network
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.deciding import Batch, Policy, batches, policy_of
from tiering.jobs.folder_facts import FolderFacts
from tiering.jobs.hot_room import Room, make_room, rooms
from tiering.jobs.link_targets import LinkTargets, find_link_targets
from tiering.jobs.migrate import MigrateItem
from tiering.jobs.rationing import hold_to_budgets
from tiering.jobs.reports import Skip, Skipped

ACTIONS_LISTED = 200_000  # about 1 KB each in memory; totals count all, and the next plan has the rest
CHECK_ROWS = 500

_STATE_OF = {Residency.REGULAR: FileState.REGULAR, Residency.DUAL: FileState.DUAL}


@dataclass(frozen=True, slots=True)
class CheckedPlan:
    """What is left to do of a plan, exactly as planned."""

    migrate: tuple[MigrateItem, ...]
    """Copied out first, then released with the others."""
    ahead: tuple[MigrateItem, ...]
    """Copied out and left hot."""
    release: tuple[MigrateItem, ...]
    """Of files that are stored already."""
    drifted: tuple[Skipped, ...]
    """Actions that no longer fit their file: refused, not adapted."""


def make_plan(ctx: Context, *, roots: Sequence[OpenRoot] | None = None, limit: int = ACTIONS_LISTED) -> Plan:
    """Return the plan for *roots* (all where None) as of now, from the last scans. Changes nothing.

    At most *limit* actions are listed, in walk order; totals count all, and a note says so. Raises ConfigError.
    """
    policy = policy_of(ctx)
    chosen = tuple(ctx.roots if roots is None else roots)
    ctx.progress.start("plan")
    links = _links(ctx, chosen, policy)
    draft = _Draft(PlanBuilder(limit=limit), limit, {name: room for room in rooms(ctx, chosen) for name in room.roots})
    notes: list[str] = []
    for root in chosen:
        settings = _settings_of(ctx, root)
        if settings is not None and settings.read_only:
            notes.append(f"root {root.name} is read-only: this is what would be done, and nothing will be")
        facts = FolderFacts(ctx, root, policy.rules, links, asks_history=root.name in draft.rooms)
        notes += _root_notes(root, facts, settings)
        _plan_root(ctx, draft, facts, policy, root.name)
    ctx.progress.finish()
    more = _settle(ctx, draft, policy, notes)
    return draft.builder.build(
        made_ns=ctx.clock.now_ns(),
        catalog_id=ctx.catalog_id,
        price_book=policy.prices.book_id,
        refundable=policy.tiers[HOT].refundable,
        more=more,
    )


def explain_file(ctx: Context, root: OpenRoot, dir: bytes, name: bytes) -> Explanation:
    """Return why the planner decides about one file as it does. Raises UsageError if there is nothing to decide."""
    policy = policy_of(ctx)
    shown = os.fsdecode(os.path.join(root.path, dir, name))
    with ctx.catalog.read() as tx:
        row = files.get(tx, root.root_id, dir, name)
        if row is not None and row.leader_id is not None:
            leader = files.by_ids(tx, [row.leader_id]).get(row.leader_id)
            row = leader or row  # decided for all names of the inode at once
    if row is None:
        raise UsageError(f"{shown} is not in the catalog", hint="frostline scan")
    gathered = FolderFacts(ctx, root, policy.rules, _links(ctx, ctx.roots, policy))
    batch, facts = _batch_of(ctx, gathered, policy, root.name, row)
    if batch is None or facts is None:
        raise UsageError(
            f"{shown} was not seen by the last scan", now="its stored copy, if any, is kept", hint="frostline ls"
        )
    return explain(
        facts,
        batch.files,
        policy.rules,
        policy.tiers,
        prices=policy.prices,
        now_ns=ctx.clock.now_ns(),
        wishes=batch.wishes,
        limits=root_limits(ctx.config, root.name),
    )


def save_plan(plan: Plan, path: str) -> None:
    """Write the plan as JSON; the file is whole and durable on return, or not there. Raises UsageError."""
    folder = os.path.dirname(os.path.abspath(path))
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "x", encoding="ascii") as out:
            json.dump(plan.to_json(), out, indent=1)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except OSError as error:
        _unlink(temporary)
        raise UsageError(f"the plan cannot be written to {path}: {error.strerror}", now="no plan was saved") from error


def load_plan(path: str) -> Plan:
    """Return a saved plan. Raises UsageError when it cannot be read or is none."""
    try:
        with open(path, encoding="utf-8") as source:
            return Plan.from_json(json.load(source))
    except OSError as error:
        raise UsageError(f"the plan {path} cannot be read: {error.strerror}", now="nothing was done") from error
    except (PlanError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a saved plan: {error}", now="nothing was done", hint="frostline plan --save FILE"
        ) from error


def check_plan(ctx: Context, plan: Plan) -> CheckedPlan:
    """Return what is still to be done, exactly as planned; actions whose file has changed are refused.

    Raises UsageError when the plan was made from another catalog. Changes nothing.
    """
    if plan.catalog_id != ctx.catalog_id:
        raise UsageError(
            "the plan was made from another catalog", now="nothing was done", hint="make a new one: frostline plan"
        )
    roots = {root.name: root for root in ctx.roots}
    found: dict[ActionKind, list[MigrateItem]] = {kind: [] for kind in ActionKind}
    hints = read_hints(ctx.config, ctx.clock.now_ns())
    drifted: list[Skipped] = []
    for action, row in _with_rows(ctx, plan.actions, roots):
        root = roots.get(action.root)
        drift = _hinted(action, hints) or _drift(ctx, action, row, root)
        if drift or root is None:
            shown = action.path if root is None else os.fsdecode(os.path.join(root.path, action.dir, action.name))
            drifted.append(Skipped(shown, drift, Skip.CHANGED))
            continue
        item = MigrateItem(root.root_id, action.dir, action.name, action.target, f"rule {action.rule}")
        found[action.kind].append(item)
    return CheckedPlan(
        tuple(found[ActionKind.MIGRATE]),
        tuple(found[ActionKind.PREMIGRATE]),
        tuple(found[ActionKind.RELEASE]),
        tuple(drifted),
    )


@dataclass(slots=True)
class _Draft:
    """A plan in the making: what is listed may still be put off, what is beyond the limit is only counted."""

    builder: PlanBuilder
    limit: int
    rooms: dict[str, Room]
    listed: list[Action] = field(default_factory=list)

    def add(self, decisions: Iterable[Action | Refusal], room: Room | None) -> None:
        for decision in decisions:
            if isinstance(decision, Refusal):
                self.builder.add([decision])
                continue
            if room is not None:
                room.rules_free_bytes += decision.size_bytes
            if len(self.listed) < self.limit:
                self.listed.append(decision)
            else:
                self.builder.count([decision])


def _batch_of(
    ctx: Context, gathered: FolderFacts, policy: Policy, root: str, row: FileRow
) -> tuple[Batch | None, FileFacts | None]:
    """Return the batch that plan decides the file in, and its facts; without strategies its folders alone will do."""
    under = b"" if policy.asks_strategies else top_of(row.dir)
    for batch in batches(ctx, gathered, policy, root=root, under=under):
        for facts in batch.files:
            if (facts.dir, facts.name) == (row.dir, row.name):
                return batch, facts
    return None, None


def _settle(ctx: Context, draft: _Draft, policy: Policy, notes: list[str]) -> More:
    """Make room, hold everything to the budgets, and hand it to the builder."""
    reports, warnings = [], []
    for room in {id(room): room for room in draft.rooms.values()}.values():
        report, actions, warning = make_room(room, policy, premigrate=ctx.config.planning.premigrate)
        reports.append(report)
        warnings += [warning] if warning else []
        draft.listed += actions
    rations = hold_to_budgets(ctx, draft.listed)
    draft.builder.add(rations.actions[: draft.limit])
    draft.builder.count(rations.actions[draft.limit :])
    draft.builder.add(rations.put_off)
    return More(
        hot=tuple(reports), budgets=rations.reports, warnings=(*warnings, *rations.warnings), notes=tuple(notes)
    )


def _links(ctx: Context, roots: Sequence[OpenRoot], policy: Policy) -> LinkTargets:
    if not any(rule.link_target for rule in policy.rules):
        return LinkTargets()
    return find_link_targets(ctx, roots)


def _plan_root(ctx: Context, draft: _Draft, facts: FolderFacts, policy: Policy, root: str) -> None:
    now_ns = ctx.clock.now_ns()
    limits = root_limits(ctx.config, root)
    room = draft.rooms.get(root)
    market = Market(policy.tiers, policy.prices, policy.terms.stall_usd_gib, limits, ctx.config.release.min_size_bytes)
    for batch in batches(ctx, facts, policy, root=root):
        unknown = sum(item.idle_ns(now_ns) is None for item in batch.files if item.residency is not Residency.OFFLINE)
        draft.builder.see(files=len(batch.files), unknown_access_files=unknown)
        judged = judge(batch.files, policy.rules, now_ns, tiers=policy.tiers, wishes=batch.wishes)
        draft.add(decisions(judged, policy.tiers, policy.prices, now_ns, limits=limits), room)
        if room is not None:
            room.offer(candidates(judged, market, now_ns))
        ctx.progress.advance(files=len(batch.files))


def _root_notes(root: OpenRoot, facts: FolderFacts, settings: RootConfig | None) -> Iterator[str]:
    last = facts.last_scan
    if last is None:
        yield f"root {root.name} has not been scanned yet: frostline scan"
        return
    if last.access_quality == "none":
        yield f"root {root.name}: its mount records no reading (noatime or network): only rules by age move files"
    elif last.access_quality == "swept":
        yield f"root {root.name}: sweeps (backups, antivirus) hide all other reading: only rules by age move files"
    try:
        without_leases = is_network(root.path)
    except OSError as error:
        yield f"root {root.name} cannot be looked at now: {error.strerror}"
        return
    if without_leases and (settings is None or settings.release_without_lease_ns is None):
        yield (
            f"root {root.name} is on a network or FUSE file system, where no lease can be had: files are migrated but "
            "not released (see release_without_lease)"
        )


def _settings_of(ctx: Context, root: OpenRoot) -> RootConfig | None:
    return next((settings for settings in ctx.config.roots if settings.name == root.name), None)


def _with_rows(
    ctx: Context, actions: Iterable[Action], roots: Mapping[str, OpenRoot]
) -> Iterator[tuple[Action, FileRow | None]]:
    batch: list[Action] = []
    for action in actions:
        batch.append(action)
        if len(batch) == CHECK_ROWS:
            yield from _rows_of(ctx, batch, roots)
            batch = []
    yield from _rows_of(ctx, batch, roots)


def _rows_of(
    ctx: Context, batch: Sequence[Action], roots: Mapping[str, OpenRoot]
) -> list[tuple[Action, FileRow | None]]:
    found: list[tuple[Action, FileRow | None]] = []
    with ctx.catalog.read() as tx:
        for action in batch:
            root = roots.get(action.root)
            row = None if root is None else files.get(tx, root.root_id, action.dir, action.name)
            found.append((action, row))
    return found


def _hinted(action: Action, hints: Sequence[Hint]) -> str:
    """Return why a hint holds the file back, "" if none does."""
    for hint in hints:
        here = not hint.roots or action.root in hint.roots
        if here and any(matches(pattern, action.path) for pattern in hint.match):
            return f"{hint.name} keeps it hot since: {hint.reason}"
    return ""


def _drift(ctx: Context, action: Action, row: FileRow | None, root: OpenRoot | None) -> str:
    """Return why the action no longer fits, "" if it does."""
    if root is None:
        return f"its root {action.root} is not configured any more"
    settings = _settings_of(ctx, root)
    if settings is not None and settings.read_only:
        return "its root is read-only"
    if row is None:
        return "the catalog does not know it any more"
    checks: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: row.state is _STATE_OF.get(action.residency), f"it is {row.state} now, not {action.residency}"),
        (lambda: row.is_leader, "it has become a further name of another file"),
        (lambda: not row.pinned, "it has been pinned since"),
        (
            lambda: action.kind is ActionKind.RELEASE or action.target in ctx.tiers,
            f'there is no tier "{action.target}" any more',
        ),
        (
            lambda: action.kind is not ActionKind.RELEASE or row.tier == action.target,
            f"its stored copy is on {row.tier} now, not on {action.target}",
        ),
        (lambda: _identity_of(row) == action.identity, "it was changed since the plan was made"),
        (lambda: _on_disk(root, action) == action.identity, "it was changed on the disk since the last scan"),
    )
    return next((reason for holds, reason in checks if not holds()), "")


def _identity_of(row: FileRow) -> FileIdentity:
    return FileIdentity(row.dev, row.ino, row.size, row.mtime_ns, row.ctime_ns)


def _on_disk(root: OpenRoot, action: Action) -> FileIdentity | None:
    try:
        status = os.lstat(os.path.join(root.path, action.dir, action.name))
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileIdentity(
        signed64(status.st_dev), signed64(status.st_ino), status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # it was never made, or its folder is gone
