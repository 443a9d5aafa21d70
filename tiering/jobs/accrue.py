"""accrue: book what storage cost, hour by hour, and what it would have cost had everything stayed hot.

Called by the daemon, cycle and leave. One entry per whole hour (UTC) that has passed since the last one, under the
operation id `accrue:<hour>`: catching up after downtime books each missed hour once, from the bytes the ledger held at
its end. Runs twice: the second time books nothing. Whoever takes objects out of a store calls it before.

An hour's dollars are what it adds to the hours since 1970 at what is held, each of the two rounded down: so a month of
hours at the same bytes is a month's price to the nano-dollar, however small each of them is.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from policies.cost import accrue as accrued_nano
from policies.cost import accrue_at
from policies.prices import PriceBook
from policies.values import HOT
from tiering.catalog import accounts, accruals, ledger
from tiering.catalog.accounts import Amounts
from tiering.catalog.accruals import Held, Standing, Stock
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
    small = {name: max(price.min_billed_bytes, price.monitor_min_bytes) for name, price in book.classes.items()}
    stock = accruals.stock(tx, before_ns=start_ns, small=small)
    until_ns = start_ns + HOURS_PER_COMMIT * HOUR_NS
    changes = deque(accruals.changes(tx, since_ns=start_ns, until_ns=until_ns))
    coming = deque(accruals.came(tx, since_ns=start_ns, small=small))
    count = 0
    while count < HOURS_PER_COMMIT and start_ns + HOUR_NS <= tx.now_ns:
        end_ns = start_ns + HOUR_NS
        while changes and changes[0][0] < end_ns:
            _, account, amount = changes.popleft()
            held[account] += amount
        while coming and coming[0][0] < end_ns:
            _, tier, storage_class, standing = coming.popleft()
            stock.setdefault((tier, storage_class), Standing()).add(standing)
        _book_hour(ctx, tx, book, held=held, stock=stock, end_ns=end_ns)
        start_ns = end_ns
        count += 1
    return count


def _book_hour(ctx: Context, tx: Tx, book: PriceBook, *, held: Held, stock: Stock, end_ns: int) -> None:
    amounts, facts = hour_amounts(ctx, book, held=held, stock=stock, hour_no=end_ns // HOUR_NS - 1)
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


def hour_amounts(ctx: Context, book: PriceBook, *, held: Held, stock: Stock, hour_no: int) -> tuple[Amounts, str]:
    """Return the lines of one hour, the *hour_no*-th since 1970, in which *held* bytes stood, and the facts they follow
    from, for the entry's reason.

    Cold tiers are priced by class (or the operator's own price); a pack's metadata stands in the metadata tier's class.
    Packs that are still of another class than their tier's are priced as what they are. The baseline is every logical
    byte on the hot tier.
    """
    amounts = Amounts()
    facts: list[str] = []
    hot = ctx.config.hot
    hot_bytes = held[accounts.FILES_HOT_ONLY, ""] + held[accounts.FILES_DUAL, ""]
    logical_bytes = -held[accounts.FILES_LOGICAL, ""]
    total = _add(amounts, HOT, _at_flat(hot.nano_per_gib_month, hot_bytes, hour_no))
    facts.append(f"{HOT} {hot_bytes} of {logical_bytes} bytes")
    for tier in ctx.config.tiers:
        data = held[accounts.BUCKET_LIVE, tier] + held[accounts.BUCKET_DEAD, tier]
        metadata = held[accounts.BUCKET_METADATA, tier]
        parts = [*_by_class(ctx, tier, data, stock), (ctx.config.metadata.storage_class, metadata, Standing())]
        total += _add(amounts, tier, _of_tier(ctx, book, tier, parts, hour_no=hour_no))
        count = sum(standing.objects for _, _, standing in parts)
        facts.append(f"{tier} {data} bytes in {count} packs, {metadata} of metadata")
    baseline = _at_flat(hot.nano_per_gib_month, logical_bytes, hour_no)
    amounts.add(accounts.PAYABLE, -total)
    amounts.add(accounts.BASELINE_STORAGE, baseline, REALISED if hot.refundable else AVOIDED)
    amounts.add(accounts.BASELINE, -baseline)
    return amounts, "; ".join(facts)


def _add(amounts: Amounts, tier: str, nano: int) -> int:
    amounts.add(accounts.COST_STORAGE, nano, tier)
    return nano


def _of_tier(
    ctx: Context, book: PriceBook, tier: str, parts: Sequence[tuple[str, int, Standing]], *, hour_no: int
) -> int:
    own = ctx.config.tiers[tier].nano_per_gib_month
    if own is not None:
        return sum(_at_flat(own, size_bytes, hour_no) for _, size_bytes, _ in parts)
    return sum(
        _of_class(book, price_class(ctx, tier, name), size_bytes, standing, hour_no=hour_no)
        for name, size_bytes, standing in parts
    )


def _by_class(ctx: Context, tier: str, size_bytes: int, stock: Stock) -> Iterator[tuple[str, int, Standing]]:
    """Yield (class, bytes, packs) of a tier that holds *size_bytes*: its own class last, with what the others leave."""
    own = ctx.config.tiers[tier].storage_class
    for (name, storage_class), standing in sorted(stock.items()):
        if name == tier and storage_class != own:
            size_bytes -= standing.size_bytes
            yield storage_class, standing.size_bytes, standing
    yield own, size_bytes, stock.get((tier, own), Standing())


def _at_flat(nano_per_gib_month: int, size_bytes: int, hour_no: int) -> int:
    now, before = (accrue_at(nano_per_gib_month, max(0, size_bytes), hours=hours) for hours in (hour_no + 1, hour_no))
    return now - before


def _of_class(price_book: PriceBook, name: str, size_bytes: int, standing: Standing, *, hour_no: int) -> int:
    """Return what *size_bytes* in the packs of *standing* add in one hour at a price class."""
    price = price_book.price(name)
    billed_bytes = max(0, size_bytes) + max(0, price.min_billed_bytes * standing.small_objects - standing.small_bytes)
    # What is too small to be monitored is not; the overhead of archives is every object's.
    count = standing.objects - (standing.small_objects if price.monitor_min_bytes else 0)
    now, before = (
        accrued_nano(price_book, name, billed_bytes, hours=hours, objects=count) for hours in (hour_no + 1, hour_no)
    )
    return now - before
