"""Holds restores to what the operator allows them to cost.

Used by tickets, in the transaction that opens one: what was booked for restores in the last day and month, and what is
asked for now, must stay within recall.budget_usd_per_day and recall.budget_usd_per_month.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from policies.amounts import NANO, say_bytes, say_usd
from policies.prices import MONTH_HOURS
from tiering.catalog import accruals
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_DAY
from tiering.errors import OverBudget
from tiering.jobs.context import Context
from tiering.jobs.restore_cost import BOOK_KIND, HOUR_NS, Quote


@dataclass(frozen=True, slots=True)
class Budget:
    """What archive restores may cost in a period that ends now."""

    period: str
    """day (24 h) or month (730 h)."""
    budget_nano: int
    spent_nano: int

    @property
    def usd_nano(self) -> int:
        """What is left of it in nano-dollars, never less than 0."""
        return max(0, self.budget_nano - self.spent_nano)


def check_budget(ctx: Context, tx: Tx, asked: Quote, offers: Mapping[str, Quote]) -> None:
    """Raise OverBudget, naming what every speed would cost, if *asked* would exceed a budget."""
    if not asked.usd_nano:
        return
    for left in budgets(ctx, tx):
        if asked.usd_nano <= left.usd_nano:
            continue
        options = "; ".join(f"{speed} {say_usd(offer.usd_nano)}, {offer.hours:g} h" for speed, offer in offers.items())
        raise OverBudget(
            f"recalling {asked.objects} packs, {say_bytes(asked.bytes)}, would cost {say_usd(asked.usd_nano)}: with "
            f"the {say_usd(left.spent_nano)} of the last {left.period} that is more than the budget of "
            f"{say_usd(left.budget_nano)}",
            now="nothing was asked for" + (f"; by speed it is {options}" if options else ""),
            hint=f"choose a slower speed, recall less, or raise recall.budget_usd_per_{left.period}",
        )


def budgets(ctx: Context, tx: Tx) -> list[Budget]:
    """Return the budgets there are, with what was booked against them."""
    recall = ctx.config.recall
    known = [
        ("day", recall.budget_usd_per_day, NS_PER_DAY),
        ("month", recall.budget_usd_per_month, MONTH_HOURS * HOUR_NS),
    ]
    return [
        Budget(period, round(usd * NANO), accruals.spent(tx, BOOK_KIND, since_ns=tx.now_ns - span_ns))
        for period, usd, span_ns in known
        if usd is not None
    ]
