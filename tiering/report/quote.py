"""What a migration would cost: once, and by the month. Of files that are not stored yet before dedup and compression;
of those that move between cold tiers by the very packs that would move.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from policies.cost import month_nano, packed_put_usd
from policies.moving import MoveQuote
from policies.values import HOT
from tiering.catalog.totals import StateTotal
from tiering.catalog.values import FileRow
from tiering.config.policy import price_book, tier_facts
from tiering.jobs.context import Context
from tiering.jobs.mover import quote_move


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


def quote(context: Context, tier: str, new: StateTotal, following: Iterable[FileRow]) -> Quote:
    """Return the price of storing *new* files on *tier*, and of moving the copies of *following* (see can_follow)
    there, by the price book in force. Reads the catalog alone.
    """
    facts = {known.name: known for known in tier_facts(context.config)}
    book = price_book(context.config)
    pack_bytes = context.config.chunking.pack_bytes
    moved_files, moves = quote_move(context, following, tier)
    return Quote(
        tier=tier,
        files=new.files,
        size_bytes=new.size_bytes,
        once_nano=packed_put_usd(book, facts[tier].price_class, new.size_bytes, pack_bytes=pack_bytes),
        hot_nano_month=month_nano(facts[HOT], new.size_bytes, book),
        cold_nano_month=month_nano(facts[tier], new.size_bytes, book),
        moved_files=moved_files,
        moves=moves,
    )
