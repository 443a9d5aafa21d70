"""What it costs to move packs between cold tiers, and what that saves: quoted before anything is moved, and acted on.

A pack moves whole by a server-side copy where both tiers stand in one store; else, and where only some of it may be
colder or much of it is dead, it is read, and what is needed of it written anew. Pure: prices in, nano-dollars out. The
same values are shown by plan and explain and decide what the mover and repack do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from operator import itemgetter

from policies.amounts import GIB, say_usd
from policies.cost import break_even_days, early_delete_usd, egress_usd
from policies.prices import PriceBook

HORIZON_MONTHS = 12
"""A move has to repay itself within a year: access forecasts reach no further (docs/policies.md)."""
DEAD_SHARE = 0.3
"""Of a pack: fewer dead bytes are not worth reading and writing the rest, which takes time even where it is free."""
PART_SHARE = 0.05
"""Of a pack: less that could be colder, or is dead, does not tear it apart."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a pack stands or may stand, as it is billed."""

    price_class: str
    """A class of the price book; LOCAL for a directory."""
    nano_per_gib: int | None = None
    """The operator's own price for a GiB and month; None: the book's."""
    store: str = ""
    """Within one store a pack moves by a server-side copy."""
    region: str = ""
    """What leaves it is billed as going to the internet; "" where leaving is free (a disk, a server of one's own)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One pack as it stands."""

    home: Home
    size_bytes: int
    """Of the object."""
    held_hours: int
    """In this class."""


@dataclass(frozen=True, slots=True)
class MoveQuote:
    """What moving packs takes and saves. Add them up with +; integer nano-dollars, rounded up where shared."""

    packs: int = 0
    size_bytes: int = 0
    """Of the packs that move or are rewritten."""
    requests: int = 0
    """Puts, gets and copies; shares of packs that are written together count as one each."""
    request_nano: int = 0
    """Of reading and writing anew."""
    transition_nano: int = 0
    """Of class changes."""
    retrieval_nano: int = 0
    egress_nano: int = 0
    """Of bytes that leave the provider's region, by the book's price for the internet: at most that."""
    early_delete_nano: int = 0
    """The rest of minimum stays."""
    saved_nano_month: int = 0
    """Storage after less storage before; negative where it costs more."""

    @property
    def once_nano(self) -> int:
        """Everything that is paid once."""
        return (
            self.request_nano + self.transition_nano + self.retrieval_nano + self.egress_nano + self.early_delete_nano
        )

    @property
    def gain_nano(self) -> int:
        """What is left of a year's saving once the move is paid."""
        return self.saved_nano_month * HORIZON_MONTHS - self.once_nano

    @property
    def pays(self) -> bool:
        """Whether a year's saving is more than it costs. What costs nothing at all is done if nothing is lost."""
        return self.gain_nano > 0 or (self.once_nano == 0 and self.saved_nano_month >= 0)

    def __add__(self, other: "MoveQuote") -> "MoveQuote":
        """Return both together."""
        return MoveQuote(*(getattr(self, name) + getattr(other, name) for name in MoveQuote.__dataclass_fields__))


def quote_change(book: PriceBook, pack: Standing, target: Home) -> MoveQuote:
    """Return what changing the class of a whole pack costs: one server-side copy, billed as read in its old class, and
    a look at the object before and after.
    """
    before, after = book.price(pack.home.price_class), book.price(target.price_class)
    return MoveQuote(
        packs=1,
        size_bytes=pack.size_bytes,
        requests=3,
        request_nano=before.get_nano + after.get_nano,
        transition_nano=after.put_nano,
        retrieval_nano=before.retrieval_nano_per_gib * pack.size_bytes // GIB,
        early_delete_nano=_early(book, pack),
        saved_nano_month=hold_nano(book, pack.home, pack.size_bytes) - hold_nano(book, target, pack.size_bytes),
    )


