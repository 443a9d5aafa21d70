"""What may happen to one file, and what the ledger would book for it then: being stored, brought back, or deleted.

Used by explain, beside report.dollars, which has what it costs every month and has cost. Of a stored file everything
is reckoned from its packs as they are, after dedup: an event's lines add up to what the ledger books for it, but for
roundings, each below a nano-dollar per line, and for what the lines name: looks at a restore under way, and the days
that a readable copy stays, which are told at most. Of a file that is not stored yet the sizes are those before dedup.
"""

from collections.abc import Iterator

from policies.amounts import GIB, NANO, say_bytes, say_usd
from policies.cost import accrue_at, early_delete_usd, hold_usd_month, packed_put_usd, recall_usd
from policies.offers import GIB_F
from policies.prices import MONTH_HOURS, PriceBook
from policies.values import TierFacts
from tiering.catalog import packs, recipes, shares
from tiering.catalog.values import FileRow, PackRow
from tiering.clock import NS_PER_DAY
from tiering.config.policy import price_book, site_terms
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context
from tiering.jobs.fetch_plan import reads
from tiering.jobs.restore_cost import HOUR_NS, copy_nano, request_nano
from tiering.report.dollars import Line
from tiering.stores.archive import offered_speed

STORE, RECALL, COPY, DELETE = "store", "recall", "copy", "delete"
"""Events. COPY: the readable copy that a recall from an archive brings, at most."""


def event_lines(context: Context, row: FileRow) -> list[Line]:
    """Return what bringing a stored file back, alone, and deleting it, would cost now. Reads the catalog only."""
    if row.recipe_no is None:
        return []
    book = price_book(context.config)
    with context.catalog.read() as tx:
        known = packs.locate(tx, row.recipe_no)
        recipe = recipes.by_numbers(tx, [row.recipe_no])[row.recipe_no]
        home = packs.locate_recipes(tx, [recipe])[row.recipe_no].block
        needed = packs.by_numbers(tx, {location.block.pack_no for location in known.values()})
        found = shares.shares_of(tx, row.recipe_no)
    get_nano = book.price(price_class(context, home.tier, context.config.metadata.storage_class)).get_nano
    lines = [Line(RECALL, home.tier, get_nano, f"reading its recipe: one request of {say_usd(get_nano)}")]
    asked: dict[int, list[int]] = {number: [] for number in sorted(needed)}
    for place, span in reads(known):
        asked[place.pack_no].append(span.length)
    for number, lengths in asked.items():
        lines += _read(context, book, needed[number], lengths)
    for share in found:
        if share.pack.kind == "data" and share.pack.tier in context.config.tiers:
            lines += _deleted(context, book, share)
    return lines


def storing_lines(context: Context, row: FileRow, tier: TierFacts) -> list[Line]:
    """Return what storing a file on *tier* would cost, before dedup and compression."""
    book, size = price_book(context.config), row.size
    if tier.nano_per_gib_month is not None:
        month = accrue_at(tier.nano_per_gib_month, size, hours=MONTH_HOURS)
    else:
        month = hold_usd_month(book, tier.price_class, size)
    pack_bytes = context.config.chunking.pack_bytes
    price = book.price(tier.price_class)
    overhead = sum(extra * book.price(name).storage[0].nano_per_gib for name, extra in price.overhead) // GIB
    put = packed_put_usd(book, tier.price_class, size, pack_bytes=pack_bytes)
    speed = context.config.recall.speed if price.restore is None else _speed(price.name, context.config.recall.speed)
    days = context.config.recall.restore_days if price.restore else 0
    back = recall_usd(book, tier.price_class, size, gets=1, speed=speed, warm_days=days)
    early = early_delete_usd(book, tier.price_class, size, held_hours=0)
    share = min(1.0, size / pack_bytes)
    return [
        Line(STORE, tier.name, month, f"a month of {say_bytes(size)} of {price.name}"),
        Line(STORE, tier.name, int(overhead * share), f"a month of its part of what {price.name} bills beside a pack"),
        Line(STORE, tier.name, put, f"once, its part of the writes of packs of {say_bytes(pack_bytes)}"),
        Line(RECALL, tier.name, back, f"one recall{f' at speed {speed}, a copy for {days} d' if days else ''}"),
        Line(DELETE, tier.name, early, f"on the first day: the rest of {price.min_days} d" if early else "any day"),
    ]  # fmt: skip


def waiting_nano(context: Context, row: FileRow, *, is_archive: bool) -> int:
    """Return what a recall costs whoever waits for it: no bill has it, strategies weigh it."""
    terms = site_terms(context.config)
    return int((terms.stall_usd_gib + (terms.wait_usd_gib if is_archive else 0.0)) * NANO * row.size / GIB_F)


def _read(context: Context, book: PriceBook, pack: PackRow, lengths: list[int]) -> Iterator[Line]:
    if pack.tier not in context.config.tiers:
        return
    name = price_class(context, pack.tier, pack.storage_class)
    price = book.price(name)
    what = f"pack {pack.key.rpartition('/')[2][:12]}"
    if price.restore is not None:
        speed = _speed(pack.storage_class, context.config.recall.speed)
        nano = request_nano(context, book, pack, speed)
        yield Line(RECALL, pack.tier, nano, f"{what}: restoring {say_bytes(pack.size)} of {name} at speed {speed}")
        days = context.config.recall.restore_days + 1
        copy = copy_nano(context, book, pack, days * NS_PER_DAY)
        yield Line(
            COPY, pack.tier, copy, f"{what}: its readable copy, {days} d at most; {say_usd(price.get_nano)} a look"
        )
    count, size = len(lengths), sum(lengths)
    nano = price.get_nano * count
    yield Line(RECALL, pack.tier, nano, f"{what}: {count:,} reads of {say_usd(price.get_nano)}")
    if price.retrieval_nano_per_gib:
        nano = price.retrieval_nano_per_gib * size // GIB
        yield Line(RECALL, pack.tier, nano, f"{what}: {say_bytes(size)} out of {name}")


def _deleted(context: Context, book: PriceBook, share: shares.PackShare) -> Iterator[Line]:
    pack = share.pack
    held_hours = max(0, (context.clock.now_ns() - pack.created_ns) // HOUR_NS)
    whole = early_delete_usd(
        book, price_class(context, pack.tier, pack.storage_class), pack.size, held_hours=held_hours
    )
    if whole:
        part = "all" if share.part == 1 else f"{float(share.part):.3%}"
        said = f"{part} of what is left of {pack.key.rpartition('/')[2][:12]}'s minimum stay: {say_usd(whole)}"
        yield Line(DELETE, pack.tier, int(whole * share.part), said)


def _speed(storage_class: str, speed: str) -> str:
    return offered_speed(storage_class, speed)
