"""What holding, moving, recalling and deleting early cost, in integer nano-dollars.

Pure arithmetic on a price book. Names end in _usd for the currency; every amount returned is nano-dollars (1e-9 USD),
computed in integers and rounded down, so that equal inputs give equal amounts on every machine for ever: the ledger
stores them and an audit recomputes them. Formulas follow the S3 price pages; a month is 730 h, a GiB 2**30 bytes.
"""

import math
from collections.abc import Sequence

from policies.amounts import GIB
from policies.price_fields import PriceBookError
from policies.prices import MONTH_HOURS, ClassPrice, PriceBook, Step
from policies.values import TierFacts

HOURS_PER_DAY = 24
UNIT = GIB * MONTH_HOURS
"""How many of the amounts that rate() returns make one nano-dollar."""


def accrue(book: PriceBook, storage_class: str, size_bytes: int, *, hours: int, objects: int = 0) -> int:
    """Return what *size_bytes* in *objects* objects of a class cost for *hours* whole hours.

    Graduated prices count from zero: pass everything that is held in the class at once. *objects* adds the per-object
    overhead of archive classes and the monitoring of INTELLIGENT_TIERING; objects are taken to be of equal size where
    a smallest billed size matters. Raises ValueError on negative amounts, PriceBookError on an unknown class.
    """
    _refuse_negative(size_bytes=size_bytes, hours=hours, objects=objects)
    return rate(book, storage_class, size_bytes, objects=objects) * hours // UNIT


def rate(book: PriceBook, storage_class: str, size_bytes: int, *, objects: int = 0) -> int:
    """Return what the same costs for one hour, exactly: in 1/UNIT nano-dollars, so that hours add up unrounded."""
    price = book.price(storage_class)
    total = _graduated(_billed_bytes(price, size_bytes, objects), price.storage)
    for other, overhead_bytes in price.overhead:
        # Marginal: the overhead is far below the first step of any class.
        total += overhead_bytes * objects * book.price(other).storage[0].nano_per_gib
    if price.monitor_nano_per_object_month and objects and size_bytes >= price.monitor_min_bytes * objects:
        total += price.monitor_nano_per_object_month * objects * GIB
    return total


def accrue_at(nano_per_gib_month: int, size_bytes: int, *, hours: int) -> int:
    """Return what *size_bytes* cost for *hours* at one flat price (the hot tier, a local directory)."""
    _refuse_negative(nano_per_gib_month=nano_per_gib_month, size_bytes=size_bytes, hours=hours)
    return nano_per_gib_month * size_bytes * hours // (GIB * MONTH_HOURS)


def hold_usd_month(book: PriceBook, storage_class: str, size_bytes: int, *, objects: int = 0) -> int:
    """Return the nano-dollars of one month of 730 h."""
    return accrue(book, storage_class, size_bytes, hours=MONTH_HOURS, objects=objects)


def month_nano(tier: TierFacts, size_bytes: int, prices: PriceBook) -> int:
    """Return what *size_bytes* cost on a tier in a month of 730 h, in nano-dollars."""
    if tier.nano_per_gib_month is not None:
        return accrue_at(tier.nano_per_gib_month, size_bytes, hours=MONTH_HOURS)
    return hold_usd_month(prices, tier.price_class, size_bytes)


def move_once_usd(book: PriceBook, storage_class: str, *, puts: int) -> int:
    """Return the requests of writing to a class. Sending bytes up, or between classes of a region, is free."""
    _refuse_negative(puts=puts)
    return book.price(storage_class).put_nano * puts


