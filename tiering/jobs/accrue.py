"""accrue: book what storage cost, hour by hour, and what it would have cost on the hot tier alone.

Catching up after downtime gives the same entries as running every hour: amounts come from the balances as they stood
at the end of each hour, recomputed from the ledger's own entries, and an hour booked once is never booked again.
docs/ledger.md has the formulas.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from policies.cost import accrue as class_cost
from policies.cost import accrue_at
from policies.prices import PriceBook
from tiering.catalog import accounts, accruals, ledger, packs
from tiering.catalog.accounts import Amounts
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackState
from tiering.clock import NS_PER_S
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context

HOUR_NS = 3600 * NS_PER_S
HOURS_AT_ONCE = 48  # per transaction: a year of downtime is 180 short ones
HOT = "hot"
REFUNDABLE, FIXED = "refundable", "fixed"
"""Tier of the baseline's lines: whether the hot tier's bytes came off a bill at that time."""

_STANDING = (PackState.LIVE, PackState.DOOMED, PackState.DELETING)

Balances = Mapping[tuple[str, str], int]


def accrue(ctx: Context) -> int:
    """Book every full hour since the last one booked (the first: of the ledger's first entry); return entries
    written.

    Idempotent, and safe beside another process doing the same.
    """
    book = price_book(ctx.config)
    written = 0
    while True:
        with ctx.catalog.write() as tx:
            first = _next_hour(tx)
            last = tx.now_ns // HOUR_NS - 1
            if first is None or first > last:
                return written
            hours = range(first, min(last, first + HOURS_AT_ONCE - 1) + 1)
            objects = _objects(tx)
            for hour, balances in zip(hours, balances_at(tx, hours), strict=True):
                written += _book_hour(tx, _Hour(ctx, book, hour, balances, objects))
            accruals.set_accrued_through(tx, hours[-1])


def balances_at(tx: Tx, hours: range) -> Iterator[Balances]:
    """Yield the byte balances at the end of each hour (hours since the epoch), from the newest ones and the entries
    since.
    """
    sums = Counter(ledger.all_balances(tx))
    moved = list(accruals.byte_lines_since(tx, (hours[0] + 1) * HOUR_NS))
    for _, account, tier, amount in moved:
        sums[account, tier] -= amount
    position = 0
    for hour in hours:
        end_ns = (hour + 1) * HOUR_NS
        while position < len(moved) and moved[position][0] < end_ns:
            _, account, tier, amount = moved[position]
            sums[account, tier] += amount
            position += 1
        yield dict(sums)


@dataclass(frozen=True, slots=True)
class _Hour:
    """What one hour is booked from."""

    ctx: Context
    book: PriceBook
    hour: int
    balances: Balances
    objects: Mapping[tuple[str, str], int]

    @property
    def stamp(self) -> str:
        return datetime.fromtimestamp(self.hour * 3600, UTC).strftime("%Y-%m-%dT%H")


def _next_hour(tx: Tx) -> int | None:
    through = accruals.accrued_through(tx)
    if through is None:
        began_ns = accruals.began_ns(tx)
        return None if began_ns is None else began_ns // HOUR_NS
    return through + 1


def _objects(tx: Tx) -> dict[tuple[str, str], int]:
    """Return (tier, storage class) -> objects that stand now: classes that bill by the object need a count."""
    found: Counter[tuple[str, str]] = Counter()
    for (tier, storage_class), number in packs.count_by_class(tx, _STANDING).items():
        found[tier, storage_class] += number
    return dict(found)


def _book_hour(tx: Tx, hour: _Hour) -> int:
    written = _post(tx, hour, f"{HOT}:", *_hot(hour))
    for (tier, storage_class), size_bytes in sorted(_held(hour).items()):
        objects = hour.objects.get((tier, storage_class), 0)
        cost = _tier_cost(hour, tier, storage_class, size_bytes, objects)
        amounts = Amounts()
        amounts.add(accounts.COST_STORAGE, cost, tier)
        amounts.add(accounts.PAYABLE, -cost)
        written += _post(tx, hour, f"{tier}:{storage_class}", amounts, f"{size_bytes} bytes in {objects} objects")
    return written


def _hot(hour: _Hour) -> tuple[Amounts, str]:
    hot = hour.ctx.config.hot
    used = _of(hour.balances, accounts.FILES_HOT_ONLY) + _of(hour.balances, accounts.FILES_DUAL)
    logical = -_of(hour.balances, accounts.FILES_LOGICAL)
    cost = accrue_at(hot.nano_per_gib_month, used, hours=1)
    baseline = accrue_at(hot.nano_per_gib_month, logical, hours=1)
    amounts = Amounts()
    amounts.add(accounts.COST_STORAGE, cost, HOT)
    amounts.add(accounts.PAYABLE, -cost)
    amounts.add(accounts.BASELINE_STORAGE, baseline, REFUNDABLE if hot.refundable else FIXED)
    amounts.add(accounts.BASELINE, -baseline)
    return amounts, f"{used} of {logical} bytes hot, at {hot.nano_per_gib_month} nano-dollars per GiB and month"


def _held(hour: _Hour) -> dict[tuple[str, str], int]:
    """Return (tier, storage class) -> bytes in the bucket."""
    held: Counter[tuple[str, str]] = Counter()
    for (account, tier), amount in hour.balances.items():
        if tier not in hour.ctx.tiers:
            continue  # a tier that is gone from the configuration has no price
        if account in {accounts.BUCKET_LIVE, accounts.BUCKET_DEAD}:
            held[tier, hour.ctx.tiers[tier].storage_class] += amount
        elif account == accounts.BUCKET_METADATA:
            held[tier, hour.ctx.metadata.storage_class] += amount
    return {key: size for key, size in held.items() if size > 0}


def _tier_cost(hour: _Hour, tier: str, storage_class: str, size_bytes: int, objects: int) -> int:
    own_price = hour.ctx.config.tiers[tier].nano_per_gib_month
    if own_price is not None:
        return accrue_at(own_price, size_bytes, hours=1)
    named = price_class(hour.ctx, tier, storage_class)
    return class_cost(hour.book, named, size_bytes, hours=1, objects=objects)


def _post(tx: Tx, hour: _Hour, held: str, amounts: Amounts, said: str) -> int:
    op_id = f"accrue:{held}:{hour.stamp}"
    lines = amounts.lines()
    if not lines or ledger.is_booked(tx, op_id):
        return 0
    entry = ledger.Entry(
        op_id=op_id,
        kind=accruals.KIND,
        reason=said,
        lines=lines,
        price_book=hour.book.book_id,
        at_ns=(hour.hour + 1) * HOUR_NS,
    )
    ledger.post(tx, entry)
    return 1


def _of(balances: Balances, account: str) -> int:
    return sum(amount for (name, _), amount in balances.items() if name == account)
