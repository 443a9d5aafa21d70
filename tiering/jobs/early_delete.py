"""Books what the provider bills for objects that are deleted before their class's minimum stay."""

from collections.abc import Sequence

from policies.cost import early_delete_usd
from tiering.catalog import accounts, ledger
from tiering.catalog.accounts import Amounts
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackRow
from tiering.clock import NS_PER_S
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context

_HOUR_NS = 3600 * NS_PER_S


def charge_early_deletion(ctx: Context, tx: Tx, gone: Sequence[PackRow]) -> int:
    """Book the rest of the minimum stay of each pack, in the transaction that books its deletion; return nano-
    dollars.

    One entry per pack that costs anything, under its number: a deletion that is booked again is not billed again.
    """
    book = price_book(ctx.config)
    total = 0
    for row in gone:
        if row.tier not in ctx.tiers:
            continue
        held_hours = max(0, (tx.now_ns - row.created_ns) // _HOUR_NS)
        cost = early_delete_usd(book, price_class(ctx, row.tier, row.storage_class), row.size, held_hours=held_hours)
        if not cost:
            continue
        amounts = Amounts()
        amounts.add(accounts.COST_EARLY_DELETE, cost, row.tier)
        amounts.add(accounts.PAYABLE, -cost)
        entry = ledger.Entry(
            op_id=f"early:{row.key}",
            kind="early_delete",
            reason=f"{row.size} bytes of {row.storage_class} deleted after {held_hours} h",
            lines=amounts.lines(),
            price_book=book.book_id,
        )
        ledger.post(tx, entry)
        total += cost
    return total
