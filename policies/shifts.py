"""Stored files that their rules want on a colder tier: which may go, what moves with them, and what that comes to.

A stored file is moved by moving packs, and packs are shared: a pack is as cold as the hottest file that needs it. So
these files are decided about together: settle() is told who should go and what stands in which pack, has
policies.moving decide about each pack as if all of them went, and says who goes: units whole, or not at all. A unit
goes if something of it moves and what it saves repays the move within the horizon. Nothing is brought nearer here: that
is what a recall does. So nothing can go to and fro.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from policies.amounts import NANO, say_bytes, say_usd
from policies.cost import recall_usd
from policies.judging import Judgement
from policies.limits import Limits, allowed_tier
from policies.moving import (
    CHANGE,
    HORIZON_MONTHS,
    KEEP,
    Content,
    Decision,
    Home,
    MoveQuote,
    Standing,
    hold_nano,
    say_once,
    say_repaid,
)
from policies.moving import decide as decide_pack
from policies.offers import GIB_F, Terms
from policies.plan import Action, ActionKind, Refusal
from policies.prices import PriceBook
from policies.room import reads_month
from policies.units import unit_of
from policies.values import HOT, FileFacts, Residency, TierFacts

NOTHING = MoveQuote()
_AMOUNTS = (
    "request_nano", "transition_nano", "retrieval_nano", "egress_nano", "early_delete_nano", "saved_nano_month",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One stored file that should be on a colder tier."""

    facts: FileFacts
    target: str
    rule: str
    said: str
    """Facts -> rule."""
    speed: str
    """Restore speed that recalls are reckoned with."""
    min_gain: float
    """Part of what holding its bytes costs that the move must save."""
    must_save: bool = False
    """Whether the rule moves it only if it still saves once recalls are paid for; else they are only told: an operator
    who names a tier knows what for, and a strategy has reckoned with them."""

    @property
    def unit(self) -> tuple[str, bytes]:
        """What goes with it or stays with it."""
        return self.facts.root, unit_of(self.facts.dir, self.facts.name)

    @property
    def place(self) -> tuple[str, bytes, bytes]:
        """(root, folder, name)."""
        return self.facts.root, self.facts.dir, self.facts.name


@dataclass(frozen=True, slots=True)
class Part:
    """Blocks of one pack that the same versions need: they may be as cold as each other."""

    size_bytes: int
    """Coded, of what is needed."""
    stays: int
    """Rank of the warmest of those who need it and are not to be shifted; above all ranks where nobody is."""
    recipes: frozenset[int]
    """To be shifted."""
    leaners: frozenset[tuple[int, int]] = frozenset()
    """(pack, its rank now) of packs in which something is coded against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One pack that stored files to be shifted stand in."""

    pack_no: int
    tier: str
    standing: Standing
    weights: Mapping[int, int]
    """Recipe -> coded bytes of the chunks it needs here, of all recipes that are to be shifted."""
    parts: tuple[Part, ...]
    dead_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Scales:
    """What packs and files are weighed with."""

    tiers: Mapping[str, TierFacts]
    homes: Mapping[str, Home]
    """Of every tier that packs are on."""
    prices: PriceBook
    terms: Terms
    now_ns: int
    pack_bytes: int


@dataclass(slots=True)
class Settled:
    """Who goes."""

    actions: list[Action] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    packs: dict[int, Decision] = field(default_factory=dict)
    """Packs that move, by number."""


def colder_target(
    facts: FileFacts, judgement: Judgement, tiers: Mapping[str, TierFacts], prices: PriceBook, *, limits: Limits
) -> str | None:
    """Return the tier that a stored file should sink to; None where it stays, or is not stored."""
    if facts.residency not in {Residency.DUAL, Residency.OFFLINE} or facts.recipe_no is None:
        return None
    if judgement.rule is None or judgement.target == HOT or facts.tier is None or facts.tier not in tiers:
        return None
    target, _ = allowed_tier(tiers[judgement.target], tiers, prices, limits)
    return target.name if target.rank > tiers[facts.tier].rank else None


def settle(wanted: Sequence[Shift], sights: Sequence[Sight], scales: Scales) -> Settled:
    """Return who of *wanted* goes and who does not, with reasons; *sights* has every pack that holds any of them.

    Units that would not pay are taken out and the rest is reckoned again without them, until all that is left pays:
    so that what is left out never pays for what goes. Equal inputs give equal answers.
    """
    units: dict[tuple[str, bytes], list[Shift]] = {}
    for shift in wanted:
        units.setdefault(shift.unit, []).append(shift)
    refused: dict[tuple[str, bytes], tuple[str, str]] = {}
    while True:
        going = {unit: members for unit, members in units.items() if unit not in refused}
        ranks = _ranks(going.values(), scales.tiers)
        decided = _decide_packs(sights, ranks, scales)
        parts = _parts(sights, ranks, decided)
        fresh = {unit: no for unit, members in going.items() if (no := _objection(members, parts, scales)) is not None}
        if not fresh:
            break
        refused |= fresh
    ranks = _ranks((members for unit, members in units.items() if unit not in refused), scales.tiers)
    driven = (sight.pack_no for sight in sights if not ranks.keys().isdisjoint(sight.weights))
    settled = Settled(packs={number: decided[number] for number in driven if decided[number].way != KEEP})
    for unit, members in units.items():
        if unit in refused:
            settled.refused += [refusal(shift, *refused[unit]) for shift in members]
        else:
            settled.actions += [_action(shift, parts, scales) for shift in members]
    return settled


