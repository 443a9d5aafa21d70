"""Holds restores to what the operator allows them to cost.

Used by tickets, in the transaction that opens one: what was booked for restores in the last day and month, and what is
asked for now, must stay within recall.budget_usd_per_day and recall.budget_usd_per_month.
"""

from collections.abc import Iterator, Mapping

from policies.amounts import NANO, say_bytes, say_usd
from policies.prices import MONTH_HOURS
from tiering.catalog import accruals
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_DAY
from tiering.errors import OverBudget
from tiering.jobs.context import Context
from tiering.jobs.restore_cost import BOOK_KIND, HOUR_NS, Quote


def check_budget(ctx: Context, tx: Tx, asked: Quote, offers: Mapping[str, Quote]) -> None:
    """Raise OverBudget, naming what every speed would cost, if *asked* would exceed a budget."""
    if not asked.usd_nano:
        return
    for period, budget_nano, since_ns in _budgets(ctx, tx.now_ns):
        spent_nano = accruals.spent(tx, BOOK_KIND, since_ns=since_ns)
        if spent_nano + asked.usd_nano <= budget_nano:
            continue
        options = "; ".join(f"{speed} {say_usd(offer.usd_nano)}, {offer.hours:g} h" for speed, offer in offers.items())
        raise OverBudget(
            f"recalling {asked.objects} packs, {say_bytes(asked.bytes)}, would cost {say_usd(asked.usd_nano)}: with "
            f"the {say_usd(spent_nano)} of the last {period} that is more than the budget of {say_usd(budget_nano)}",
            now=f"nothing was asked for; by speed it is {options}",
            hint=f"choose a slower speed, recall less, or raise recall.budget_usd_per_{period}",
        )


def _budgets(ctx: Context, now_ns: int) -> Iterator[tuple[str, int, int]]:
    """Yield (period, nano-dollars, since when) of the budgets there are."""
    recall = ctx.config.recall
    if recall.budget_usd_per_day is not None:
        yield "day", round(recall.budget_usd_per_day * NANO), now_ns - NS_PER_DAY
    if recall.budget_usd_per_month is not None:
        yield "month", round(recall.budget_usd_per_month * NANO), now_ns - MONTH_HOURS * HOUR_NS
