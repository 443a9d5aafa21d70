"""What accrual asks of the ledger: how far it has come, and which byte lines came when."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from tiering.catalog.accounts import BYTE
from tiering.catalog.tables import ledger_entries, ledger_lines, meta
from tiering.catalog.transaction import Tx

KIND = "accrue"
_THROUGH = "accrued_through"


def accrued_through(tx: Tx) -> int | None:
    """Return the last hour booked (hours since the epoch), None before the first. After a rebuild the ledger
    knows.
    """
    kept = tx.conn.execute(select(meta.c.value).where(meta.c.key == _THROUGH)).scalar()
    if kept is not None:
        return int(kept)
    query = select(ledger_entries.c.op_id).where(ledger_entries.c.kind == KIND)
    newest = tx.conn.execute(query.order_by(ledger_entries.c.entry_no.desc()).limit(1)).scalar()
    if newest is None:
        return None
    stamp = datetime.strptime(str(newest).rpartition(":")[2], "%Y-%m-%dT%H").replace(tzinfo=UTC)
    return int(stamp.timestamp()) // 3600


def set_accrued_through(tx: Tx, hour: int) -> None:
    """Note the last hour booked."""
    dialect = sqlite if tx.is_sqlite else postgresql
    statement = dialect.insert(meta).values(key=_THROUGH, value=str(hour))
    tx.conn.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": str(hour)}))


def began_ns(tx: Tx) -> int | None:
    """Return the time of the ledger's first entry."""
    found = tx.conn.execute(select(func.min(ledger_entries.c.at_ns))).scalar()
    return None if found is None else int(found)


def byte_lines_since(tx: Tx, since_ns: int) -> Iterator[tuple[int, str, str, int]]:
    """Yield (at_ns, account, tier, amount) of the byte lines of entries at or after that time, oldest first."""
    query = (
        select(ledger_entries.c.at_ns, ledger_lines.c.account, ledger_lines.c.tier, ledger_lines.c.amount)
        .join(ledger_entries, ledger_entries.c.entry_no == ledger_lines.c.entry_no)
        .where(ledger_entries.c.at_ns >= since_ns, ledger_lines.c.unit == BYTE)
        .order_by(ledger_entries.c.at_ns, ledger_entries.c.entry_no, ledger_lines.c.line_no)
    )
    for row in tx.conn.execute(query):
        yield row.at_ns, row.account, row.tier, row.amount


def dollars(tx: Tx, *, since_ns: int = 0, until_ns: int | None = None) -> dict[tuple[str, str], int]:
    """Return (account, tier) -> nano-dollars booked in entries with since <= at_ns < until."""
    query = (
        select(ledger_lines.c.account, ledger_lines.c.tier, func.sum(ledger_lines.c.amount))
        .join(ledger_entries, ledger_entries.c.entry_no == ledger_lines.c.entry_no)
        .where(ledger_entries.c.at_ns >= since_ns, ledger_lines.c.unit != BYTE)
        .group_by(ledger_lines.c.account, ledger_lines.c.tier)
    )
    if until_ns is not None:
        query = query.where(ledger_entries.c.at_ns < until_ns)
    return {(account, tier): int(amount) for account, tier, amount in tx.conn.execute(query)}


def hot_cost(tx: Tx, *, flag: str, since_ns: int = 0, until_ns: int | None = None) -> int:
    """Return what the hot tier cost, in nano-dollars, in the entries whose baseline carries *flag*."""
    lines, marks = ledger_lines, ledger_lines.alias("marks")
    query = (
        select(func.coalesce(func.sum(lines.c.amount), 0))
        .join(ledger_entries, ledger_entries.c.entry_no == lines.c.entry_no)
        .join(marks, marks.c.entry_no == lines.c.entry_no)
        .where(
            ledger_entries.c.at_ns >= since_ns,
            lines.c.account == "cost.storage",
            lines.c.tier == "hot",
            marks.c.account == "baseline.storage",
            marks.c.tier == flag,
        )
    )
    if until_ns is not None:
        query = query.where(ledger_entries.c.at_ns < until_ns)
    return int(tx.conn.execute(query).scalar_one())
