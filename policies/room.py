"""Who may make room on a full hot tier: files that no rule keeps or moves, by unit, with what they are worth hot.

Worth: the recalls that leaving would bring in a month, times what one costs (requests, retrieval, stall). The rate is
an exponential average of the days on which they were read, half a read in a half-life added for what nobody saw yet.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies.amounts import NANO
from policies.capacity import Item
from policies.cost import recall_usd
from policies.judging import Judgement
from policies.limits import Limits, tier_objection
from policies.offers import GIB_F, MONTH_DAYS
from policies.prices import PriceBook
from policies.rules import RECENT_NS
from policies.units import unit_of
from policies.values import HOT, NS_PER_DAY, FileFacts, Residency, TierFacts

HALF_LIFE_DAYS = 60.0
"""As strategies have it (policies.strategies.protocol)."""
UNSEEN_READS = 0.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """One unit that may leave."""

    files: tuple[FileFacts, ...]
    """Those on the hot tier."""
    target: str
    item: Item


@dataclass(frozen=True, slots=True)
class Market:
    """Where they would go and what coming back costs."""

    tiers: Mapping[str, TierFacts]
    prices: PriceBook
    stall_usd_gib: float
    limits: Limits
    min_size_bytes: int


def candidates(judged: Iterable[tuple[FileFacts, Judgement]], market: Market, now_ns: int) -> list[Candidate]:
    """Return the units among *judged* (whole units) that no rule holds, with their worth; in order of appearance.

    Left out: what is kept by a rule, pinned, written within a week, in use, of unknown reading, too small, or has
    names outside the roots.
    """
    target = _target(market)
    if target is None:
        return []
    units: dict[bytes, list[tuple[FileFacts, Judgement]]] = {}
    for facts, judgement in judged:
        units.setdefault(unit_of(facts.dir, facts.name), []).append((facts, judgement))
    found = []
    for members in units.values():
        if not all(_is_free(facts, judgement, now_ns) for facts, judgement in members):
            continue
        files = tuple(
            facts
            for facts, judgement in members
            if facts.residency is not Residency.OFFLINE
            and judgement.rule is None
            and facts.size_bytes >= max(1, market.min_size_bytes)
        )
        if files:
            worth = sum(worth_nano_month(facts, target, market, now_ns) for facts in files)
            found.append(Candidate(files, target.name, Item(sum(facts.size_bytes for facts in files), worth)))
    return found


def worth_nano_month(facts: FileFacts, target: TierFacts, market: Market, now_ns: int) -> int:
    """Return what having the file hot saves in a month: recalls expected, each with requests, retrieval and stall."""
    recall = recall_usd(market.prices, target.price_class, facts.size_bytes, gets=1)
    stall = market.stall_usd_gib * NANO * facts.size_bytes / GIB_F
    return int(reads_month(facts, now_ns) * (recall + stall))


def reads_month(facts: FileFacts, now_ns: int) -> float:
    """Return days with reads expected in a month."""
    decay = math.log(2) / HALF_LIFE_DAYS
    today = now_ns / NS_PER_DAY
    days = set(facts.active_days)
    if facts.last_access_ns is not None:
        days.add(facts.last_access_ns // NS_PER_DAY)
    heat = sum(math.exp(-decay * max(0.0, today - day)) for day in days)
    return (heat + UNSEEN_READS) * decay * MONTH_DAYS


def _target(market: Market) -> TierFacts | None:
    """Return the warmest tier that is allowed and reads at once."""
    tiers = sorted(market.tiers.values(), key=lambda tier: tier.rank)
    fit = (tier for tier in tiers if tier.name != HOT and not tier.is_archive)
    return next((tier for tier in fit if not tier_objection(tier, market.prices, market.limits)), None)


def _is_free(facts: FileFacts, judgement: Judgement, now_ns: int) -> bool:
    """Return whether nothing about this file holds its unit."""
    if facts.residency is Residency.OFFLINE:
        return True
    if facts.residency is Residency.BUSY or facts.is_pinned or facts.is_link_target or judgement.target != HOT:
        return False
    if facts.age_ns(now_ns) < RECENT_NS:
        return False
    if facts.idle_ns(now_ns) is None or facts.known_names < facts.nlink or facts.mode & 0o6000:
        return False
    return judgement.rule is None or judgement.rule.is_by_name
