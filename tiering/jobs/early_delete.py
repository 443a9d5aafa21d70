"""Books what the provider bills for objects that leave before their class's minimum stay: deleted, or moved."""

from collections.abc import Sequence

from policies.cost import early_delete_usd
from tiering.catalog import accounts, ledger
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.accounts import Amounts
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackRow
from tiering.clock import NS_PER_S
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context
from tiering.jobs.restore_cost import take_back_copy

_HOUR_NS = 3600 * NS_PER_S


def charge_early_deletion(ctx: Context, tx: Tx, gone: Sequence[PackRow]) -> int:
    """Book the rest of the minimum stay of each pack, in the transaction that books its deletion, and the rest of its
    readable copy back; return nano-dollars of the first.

    One entry per pack that costs anything, under its number: a deletion that is booked again is not billed again.
    """
    copies = ticket_rows.restores_of(tx, [row.pack_no for row in gone])
    total = 0
    for row in gone:
        if row.tier not in ctx.tiers:
            continue
        total += charge_early_stay(ctx, tx, row, reason="deleted")
        if row.pack_no in copies:
            take_back_copy(ctx, tx, row, copies[row.pack_no])
    return total


def charge_early_stay(ctx: Context, tx: Tx, row: PackRow, *, reason: str) -> int:
    """Book the rest of the minimum stay of a pack that leaves its class now; return nano-dollars."""
    book = price_book(ctx.config)
    held_hours = max(0, (tx.now_ns - row.created_ns) // _HOUR_NS)
    cost = early_delete_usd(book, price_class(ctx, row.tier, row.storage_class), row.size, held_hours=held_hours)
    if not cost:
        return 0
    amounts = Amounts()
    amounts.add(accounts.COST_EARLY_DELETE, cost, row.tier)
    amounts.add(accounts.PAYABLE, -cost)
    entry = ledger.Entry(
        op_id=f"early:{row.key}" if reason == "deleted" else f"early:{row.key}:{row.storage_class}",
        kind="early_delete",
        reason=f"{row.size} bytes of {row.storage_class} {reason} after {held_hours} h",
        lines=amounts.lines(),
        price_book=book.book_id,
    )
    ledger.post(tx, entry)
    return cost
