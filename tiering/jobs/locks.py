"""Doomed packs that the store keeps: Object Lock and legal holds. Found out by gc, said by gc and doctor.

Such packs stay doomed, with their bytes on the books, until the lock is over; then gc tries again. Nothing else waits
for them. A legal hold has no end: it is looked at again in each run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.amounts import say_bytes, say_date, say_usd
from policies.cost import accrue_at, hold_usd_month
from policies.prices import MONTH_HOURS
from tiering.catalog import pack_notes, packs
from tiering.catalog.values import PackRow
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context
from tiering.stores.base import FOREVER_NS, ObjectInfo


@dataclass(frozen=True, slots=True)
class Locked:
    """What gc would delete and may not."""

    packs: int
    size_bytes: int
    first_ns: int
    """When the first of them may go."""
    last_ns: int
    nano_month: int
    """What they cost each month."""

    def sentence(self) -> str:
        """Return what an operator wants to know of it."""
        ends = f"on {say_date(self.first_ns)}"
        if self.first_ns == FOREVER_NS:
            ends = "when their legal hold is lifted"
        elif self.last_ns == FOREVER_NS:
            ends += " or later, some when their legal hold is lifted"
        elif self.last_ns > self.first_ns:
            ends = f"between {say_date(self.first_ns)} and {say_date(self.last_ns)}"
        return (
            f"{self.packs:,} doomed packs, {say_bytes(self.size_bytes)}, are kept by Object Lock and go {ends}: "
            f"{say_usd(self.nano_month)} a month until then. Nothing else waits for them"
        )


def note(ctx: Context, found: Sequence[tuple[PackRow, ObjectInfo]]) -> None:
    """Note the locks of packs that gc found locked, so that they are asked about again when they are over."""
    with ctx.catalog.write() as tx:
        pack_notes.note_locks(tx, {row.pack_no: info.locked_until_ns for row, info in found})


def locked(ctx: Context) -> Locked | None:
    """Return what is kept now, as far as gc has found it out; None for nothing."""
    with ctx.catalog.read() as tx:
        until = pack_notes.locked(tx, at_ns=tx.now_ns)
        rows = list(packs.by_numbers(tx, until).values())
    if not rows:
        return None
    cost = sum(month_nano(ctx, row) for row in rows)
    return Locked(len(rows), sum(row.size for row in rows), min(until.values()), max(until.values()), cost)


def month_nano(ctx: Context, row: PackRow) -> int:
    """Return what a pack costs in a month, as what it is."""
    tier = ctx.config.tiers.get(row.tier)
    if tier is None:
        return 0
    if tier.nano_per_gib_month is not None:
        return accrue_at(tier.nano_per_gib_month, row.size, hours=MONTH_HOURS)
    book = price_book(ctx.config)
    return hold_usd_month(book, price_class(ctx, row.tier, row.storage_class), row.size, objects=1)
