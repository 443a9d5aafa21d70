"""What moving things has taken since a moment, from the books: what budgets are held against. Used by plan."""

from sqlalchemy import func, select

from tiering.catalog.accounts import COST_EARLY_DELETE, COST_REQUESTS, COST_RETRIEVAL, COST_TRANSITION, FILES_DUAL
from tiering.catalog.tables import ledger_entries, ledger_lines, packs
from tiering.catalog.transaction import Tx

MOVING = (COST_REQUESTS, COST_TRANSITION, COST_RETRIEVAL, COST_EARLY_DELETE)
"""Accounts of what happens once; storage is not spent by moving."""


def once_nano(tx: Tx, *, since_ns: int, tier: str = "") -> int:
    """Return the nano-dollars of requests, transitions, retrieval and early deletion since then, of one tier or all."""
    return _sum(tx, MOVING, since_ns=since_ns, tier=tier)


def copied_bytes(tx: Tx, *, since_ns: int) -> int:
    """Return the bytes of files that were given a stored copy since then."""
    return _sum(tx, (FILES_DUAL,), since_ns=since_ns, kind="migrate")


def objects_written(tx: Tx, *, since_ns: int) -> int:
    """Return how many packs were written since then."""
    query = select(func.count()).select_from(packs).where(packs.c.created_ns >= since_ns)
    return int(tx.conn.execute(query).scalar_one())


def _sum(tx: Tx, accounts: tuple[str, ...], *, since_ns: int, kind: str = "", tier: str = "") -> int:
    query = (
        select(func.coalesce(func.sum(ledger_lines.c.amount), 0))
        .join(ledger_entries, ledger_entries.c.entry_no == ledger_lines.c.entry_no)
        .where(ledger_entries.c.at_ns >= since_ns, ledger_lines.c.account.in_(accounts))
    )
    if kind:
        query = query.where(ledger_entries.c.kind == kind)
    if tier:
        query = query.where(ledger_lines.c.tier == tier)
    return int(tx.conn.execute(query).scalar_one())
