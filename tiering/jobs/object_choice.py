"""Which objects of a bucket are to be stored, and what that costs: the plan and the quote of mode ingest.

Reads the catalog a page at a time; sends nothing and changes nothing. Prices are decided by the operator's rules, not
by gain: nobody knows before reading how much an object shares with others. The quote says what reading it costs once,
what it costs a month where it is, and what its packs would cost at most, were nothing saved.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from policies.amounts import GIB, NANO
from policies.cost import accrue, early_delete_usd
from policies.prices import LOCAL, MONTH_HOURS, PriceBook
from tiering.catalog import bucket_roots, files, objects
from tiering.catalog.objects import ARCHIVED, CLASS_NO, CLASSES, STORED, ObjectFacts, packed_etag
from tiering.catalog.values import FileState
from tiering.clock import NS_PER_S
from tiering.config.bucket import BucketConfig
from tiering.config.policy import price_book
from tiering.errors import UsageError
from tiering.hot.paths import split
from tiering.jobs.bucket_choice import bucket_config
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context
from tiering.jobs.object_identity import PART_BYTES, identity_of_facts, is_same, key_fault
from tiering.jobs.object_plan import ARCHIVE, IN_PACKS, NO_RULE, choose_page, fact_columns

PAGE_ROWS = 10_000
DAY_S = 86_400
THERE = "it is stored already"
NO_ETAG = "the inventory does not name its ETag (add the field to it)"
PUT_BACK = "it was put back lately (recall.cool_off)"
UNKNOWN_CLASS = "its class is not known"
OURS = ".frostline-"
"""Keys of our own making end so: a probe that a killed process left."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An object to be stored, or (is_stored) only its original to be deleted."""

    facts: ObjectFacts
    once_nano: int
    rule: str
    is_stored: bool = False


@dataclass(slots=True)
class Quote:
    """What a run would do and cost, in nano-dollars; all that the rules choose, whatever the limits of one run."""

    bucket: str
    url: str
    tier: str
    deletes: bool
    objects: int = 0
    """In the bucket."""
    chosen: int = 0
    bytes: int = 0
    requests: int = 0
    """GETs and looks."""
    requests_nano: int = 0
    retrieval_nano: int = 0
    egress_nano: int = 0
    early_nano: int = 0
    proof_nano: int = 0
    """Reading every stored copy back, before its original goes."""
    month_now_nano: int = 0
    month_then_nano: int = 0
    """At most: as if nothing were shared and nothing could be compressed."""
    left: Counter[str] = field(default_factory=Counter)
    """Why objects stay -> how many."""

    @property
    def once_nano(self) -> int:
        """All that is paid once, beside the puts of packs."""
        return self.requests_nano + self.retrieval_nano + self.egress_nano + self.early_nano + self.proof_nano


def quote_ingest(ctx: Context, name: str) -> Quote:
    """Return what taking in everything that the rules choose would cost. Raises UsageError before the first scan."""
    config = bucket_config(ctx, name)
    quote = Quote(name, config.url, config.tier, config.delete_originals)
    for _ in chosen_objects(ctx, config, quote):
        pass
    return quote


