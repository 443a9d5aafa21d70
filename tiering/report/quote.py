"""What a migration would cost: once, and by the month. Of files that are not stored yet before dedup and compression;
of those that move between cold tiers by the very packs that would move.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.cost import packed_put_usd
from policies.moving import MoveQuote
from policies.planner import month_nano
from policies.values import HOT
from tiering.catalog import files
from tiering.catalog.values import FileRow, FileState
from tiering.config.policy import price_book, tier_facts
from tiering.jobs.context import Context
from tiering.jobs.migrate import MigrateItem
from tiering.jobs.mover import can_follow, quote_move

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
    moved_files: int
    """Stored on a warmer tier: their copies would move, nothing of them is read here."""
    moves: MoveQuote
    """What moves of those; packs that something warmer needs, or that do not pay, stay."""


def quote(context: Context, items: Sequence[MigrateItem], tier: str) -> Quote:
    """Return the price of storing *items* on *tier* by the price book in force. Reads the catalog alone."""
    count = size = 0
    following: list[int] = []
    for start in range(0, len(items), BATCH_FILES):
        for row in _rows(context, items[start : start + BATCH_FILES]):
            if can_follow(context, row, tier):
                following.append(row.file_id)
            elif not (row.state is FileState.DUAL and row.tier == tier):
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
        moved_files=len(following),
        moves=quote_move(context, following, tier) if following else MoveQuote(),
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
