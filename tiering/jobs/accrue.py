"""accrue: book what storage cost, hour by hour, and what it would have cost had everything stayed hot.

Called by the daemon, cycle and leave. One entry per whole hour (UTC) that has passed since the last one, under the
operation id `accrue:<hour>`: catching up after downtime books each missed hour once, from the bytes the ledger held at
its end. Runs twice: the second time books nothing.
"""

from collections import Counter
from datetime import UTC, datetime

from policies.cost import accrue as accrued_nano
from policies.cost import accrue_at
from policies.prices import PriceBook
from policies.values import HOT
from tiering.catalog import accounts, accruals, ledger
from tiering.catalog.accounts import Amounts
from tiering.catalog.accruals import Held
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_S
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context

HOUR_NS = 3600 * NS_PER_S
# Hours booked in one transaction: a month of downtime is caught up in about twenty of them.
HOURS_PER_COMMIT = 36
REALISED = "realised"
AVOIDED = "avoided"
"""Tiers of the baseline account: whether the hot tier's price comes off a bill when bytes go (P6)."""


def accrue(ctx: Context) -> int:
    """Book every whole hour that has passed and is not booked; return how many. Raises ConfigError (prices)."""
    book = price_book(ctx.config)
    booked = 0
    while not ctx.stop.is_set():
        with ctx.catalog.write() as tx:
            count = _book_some(ctx, tx, book)
        booked += count
        if count < HOURS_PER_COMMIT:
            break
    return booked


def _book_some(ctx: Context, tx: Tx, book: PriceBook) -> int:
    begun_ns = accruals.first_entry_ns(tx)
    if begun_ns is None:
        return 0
    start_ns = accruals.accrued_until_ns(tx) or begun_ns // HOUR_NS * HOUR_NS
    held = accruals.held_at(tx, start_ns)
    objects = accruals.objects(tx)
    count = 0
    while count < HOURS_PER_COMMIT and start_ns + HOUR_NS <= tx.now_ns:
        end_ns = start_ns + HOUR_NS
        held.update(accruals.held(tx, since_ns=start_ns, until_ns=end_ns))
        _book_hour(ctx, tx, book, held=held, objects=objects, end_ns=end_ns)
        start_ns = end_ns
        count += 1
    return count


def _book_hour(
    ctx: Context, tx: Tx, book: PriceBook, *, held: Held, objects: Counter[tuple[str, str]], end_ns: int
) -> None:
    amounts, facts = hour_amounts(ctx, book, held=held, objects=objects)
    hour = datetime.fromtimestamp((end_ns - HOUR_NS) // NS_PER_S, UTC).strftime("%Y-%m-%dT%H")
    entry = ledger.Entry(
        op_id=f"accrue:{hour}",
        kind=accruals.KIND,
        reason=f"storage of one hour: {facts}",
        lines=amounts.lines(),
        price_book=book.book_id,
        at_ns=end_ns,
    )
    ledger.post(tx, entry)


def hour_amounts(
    ctx: Context, book: PriceBook, *, held: Held, objects: Counter[tuple[str, str]]
) -> tuple[Amounts, str]:
    """Return the lines of one hour in which *held* bytes stood, and the facts they follow from, for the entry's reason.

    Cold tiers are priced by class (or the operator's own price); a pack's metadata stands in the metadata tier's class.
    The baseline is every logical byte on the hot tier.
    """
    amounts = Amounts()
    facts: list[str] = []
    hot = ctx.config.hot
    hot_bytes = held[accounts.FILES_HOT_ONLY, ""] + held[accounts.FILES_DUAL, ""]
    logical_bytes = -held[accounts.FILES_LOGICAL, ""]
    total = _add(amounts, HOT, accrue_at(hot.nano_per_gib_month, max(0, hot_bytes), hours=1))
    facts.append(f"{HOT} {hot_bytes} of {logical_bytes} bytes")
    for tier in ctx.config.tiers:
        data = held[accounts.BUCKET_LIVE, tier] + held[accounts.BUCKET_DEAD, tier]
        metadata = held[accounts.BUCKET_METADATA, tier]
        storage_class = ctx.config.tiers[tier].storage_class
        count = objects[tier, storage_class]
        nano = _cold(ctx, book, tier, "", size_bytes=data, count=count)
        nano += _cold(ctx, book, tier, ctx.config.metadata.storage_class, size_bytes=metadata, count=0)
        total += _add(amounts, tier, nano)
        facts.append(f"{tier} {data} bytes in {count} packs, {metadata} of metadata")
    baseline = accrue_at(hot.nano_per_gib_month, max(0, logical_bytes), hours=1)
    amounts.add(accounts.PAYABLE, -total)
    amounts.add(accounts.BASELINE_STORAGE, baseline, REALISED if hot.refundable else AVOIDED)
    amounts.add(accounts.BASELINE, -baseline)
    return amounts, "; ".join(facts)


def _add(amounts: Amounts, tier: str, nano: int) -> int:
    amounts.add(accounts.COST_STORAGE, nano, tier)
    return nano


def _cold(ctx: Context, book: PriceBook, tier: str, storage_class: str, *, size_bytes: int, count: int) -> int:
    own = ctx.config.tiers[tier].nano_per_gib_month
    if own is not None:
        return accrue_at(own, max(0, size_bytes), hours=1)
    return accrued_nano(book, price_class(ctx, tier, storage_class), max(0, size_bytes), hours=1, objects=count)
