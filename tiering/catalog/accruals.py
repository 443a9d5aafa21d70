"""What accrual asks of the ledger: bytes held at a moment, and how far it has come. Used by tiering.jobs.accrue.

Balances are summed from entries by their time, so that hours missed while nothing ran can be booked later, and an
auditor can recompute each of them from the ledger alone.
"""

from collections import Counter

from sqlalchemy import func, select

from tiering.catalog.accounts import BYTE
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
