"""Holds the policy to its word: what plans promised, beside what the books say happened, month by month (UTC).

promise() books what a carried-out plan said it would save, under the plan's time; evaluate() books one entry for every
whole month that has passed. Both kinds of entry have no lines: they move nothing, and stand in the hash chain with
everything else. Called by cycle. Running twice books nothing twice.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from policies.amounts import say_usd
from policies.plan import Plan
from policies.prices import MONTH_HOURS
from tiering.catalog import accounts, accruals, ledger
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_S
from tiering.jobs.context import Context

PROMISE, EVALUATION = "promise", "evaluation"
MONTH_NS = MONTH_HOURS * 3600 * NS_PER_S
_COSTS = accounts.BOOKS["cost"][1] - {accounts.PAYABLE}


def promise(ctx: Context, plan: Plan) -> None:
    """Book what *plan* promises, before it is carried out; nothing for a plan without actions."""
    totals = plan.totals
    if not plan.actions:
        return
    reason = (
        f"saved_nano_month={totals.saved_nano_month} once_nano={totals.once_nano} "
        f"files={totals.migrate_files + totals.premigrate_files + totals.release_files}: a plan promises to save "
        f"{say_usd(totals.saved_nano_month)} a month for {say_usd(totals.once_nano)} once, before dedup and compression"
    )
    entry = ledger.Entry(
        op_id=f"promise:{plan.made_ns}", kind=PROMISE, reason=reason, lines=(), price_book=plan.price_book
    )
    with ctx.catalog.write() as tx:
        ledger.post(tx, entry)


def evaluate(ctx: Context) -> int:
    """Book the evaluation of every whole month since the books began that has none; return how many were booked."""
    booked = 0
    with ctx.catalog.write() as tx:
        begun_ns = accruals.first_entry_ns(tx)
        accrued_ns = accruals.accrued_until_ns(tx)
        if begun_ns is None or accrued_ns is None:
            return 0
        for start, end in _months(begun_ns, min(accrued_ns, tx.now_ns)):
            op_id = f"evaluation:{start:%Y-%m}"
            if ledger.is_booked(tx, op_id):
                continue
            entry = ledger.Entry(op_id=op_id, kind=EVALUATION, reason=_judged(tx, start, end), lines=())
            ledger.post(tx, entry)
            booked += 1
    return booked


def _judged(tx: Tx, start: datetime, end: datetime) -> str:
    """Return what was promised for a month, what happened, and the month before beside it."""
    saving, once = _promised(tx, start, end)
    baseline, cost = _happened(tx, start, end)
    _, before = _happened(tx, (start - timedelta(days=1)).replace(day=1), start)
    saved, net = baseline - cost, saving - once
    kept = f"{saved / net:.0%} of it" if net > 0 else "nothing was promised"
    return (
        f"promised_nano={net} saved_nano={saved} cost_nano={cost} cost_before_nano={before}: for {start:%B %Y} plans "
        f"promised {say_usd(net)} ({say_usd(saving)} less {say_usd(once)} once); all hot would have cost "
        f"{say_usd(baseline)}, it cost {say_usd(cost)}: saved {say_usd(saved)}, {kept}; the month before cost "
        f"{say_usd(before)}"
    )


def _promised(tx: Tx, start: datetime, end: datetime) -> tuple[int, int]:
    """Return (saving, cost once) in nano-dollars that plans promised for a month: savings count from their plan on."""
    saving = once = 0
    end_ns = _ns(end)
    for entry in ledger.entries(tx, until_ns=end_ns):
        if entry.kind != PROMISE:
            continue
        words = dict(word.split("=") for word in entry.reason.partition(":")[0].split())
        in_force_ns = end_ns - max(entry.at_ns, _ns(start))
        saving += int(words["saved_nano_month"]) * in_force_ns // MONTH_NS
        once += int(words["once_nano"]) if entry.at_ns >= _ns(start) else 0
    return saving, once


def _happened(tx: Tx, start: datetime, end: datetime) -> tuple[int, int]:
    """Return (baseline, everything that was paid) of a month in nano-dollars.

    An hour of storage is booked at its end, so that the last hour of a month stands at the next one's first moment.
    """
    dollars = accruals.dollars(tx, since_ns=_ns(start) + 1, until_ns=_ns(end) + 1)
    baseline = sum(nano for (account, _), nano in dollars.items() if account == accounts.BASELINE_STORAGE)
    return baseline, sum(nano for (account, _), nano in dollars.items() if account in _COSTS)


def _months(begun_ns: int, until_ns: int) -> Iterator[tuple[datetime, datetime]]:
    """Yield (start, end) of the months that ended by *until_ns*, from the one the books began in."""
    start = datetime.fromtimestamp(begun_ns // NS_PER_S, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while True:
        end = (start + timedelta(days=32)).replace(day=1)
        if _ns(end) > until_ns:
            return
        yield start, end
        start = end


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NS_PER_S
