"""What accrual asks of the ledger: bytes held at a moment, and how far it has come. Used by tiering.jobs.storage_hours.

Balances are summed from entries by their time, so that hours missed while nothing ran can be booked later, and an
auditor can recompute each of them from the ledger alone.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, Select, and_, case, delete, false, func, insert, literal, or_, select
from sqlalchemy.sql.elements import ColumnElement

from tiering.catalog import ledger
from tiering.catalog.accounts import BYTE, PAYABLE, UNIT_OF
from tiering.catalog.tables import ledger_entries, ledger_lines, meta, pack_notes, packs
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackState

KIND = "accrue"
_CARRY = "accrue:carry"
_STANDING = (PackState.LIVE, PackState.DOOMED, PackState.DELETING)

Held = Counter[tuple[str, str]]
"""(account, tier) -> bytes."""


@dataclass(slots=True)
class Standing:
    """Data packs of one tier and class that stand in a store."""

    objects: int = 0
    size_bytes: int = 0
    small_objects: int = 0
    """Of them: smaller than the size that was asked about."""
    small_bytes: int = 0

    def add(self, other: "Standing") -> None:
        """Count *other* in."""
        self.objects += other.objects
        self.size_bytes += other.size_bytes
        self.small_objects += other.small_objects
        self.small_bytes += other.small_bytes


Stock = dict[tuple[str, str], Standing]
"""(tier, storage class) -> what stands there."""


def changes(tx: Tx, *, since_ns: int, until_ns: int) -> list[tuple[int, tuple[str, str], int]]:
    """Return (when, (account, tier), bytes) of the byte lines of entries with since <= at_ns < until, in that order."""
    query = (
        select(ledger_entries.c.at_ns, ledger_lines.c.account, ledger_lines.c.tier, func.sum(ledger_lines.c.amount))
        .join(ledger_entries, ledger_entries.c.entry_no == ledger_lines.c.entry_no)
        .where(ledger_entries.c.at_ns >= since_ns, ledger_entries.c.at_ns < until_ns, ledger_lines.c.unit == BYTE)
        .group_by(ledger_entries.c.at_ns, ledger_lines.c.account, ledger_lines.c.tier)
        .order_by(ledger_entries.c.at_ns)
    )
    return [(at_ns, (account, tier), int(amount)) for at_ns, account, tier, amount in tx.conn.execute(query)]


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


def stock(tx: Tx, *, before_ns: int, small: Mapping[str, int]) -> Stock:
    """Return the data packs of before that time that stand in the stores now; *small* is class -> size, of which
    smaller ones are counted apart.
    """
    is_small = _is_small(small)
    query = (
        select(
            *(packs.c.tier, packs.c.storage_class, func.count(), func.sum(packs.c.size)),
            func.sum(case((is_small, 1), else_=0)),
            func.sum(case((is_small, packs.c.size), else_=0)),
        )
        .where(_stands(), packs.c.created_ns < before_ns)
        .group_by(packs.c.tier, packs.c.storage_class)
    )
    return {(row[0], row[1]): Standing(*(int(number) for number in row[2:])) for row in tx.conn.execute(query)}


def came(tx: Tx, *, since_ns: int, small: Mapping[str, int]) -> list[tuple[int, str, str, Standing]]:
    """Return (when, tier, class, itself) of every data pack that came since then and stands now, in that order."""
    query = (
        select(packs.c.created_ns, packs.c.tier, packs.c.storage_class, packs.c.size, _is_small(small).cast(Integer))
        .where(_stands(), packs.c.created_ns >= since_ns)
        .order_by(packs.c.created_ns)
    )
    return [
        (at_ns, tier, storage_class, Standing(1, int(size), int(is_small), int(size) * int(is_small)))
        for at_ns, tier, storage_class, size, is_small in tx.conn.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Cooling:
    """The packs of one tier that stand in a class which cools by itself."""

    tier: str
    storage_class: str
    min_bytes: int
    """Smaller ones stay where they are."""
    after_ns: tuple[int, ...]
    """Of each step, warmest first: the idle age from which a pack is on it."""


Steps = list[tuple[int, int]]
"""Of each step: (objects, bytes)."""


def cooled(tx: Tx, cooling: Cooling, *, at_ns: int) -> Steps:
    """Return what is on each step at that moment; what came, or was read, since counts as on the first one."""
    steps: Steps = []
    for number, after_ns in enumerate(cooling.after_ns):
        colder_ns = cooling.after_ns[number + 1] if number + 1 < len(cooling.after_ns) else None
        query = _cooling(cooling, func.count(), func.coalesce(func.sum(packs.c.size), 0))
        query = query.where(packs.c.created_ns < at_ns)
        if number:
            query = query.where(at_ns - after_ns > _WARM)
        if colder_ns is not None:
            query = query.where(at_ns - colder_ns <= _WARM)
        count, size_bytes = tx.conn.execute(query).one()
        steps.append((int(count), int(size_bytes)))
    return steps


def coolings(
    tx: Tx, cooling: Cooling, *, since_ns: int, until_ns: int, unit_ns: int
) -> list[tuple[int, int, int, int]]:
    """Return (when, step, objects, bytes) of packs that come to a step with since <= time < until: to the first by
    coming into the class, to others by age. Times are rounded down to *unit_ns*.
    """
    found: list[tuple[int, int, int, int]] = []
    for number, after_ns in enumerate(cooling.after_ns):
        moment = (_WARM + after_ns) if number else packs.c.created_ns
        unit = (moment // unit_ns).label("unit")
        query = _cooling(cooling, unit, func.count(), func.sum(packs.c.size))
        query = query.where(moment >= since_ns, moment < until_ns).group_by(unit)
        found += [(int(at) * unit_ns, number, int(count), int(size)) for at, count, size in tx.conn.execute(query)]
    return sorted(found)


_WARM = case((pack_notes.c.read_ns > packs.c.created_ns, pack_notes.c.read_ns), else_=packs.c.created_ns)


def _cooling(cooling: Cooling, *columns: ColumnElement[Any]) -> Select[Any]:
    joined = packs.outerjoin(pack_notes, pack_notes.c.pack_no == packs.c.pack_no)
    is_there = packs.c.tier == cooling.tier, packs.c.storage_class == cooling.storage_class
    return select(*columns).select_from(joined).where(_stands(), *is_there, packs.c.size >= cooling.min_bytes)


def carried(tx: Tx) -> dict[str, int]:
    """Return what accrual has not booked yet because it is less than a nano-dollar, by whom it is owed for."""
    text = tx.conn.execute(select(meta.c.value).where(meta.c.key == _CARRY)).scalar()
    return dict(json.loads(text)) if text else {}


def carry(tx: Tx, rests: Mapping[str, int]) -> None:
    """Keep *rests* for the next entry, with this transaction."""
    tx.conn.execute(delete(meta).where(meta.c.key == _CARRY))
    tx.conn.execute(insert(meta), {"key": _CARRY, "value": json.dumps(dict(rests), sort_keys=True)})


def _stands() -> ColumnElement[bool]:
    return and_(packs.c.kind == literal("data"), packs.c.state.in_([str(state) for state in _STANDING]))


def _is_small(small: Mapping[str, int]) -> ColumnElement[bool]:
    each = [and_(packs.c.storage_class == name, packs.c.size < size) for name, size in small.items() if size]
    return or_(false(), *each)


def spent(tx: Tx, kind: str, *, since_ns: int) -> int:
    """Return the nano-dollars that entries of a kind have cost since then."""
    query = (
        select(func.coalesce(func.sum(ledger_lines.c.amount), 0))
        .join(ledger_entries, ledger_entries.c.entry_no == ledger_lines.c.entry_no)
        .where(ledger_entries.c.at_ns >= since_ns, ledger_entries.c.kind == kind, ledger_lines.c.account == PAYABLE)
    )
    return -int(tx.conn.execute(query).scalar_one())


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
