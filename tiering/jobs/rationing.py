"""Holds a plan to the budgets of [budget]: what was spent before, what fits, what waits. Used by plan; only reads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from policies.budget import BYTES, DAY, REQUESTS, USD, Allowance, Need, ration
from policies.plan import Action, ActionKind, BudgetReport, Refusal
from policies.units import unit_of
from tiering.catalog import spending
from tiering.clock import NS_PER_S
from tiering.jobs.context import Context
from tiering.jobs.deciding import Policy
from tiering.jobs.hot_room import RULE


@dataclass(frozen=True, slots=True)
class Rations:
    """What is left of a plan's actions."""

    actions: tuple[Action, ...]
    put_off: tuple[Refusal, ...]
    reports: tuple[BudgetReport, ...]
    warnings: tuple[str, ...]


def hold_to_budgets(ctx: Context, actions: Sequence[Action], policy: Policy) -> Rations:
    """Return what of *actions* the budgets allow, in the order given; units whole or not at all.

    What makes room on a full tier comes first; a budget too small even for that is a warning.
    """
    allowances = _allowances(ctx)
    if not allowances:
        return Rations(tuple(actions), (), (), ())
    units: dict[tuple[str, bytes, bool], list[int]] = {}
    for number, action in enumerate(actions):  # what frees the hot tier does not wait for what moves behind it
        is_move = action.kind is ActionKind.MOVE
        units.setdefault((action.root, unit_of(action.dir, action.name), is_move), []).append(number)
    members = list(units.values())
    needs = [_need(ctx, policy, [actions[number] for number in numbers]) for numbers in members]
    found = ration(needs, allowances)
    waits: dict[int, Allowance] = {
        number: allowance for unit, allowance in found.put_off.items() for number in members[unit]
    }
    reports = tuple(
        BudgetReport(
            name=one.name, limit=one.limit, spent=one.spent,
            planned=sum(needs[unit].takes.get(one.resource, 0) for unit in found.taken),
            put_off_files=sum(allowance == one for allowance in waits.values()),
        )
        for one in allowances
    )  # fmt: skip
    warnings = tuple(
        f"budget.{one.name} cannot be met: {one.say(one.spent)} of {one.say(one.limit)} are spent, and making room on "
        "the hot tier needs more; what does not fit waits"
        if one in found.short
        else f"budget.{one.name} is exceeded: {one.say(one.spent)} of {one.say(one.limit)} are spent already; "
        f"{len(waits):,} files wait"
        for one in allowances
        if one in found.short or (one.spent > one.limit and waits)
    )
    return Rations(
        tuple(action for number, action in enumerate(actions) if number not in waits),
        tuple(_refusal(actions[number], waits[number]) for number in sorted(waits)),
        reports,
        warnings,
    )


def _allowances(ctx: Context) -> list[Allowance]:
    limits = ctx.config.budget.limits()
    if not limits:
        return []
    now = datetime.fromtimestamp(ctx.clock.now_ns() // NS_PER_S, UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    spent_by = {USD: spending.once_nano, BYTES: spending.copied_bytes, REQUESTS: spending.objects_written}
    found = []
    with ctx.catalog.read() as tx:
        for resource, period, limit in limits:
            begun = day if period == DAY else day.replace(day=1)
            spent = spent_by[resource](tx, since_ns=int(begun.timestamp()) * NS_PER_S)
            found.append(Allowance(resource, period, limit, spent))
    return found


def _need(ctx: Context, policy: Policy, actions: Sequence[Action]) -> Need:
    """Return what a unit takes; a release takes nothing. Objects: what its bytes fill, one at least; of moves their
    requests, at the price of a write.
    """
    copied = [action for action in actions if action.kind in {ActionKind.MIGRATE, ActionKind.PREMIGRATE}]
    moved = [action for action in actions if action.kind is ActionKind.MOVE]
    size = sum(action.size_bytes for action in copied)
    objects = max(-(-size // ctx.config.chunking.pack_bytes), 1) if copied else 0
    return Need(
        value_nano=max(0, sum(action.saved_nano_month for action in actions)),
        takes={
            USD: sum(action.once_nano for action in actions),
            BYTES: size,
            REQUESTS: objects + _written(policy, moved),
        },
        must=any(action.rule == RULE for action in actions),
    )


def _written(policy: Policy, moved: Sequence[Action]) -> int:
    """Return how many objects the moves of a unit write, its shares of packs added up."""
    written = 0.0
    for action in moved:
        put_nano = policy.prices.price(policy.tiers[action.target].price_class).put_nano
        written += (action.quote.transition_nano + action.quote.request_nano) / put_nano if put_nano else 0
    return math.ceil(written)


def _refusal(action: Action, allowance: Allowance) -> Refusal:
    return Refusal(
        root=action.root, dir=action.dir, name=action.name, size_bytes=action.size_bytes, target=action.target,
        rule=action.rule, cause="budget",
        reason=f"it waits: budget.{allowance.name} is {allowance.say(allowance.limit)}, of which "
        f"{allowance.say(allowance.spent)} are spent, and others are worth more ({action.reason})",
    )  # fmt: skip