def chosen_objects(ctx: Context, config: BucketConfig, quote: Quote) -> Iterator[Choice]:
    """Yield what is to be done, in key order, and add it up in *quote*."""
    with ctx.catalog.read() as tx:
        row = objects.find(tx, config.name)
        root = bucket_roots.find(tx, config.url)
    if row is None or row.scanned_ns is None or row.url != config.url:
        raise UsageError(
            f"bucket {config.name} was never scanned to its end", hint=f"run: frostline buckets scan {config.name}"
        )
    pricing = _Pricing.of(ctx, config)
    after = b""
    while True:
        with ctx.catalog.read() as tx:
            page = next(objects.pages(tx, row.bucket_id, after=after, rows=PAGE_ROWS), None)
        if page is None:
            return
        after = page[-1][0]
        quote.objects += len(page)
        columns = fact_columns(page, ctx.clock.now_ns() // NS_PER_S, row.evidence_s)
        rules = choose_page(config, columns) if config.rules else np.zeros(len(page), np.int64)
        wanted = [
            (facts, int(rule)) for facts, rule in zip(page, rules, strict=True) if _may(config, facts, rule, quote)
        ]
        stored = _stored(ctx, config, root.root_id, [facts for facts, _ in wanted]) if root is not None else {}
        for facts, rule in wanted:
            is_stored = facts[0] in stored
            if is_stored and not config.delete_originals:
                quote.left[THERE] += 1
                continue
            if is_stored and stored[facts[0]] > ctx.clock.now_ns() - ctx.config.recall.cool_off_ns:
                quote.left[PUT_BACK] += 1
                continue
            once = pricing.add(quote, facts, is_stored=is_stored)
            rule_name = config.rules[rule].name if config.rules else "everything"
            yield Choice(facts, once, rule_name, is_stored)


def _may(config: BucketConfig, facts: ObjectFacts, rule: int, quote: Quote) -> bool:
    """Return whether an object may be read and kept; count why not."""
    reason = NO_RULE if rule < 0 else ""
    key, _, class_no, _, _, _, _, flags = facts
    if class_no == CLASS_NO[STORED]:
        reason = IN_PACKS
    elif key.rpartition(b"/")[2].startswith(OURS.encode()):
        reason = "it is frostline's own"
    elif class_no == CLASS_NO["OTHER"]:
        reason = reason or UNKNOWN_CLASS
    elif CLASSES[class_no] in {"GLACIER", "DEEP_ARCHIVE"} or flags & ARCHIVED:
        reason = reason or ARCHIVE
    if len(facts[3]) == len(packed_etag("")):
        reason = reason or NO_ETAG
    reason = reason or key_fault(key[len(config.prefix.encode()) :])
    if reason:
        quote.left[reason] += 1
    return not reason


def _stored(ctx: Context, config: BucketConfig, root_id: int, found: Sequence[ObjectFacts]) -> dict[bytes, int]:
    """Return key -> when it was put back (ns; 0: never) of those that are stored as they are now."""
    begin = len(config.prefix.encode())
    places = {split(facts[0][begin:]): facts for facts in found}
    with ctx.catalog.read() as tx:
        rows = files.at_paths(tx, root_id, places)
    return {
        places[place][0]: row.recalled_ns or 0
        for place, row in rows.items()
        if row.state is FileState.DUAL and row.recipe_no is not None and is_same(row, identity_of_facts(places[place]))
    }


@dataclass(frozen=True, slots=True)
class _Pricing:
    """Prices of one bucket's objects."""

    book: PriceBook
    egress_nano_per_gib: int
    deletes: bool
    tier_class: str
    """LOCAL where the tier is priced by the operator."""
    tier_nano_per_gib: int
    now_s: int

    @classmethod
    def of(cls, ctx: Context, config: BucketConfig) -> "_Pricing":
        tier = ctx.config.tiers[config.tier]
        name = price_class(ctx, config.tier)
        return cls(
            book=price_book(ctx.config),
            egress_nano_per_gib=config.egress_nano_per_gib,
            deletes=config.delete_originals,
            tier_class=name,
            tier_nano_per_gib=tier.nano_per_gib_month or 0,
            now_s=ctx.clock.now_ns() // NS_PER_S,
        )

    def add(self, quote: Quote, facts: ObjectFacts, *, is_stored: bool) -> int:
        """Add one object to *quote*; return what it costs once."""
        _, size, class_no, _, _, since_s, _, _ = facts
        price = self.book.price(CLASSES[class_no])
        before = quote.once_nano
        quote.chosen += 1
        quote.bytes += size
        if not is_stored:
            gets = max(1, -(-size // PART_BYTES))
            quote.requests += gets
            quote.requests_nano += gets * price.get_nano
            quote.retrieval_nano += price.retrieval_nano_per_gib * size // GIB
            quote.egress_nano += self.egress_nano_per_gib * size // GIB
        if self.deletes:
            held_hours = max(0, self.now_s - since_s) // 3600
            quote.requests += 1  # a last look
            quote.requests_nano += price.get_nano
            quote.early_nano += early_delete_usd(self.book, CLASSES[class_no], size, held_hours=held_hours)
            quote.proof_nano += self._proof(size)
        quote.month_now_nano += accrue(self.book, CLASSES[class_no], size, hours=MONTH_HOURS, objects=1)
        quote.month_then_nano += self._month(size)
        if not self.deletes:
            quote.month_then_nano += accrue(self.book, CLASSES[class_no], size, hours=MONTH_HOURS, objects=1)
        return quote.once_nano - before

    def _proof(self, size: int) -> int:
        if self.tier_class == LOCAL:
            return 0
        price = self.book.price(self.tier_class)
        return price.get_nano + price.retrieval_nano_per_gib * size // GIB

    def _month(self, size: int) -> int:
        """Of packs, which are large: no smallest size, no overhead of their own."""
        if self.tier_class == LOCAL:
            return int(Fraction(self.tier_nano_per_gib * size, GIB))
        return int(Fraction(self.book.price(self.tier_class).storage[0].nano_per_gib * size, GIB))


def quote_json(quote: Quote) -> dict[str, object]:
    """Return the quote as a JSON document; dollars are numbers."""
    return {
        "bucket": quote.bucket, "url": quote.url, "mode": "ingest", "tier": quote.tier,
        "delete_originals": quote.deletes, "objects": quote.objects,
        "total": {"objects": quote.chosen, "bytes": quote.bytes, "requests": quote.requests},
        "usd_once": {
            "requests": quote.requests_nano / NANO, "retrieval": quote.retrieval_nano / NANO,
            "egress": quote.egress_nano / NANO, "early_delete": quote.early_nano / NANO,
            "proof": quote.proof_nano / NANO, "total": quote.once_nano / NANO,
        },
        "usd_per_month": {"now": quote.month_now_nano / NANO, "then_at_most": quote.month_then_nano / NANO},
        "left": {reason: count for reason, count in sorted(quote.left.items()) if count},
    }  # fmt: skip