def _ranks(units: Iterable[Sequence[Shift]], tiers: Mapping[str, TierFacts]) -> dict[int, int]:
    """Return recipe -> rank it is to have; of a version that stands at several paths the warmest."""
    ranks: dict[int, int] = {}
    for members in units:
        for shift in members:
            number = shift.facts.recipe_no
            assert number is not None, "colder_target gives none without"
            ranks[number] = min(ranks.get(number, tiers[shift.target].rank), tiers[shift.target].rank)
    return ranks


def _decide_packs(sights: Sequence[Sight], ranks: Mapping[int, int], scales: Scales) -> dict[int, Decision]:
    """Return what becomes of each pack, round by round as the mover goes: what leans on others goes before them."""
    rank_of = {name: tier.rank for name, tier in scales.tiers.items()}
    decided = {sight.pack_no: Decision(KEEP) for sight in sights}
    stands: dict[int, int] = {}
    waiting = [sight for sight in sights if not scales.tiers[sight.tier].is_archive]  # else to be restored first
    while True:
        fresh = {}
        for sight in waiting:
            content = _content(sight, ranks, stands, scales)
            decision = decide_pack(scales.prices, sight.standing, content, scales.homes, pack_bytes=scales.pack_bytes)
            if decision.way != KEEP and _sinks(decision, sight):
                fresh[sight.pack_no] = decision
        if not fresh:
            return decided
        decided |= fresh
        waiting = [sight for sight in waiting if sight.pack_no not in fresh]
        stands |= {number: rank_of[decision.target] for number, decision in fresh.items() if decision.target}


def _sinks(decision: Decision, sight: Sight) -> bool:
    """Whether anything gets colder; to be written anew for the sake of what is dead in it is repack's affair."""
    return decision.way == CHANGE or any(goes != sight.tier for goes in (decision.parts or {}).values())


def _content(sight: Sight, ranks: Mapping[int, int], stands: Mapping[int, int], scales: Scales) -> Content:
    """Return what the pack would hold with recipes of those *ranks*, other packs standing where *stands* says."""
    names = {tier.rank: tier.name for tier in scales.tiers.values()}
    own = scales.tiers[sight.tier].rank
    coldest = max(names)
    found: dict[str, int] = {}
    for part in sight.parts:
        caps = (max(rank, stands.get(number, rank)) for number, rank in part.leaners)
        needs = [part.stays, *(ranks.get(number, own) for number in part.recipes)]
        may = max(own, min([coldest, *caps, *needs]))
        if part.size_bytes:
            found[names[may]] = found.get(names[may], 0) + part.size_bytes
    may_be = [scales.tiers[name].rank for name in found] + [
        max(own, stands.get(number, rank)) for part in sight.parts for number, rank in part.leaners
    ]
    return Content(sight.tier, found, names[min(may_be, default=own)], sight.dead_bytes)


def _parts(
    sights: Sequence[Sight], ranks: Mapping[int, int], decided: Mapping[int, Decision]
) -> dict[int, tuple[MoveQuote, int, int]]:
    """Return recipe -> (its part of what moves, packs of its that move, packs of its that stay).

    What a pack's move costs and saves falls on the recipes that set it off, by their bytes in it, exactly.
    """
    parts = dict.fromkeys(ranks, (NOTHING, 0, 0))
    for sight in sights:
        movers = sorted(number for number in sight.weights if number in ranks)
        decision = decided[sight.pack_no]
        if decision.way == KEEP or not any(sight.weights[number] for number in movers):
            for number in movers:
                quote, moved, kept = parts[number]
                parts[number] = quote, moved, kept + 1
            continue
        shares = split(decision.quote, [sight.weights[number] for number in movers])
        for number, share in zip(movers, shares, strict=True):
            quote, moved, kept = parts[number]
            parts[number] = quote + share, moved + 1, kept
    return parts


def split(quote: MoveQuote, weights: Sequence[int]) -> list[MoveQuote]:
    """Return the parts of *quote* that fall on *weights* (not all 0): they add up to it, to the nano-dollar.

    Packs and requests are counted whole in each.
    """
    whole = sum(weights)
    found = []
    begin = 0
    for weight in weights:
        amounts = {
            name: getattr(quote, name) * (begin + weight) // whole - getattr(quote, name) * begin // whole
            for name in _AMOUNTS
        }
        size = quote.size_bytes * (begin + weight) // whole - quote.size_bytes * begin // whole
        found.append(MoveQuote(packs=quote.packs, size_bytes=size, requests=quote.requests, **amounts))
        begin += weight
    return found


