"""The price book: what a provider charges, with dates and sources, as exact integers.

parse_book() turns the mapping of policies/data/*.json into values and refuses a book with holes in it: a price that
is silently zero would make every plan look good. Prices are integer nano-dollars: per GiB (2**30 bytes) and month of
730 h for storage, per request, per GiB retrieved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.amounts import GIB
from policies.price_fields import Fields, PriceBookError, as_mapping, integer, nano

MONTH_HOURS = 730  # what AWS calls a month; also stands in the book, and must agree
FORMAT = 1
LOCAL = "LOCAL"
"""Price class of a directory on the operator's own disks; the book's price is an assumption."""

KNOWN_CLASSES = frozenset({
    "STANDARD", "INTELLIGENT_TIERING", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", LOCAL,
    "NEARLINE", "COLDLINE", "ARCHIVE",  # Google Cloud Storage, beside its STANDARD
    "BLOB_HOT", "BLOB_COOL", "BLOB_COLD", "BLOB_ARCHIVE",  # Azure Blob Storage
})  # fmt: skip
SPEEDS = ("bulk", "standard", "expedited")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a graduated price: it applies to the bytes up to *up_to_bytes*, above the step before."""

    up_to_bytes: int | None
    """None on the last step: no end."""
    nano_per_gib: int


@dataclass(frozen=True, slots=True)
class RestorePrice:
    """What making an archived object readable costs and takes."""

    nano_per_gib: int
    nano_per_request: int
    latency_h: tuple[float, float]
    """From, to."""


@dataclass(frozen=True, slots=True)
class AccessTier:
    """One step of a class that moves objects by itself: its storage price from an idle age on."""

    name: str
    after_days: int
    nano_per_gib: int


@dataclass(frozen=True, slots=True)
class ClassPrice:
    """All prices of one storage class."""

    name: str
    storage: tuple[Step, ...]
    put_nano: int
    """Per PUT, COPY or multipart request."""
    get_nano: int
    transition_nano: int | None
    """Per object moved in by lifecycle; None: cannot be moved into."""
    retrieval_nano_per_gib: int
    min_days: int
    min_billed_bytes: int
    """Smaller objects are billed as this."""
    overhead: tuple[tuple[str, int], ...] = ()
    """(class, bytes) billed on top for each object, at that class's price."""
    restore: Mapping[str, RestorePrice] | None = None
    """By speed; None for a class that reads at once."""
    monitor_nano_per_object_month: int = 0
    monitor_min_bytes: int = 0
    """Objects below this are not monitored (and never move)."""
    access_tiers: tuple["AccessTier", ...] = ()
    """How a class that cools by itself is priced by idle age, warmest first; empty for all others."""
    archive_tiers: tuple["AccessTier", ...] = ()
    """Further steps that a bucket's owner may switch on, each from its after_days or later; to be restored from."""

    @property
    def is_archive(self) -> bool:
        """Whether it must be restored before reading."""
        return self.restore is not None


@dataclass(frozen=True, slots=True)
class Disk:
    """A hot tier one can rent, or owns."""

    nano_per_gib: int
    """Per usable GiB and month."""
    is_refundable: bool
    """Whether freed space comes off the bill. Most volumes cannot shrink: what is freed there is only avoided
    growth."""
    is_estimate: bool
    """Not read from a price list."""
    as_of: str
    note: str


