"""What is to become of each stored pack: facts from the catalog, prices from the book, and policies.moving decides.

Used by the mover and repack before they touch anything, and by quotes. Reads the catalog only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.moving import KEEP, Content, Decision, Home, Standing, decide
from policies.prices import LOCAL
from tiering.catalog import temperature
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.temperature import PAGE, PackHeat
from tiering.catalog.values import PackRow
from tiering.clock import NS_PER_S
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.base import ArchiveStore

HOUR_NS = 3600 * NS_PER_S
READABLE_H = 2
"""A restored copy is used only if it stays for so long: a pack is read and written within minutes."""


@dataclass(frozen=True, slots=True)
class PackPlan:
    """A pack and what is best done with it."""

    heat: PackHeat
    decision: Decision
    is_readable: bool
    """Whether its bytes can be had now; else it has to be restored before anything can be done."""

    @property
    def could_be_better(self) -> bool:
        """Whether something in it is dead, or might stand colder, and it does not pay to do anything about it."""
        return self.decision.way == KEEP and bool(self.heat.dead_bytes or len(self.heat.parts) > 1)


def ranks_of(ctx: Context) -> dict[str, int]:
    """Return tier -> rank."""
    return {name: tier.rank for name, tier in ctx.tiers.items()}


def homes(ctx: Context) -> dict[str, Home]:
    """Return where packs of each tier stand, as the price book sees it."""
    found = {}
    for name, tier in ctx.tiers.items():
        configured = ctx.config.tiers[name]
        where = f"{configured.endpoint_url}|{configured.region}"
        own = price_class(ctx, name)
        copies = isinstance(tier.store, ArchiveStore)
        found[name] = Home(
            price_class=own,
            nano_per_gib=configured.nano_per_gib_month,
            store=f"{where}|{tier.store.url}" if copies else f"{tier.store.url}#{name}",
            region="" if own == LOCAL else where,
        )
    return found


def standing(ctx: Context, row: PackRow, home: Home) -> Standing:
    """Return a pack as it is billed now, in the class that it is of."""
    held_hours = max(0, (ctx.clock.now_ns() - row.created_ns) // HOUR_NS)
    billed = Home(price_class(ctx, row.tier, row.storage_class), home.nano_per_gib, home.store, home.region)
    return Standing(billed, row.size, held_hours)


def plans(ctx: Context, tier: str, *, among: Sequence[int] | None = None) -> Iterator[PackPlan]:
    """Yield every live data pack of *tier* of which anything is needed (of *among*, where given), with what is best
    done. What is only read in between does not count yet.
    """
    places, ranks = homes(ctx), ranks_of(ctx)
    after_no = 0
    while True:
        with ctx.catalog.read() as tx:
            page = temperature.survey(tx, tier, ranks, after_no=after_no, among=among)
            copies = ticket_rows.restores_of(tx, [heat.pack.pack_no for heat in page])
        for heat in page:
            if heat.parts:
                copy = copies.get(heat.pack.pack_no)
                warm_until_ns = copy.warm_until_ns if copy is not None else None
                yield _plan(ctx, heat, places, ranks, warm_until_ns or 0)
        if among is not None or len(page) < PAGE:
            return
        after_no = page[-1].pack.pack_no


def content_of(heat: PackHeat, ranks: Mapping[str, int]) -> Content:
    """Return what a pack holds, in the names of tiers."""
    names = {rank: name for name, rank in ranks.items()}
    coldest = heat.pack.tier if heat.coldest is None else names[heat.coldest]
    parts = {names[rank]: size for rank, size in heat.parts.items()}
    return Content(heat.pack.tier, parts, coldest, heat.dead_bytes)


def _plan(
    ctx: Context, heat: PackHeat, places: Mapping[str, Home], ranks: Mapping[str, int], warm_until_ns: int
) -> PackPlan:
    row = heat.pack
    decision = decide(
        price_book(ctx.config),
        standing(ctx, row, places[row.tier]),
        content_of(heat, ranks),
        places,
        pack_bytes=ctx.config.chunking.pack_bytes,
    )
    is_archived = ctx.tiers[row.tier].capabilities.archives and row.storage_class in ARCHIVE_CLASSES
    is_warm = warm_until_ns > ctx.clock.now_ns() + READABLE_H * HOUR_NS
    return PackPlan(heat, decision, is_warm or not is_archived)
