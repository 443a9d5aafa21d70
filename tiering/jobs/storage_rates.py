"""What an hour of what is held costs, exactly: per tier, and what it would be had everything stayed hot.

Used by tiering.jobs.storage_hours. Rates are integers of 1/UNIT nano-dollar (policies.cost), never rounded here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from policies.cooling import ArchiveDays, CoolingStep, monitoring_rate, step_rate, steps
from policies.cost import rate
from policies.prices import PriceBook
from policies.values import HOT
from tiering.catalog import accounts
from tiering.catalog.accruals import Cooling, Held, Standing, Steps, Stock
from tiering.config import Config
from tiering.jobs.price_class import price_class_of

REALISED = "realised"
AVOIDED = "avoided"
"""Tiers of the baseline account: whether the hot tier's price comes off a bill when bytes go (P6)."""

Cooled = dict[tuple[str, str], Steps]
"""(tier, storage class) -> what is on each step, of classes that cool by themselves."""


@dataclass(slots=True)
class State:
    """What is held at a moment."""

    held: Held = field(default_factory=Held)
    stock: Stock = field(default_factory=dict)
    cooled: Cooled = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one hour, in 1/UNIT nano-dollars."""

    tiers: Mapping[str, int]
    """By tier, the hot one among them."""
    baseline: int
    """Every logical byte on the hot tier."""
    facts: str
    """What they follow from, for the entry's reason."""


def ladder(config: Config, book: PriceBook, tier: str, storage_class: str) -> tuple[CoolingStep, ...]:
    """Return the access tiers that packs of *storage_class* go down in *tier*; empty where they do not."""
    name = price_class_of(config, tier, storage_class)
    if name not in book.classes or not book.price(name).access_tiers:
        return ()
    configured = config.tiers[tier]
    days = ArchiveDays(configured.archive_access_days, configured.deep_archive_access_days)
    return steps(book.price(name), days)


def coolings(config: Config, book: PriceBook) -> Iterator[Cooling]:
    """Yield what cools by itself: of each tier, the classes of the book that do."""
    for tier in config.tiers:
        for name, price in book.classes.items():
            found = ladder(config, book, tier, name) if price_class_of(config, tier, name) == name else ()
            if found:
                yield Cooling(tier, name, price.monitor_min_bytes, tuple(step.after_ns for step in found))


def rates(config: Config, book: PriceBook, state: State) -> Rates:
    """Return what an hour in *state* costs.

    Cold tiers are priced by class (or the operator's own price); a pack's metadata stands in the metadata tier's class.
    Packs that are still of another class than their tier's are priced as what they are.
    """
    held = state.held
    hot = config.hot.nano_per_gib_month
    hot_bytes = held[accounts.FILES_HOT_ONLY, ""] + held[accounts.FILES_DUAL, ""]
    logical_bytes = -held[accounts.FILES_LOGICAL, ""]
    found = {HOT: hot * max(0, hot_bytes)}
    facts = [f"{HOT} {hot_bytes} of {logical_bytes} bytes"]
    for tier in config.tiers:
        data = held[accounts.BUCKET_LIVE, tier] + held[accounts.BUCKET_DEAD, tier]
        metadata = held[accounts.BUCKET_METADATA, tier]
        parts = [*_by_class(config, tier, data, state.stock), (config.metadata.storage_class, metadata, Standing())]
        said: list[str] = []
        found[tier] = sum(_part(config, book, state, part=(tier, *part), said=said) for part in parts)
        count = sum(standing.objects for _, _, standing in parts)
        facts.append("; ".join([f"{tier} {data} bytes in {count} packs, {metadata} of metadata", *said]))
    return Rates(found, hot * max(0, logical_bytes), "; ".join(facts))


def _by_class(config: Config, tier: str, size_bytes: int, stock: Stock) -> Iterator[tuple[str, int, Standing]]:
    """Yield (class, bytes, packs) of a tier that holds *size_bytes*: its own class last, with what the others leave."""
    own = config.tiers[tier].storage_class
    for (name, storage_class), standing in sorted(stock.items()):
        if name == tier and storage_class != own:
            size_bytes -= standing.size_bytes
            yield storage_class, standing.size_bytes, standing
    yield own, size_bytes, stock.get((tier, own), Standing())


_Part = tuple[str, str, int, Standing]
"""(tier, class, bytes, packs)."""


def _part(config: Config, book: PriceBook, state: State, *, part: _Part, said: list[str]) -> int:
    tier, name, size_bytes, standing = part
    own = config.tiers[tier].nano_per_gib_month
    if own is not None:
        return own * max(0, size_bytes)
    cooled = state.cooled.get((tier, name)) if standing.objects else None
    if cooled is not None:
        return _of_cooling(config, book, part, cooled, said)
    price = book.price(price_class_of(config, tier, name))
    billed_bytes = max(0, size_bytes) + max(0, price.min_billed_bytes * standing.small_objects - standing.small_bytes)
    # What is too small to be monitored is not; the overhead of archives is every object's.
    count = standing.objects - (standing.small_objects if price.monitor_min_bytes else 0)
    return rate(book, price.name, billed_bytes, objects=count)


def _of_cooling(config: Config, book: PriceBook, part: _Part, cooled: Steps, said: list[str]) -> int:
    """Return the rate of packs that cool by themselves; bytes that are on no step yet count as on the first."""
    tier, name, size_bytes, standing = part
    price = book.price(name)
    found = ladder(config, book, tier, name)
    below = sum(step_bytes for _, step_bytes in cooled[1:])
    total = monitoring_rate(price, standing.objects - standing.small_objects)
    total += step_rate(book, found[0], max(0, size_bytes - below), 0)
    for step, (objects, step_bytes) in zip(found[1:], cooled[1:], strict=True):
        total += step_rate(book, step, step_bytes, objects)
        if objects:
            said.append(f"of them {step_bytes} in {objects} on {step.name}")
    return total
