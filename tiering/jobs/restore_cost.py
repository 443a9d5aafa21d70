"""What restores from archives cost: quoted before, and booked when they are asked for and when their copies are there.

Used by tickets and advance. A restore is paid by speed when it is requested; its readable copy is paid like STANDARD
storage from when it is there until it expires, and is booked, whole, when it is first seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.amounts import GIB
from policies.prices import MONTH_HOURS, PriceBook
from tiering.catalog import accounts, ledger
from tiering.catalog.accounts import Amounts
from tiering.catalog.tickets import RestoreRow
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackRow
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context
from tiering.stores.archive import SPEEDS, offered_speed, restore_hours

HOUR_NS = 3600 * NS_PER_S
BOOK_KIND = "restore"


@dataclass(frozen=True, slots=True)
class Quote:
    """What a restore will take, before it is asked for."""

    bytes: int
    """Of the packs that have to be restored, whole."""
    objects: int
    """How many packs; those already on the way for another ticket are not paid for again and not counted."""
    usd_nano: int
    """Requests, retrieval, and the readable copies for recall.restore_days and the day that is begun then."""
    hours: float
    """The longest it should take, as the provider documents it."""


def quote(
    ctx: Context,
    cold: Sequence[PackRow],
    *,
    speed: str | Mapping[int, str],
    hours_of: Sequence[PackRow] = (),
    raised: Sequence[PackRow] = (),
) -> Quote:
    """Return what restoring the packs *cold* costs and takes at *speed*, one for all or by pack number.

    *hours_of* are further packs that must be waited for; *raised* those that are being restored more slowly: a faster
    request is paid on top, their copies are not paid again.
    """
    book = price_book(ctx.config)

    def at(row: PackRow) -> str:
        return speed if isinstance(speed, str) else speed[row.pack_no]

    # A copy goes at the midnight (UTC) after its days are over: up to a day more.
    copy_ns = (ctx.config.recall.restore_days + 1) * NS_PER_DAY
    usd_nano = sum(request_nano(ctx, book, row, at(row)) for row in (*cold, *raised))
    usd_nano += sum(copy_nano(ctx, book, row, copy_ns) for row in cold)
    hours = max((restore_hours(row.storage_class, at(row)) for row in (*cold, *raised, *hours_of)), default=0.0)
    return Quote(sum(row.size for row in cold), len(cold), usd_nano, hours)


def quotes(ctx: Context, cold: Sequence[PackRow], *, raised: Sequence[PackRow] = ()) -> dict[str, Quote]:
    """Return speed -> quote, the slowest first, of the speeds that one of the packs' classes offers."""
    every = (*cold, *raised)
    offered = [speed for speed in SPEEDS if any(offered_speed(row.storage_class, speed) == speed for row in every)]
    return {speed: quote(ctx, cold, speed=speed, raised=raised) for speed in offered}


def request_nano(ctx: Context, book: PriceBook, pack: PackRow, speed: str) -> int:
    """Return what asking for one pack costs, without its copy."""
    price = book.price(price_class(ctx, pack.tier, pack.storage_class))
    if price.restore is None:
        return 0
    offered = price.restore[offered_speed(pack.storage_class, speed)]
    return offered.nano_per_request + offered.nano_per_gib * pack.size // GIB


def copy_nano(ctx: Context, book: PriceBook, pack: PackRow, span_ns: int) -> int:
    """Return what the readable copy of a pack costs for that long: storage of the book's class for such copies."""
    if span_ns <= 0 or book.price(price_class(ctx, pack.tier, pack.storage_class)).restore is None:
        return 0
    price = book.price(book.restored_copy_class)
    return price.storage[0].nano_per_gib * pack.size * span_ns // (GIB * MONTH_HOURS * HOUR_NS)


def book_request(ctx: Context, tx: Tx, pack: PackRow, speed: str) -> None:
    """Book a request that the provider took."""
    book = price_book(ctx.config)
    nano = request_nano(ctx, book, pack, speed)
    reason = f"restore {pack.key} at speed {speed}"
    _book(tx, book, pack, nano, op_id=f"restore:{pack.pack_no}:{tx.now_ns}", reason=reason)


def book_extension(ctx: Context, tx: Tx, pack: PackRow, speed: str) -> None:
    """Book the request that moved the end of a copy: it alone is billed (docs.aws.amazon.com, "RestoreObject")."""
    book = price_book(ctx.config)
    offered = book.price(price_class(ctx, pack.tier, pack.storage_class)).restore
    nano = offered[offered_speed(pack.storage_class, speed)].nano_per_request if offered is not None else 0
    _book(tx, book, pack, nano, op_id=f"extend:{pack.pack_no}:{tx.now_ns}", reason=f"keep {pack.key} readable")


def book_copy(ctx: Context, tx: Tx, pack: PackRow, *, from_ns: int, until_ns: int) -> None:
    """Book the readable copy of a pack for that time; the same copy is booked once."""
    book = price_book(ctx.config)
    nano = copy_nano(ctx, book, pack, until_ns - from_ns)
    op_id = f"copy:{pack.pack_no}:{until_ns}"
    if not ledger.is_booked(tx, op_id):
        _book(tx, book, pack, nano, op_id=op_id, reason=f"{pack.key} readable for {(until_ns - from_ns) / HOUR_NS:g} h")


def take_back_copy(ctx: Context, tx: Tx, pack: PackRow, row: RestoreRow) -> None:
    """Book the rest of a readable copy back: its object is deleted or moves to another class, and the copy with it."""
    left_ns = (row.warm_until_ns or 0) - tx.now_ns
    if left_ns <= 0:
        return
    book = price_book(ctx.config)
    nano = copy_nano(ctx, book, pack, left_ns)
    reason = f"{pack.key} went {left_ns / HOUR_NS:g} h before its readable copy"
    _book(tx, book, pack, -nano, op_id=f"copy-ended:{pack.pack_no}:{tx.now_ns}", reason=reason)


def became_ready_ns(ctx: Context, row: RestoreRow, *, until_ns: int, now_ns: int) -> int:
    """Return when a copy that is readable until *until_ns* was there, as nearly as can be told: no provider says.

    At the latest now, recall.restore_days before its end, and when the provider said it would be.
    """
    known = [now_ns, until_ns - ctx.config.recall.restore_days * NS_PER_DAY]
    if row.requested_ns is not None:
        known.append(promised_ns(row))
    return min(known)


def promised_ns(row: RestoreRow) -> int:
    """Return by when a restore that was requested should be through; 0 where it was not requested."""
    if row.requested_ns is None:
        return 0
    return row.requested_ns + round(restore_hours(row.storage_class, row.speed) * HOUR_NS)


def _book(tx: Tx, book: PriceBook, pack: PackRow, nano: int, *, op_id: str, reason: str) -> None:
    if not nano:
        return
    amounts = Amounts()
    amounts.add(accounts.COST_RETRIEVAL, nano, pack.tier)
    amounts.add(accounts.PAYABLE, -nano)
    entry = ledger.Entry(op_id=op_id, kind=BOOK_KIND, reason=reason, lines=amounts.lines(), price_book=book.book_id)
    ledger.post(tx, entry)