@dataclass(frozen=True, slots=True)
class Energy:
    """Estimates, all of them: no provider publishes what a class draws."""

    kwh_per_tib_month: Mapping[str, float]
    """By class and disk, cooling and replicas included."""
    grid_gco2e_per_kwh: float
    source: str
    as_of: str

    def grams_month(self, where: str, size_bytes: float) -> float:
        """Return grams of CO2 equivalent of a month; 0 for a class or disk the book has no figure for."""
        return self.kwh_per_tib_month.get(where, 0.0) * size_bytes / 2**40 * self.grid_gco2e_per_kwh


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A dated set of prices."""

    book_id: str
    """Stands on every ledger entry that was computed with it."""
    as_of: str
    region: str
    classes: Mapping[str, ClassPrice]
    hot: Mapping[str, int]
    """Nano-dollars per GiB-month of disks one can rent, by name ("gp3")."""
    disks: Mapping[str, Disk]
    """What else is known of them."""
    energy: Energy
    egress: tuple[Step, ...]
    """To the internet."""
    restored_copy_class: str
    """The class at which the temporary copy of a restored object is billed."""
    sources: tuple[str, ...]
    queue_nano: int = 0
    """Per request to a queue that tells of restores."""

    def price(self, storage_class: str) -> ClassPrice:
        """Return the prices of a class; raises PriceBookError naming those there are."""
        try:
            return self.classes[storage_class]
        except KeyError:
            known = ", ".join(sorted(self.classes))
            raise PriceBookError(f'price book {self.book_id} has no class "{storage_class}" (it has {known})') from None


def parse_book(data: Mapping[str, Any]) -> PriceBook:
    """Return the book in *data* (parsed JSON; numbers may be int, float, Decimal or str).

    Raises PriceBookError naming the field: unknown or missing keys and classes, negative prices, prices finer than a
    nano-dollar, graduated steps that leave a gap or do not end open.
    """
    top = Fields("book", data)
    if top.integer("format") != FORMAT:
        raise PriceBookError(f"book.format: this program reads format {FORMAT}")
    if top.take("currency") != "USD":
        raise PriceBookError("book.currency: must be USD")
    if top.integer("month_hours") != MONTH_HOURS:
        raise PriceBookError(f"book.month_hours: must be {MONTH_HOURS}")
    top.take("units")
    classes = {name: _parse_class(name, fields) for name, fields in top.mapping("classes").items()}
    disks = {name: _disk(name, fields) for name, fields in top.mapping("hot").items()}
    book = PriceBook(
        book_id=top.text("id"),
        as_of=top.text("as_of"),
        region=top.text("region"),
        classes=classes,
        hot={name: disk.nano_per_gib for name, disk in disks.items()},
        disks=disks,
        energy=_energy(top.mapping("energy")),
        egress=_steps("book.egress_internet_gib", top.take("egress_internet_gib")),
        restored_copy_class=top.text("restored_copy_billed_at"),
        queue_nano=nano("book.queue_requests_1m", top.optional("queue_requests_1m", 0), per=1_000_000),
        sources=tuple(_source(i, source) for i, source in enumerate(top.sequence("sources"))),
    )
    top.done()
    _check_references(book)
    return book


def _parse_class(name: str, data: Any) -> ClassPrice:
    where = f"classes.{name}"
    if name not in KNOWN_CLASSES:
        raise PriceBookError(f"{where}: unknown storage class (known: {', '.join(sorted(KNOWN_CLASSES))})")
    fields = Fields(where, data)
    transition = fields.take("transition_in_1k")
    restore = fields.optional("restore", None)
    price = ClassPrice(
        name=name,
        storage=_steps(f"{where}.storage_gib_month", fields.take("storage_gib_month")),
        put_nano=fields.nano("put_1k", per=1000),
        get_nano=fields.nano("get_1k", per=1000),
        transition_nano=None if transition is None else nano(f"{where}.transition_in_1k", transition, per=1000),
        retrieval_nano_per_gib=fields.nano("retrieval_gib"),
        min_days=fields.integer("min_days"),
        min_billed_bytes=fields.integer("min_bill_kib") * 1024,
        overhead=tuple(
            (other, integer(f"{where}.overhead_kib.{other}", kib) * 1024)
            for other, kib in sorted(fields.optional("overhead_kib", {}).items())
        ),
        restore=None if restore is None else _parse_restore(f"{where}.restore", restore),
        monitor_nano_per_object_month=nano(
            f"{where}.monitor_1k_month", fields.optional("monitor_1k_month", 0), per=1000
        ),
        monitor_min_bytes=integer(f"{where}.monitor_min_kib", fields.optional("monitor_min_kib", 0)) * 1024,
        access_tiers=_access_tiers(f"{where}.access_tiers", fields.optional("access_tiers", []), begins=True),
        archive_tiers=_access_tiers(f"{where}.archive_tiers", fields.optional("archive_tiers", []), begins=False),
    )
    fields.done()
    return price


def _parse_restore(where: str, data: Any) -> Mapping[str, RestorePrice]:
    speeds = as_mapping(where, data)
    if not speeds or not set(speeds) <= set(SPEEDS):
        raise PriceBookError(f"{where}: must hold some of {', '.join(SPEEDS)} and nothing else")
    parsed: dict[str, RestorePrice] = {}
    for speed, values in speeds.items():
        fields = Fields(f"{where}.{speed}", values)
        latency = fields.sequence("latency_h")
        if len(latency) != 2 or not 0 <= latency[0] <= latency[1]:
            raise PriceBookError(f"{where}.{speed}.latency_h: must be [from, to] in hours")
        parsed[speed] = RestorePrice(
            nano_per_gib=fields.nano("usd_gib"),
            nano_per_request=fields.nano("usd_1k", per=1000),
            latency_h=(float(latency[0]), float(latency[1])),
        )
        fields.done()
    return parsed


def _access_tiers(where: str, data: Any, *, begins: bool) -> tuple[AccessTier, ...]:
    tiers: list[AccessTier] = []
    for i, raw in enumerate(data):
        fields = Fields(f"{where}[{i}]", raw)
        tier = AccessTier(fields.text("name"), fields.integer("after_days"), fields.nano("usd_gib_month"))
        fields.done()
        after = tiers[-1] if tiers else None
        if (after is None and (tier.after_days == 0) != begins) or (
            after is not None and tier.after_days <= after.after_days
        ):
            raise PriceBookError(f"{where}[{i}].after_days: must {'begin at 0 and ' if begins else ''}rise")
        if after is not None and tier.nano_per_gib > after.nano_per_gib:
            raise PriceBookError(f"{where}[{i}].usd_gib_month: must not be dearer than the tier before")
        tiers.append(tier)
    return tuple(tiers)


def _steps(where: str, data: Any) -> tuple[Step, ...]:
    if not isinstance(data, Sequence) or isinstance(data, str) or not data:
        raise PriceBookError(f"{where}: must be a list of steps that ends open")
    steps: list[Step] = []
    floor = 0
    for i, raw in enumerate(data):
        fields = Fields(f"{where}[{i}]", raw)
        up_to = fields.take("up_to_gib")
        is_last = i == len(data) - 1
        if (up_to is None) != is_last:
            raise PriceBookError(f"{where}[{i}].up_to_gib: null on the last step, and on no other")
        end = None if up_to is None else integer(f"{where}[{i}].up_to_gib", up_to) * GIB
        if end is not None and end <= floor:
            raise PriceBookError(f"{where}[{i}].up_to_gib: must be above the step before")
        steps.append(Step(end, fields.nano("usd")))
        fields.done()
        floor = end or floor
    return tuple(steps)


def _disk(name: str, data: Any) -> Disk:
    fields = Fields(f"hot.{name}", data)
    disk = Disk(
        nano_per_gib=fields.nano("usd_per_gib_month"),
        is_refundable=fields.flag("refundable"),
        is_estimate=fields.flag("estimate"),
        as_of=fields.text("as_of"),
        note=str(fields.optional("note", "")),
    )
    fields.done()
    return disk


def _energy(data: Any) -> Energy:
    fields = Fields("energy", data)
    said = fields.mapping("kwh_per_tib_month")
    draws = Fields("energy.kwh_per_tib_month", said)
    energy = Energy(
        kwh_per_tib_month={name: draws.number(name) for name in said},
        grid_gco2e_per_kwh=fields.number("grid_gco2e_per_kwh"),
        source=fields.text("from"),
        as_of=fields.text("as_of"),
    )
    fields.done()
    return energy


def _source(index: int, data: Any) -> str:
    fields = Fields(f"sources[{index}]", data)
    said = f"{fields.text('what')}: {fields.text('from')} ({fields.text('as_of')})"
    fields.done()
    return said


def _check_references(book: PriceBook) -> None:
    if not book.classes:
        raise PriceBookError("book.classes: must not be empty")
    if not book.sources:
        raise PriceBookError("book.sources: a price without a source is a guess")
    book.price(book.restored_copy_class)
    strangers = set(book.energy.kwh_per_tib_month) - set(book.classes) - set(book.disks)
    if strangers:
        raise PriceBookError(f"energy.kwh_per_tib_month.{min(strangers)}: neither a class nor a disk of this book")
    for price in book.classes.values():
        for other, _ in price.overhead:
            book.price(other)
