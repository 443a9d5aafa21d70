"""What a migration would cost: once, and by the month, before dedup and compression."""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.cost import packed_put_usd
from policies.planner import month_nano
from policies.values import HOT
from tiering.catalog import files
from tiering.catalog.values import FileState
from tiering.config.policy import price_book, tier_facts
from tiering.jobs.context import Context
from tiering.jobs.migrate import MigrateItem

BATCH_FILES = 1000


@dataclass(frozen=True, slots=True)
class Quote:
    """An upper bound: duplicates and compressible bytes cost less."""

    tier: str
    files: int
    """That would be read and stored; those stored there already are left out."""
    size_bytes: int
    once_nano: int
    hot_nano_month: int
    cold_nano_month: int


def quote(context: Context, items: Sequence[MigrateItem], tier: str) -> Quote:
    """Return the price of storing *items* on *tier* by the price book in force. Reads the catalog alone."""
    count = size = 0
    for start in range(0, len(items), BATCH_FILES):
        batch = items[start : start + BATCH_FILES]
        for root_id in sorted({item.root_id for item in batch}):
            with context.catalog.read() as tx:
                rows = files.at_paths(tx, root_id, [(item.dir, item.name) for item in batch if item.root_id == root_id])
            for row in rows.values():
                if not (row.state is FileState.DUAL and row.tier == tier):
                    count += 1
                    size += row.size
    facts = {known.name: known for known in tier_facts(context.config)}
    book = price_book(context.config)
    pack_bytes = context.config.chunking.pack_bytes
    return Quote(
        tier=tier,
        files=count,
        size_bytes=size,
        once_nano=packed_put_usd(book, facts[tier].price_class, size, pack_bytes=pack_bytes),
        hot_nano_month=month_nano(facts[HOT], size, book),
        cold_nano_month=month_nano(facts[tier], size, book),
    )
