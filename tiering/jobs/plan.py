"""Plan: what should be migrated, released and moved to a colder tier, as a value (P9: it only reads).

tiering.jobs.saved_plan keeps plans and holds them against what has changed since; apply carries them out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from policies.energy import energy_report, flows_of
from policies.judging import judge
from policies.plan import Action, ActionKind, Plan, Refusal
from policies.plan_builder import More, PlanBuilder
from policies.planner import decisions, shifts
from policies.room import Market, candidates
from policies.values import HOT, Residency
from tiering.config import RootConfig
from tiering.config.policy import root_limits
from tiering.hot.evidence import is_network
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.deciding import Policy, batches, policy_of
from tiering.jobs.folder_facts import FolderFacts
from tiering.jobs.foresight import scales
from tiering.jobs.hot_room import Room, make_room, rooms
from tiering.jobs.link_targets import LinkTargets, find_link_targets
from tiering.jobs.rationing import hold_to_budgets
from tiering.jobs.shifting import Shifting
from tiering.jobs.upload_choice import sentences

ACTIONS_LISTED = 100_000  # 0.7 to 1 KB each in memory; totals count all, and the next plan has the rest
MOVES_LISTED = 40_000  # of those between cold tiers: 2.4 KB each, with the facts and packs they are settled by


def make_plan(ctx: Context, *, roots: Sequence[OpenRoot] | None = None, limit: int = ACTIONS_LISTED) -> Plan:
    """Return the plan for *roots* (all where None) as of now, from the last scans. Changes nothing.

    At most *limit* actions are listed, in walk order; totals count all, and a note says so. Raises ConfigError.
    """
    policy = policy_of(ctx)
    chosen = tuple(ctx.roots if roots is None else roots)
    ctx.progress.start("plan")
    links = links_of(ctx, chosen, policy)
    draft = _Draft(
        PlanBuilder(limit=limit),
        limit,
        {name: room for room in rooms(ctx, chosen) for name in room.roots},
        Shifting(ctx, scales(ctx, policy.tiers, policy.prices, policy.terms), limit=min(limit, MOVES_LISTED)),
    )
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


@dataclass(slots=True)
class _Draft:
    """A plan in the making: what is listed may still be put off, what is beyond the limit is only counted."""

    builder: PlanBuilder
    limit: int
    rooms: dict[str, Room]
    shifting: Shifting
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


def _settle(ctx: Context, draft: _Draft, policy: Policy, notes: list[str]) -> More:
    """Make room, hold everything to the budgets, and hand it to the builder."""
    reports, warnings = [], []
    for room in {id(room): room for room in draft.rooms.values()}.values():
        report, actions, warning = make_room(room, policy)
        reports.append(report)
        warnings += [warning] if warning else []
        draft.listed += actions
    draft.builder.add(draft.shifting.close())
    rations = hold_to_budgets(ctx, [*draft.listed, *draft.shifting.actions], policy)
    moved = [action for action in rations.actions if action.kind is ActionKind.MOVE]
    if len(moved) < len(draft.shifting.actions):
        draft.builder.add(draft.shifting.only(action.place for action in moved))
        moved = draft.shifting.actions
    others = [action for action in rations.actions if action.kind is not ActionKind.MOVE]
    actions = [*others[: draft.limit], *moved]
    draft.builder.add(actions)
    draft.builder.count(others[draft.limit :])
    draft.builder.add(rations.put_off)
    return More(
        hot=tuple(reports),
        budgets=rations.reports,
        moves=draft.shifting.reports(),
        energy=energy_report(policy.prices, policy.tiers, flows_of(actions)),
        warnings=(*warnings, *rations.warnings),
        notes=(*notes, *sentences(ctx, {action.target for action in actions}), *draft.shifting.notes()),
    )


def links_of(ctx: Context, roots: Sequence[OpenRoot], policy: Policy) -> LinkTargets:
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
        draft.builder.add(draft.shifting.add(shifts(judged, policy.tiers, policy.prices, now_ns, limits=limits)))
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
