"""Books what objects that changed class save: storage as it is, beside storage as it would be where they were before.

Called before each scan and each run of class changes, so that whole hours up to then are booked for the objects as they
stood. Only moved objects have entries: what nobody moved costs what it always did.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from policies.amounts import GIB
from policies.prices import MONTH_HOURS, PriceBook
from tiering.catalog import accounts, ledger, object_moves, objects
from tiering.catalog.accounts import Amounts
from tiering.catalog.object_moves import Standing, pair
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_S
from tiering.jobs.bucket_care import Care
from tiering.jobs.context import Context

HOUR_NS = 3600 * NS_PER_S
_COOLS = "INTELLIGENT_TIERING"


@dataclass(frozen=True, slots=True)
class Savings:
    """What was booked, in nano-dollars."""

    hours: int = 0
    cost: int = 0
    baseline: int = 0


def accrue_savings(ctx: Context, care: Care) -> Savings:
    """Book the whole hours since the last time; return them. Runs twice: the second time books nothing."""
    with ctx.catalog.write() as tx:
        row = objects.find(tx, care.config.name)
        assert row is not None
        since_ns = row.accrued_ns
        if since_ns is None:
            objects.note_accrued(tx, row.bucket_id, tx.now_ns)
            return Savings()
        hours = (tx.now_ns - since_ns) // HOUR_NS
        if hours <= 0:
            return Savings()
        until_ns = since_ns + hours * HOUR_NS
        cost = baseline = 0
        for group in _standing(tx, care, since_ns):
            before, now = pair(group)
            baseline += _held(care.book, before, group, hours)
            cost += _held(care.book, now, group, hours)
        if cost or baseline:
            amounts = Amounts()
            amounts.add(accounts.COST_STORAGE, cost, care.account)
            amounts.add(accounts.PAYABLE, -cost)
            amounts.add(accounts.BASELINE_STORAGE, baseline, care.account)
            amounts.add(accounts.BASELINE, -baseline)
            entry = ledger.Entry(
                op_id=f"savings:{care.config.name}:{since_ns}",
                kind="bucket_storage",
                reason=f"{hours} h of the objects of {care.config.name} that changed class",
                lines=amounts.lines(),
                price_book=care.book.book_id,
                at_ns=until_ns,
            )
            ledger.post(tx, entry)
        objects.note_accrued(tx, row.bucket_id, until_ns)
    return Savings(hours, cost, baseline)


def _standing(tx: Tx, care: Care, at_ns: int) -> Iterator[Standing]:
    """Yield the moved objects as they stood at the beginning of the hours: no colder than they were during them."""
    cools = care.book.classes.get(_COOLS)
    ages = [step.after_days for step in cools.access_tiers[1:]] if cools else []
    yield from object_moves.standing(
        tx, care.row.bucket_id, now_s=at_ns // NS_PER_S, idle_days=ages, small_bytes=_small_bytes(care.book)
    )


def _small_bytes(book: PriceBook) -> int:
    """Return the size below which classes bill more than there is, or do not watch: 128 KiB, S3 says of each."""
    said = {size for price in book.classes.values() for size in (price.min_billed_bytes, price.monitor_min_bytes)}
    return min(said - {0}, default=0)


def _held(book: PriceBook, name: str, group: Standing, hours: int) -> int:
    """Return the nano-dollars of a group in a class, rounded down; packs are paid for by their tier."""
    if name == objects.STORED:
        return 0
    price = book.price(name)
    small_bytes = _small_bytes(book)
    billed = group.size
    if price.min_billed_bytes == small_bytes:
        billed += group.small * small_bytes - group.small_size
    month = Fraction(billed * price.storage[0].nano_per_gib, GIB)
    if price.access_tiers:
        cooled = group.size - group.small_size
        step = price.access_tiers[min(group.idle_step, len(price.access_tiers) - 1)]
        month -= Fraction(cooled * (price.storage[0].nano_per_gib - step.nano_per_gib), GIB)
    month += price.monitor_nano_per_object_month * (group.count - group.small)
    for other, overhead_bytes in price.overhead:
        month += Fraction(overhead_bytes * group.count * book.price(other).storage[0].nano_per_gib, GIB)
    return int(month * hours / MONTH_HOURS)