def packed_put_usd(book: PriceBook, storage_class: str, size_bytes: int, *, pack_bytes: int) -> int:
    """Return a file's share of the put requests of the packs it goes into, rounded up: never less than it costs."""
    _refuse_negative(size_bytes=size_bytes)
    if pack_bytes <= 0:
        raise ValueError(f"pack_bytes must be positive (got {pack_bytes})")
    return -(-book.price(storage_class).put_nano * size_bytes // pack_bytes)


def recall_usd(
    book: PriceBook, storage_class: str, size_bytes: int, *, gets: int, speed: str = "standard", warm_days: int = 0
) -> int:
    """Return what reading *size_bytes* back costs: requests, retrieval and, of an archive class, the restore.

    An archived object's temporary readable copy is billed at the book's restored_copy_class for *warm_days*. *speed* is
    ignored for classes that read at once. Traffic within the region is free; egress_usd() prices the rest.
    Raises PriceBookError if the class has no such speed.
    """
    _refuse_negative(size_bytes=size_bytes, gets=gets, warm_days=warm_days)
    price = book.price(storage_class)
    nano = price.get_nano * gets + price.retrieval_nano_per_gib * size_bytes // GIB
    if price.restore is None:
        return nano
    if speed not in price.restore:
        raise PriceBookError(f'{storage_class} has no restore speed "{speed}" (it has {", ".join(price.restore)})')
    restore = price.restore[speed]
    nano += restore.nano_per_request * gets + restore.nano_per_gib * size_bytes // GIB
    return nano + accrue(book, book.restored_copy_class, size_bytes, hours=warm_days * HOURS_PER_DAY)


def restore_hours(book: PriceBook, storage_class: str, *, speed: str) -> float:
    """Return the longest a restore may take, in hours; 0 for a class that reads at once."""
    price = book.price(storage_class)
    if price.restore is None:
        return 0.0
    if speed not in price.restore:
        raise PriceBookError(f'{storage_class} has no restore speed "{speed}" (it has {", ".join(price.restore)})')
    return price.restore[speed].latency_h[1]


def early_delete_usd(book: PriceBook, storage_class: str, size_bytes: int, *, held_hours: int) -> int:
    """Return the rest of the minimum stay, due when an object goes after *held_hours*; 0 once it is served."""
    _refuse_negative(size_bytes=size_bytes, held_hours=held_hours)
    price = book.price(storage_class)
    rest = max(0, price.min_days * HOURS_PER_DAY - held_hours)
    # Of an archived object's overhead the part that is billed as STANDARD has no minimum stay.
    own = sum(overhead_bytes for other, overhead_bytes in price.overhead if other == storage_class)
    billed_bytes = max(size_bytes, price.min_billed_bytes) + own
    return price.storage[0].nano_per_gib * billed_bytes * rest // (GIB * MONTH_HOURS)


def egress_usd(book: PriceBook, size_bytes: int) -> int:
    """Return what sending *size_bytes* to the internet costs in one month, starting from its first byte."""
    _refuse_negative(size_bytes=size_bytes)
    return _graduated(size_bytes, book.egress) // GIB


def break_even_days(*, saved_nano_month: int, once_nano: int, min_days: int = 0) -> float:
    """Return how long a file must stay to repay its move, in days; never less than the target's minimum stay.

    Infinite when nothing is saved. Leaves out recall, which recall_usd() prices.
    """
    if saved_nano_month <= 0:
        return math.inf
    return max(float(min_days), once_nano / saved_nano_month * MONTH_HOURS / HOURS_PER_DAY)


def _billed_bytes(price: ClassPrice, size_bytes: int, objects: int) -> int:
    return max(size_bytes, price.min_billed_bytes * objects)


def _graduated(size_bytes: int, steps: Sequence[Step]) -> int:
    """Return bytes times nano-dollars per GiB, each byte at the price of the step it falls in."""
    total = 0
    floor = 0
    for step in steps:
        end = size_bytes if step.up_to_bytes is None else min(size_bytes, step.up_to_bytes)
        if end <= floor:
            break
        total += (end - floor) * step.nano_per_gib
        floor = end
    return total


def _refuse_negative(**amounts: int) -> None:
    for name, amount in amounts.items():
        if amount < 0:
            raise ValueError(f"{name} must not be negative (got {amount})")
