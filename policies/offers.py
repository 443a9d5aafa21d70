"""What each storage class offers, as one decision sees it: the price book seen through the terms of a site.

An Offer is the price of a class in dollars per GiB-day and per event, with the site's terms folded in: stall of a
recall in front of a waiting node, price of an archive's wait, packing, reduction ratio, restore speed. policies.costs
spreads offers over objects. Dollars here are floats: these numbers decide and compare, the ledger's come from
policies.cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from policies.amounts import NANO
from policies.price_fields import PriceBookError
from policies.prices import MONTH_HOURS, ClassPrice, PriceBook

MONTH_DAYS = MONTH_HOURS / 24
WATERFALL = (
    "STANDARD", "LOCAL", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE",
)  # fmt: skip
"""Lifecycle moves objects downwards only, for a request and no retrieval; upwards is a read and a write."""
GIB_F = float(2**30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a site adds to the price list."""

    hot: str | None = None
    """Name of a rented disk in the book's `hot` that is offered as the warmest class; None: object storage only."""
    stall_usd_gib: float = 0.0
    """Loss per GiB recalled to the hot tier; see stall_usd_gib()."""
    wait_usd_gib: float = 0.0
    """Loss per GiB of a restore that somebody waits hours for (archive classes)."""
    longest_wait_h: float = 12.0
    """Restores slower than this are not considered; a class without one is not offered."""
    pack_bytes: int | None = None
    """Objects smaller than this share packs of it, with their requests, overheads and smallest billed sizes."""
    reduction_ratio: float = 1.0
    """Stored bytes per logical byte in the object store (dedup and compression)."""
    warm_days: float = 1.0
    """How long a restored copy is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One class. "Event": all reads of an object within one tick."""

    name: str
    rank: int
    """Place in the waterfall, 0 the warmest."""
    usd_gib_day: float
    ladder: tuple[tuple[float, float], ...] = ()
    """(idle days from which, dollars per GiB-day) where the class cools by itself; empty where it does not."""
    overhead_usd_day: float = 0.0
    """Per object, whatever its size."""
    monitor_usd_day: float = 0.0
    monitor_min_bytes: int = 0
    """Smaller objects are neither monitored nor cooled."""
    min_billed_bytes: int = 0
    min_days: float = 0.0
    put_usd: float = 0.0
    transition_usd: float = 0.0
    read_usd: float = 0.0
    """Request per read."""
    read_usd_gib: float = 0.0
    """Retrieval per GiB read."""
    event_usd: float = 0.0
    """Requests per event: a recall or restore serves all reads of the tick."""
    event_usd_gib: float = 0.0
    """Retrieval per GiB of the object and event."""
    stall_usd_gib: float = 0.0
    """Waiting per GiB of the object and event."""
    wait_h: float = 0.0
    """Longest wait for a read."""
    stored_ratio: float = 1.0
    is_packed: bool = True
    """Whether Terms.pack_bytes applies (it does not on a disk)."""

    def usd_gib_days(self, idle_from: float, idle_to: float) -> float:
        """Return dollars per GiB for being idle from one idle age to another."""
        if not self.ladder:
            return self.usd_gib_day * (idle_to - idle_from)
        total = 0.0
        for number, (begin, usd) in enumerate(self.ladder):
            end = self.ladder[number + 1][0] if number + 1 < len(self.ladder) else float("inf")
            total += usd * max(0.0, min(idle_to, end) - max(idle_from, begin))
        return total


def stall_usd_gib(*, node_usd_h: float, recall_gib_s: float, blocks: float) -> float:
    """Return what a recall costs the node in front of it, per GiB: dollars an hour x time x probability it blocks.

    facts: a $40/h node at 1 GiB/s loses $0.0111 per GiB. Raises ValueError on a bandwidth that is not positive or a
    probability outside 0..1.
    """
    if recall_gib_s <= 0 or not 0 <= blocks <= 1 or node_usd_h < 0:
        raise ValueError("recall_gib_s must be positive, blocks within 0..1, node_usd_h not negative")
    return node_usd_h / 3600 / recall_gib_s * blocks


def make_offers(book: PriceBook, names: Sequence[str], terms: Terms) -> tuple[Offer, ...]:
    """Return the offers of the classes *names* (and Terms.hot), warmest first.

    Graduated storage prices count at their first step: marginal prices of an unknown rest are not known here. Raises
    PriceBookError on a class the book lacks, or an archive class that no restore speed makes quick enough.
    """
    offers = [_cold(book, book.price(name), terms) for name in names]
    if terms.hot is not None:
        if terms.hot not in book.hot:
            raise PriceBookError(f'price book {book.book_id} has no disk "{terms.hot}" (it has {", ".join(book.hot)})')
        usd = book.hot[terms.hot] / NANO / MONTH_DAYS
        offers.append(Offer(name=terms.hot, rank=-1, usd_gib_day=usd, is_packed=False))
    return tuple(sorted(offers, key=lambda offer: offer.rank))


def _cold(book: PriceBook, price: ClassPrice, terms: Terms) -> Offer:
    per_day = 1 / NANO / MONTH_DAYS
    overhead = sum(size * book.price(other).storage[0].nano_per_gib for other, size in price.overhead) / GIB_F
    transition = price.put_nano if price.transition_nano is None else price.transition_nano
    offer = Offer(
        name=price.name,
        rank=_rank(price),
        usd_gib_day=price.storage[0].nano_per_gib * per_day,
        ladder=tuple((step.after_days, step.nano_per_gib * per_day) for step in price.access_tiers),
        overhead_usd_day=overhead * per_day,
        monitor_usd_day=price.monitor_nano_per_object_month * per_day,
        monitor_min_bytes=price.monitor_min_bytes,
        min_billed_bytes=price.min_billed_bytes,
        min_days=float(price.min_days),
        put_usd=price.put_nano / NANO,
        transition_usd=transition / NANO,
        stored_ratio=terms.reduction_ratio,
    )
    return _with_reads(offer, book, price, terms)


def _rank(price: ClassPrice) -> int:
    if price.name in WATERFALL:
        return WATERFALL.index(price.name)
    # Other providers: by price, between the names above; two of a price do not happen within one book.
    return len(WATERFALL) + int(1e9 / max(1, price.storage[0].nano_per_gib))


def _with_reads(offer: Offer, book: PriceBook, price: ClassPrice, terms: Terms) -> Offer:
    """Return the offer with what reading costs. An archive, and a store behind a hot tier, serve one recall per
    tick."""
    get, retrieval = price.get_nano / NANO, price.retrieval_nano_per_gib / NANO
    if price.restore is None:
        if terms.hot is None:
            return replace(offer, read_usd=get, read_usd_gib=retrieval)
        return replace(offer, event_usd=get, event_usd_gib=retrieval, stall_usd_gib=terms.stall_usd_gib)
    quick = [speed for speed in price.restore.values() if speed.latency_h[1] <= terms.longest_wait_h]
    if not quick:
        raise PriceBookError(f"{price.name}: no restore takes at most {terms.longest_wait_h:g} h")
    speed = min(quick, key=lambda restore: (restore.nano_per_gib, restore.nano_per_request, restore.latency_h[1]))
    warm = book.price(book.restored_copy_class).storage[0].nano_per_gib / NANO / MONTH_DAYS * terms.warm_days
    return replace(
        offer,
        event_usd=get + speed.nano_per_request / NANO,
        event_usd_gib=retrieval + speed.nano_per_gib / NANO + warm,
        stall_usd_gib=terms.wait_usd_gib + (terms.stall_usd_gib if terms.hot is not None else 0.0),
        wait_h=speed.latency_h[1],
    )
