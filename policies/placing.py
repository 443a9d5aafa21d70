"""Asks strategies about live files: what the catalog recorded of their reading becomes a history and a scene.

A strategy learns from the history of the very files it is asked about (a batch of some ten thousand, of all kinds), and
then says where each should be now. Pure: the same facts, prices and moment give the same wishes. Used by plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from policies.amounts import NANO
from policies.costs import CostTable, Matrix, cost_table
from policies.judging import Wish
from policies.kinds import Kind, kind_of
from policies.offers import MONTH_DAYS, Offer, Terms, make_offers
from policies.prices import PriceBook
from policies.rules import Choice, Rule, RuleError, is_met
from policies.simulator import simulate
from policies.strategies.break_even import BreakEven
from policies.strategies.expected import ExpectedCost
from policies.strategies.fixed import Frequency, IntelligentTiering, Steps
from policies.strategies.frequency import Ewma
from policies.strategies.protocol import DECAY, Scene, Strategy
from policies.trace import Floats, Ints, Trace
from policies.values import HOT, NS_PER_DAY, FileFacts, Residency, TierFacts, text

HISTORY_DAYS = 730
"""How far back reading is replayed: two years outlast every idle age that strategies tell apart."""
KINDS = tuple(Kind)


@dataclass(frozen=True, slots=True)
class Site:
    """What strategies are asked with."""

    tiers: Mapping[str, TierFacts]
    """Those allowed, "hot" among them."""
    prices: PriceBook
    terms: Terms


def wishes_of(
    files: Sequence[FileFacts], rules: Sequence[Rule], site: Site, now_ns: int
) -> dict[tuple[str, bytes, bytes], Wish]:
    """Return the wish of every strategy rule for each of *files* that may come to it."""
    wishes: dict[tuple[str, bytes, bytes], Wish] = {}
    for rule in rules:
        if rule.strategy is None:
            continue
        asked = [facts for facts in files if facts.residency is not Residency.BUSY and is_met(facts, rule, now_ns)]
        if not asked:
            continue
        for facts, wish in zip(asked, place(asked, rule.strategy, site, now_ns), strict=True):
            wishes[rule.name, facts.dir, facts.name] = wish
    return wishes


def place(files: Sequence[FileFacts], choice: Choice, site: Site, now_ns: int) -> list[Wish]:
    """Return where *choice* wants each file, with its arithmetic. Raises RuleError where tiers do not fit it."""
    offers = tier_offers(site)
    trace = history(files, now_ns)
    table = cost_table(offers, trace.sizes, site.terms)
    strategy = strategy_of(choice, offers, site)
    simulate(trace, table, strategy)  # what it learns; the outcome is of no interest
    scene = _scene(files, trace, table, now_ns)
    ids = np.arange(len(files))
    targets = strategy.review(scene, ids).targets
    moves = table.move(ids, np.zeros(len(files), bool))
    sums = _Sums(choice.name, table, scene, table.fetch(ids), moves, scene.rate(ids) * MONTH_DAYS)
    return [_said(sums, number, int(target)) for number, target in enumerate(targets)]


def tier_offers(site: Site) -> tuple[Offer, ...]:
    """Return one offer per allowed tier, hot first, by tier name."""
    made = []
    for tier in sorted(site.tiers.values(), key=lambda tier: tier.rank):
        if tier.rank == 0:
            usd = (tier.nano_per_gib_month or 0) / NANO / MONTH_DAYS
            made.append(Offer(name=HOT, rank=-1, usd_gib_day=usd, is_packed=False))
            continue
        (offer,) = make_offers(site.prices, [tier.price_class], replace(site.terms, hot=None))
        if tier.nano_per_gib_month is not None:
            offer = replace(offer, usd_gib_day=tier.nano_per_gib_month / NANO / MONTH_DAYS, ladder=())
        if not tier.is_archive:  # a store behind a disk: one recall serves all reads of a day
            offer = replace(
                offer, read_usd=0.0, read_usd_gib=0.0, event_usd=offer.read_usd, event_usd_gib=offer.read_usd_gib,
                stall_usd_gib=site.terms.stall_usd_gib,
            )  # fmt: skip
        else:
            offer = replace(offer, stall_usd_gib=site.terms.wait_usd_gib + site.terms.stall_usd_gib)
        made.append(replace(offer, name=tier.name, rank=tier.rank))
    return tuple(made)


def strategy_of(choice: Choice, offers: Sequence[Offer], site: Site) -> Strategy:
    """Return a fresh strategy. Raises RuleError where it cannot be meant with these tiers."""
    numbers = {offer.name: number for number, offer in enumerate(offers)}
    steps = [(at, numbers[tier]) for at, tier in choice.steps if tier in numbers]
    if choice.name in {"age", "idle"}:
        return Steps(choice.name, steps, by_age=choice.name == "age")
    if choice.name == "frequency":
        return Frequency(choice.name, steps)
    if choice.name == "intelligent_tiering":
        cooling = [numbers[t.name] for t in site.tiers.values() if t.price_class == "INTELLIGENT_TIERING"]
        if not cooling:
            raise RuleError("intelligent_tiering needs a tier of the class INTELLIGENT_TIERING")
        return IntelligentTiering(cooling[0])
    if choice.name == "break_even":
        return BreakEven()
    if choice.name == "ewma":
        return Ewma()
    if choice.name == "expected_cost":
        return ExpectedCost(site.terms)
    raise RuleError(f'there is no strategy "{choice.name}"')


def history(files: Sequence[FileFacts], now_ns: int) -> Trace:
    """Return what is known of the reading of *files*, in days, up to yesterday; object i is file i.

    A file begins where its watching does: when it was written, or at its last known use before it was first seen.
    """
    today = now_ns // NS_PER_DAY
    first = today - HISTORY_DAYS
    births = np.zeros(len(files), np.int64)
    ticks: list[list[int]] = []
    for number, facts in enumerate(files):
        written = min(max(facts.identity.mtime_ns // NS_PER_DAY, first), today)
        used = _last_use_day(facts, written, today)
        seen = min(max(facts.first_seen_ns // NS_PER_DAY, first), today)
        birth = max(written, min(seen, used))
        births[number] = birth - first
        days = {day for day in (*facts.active_days, used) if birth < day <= today}
        ticks.append(sorted(day - first for day in days))
    counts = np.array([len(days) for days in ticks], np.int64)
    sizes = np.array([facts.size_bytes for facts in files], np.int64)
    end = HISTORY_DAYS + 1
    return Trace(
        tick_days=1.0,
        end_tick=end,
        sizes=sizes,
        births=births,
        deaths=np.full(len(files), end),
        kinds=np.array([KINDS.index(kind_of(text(facts.name))) for facts in files], np.int64),
        kind_names=tuple(str(kind) for kind in KINDS),
        starts=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
        ticks=np.array([tick for days in ticks for tick in days], np.int64),
        counts=np.ones(int(counts.sum()), np.int64),
        read_bytes=np.repeat(sizes, counts),
    )


def _last_use_day(facts: FileFacts, written: int, today: int) -> int:
    if facts.last_access_ns is None or not facts.access_quality.is_evidence:
        return written
    latest = max(facts.last_access_ns, facts.recalled_ns or 0) // NS_PER_DAY
    return int(min(max(latest, written), today))


def _scene(files: Sequence[FileFacts], trace: Trace, table: CostTable, now_ns: int) -> Scene:
    """Return the files as they stand: real tiers, and heat from the days of their use."""
    count = len(files)
    births = trace.births.astype(np.float64)
    last, heat = births.copy(), np.zeros(count)
    events: Ints = np.diff(trace.starts)
    for number in range(count):
        days: Floats = trace.ticks[trace.starts[number] : trace.starts[number + 1]].astype(np.float64)
        if len(days):
            last[number] = days[-1]
            heat[number] = float(np.exp(-DECAY * (days[-1] - days)).sum())
    names = {offer.name: number for number, offer in enumerate(table.offers)}
    away = [facts.residency is Residency.OFFLINE and facts.tier in names for facts in files]
    classes = [names[facts.tier or HOT] if is_away else 0 for facts, is_away in zip(files, away, strict=True)]
    begun = now_ns // NS_PER_DAY - HISTORY_DAYS
    since = births.copy()
    for number, facts in enumerate(files):
        if away[number] and facts.stored_ns is not None:
            since[number] = facts.stored_ns / NS_PER_DAY - begun
    return Scene(
        now=float(trace.end_tick), tick_days=1.0, table=table, kinds=trace.kinds, kind_count=len(trace.kind_names),
        births=births, classes=np.array(classes, np.int64), since=since, last=last,
        anchor=np.maximum(last, since), events=events, heat=heat, has_read=np.zeros(count, bool),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Sums:
    """What is said of files, of all at once."""

    strategy: str
    table: CostTable
    scene: Scene
    fetch: Matrix
    """[file, tier] dollars of one read."""
    move: Matrix
    """[file, from, to] dollars of going there."""
    reads_month: Floats


def _said(sums: _Sums, number: int, target: int) -> Wish:
    """Return the wish in dollars: what holding and one read cost on each tier, and where even is broken."""
    table, here = sums.table, int(sums.scene.classes[number])
    hold, fetch, move = table.hold[number].tolist(), sums.fetch[number].tolist(), sums.move[number, here].tolist()
    tiers = ", ".join(
        f"{offer.name} ${hold[k] * MONTH_DAYS:.6g} a month, ${move[k]:.3g} to get there, ${fetch[k]:.3g} a read"
        for k, offer in enumerate(table.offers)
    )
    rate = float(sums.reads_month[number])
    said = f"{sums.strategy}: {int(sums.scene.events[number])} days of use known, {rate:.3g} a month by now; {tiers}"
    if target != here:
        days = table.break_even_days(number, here, target)
        said += f"; {table.offers[here].name} to {table.offers[target].name} and back is repaid in {days:.3g} idle days"
    return Wish(table.offers[target].name, said)
