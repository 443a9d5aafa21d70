"""What a plan's bytes draw where they are and where they would be: kWh and grams of CO2 equivalent a month.

Estimates, all of them (the price book says whose): no provider publishes what a class draws. Bytes are those of the
plan, before dedup and compression where they are not stored yet.
"""

from collections.abc import Iterable, Mapping

from policies.plan import Action, ActionKind, EnergyReport
from policies.prices import Energy, PriceBook
from policies.values import HOT, TierFacts

OWN_DISK = "nvme"
"""What a hot tier is taken for whose price is no rented disk's."""
_TIB = 2**40

Flows = Mapping[tuple[str, str], int]
"""(tier that bytes leave, tier that they come to; "" for none) -> bytes."""


def flows_of(actions: Iterable[Action]) -> dict[tuple[str, str], int]:
    """Return how the bytes of *actions* would flow. A copy ahead leaves nothing, a release comes to nothing new."""
    found: dict[tuple[str, str], int] = {}
    for action in actions:
        if action.kind is ActionKind.MOVE:
            flow, size = (action.source, action.target), action.quote.size_bytes
        else:
            leaves = "" if action.kind is ActionKind.PREMIGRATE else HOT
            comes = "" if action.kind is ActionKind.RELEASE else action.target
            flow, size = (leaves, comes), action.size_bytes
        found[flow] = found.get(flow, 0) + size
    return found


def energy_report(book: PriceBook, tiers: Mapping[str, TierFacts], flows: Flows) -> EnergyReport:
    """Return what the bytes of *flows* draw before and after."""
    energy = book.energy
    before = sum(_kwh(energy, _place(book, tiers, tier), size) for (tier, _), size in flows.items() if tier)
    after = sum(_kwh(energy, _place(book, tiers, tier), size) for (_, tier), size in flows.items() if tier)
    return EnergyReport(
        kwh_before=before,
        kwh_after=after,
        gco2e_before=before * energy.grid_gco2e_per_kwh,
        gco2e_after=after * energy.grid_gco2e_per_kwh,
        source=f"{energy.source} ({energy.as_of})",
    )


def _kwh(energy: Energy, place: str, size_bytes: int) -> float:
    return energy.kwh_per_tib_month.get(place, 0.0) * size_bytes / _TIB


def _place(book: PriceBook, tiers: Mapping[str, TierFacts], tier: str) -> str:
    """Return the book's name of what holds a tier: the class, or the rented disk of the hot tier's price."""
    facts = tiers.get(tier)
    if facts is None or facts.name != HOT:
        return "" if facts is None else facts.price_class
    rented = (name for name, nano in sorted(book.hot.items()) if nano == facts.nano_per_gib_month)
    return next(rented, OWN_DISK)