def quote_rewrite(
    book: PriceBook, pack: Standing, parts: Mapping[Home, int], *, pack_bytes: int, gets: int = 1
) -> MoveQuote:
    """Return what reading a pack, with *gets* requests, and writing *parts* of it (bytes by home) anew costs.

    New packs are filled up to *pack_bytes* from several old ones: each part pays for its share of a request and of what
    an object is billed beside its bytes. Parts of no bytes cost nothing; what is in no part is dead and saved.
    """
    price = book.price(pack.home.price_class)
    read = sum(parts.values())
    made = MoveQuote(
        packs=1,
        size_bytes=pack.size_bytes,
        requests=gets if read else 0,
        request_nano=price.get_nano * gets if read else 0,
        retrieval_nano=price.retrieval_nano_per_gib * read // GIB,
        early_delete_nano=_early(book, pack),
        saved_nano_month=hold_nano(book, pack.home, pack.size_bytes),
    )
    for home, size_bytes in parts.items():
        if not size_bytes:
            continue
        share = min(Fraction(1), Fraction(size_bytes, pack_bytes))
        leaves = pack.home.region and home.region != pack.home.region
        made += MoveQuote(
            requests=1,
            request_nano=-(-book.price(home.price_class).put_nano * share.numerator // share.denominator),
            egress_nano=egress_usd(book, size_bytes) if leaves else 0,
            saved_nano_month=-hold_nano(book, home, size_bytes, objects=share),
        )
    return replace(made, packs=1)


def quote_drop(book: PriceBook, pack: Standing) -> MoveQuote:
    """Return what giving up a pack saves all of which stands in a warmer tier too: its storage; in return it takes the
    request with which it comes back once nothing warm needs the other copy. The rest of a minimum stay is owed anyway.
    """
    return MoveQuote(
        packs=1,
        size_bytes=pack.size_bytes,
        requests=1,
        transition_nano=book.price(pack.home.price_class).put_nano,
        saved_nano_month=hold_nano(book, pack.home, pack.size_bytes),
    )


def quote_whole(book: PriceBook, written: Mapping[Home, int], *, pack_bytes: int) -> MoveQuote:
    """Return what packs written together cost beyond the shares that quote_rewrite() counted: the last of each home is
    not full, and is paid for whole. *written* are their bytes together.
    """
    total = MoveQuote()
    for home, size_bytes in written.items():
        shares = Fraction(size_bytes, pack_bytes)
        objects = -(-size_bytes // pack_bytes)
        more = hold_nano(book, home, size_bytes, objects=Fraction(objects))
        rest = book.price(home.price_class).put_nano * (objects - shares)
        total += MoveQuote(
            request_nano=-(-rest.numerator // rest.denominator),
            saved_nano_month=hold_nano(book, home, size_bytes, objects=shares) - more,
        )
    return total


def hold_nano(book: PriceBook, home: Home, size_bytes: int, *, objects: Fraction = Fraction(1)) -> int:
    """Return the nano-dollars of a month of *size_bytes* in so many objects, at the first step of graduated prices."""
    if home.nano_per_gib is not None:
        return home.nano_per_gib * size_bytes // GIB
    price = book.price(home.price_class)
    billed = max(Fraction(size_bytes), price.min_billed_bytes * objects)
    nano = billed * price.storage[0].nano_per_gib / GIB
    for name, overhead_bytes in price.overhead:
        nano += objects * overhead_bytes * book.price(name).storage[0].nano_per_gib / GIB
    if size_bytes >= price.monitor_min_bytes * objects:
        nano += objects * price.monitor_nano_per_object_month
    return int(nano)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of one pack."""

    way: str
    """KEEP, CHANGE or REWRITE."""
    quote: MoveQuote = field(default_factory=MoveQuote)
    target: str = ""
    """Tier of a class change."""
    parts: Mapping[str, str] | None = None
    """Of a rewriting: the tier up to which something may be colder -> the tier that it is written to."""


KEEP, CHANGE, REWRITE, DROP = "keep", "change", "rewrite", "drop"


@dataclass(frozen=True, slots=True)
class Content:
    """What a pack holds, by how cold it may be."""

    tier: str
    parts: Mapping[str, int]
    """Tier -> coded bytes of chunks whose hottest referrer belongs there; none is warmer than the pack's own tier."""
    coldest: str
    """The coldest tier that all of it may stand in: no file, and nothing coded against it, is warmer."""
    dead_bytes: int = 0


def decide(
    book: PriceBook, pack: Standing, content: Content, homes: Mapping[str, Home], *, pack_bytes: int
) -> Decision:
    """Return what saves most of a year's dollars: leave the pack, change its class, or write what is needed anew.

    *homes* has every tier's. A class change needs one store for both; of rewritings, that which sends every part as far
    as it may go, and that which leaves all of them in the pack's own tier, without the dead, are looked at.
    """
    options: list[tuple[int, Decision]] = []
    if content.coldest != content.tier and homes[content.coldest].store == pack.home.store:
        change = quote_change(book, pack, homes[content.coldest])
        options.append((change.gain_nano, Decision(CHANGE, change, target=content.coldest)))
    framing = pack.size_bytes - content.dead_bytes - sum(content.parts.values())
    for parts in _ways(book, pack, content, homes):
        if options and len(set(parts.values())) == 1 and content.dead_bytes < DEAD_SHARE * pack.size_bytes:
            continue  # all goes one way, and may go so without a byte coming down
        together: dict[Home, int] = {}
        for may, goes in parts.items():
            share = framing * content.parts[may] // sum(content.parts.values())
            together[homes[goes]] = together.get(homes[goes], 0) + content.parts[may] + share
        quote = quote_rewrite(book, pack, together, pack_bytes=pack_bytes)
        # Not even a pack that is written alone may cost more than one request and no bytes that come down.
        whole = quote + quote_whole(book, together, pack_bytes=pack_bytes) if options else quote
        options.append((whole.gain_nano, Decision(REWRITE, quote, parts=parts)))
    worth = [option for option in options if option[1].quote.pays]
    return max(worth, key=itemgetter(0), default=(0, Decision(KEEP)))[1]


def say_once(quote: MoveQuote) -> str:
    """Return what is paid once, by kind."""
    kinds = (
        ("requests", quote.request_nano), ("transition", quote.transition_nano), ("retrieval", quote.retrieval_nano),
        ("egress", quote.egress_nano), ("early deletion", quote.early_delete_nano),
    )  # fmt: skip
    return ", ".join(f"{word} {say_usd(nano)}" for word, nano in kinds if nano) or "nothing"


def say_repaid(quote: MoveQuote) -> str:
    """Return the break-even in words."""
    days = break_even_days(saved_nano_month=quote.saved_nano_month, once_nano=quote.once_nano)
    return f"repaid in {days:.1f} d" if quote.saved_nano_month > 0 else "never repaid"


def _ways(book: PriceBook, pack: Standing, content: Content, homes: Mapping[str, Home]) -> list[dict[str, str]]:
    own = _per_gib(book, homes[content.tier])
    colder = {may: may if _per_gib(book, homes[may]) <= own else content.tier for may in content.parts}
    going = sum(size for may, size in content.parts.items() if colder[may] != content.tier)
    ways = [colder] if going and going + content.dead_bytes >= PART_SHARE * pack.size_bytes else []
    if content.dead_bytes >= DEAD_SHARE * pack.size_bytes:
        ways.append(dict.fromkeys(content.parts, content.tier))
    return ways


def _per_gib(book: PriceBook, home: Home) -> int:
    return book.price(home.price_class).storage[0].nano_per_gib if home.nano_per_gib is None else home.nano_per_gib


def _early(book: PriceBook, pack: Standing) -> int:
    return early_delete_usd(book, pack.home.price_class, pack.size_bytes, held_hours=pack.held_hours)
