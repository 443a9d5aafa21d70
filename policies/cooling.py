"""What a class that cools by itself (INTELLIGENT_TIERING) costs: the steps an unread object goes down, and their rates.

Pure. Used by whoever books storage (tiering.jobs.accrue) and by the simulated provider that the books are held against.
Amounts are exact: integers of 1/UNIT nano-dollar (policies.cost), so that hours add up without rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.amounts import GIB
from policies.prices import ClassPrice, PriceBook
from policies.values import NS_PER_DAY

ARCHIVED_INDEX_BYTES = 32 * 1024
"""Billed on top for each object in an archive access tier, at that tier's price; and, at STANDARD's, its name:"""
ARCHIVED_NAME_BYTES = 8 * 1024  # aws.amazon.com/s3/pricing, footnote on the archive access tiers


@dataclass(frozen=True, slots=True)
class CoolingStep:
    """One access tier as it is for a bucket: from an idle age on, at a price."""

    name: str
    after_ns: int
    nano_per_gib: int
    is_archived: bool = False
    """Must be restored before it is read."""


@dataclass(frozen=True, slots=True)
class ArchiveDays:
    """After how many idle days a bucket's owner has objects archived; 0: not at all."""

    archive: int = 0
    deep_archive: int = 0


def steps(price: ClassPrice, days: ArchiveDays = ArchiveDays()) -> tuple[CoolingStep, ...]:  # frozen
    """Return the steps of a class, warmest first; empty for one that does not cool by itself.

    A step that another begins at the same age of is left out: archived after 90 days, an object is never in the instant
    archive. Raises ValueError where the book knows no such archive tier, or asks for more days.
    """
    found = [CoolingStep(step.name, step.after_days * NS_PER_DAY, step.nano_per_gib) for step in price.access_tiers]
    for number, wanted in enumerate((days.archive, days.deep_archive)):
        if not wanted:
            continue
        if number >= len(price.archive_tiers) or wanted < price.archive_tiers[number].after_days:
            raise ValueError(f"{price.name} does not archive after {wanted} days")
        tier = price.archive_tiers[number]
        found.append(CoolingStep(tier.name, wanted * NS_PER_DAY, tier.nano_per_gib, is_archived=True))
    found.sort(key=lambda step: step.after_ns)  # stable: of equal ages the colder one comes last
    coldest = {step.after_ns: step for step in found}
    return tuple(coldest.values())


def step_at(ladder: Sequence[CoolingStep], idle_ns: int) -> int:
    """Return the number of the step an object is on that was last read, or written, *idle_ns* ago."""
    return max((number for number, step in enumerate(ladder) if step.after_ns <= idle_ns), default=0)


def step_rate(book: PriceBook, step: CoolingStep, size_bytes: int, objects: int) -> int:
    """Return what objects on a step cost for one hour, in 1/UNIT nano-dollars, without their monitoring."""
    total = step.nano_per_gib * size_bytes
    if step.is_archived:
        total += step.nano_per_gib * ARCHIVED_INDEX_BYTES * objects
        total += book.price("STANDARD").storage[0].nano_per_gib * ARCHIVED_NAME_BYTES * objects
    return total


def monitoring_rate(price: ClassPrice, objects: int) -> int:
    """Return what watching *objects* costs for one hour, in 1/UNIT nano-dollars; small ones are not watched."""
    return price.monitor_nano_per_object_month * objects * GIB
