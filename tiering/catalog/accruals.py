"""What accrual asks of the ledger: bytes held at a moment, and how far it has come. Used by tiering.jobs.accrue.

Balances are summed from entries by their time, so that hours missed while nothing ran can be booked later, and an
auditor can recompute each of them from the ledger alone.
"""

from collections import Counter

from sqlalchemy import func, select

from tiering.catalog import ledger
from tiering.catalog.accounts import BYTE, UNIT_OF
from tiering.catalog.tables import ledger_entries, ledger_lines, packs
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackState

KIND = "accrue"
_STANDING = (PackState.LIVE, PackState.DOOMED, PackState.DELETING)

Held = Counter[tuple[str, str]]
"""(account, tier) -> bytes."""


def held(tx: Tx, *, since_ns: int = 0, until_ns: int) -> Held:
    """Return the sums of byte lines of entries with since <= at_ns < until. From 0: balances."""
    query = (
        select(ledger_lines.c.account, ledger_lines.c.tier, func.sum(ledger_lines.c.amount))
        .join(ledger_entries, ledger_entries.c.entry_no == ledger_lines.c.entry_no)
        .where(ledger_entries.c.at_ns >= since_ns, ledger_entries.c.at_ns < until_ns, ledger_lines.c.unit == BYTE)
        .group_by(ledger_lines.c.account, ledger_lines.c.tier)
    )
    return Counter({(account, tier): int(amount) for account, tier, amount in tx.conn.execute(query)})


def held_at(tx: Tx, at_ns: int) -> Held:
    """Return the byte balances as they stood just before that time: today's, less what was booked since.

    Reads only the entries since, however long the ledger is.
    """
    since = (
        select(ledger_lines.c.account, ledger_lines.c.tier, func.sum(ledger_lines.c.amount))
        .join(ledger_entries, ledger_entries.c.entry_no == ledger_lines.c.entry_no)
        .where(ledger_entries.c.at_ns >= at_ns, ledger_lines.c.unit == BYTE)
        .group_by(ledger_lines.c.account, ledger_lines.c.tier)
    )
    found = Counter({key: amount for key, amount in ledger.all_balances(tx).items() if UNIT_OF[key[0]] == BYTE})
    for account, tier, amount in tx.conn.execute(since):
        found[account, tier] -= int(amount)
    return found


def accrued_until_ns(tx: Tx) -> int | None:
    """Return the end of the last period booked; None before the first."""
    query = select(func.max(ledger_entries.c.at_ns)).where(ledger_entries.c.kind == KIND)
    found = tx.conn.execute(query).scalar_one_or_none()
    return None if found is None else int(found)


def first_entry_ns(tx: Tx) -> int | None:
    """Return when the books began; None while they are empty."""
    found = tx.conn.execute(select(func.min(ledger_entries.c.at_ns))).scalar_one_or_none()
    return None if found is None else int(found)


def objects(tx: Tx) -> Counter[tuple[str, str]]:
    """Return how many packs stand in the stores now, by (tier, storage class)."""
    query = (
        select(packs.c.tier, packs.c.storage_class, func.count())
        .where(packs.c.state.in_([str(state) for state in _STANDING]))
        .group_by(packs.c.tier, packs.c.storage_class)
    )
    return Counter({(tier, storage_class): int(number) for tier, storage_class, number in tx.conn.execute(query)})


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
