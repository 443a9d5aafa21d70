"""What would move if some stored files belonged to colder tiers: the packs they need, seen as the mover will see them.

Used by plan, by explain and by the quote of `migrate`; reads the catalog only. policies.shifts decides on what is seen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from policies.offers import Terms
from policies.plan import Refusal
from policies.prices import PriceBook
from policies.shifts import Part, Scales, Settled, Shift, Sight, refusal, settle
from policies.values import FileFacts, FileIdentity, Residency, TierFacts
from tiering.catalog import foreseen, packs
from tiering.catalog.values import FileRow, PackRow
from tiering.jobs.context import Context
from tiering.jobs.deciding import policy_of
from tiering.jobs.pack_plans import homes, standing

NOBODY = 1 << 30
"""A rank colder than all: nobody who stays needs it."""


def scales(ctx: Context, tiers: Mapping[str, TierFacts], prices: PriceBook, terms: Terms) -> Scales:
    """Return what moves are weighed with now."""
    return Scales(
        tiers={name: tier for name, tier in tiers.items() if name in ctx.tiers},
        homes=homes(ctx),
        prices=prices,
        terms=terms,
        now_ns=ctx.clock.now_ns(),
        pack_bytes=ctx.config.chunking.pack_bytes,
    )


def settled(ctx: Context, wanted: Sequence[Shift], weighed: Scales) -> tuple[Settled, list[Sight]]:
    """Return who of *wanted* goes, and the packs that were looked at for it."""
    free, held = _unless_shared(ctx, wanted)
    seen = sights(ctx, free, weighed)
    found = settle(free, seen, weighed)
    found.refused += held
    return found, seen


def as_planned(ctx: Context, wanted: Sequence[Shift], planned: Mapping[int, str]) -> Settled:
    """Return who of *wanted* goes if only what was *planned* of packs (number -> what becomes of it) may happen.

    Units that need a pack of which something else would become now stay, and with them whoever cannot go without them.
    """
    policy = policy_of(ctx)
    weighed = scales(ctx, policy.tiers, policy.prices, policy.terms)
    found, seen = settled(ctx, wanted, weighed)
    refused: list[Refusal] = []
    while True:
        refused += found.refused
        others = {number for number, decision in found.packs.items() if planned.get(number) != decision.way}
        if not others:
            return replace(found, refused=refused)
        needs = {number for sight in seen if sight.pack_no in others for number in sight.weights}
        going = {action.place for action in found.actions}
        left = [shift for shift in wanted if shift.place in going]
        held = {shift.unit for shift in left if shift.facts.recipe_no in needs}
        said = (
            "a file that was to move with it does not, and its packs would have to be dealt with otherwise than planned"
        )
        refused += [refusal(shift, "drifted", said) for shift in left if shift.unit in held]
        found = settle([shift for shift in left if shift.unit not in held], seen, weighed)


def shift_of(ctx: Context, row: FileRow, tier: str, *, rule: str = "") -> Shift:
    """Return that a stored file is to be on *tier*, whoever says so."""
    facts = FileFacts(
        root=ctx.root(row.root_id).name, dir=row.dir, name=row.name, mode=row.mode, uid=row.uid,
        identity=FileIdentity(row.dev, row.ino, row.size, row.mtime_ns, row.ctime_ns),
        residency=Residency(str(row.state)), tier=row.tier, recipe_no=row.recipe_no,
        last_access_ns=row.last_access_ns, first_seen_ns=row.first_seen_ns,
    )  # fmt: skip
    return Shift(facts=facts, target=tier, rule=rule, said=rule, speed=ctx.config.recall.speed, min_gain=0.0)


def sights(ctx: Context, wanted: Iterable[Shift], weighed: Scales) -> list[Sight]:
    """Return every live pack that a version to be shifted needs, with who else needs what of it."""
    going = {shift.facts.recipe_no for shift in wanted if shift.facts.recipe_no is not None}
    ranks = {name: tier.rank for name, tier in weighed.tiers.items()}
    with ctx.catalog.read() as tx:
        numbers = foreseen.packs_of(tx, going)
    found: list[Sight] = []
    for start in range(0, len(numbers), foreseen.PACKS):
        some = numbers[start : start + foreseen.PACKS]
        with ctx.catalog.read() as tx:
            rows = packs.by_numbers(tx, some)
            blocks = list(foreseen.needed(tx, some))
            others = {number for block in blocks for number in block.recipes} - going
            tiers = foreseen.tiers_of(tx, others)
            leaning = list(foreseen.leaners(tx, some))
        of_block: dict[tuple[int, int], set[tuple[int, int]]] = {}
        for one in leaning:
            held = of_block.setdefault((one.pack_no, one.block_no), set())
            held.add((one.leaner_no, ranks.get(one.tier, 0)))
        seen = _Seen(going, {number: ranks.get(tier, 0) for number, tier in tiers.items()}, of_block)
        by_pack: dict[int, list[foreseen.Needed]] = {}
        for block in blocks:
            by_pack.setdefault(block.pack_no, []).append(block)
        found += [
            _sight(ctx, rows[number], by_pack.get(number, []), seen, weighed) for number in some if number in rows
        ]
    return [sight for sight in found if sight.tier in weighed.tiers]


class _Seen:
    """Who needs and who leans on the blocks of some packs."""

    def __init__(
        self, going: set[int], stays: Mapping[int, int], leaners: Mapping[tuple[int, int], set[tuple[int, int]]]
    ) -> None:
        self.going = going
        self.stays = stays
        self.leaners = leaners


def _sight(ctx: Context, row: PackRow, blocks: Sequence[foreseen.Needed], seen: _Seen, weighed: Scales) -> Sight:
    weights: Counter[int] = Counter()
    parts: Counter[tuple[int, frozenset[int], frozenset[tuple[int, int]]]] = Counter()
    needed = 0
    for block in blocks:
        movers = frozenset(number for number in block.recipes if number in seen.going)
        for number in movers:
            weights[number] += block.recipes[number]
        stays = min((seen.stays.get(number, 0) for number in block.recipes if number not in movers), default=NOBODY)
        leaners = frozenset(seen.leaners.get((block.pack_no, block.block_no), ()))
        parts[stays, movers, leaners] += block.stored_bytes
        needed += block.stored_bytes
    known = {(block.pack_no, block.block_no) for block in blocks}
    for place, leaning in seen.leaners.items():  # of what nothing refers to, and something is coded against
        if place[0] == row.pack_no and place not in known:
            parts[NOBODY, frozenset(), frozenset(leaning)] += 0
    home = weighed.homes.get(row.tier)
    return Sight(
        pack_no=row.pack_no,
        tier=row.tier,
        standing=standing(ctx, row, home or next(iter(weighed.homes.values()))),
        weights=weights,
        parts=tuple(Part(size, *key) for key, size in parts.items()),
        dead_bytes=max(0, row.size - row.framing - needed),
    )


def _unless_shared(ctx: Context, wanted: Sequence[Shift]) -> tuple[list[Shift], list[Refusal]]:
    """Leave out versions that stand at further paths whose rules do not want them colder."""
    asked = Counter(shift.facts.recipe_no for shift in wanted)
    with ctx.catalog.read() as tx:
        paths = foreseen.paths_of(tx, [number for number in asked if number is not None])
    held = {number for number, count in paths.items() if count > asked[number]}
    units = {shift.unit for shift in wanted if shift.facts.recipe_no in held}
    said = "the same stored version stands at another path, which stays"
    return (
        [shift for shift in wanted if shift.unit not in units],
        [refusal(shift, "shared", said) for shift in wanted if shift.unit in units],
    )
