"""What an operator allows under one root: tiers, how soon files must be back, how much a move must save."""

from collections.abc import Mapping
from dataclasses import dataclass

from policies.cost import restore_hours
from policies.prices import PriceBook
from policies.values import HOT, TierFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an operator allows under one root."""

    tiers: frozenset[str] | None = None
    """Cold tiers that may be used; None: all."""
    recall_within_h: float | None = None
    """Tiers that cannot be read again within this many hours are not used."""
    speed: str = "standard"
    """Restore speed that is reckoned with."""
    min_gain: float = 0.0
    """Part of what holding it hot costs that a move must save."""


NO_LIMITS = Limits()


def allowed_tier(
    wanted: TierFacts, tiers: Mapping[str, TierFacts], prices: PriceBook, limits: Limits
) -> tuple[TierFacts, str]:
    """Return the coldest tier that is allowed and no colder than *wanted* (hot where there is none), and why."""
    objection = tier_objection(wanted, prices, limits)
    if not objection:
        return wanted, ""
    warmer = sorted((tier for tier in tiers.values() if tier.rank < wanted.rank), key=lambda tier: -tier.rank)
    for tier in warmer:
        if tier.name == HOT or not tier_objection(tier, prices, limits):
            return tier, f"not on {wanted.name}: {objection}"
    return tiers[HOT], f"not on {wanted.name}: {objection}"


def tier_objection(tier: TierFacts, prices: PriceBook, limits: Limits) -> str:
    """Return why nothing of a root may go to *tier*; "" where it may."""
    if limits.tiers is not None and tier.name not in limits.tiers:
        return "this root may only use " + ", ".join(sorted(limits.tiers))
    if limits.recall_within_h is not None and tier.is_archive:
        hours = restore_hours(prices, tier.price_class, speed=limits.speed)
        if hours > limits.recall_within_h:
            wanted = f"this root wants files within {limits.recall_within_h:g} h"
            return f"a {limits.speed} restore may take {hours:g} h, and {wanted}"
    return ""
