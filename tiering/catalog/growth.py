"""What the books say day by day (UTC): hot bytes at the end of each, dollars spent in each. Used by forecasts."""

from sqlalchemy import func, select

from tiering.catalog import ledger
from tiering.catalog.accounts import BOOKS, FILES_DUAL, FILES_HOT_ONLY, PAYABLE
from tiering.catalog.tables import ledger_entries, ledger_lines
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_DAY

HOT = (FILES_HOT_ONLY, FILES_DUAL)
COSTS = tuple(sorted(BOOKS["cost"][1] - {PAYABLE}))


def hot_bytes(tx: Tx, *, days: int) -> list[tuple[int, float]]:
    """Return (day, hot bytes at its end or by now) of the last *days* days, as far as the books go, ascending."""
    today = tx.now_ns // NS_PER_DAY
    moved = dict(_by_day(tx, HOT, since_ns=(today - days + 1) * NS_PER_DAY, only_tier=""))
    balances = ledger.all_balances(tx)
    held = sum(balances.get((account, ""), 0) for account in HOT)
    first = _first_day(tx)
    series: list[tuple[int, float]] = []
    for day in range(today, max(today - days, (today if first is None else first) - 1), -1):
        series.append((day, float(held)))
        held -= moved.get(day, 0)
    return series[::-1]


def paid_nano(tx: Tx, *, days: int) -> list[tuple[int, float]]:
    """Return (day, nano-dollars to the provider) of the last whole *days* days, the hot tier's own cost left out.

    The day on which the books began is no whole one and is left out too.
    """
    today = tx.now_ns // NS_PER_DAY
    spent = dict(_by_day(tx, COSTS, since_ns=(today - days) * NS_PER_DAY, but_tier="hot"))
    first = _first_day(tx)
    if first is None:
        return []
    return [(day, float(spent.get(day, 0))) for day in range(max(first + 1, today - days), today)]


def _first_day(tx: Tx) -> int | None:
    found = tx.conn.execute(select(func.min(ledger_entries.c.at_ns))).scalar_one_or_none()
    return None if found is None else int(found) // NS_PER_DAY


def _by_day(
    tx: Tx, accounts: tuple[str, ...], *, since_ns: int, but_tier: str = "-", only_tier: str | None = None
) -> list[tuple[int, int]]:
    day = (ledger_entries.c.at_ns // NS_PER_DAY).label("day")
    query = (
        select(day, func.sum(ledger_lines.c.amount))
        .join(ledger_lines, ledger_lines.c.entry_no == ledger_entries.c.entry_no)
        .where(
            ledger_entries.c.at_ns >= since_ns, ledger_lines.c.account.in_(accounts), ledger_lines.c.tier != but_tier
        )
        .group_by(day)
    )
    if only_tier is not None:  # objects of buckets are not on the hot tier
        query = query.where(ledger_lines.c.tier == only_tier)
    return [(int(number), int(amount)) for number, amount in tx.conn.execute(query)]