def recall_nano(tier: TierFacts, stored_bytes: int, size_bytes: int, *, scales: Scales, speed: str) -> int:
    """Return what one recall of a file costs from *tier*, in nano-dollars: requests, retrieval, and who waits."""
    price = scales.prices.price(tier.price_class)
    offered = price.restore or {}
    quick = speed if speed in offered or not offered else "standard"
    dollars = recall_usd(
        scales.prices, tier.price_class, stored_bytes, gets=1, speed=quick,
        warm_days=round(scales.terms.warm_days) if offered else 0,
    )  # fmt: skip
    waits = scales.terms.stall_usd_gib + (scales.terms.wait_usd_gib if tier.is_archive else 0.0)
    return dollars + int(waits * NANO * size_bytes / GIB_F)


def _objection(
    members: Sequence[Shift], parts: Mapping[int, tuple[MoveQuote, int, int]], scales: Scales
) -> tuple[str, str] | None:
    """Return why a unit does not go: (cause, sentence)."""
    found = [(shift, *parts[shift.facts.recipe_no or 0]) for shift in members]
    quote = sum((part for _, part, _, _ in found), NOTHING)
    moved, kept = sum(goes for _, _, goes, _ in found), sum(stays for _, _, _, stays in found)
    here = scales.tiers[members[0].facts.tier or ""]
    if not moved:
        if here.is_archive:
            return "archived", f"{here.name} is an archive: it would have to be restored before it could move"
        return "packs-stay", (
            f"the {kept:,} packs it needs stay: something warmer needs them as well, or moving them is not repaid in "
            f"{HORIZON_MONTHS} months"
        )
    recalls = sum(_dearer_recalls(shift, part.size_bytes, scales) for shift, part, _, _ in found if shift.must_save)
    gain = (quote.saved_nano_month - recalls) * HORIZON_MONTHS - quote.once_nano
    if gain < 0 or (gain == 0 and quote.once_nano):
        return "no-saving", (
            f"it would save {say_usd(quote.saved_nano_month)} a month, recalls would cost {say_usd(recalls)} more, and "
            f"it takes {say_usd(quote.once_nano)} once ({say_once(quote)}): not repaid in {HORIZON_MONTHS} months"
        )
    holding = hold_nano(scales.prices, scales.homes[here.name], quote.size_bytes)
    if quote.saved_nano_month < members[0].min_gain * holding:
        return "min-gain", (
            f"it saves {say_usd(quote.saved_nano_month)} a month of {say_usd(holding)}, less than the "
            f"{members[0].min_gain:.0%} that a move must"
        )
    return None


def _dearer_recalls(shift: Shift, stored_bytes: int, scales: Scales) -> int:
    """Return by how much the expected recalls of a month are dearer on the target."""
    facts = shift.facts
    here = scales.tiers[facts.tier or ""]
    there = scales.tiers[shift.target]
    size = facts.size_bytes
    dearer = recall_nano(there, stored_bytes, size, scales=scales, speed=shift.speed)
    dearer -= recall_nano(here, stored_bytes, size, scales=scales, speed=shift.speed)
    return int(reads_month(facts, scales.now_ns) * dearer)


def _action(shift: Shift, parts: Mapping[int, tuple[MoveQuote, int, int]], scales: Scales) -> Action:
    facts = shift.facts
    quote, moved, kept = parts[facts.recipe_no or 0]
    recalls = _dearer_recalls(shift, quote.size_bytes, scales)
    stays = f", {kept:,} stay for what else needs them" if kept else ""
    goes = f"{say_bytes(quote.size_bytes)} in {moved:,} packs go from {facts.tier} to {shift.target}{stays}"
    said = (
        f"{shift.said} -> {goes}: {say_usd(quote.saved_nano_month)} a month saved, "
        f"recalls expected to cost {say_usd(recalls)} more, "
        f"{say_usd(quote.once_nano)} once ({say_once(quote)}), {say_repaid(quote)}"
    )
    return Action(
        kind=ActionKind.MOVE, root=facts.root, dir=facts.dir, name=facts.name, identity=facts.identity,
        residency=facts.residency, target=shift.target, source=facts.tier or "", rule=shift.rule, reason=said,
        saved_nano_month=quote.saved_nano_month, once_nano=quote.once_nano, quote=quote,
    )  # fmt: skip


def refusal(shift: Shift, cause: str, sentence: str) -> Refusal:
    """Return that *shift* is left alone, and why."""
    facts = shift.facts
    return Refusal(
        root=facts.root, dir=facts.dir, name=facts.name, size_bytes=facts.size_bytes, target=shift.target,
        rule=shift.rule, cause=cause, reason=f"{sentence} ({shift.said})",
    )  # fmt: skip
