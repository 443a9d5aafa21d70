"""What a migration would cost: once, and by the month, before dedup and compression."""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.cost import packed_put_usd
from policies.planner import month_nano
from policies.values import HOT
from tiering.catalog import files
from tiering.catalog.values import FileRow, FileState
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
        for row in _rows(context, items[start : start + BATCH_FILES]):
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


def _rows(context: Context, items: Sequence[MigrateItem]) -> list[FileRow]:
    """Return the rows of those of *items* that are known."""
    rows = [item.seen for item in items if item.seen is not None]
    places: dict[int, list[tuple[bytes, bytes]]] = {}
    for item in items:
        if item.seen is None:
            places.setdefault(item.root_id, []).append((item.dir, item.name))
    for root_id, wanted in places.items():
        with context.catalog.read() as tx:
            rows += files.at_paths(tx, root_id, wanted).values()
    return rows
