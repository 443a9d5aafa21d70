"""doctor's look at a bucket that packs stand in: what it keeps, moves, copies or deletes by itself, for how much.

Dollars a month by the price book, for what stands there now.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from urllib.parse import urlsplit

from policies.amounts import say_bytes, say_usd
from policies.cost import hold_usd_month
from policies.prices import PriceBook
from tiering.catalog import accruals
from tiering.config.policy import price_book
from tiering.config.sections import TierConfig
from tiering.errors import FrostlineError
from tiering.jobs import locks
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.finding import Finding, Weight
from tiering.jobs.price_class import price_class_of
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.bucket_facts import RuleFacts, Survey
from tiering.stores.metered import METADATA
from tiering.stores.options import StoreOptions


def bucket_findings(ctx: Context, tier: OpenTier) -> Iterator[Finding]:
    """Yield what is to be said of the bucket of *tier*'s store; nothing for a store that is none."""
    parts = urlsplit(tier.store.url)
    if parts.scheme != "s3":
        return
    prefix = f"{parts.path.strip('/')}/".lstrip("/")
    try:
        # boto3 takes a third of a second to load: only who has an S3 store pays for it.
        found: Survey = import_module("tiering.stores.s3_survey").survey(parts.netloc, prefix, _options(ctx, tier))
    except FrostlineError as error:
        yield Finding(Weight.BAD, error.what, error.hint)
        return
    tier.meter.add("list", times=found.lists)
    tier.meter.add("get", storage_class=METADATA, times=found.gets)
    looked = _Looked(ctx, tier, f"s3://{parts.netloc}", found)
    yield from looked.findings()


def _options(ctx: Context, tier: OpenTier) -> StoreOptions:
    told = ctx.config.tiers[tier.name]
    return StoreOptions(
        endpoint_url=told.endpoint_url, region=told.region, profile=told.profile, path_style=told.path_style
    )


class _Looked:
    """What was found of one bucket, and what stands in it by the catalog."""

    def __init__(self, ctx: Context, tier: OpenTier, url: str, found: Survey) -> None:
        self._ctx = ctx
        self._url = url
        self._found = found
        self._book = price_book(ctx.config)
        self._tiers = [name for name, other in ctx.tiers.items() if other.store.url == tier.store.url]

    def findings(self) -> Iterator[Finding]:
        """Yield everything."""
        if self._found.unknown:
            yield Finding(
                Weight.NOTE,
                f"{self._url}: these credentials may not see its {', '.join(self._found.unknown)}",
                "let them: s3:GetBucketVersioning, GetBucketObjectLockConfiguration, GetReplicationConfiguration, "
                "GetLifecycleConfiguration, GetIntelligentTieringConfiguration, ListBucketVersions",
            )
        yield from self._versions()
        yield from self._locks()
        yield from self._replicas()
        for rule in self._found.rules:
            yield from self._rule(rule)
        yield from self._archiving()
        yield from self._uploads()

    def _versions(self) -> Iterator[Finding]:
        found = self._found
        if not found.versioning:
            return
        yield Finding(Weight.GOOD, f"{self._url} keeps old versions ({found.versioning}): gc deletes its own for good")
        if found.old_count:
            size_bytes, nano = sum(found.old_versions.values()), self._month(found.old_versions, found.old_count)
            more = " among the first that were listed" if found.is_cut else ""
            yield Finding(
                Weight.NOTE,
                f"{found.old_count:,} noncurrent versions{more}, {say_bytes(size_bytes)}, cost {say_usd(nano)} a month "
                "in no book of frostline's",
                "end them by a lifecycle rule with NoncurrentVersionExpiration, and let frostline use "
                "s3:DeleteObjectVersion so that gc leaves none",
            )
        if found.markers:
            nano = self._month(Counter({"STANDARD": found.marker_bytes}), 0)
            yield Finding(
                Weight.NOTE,
                f"{found.markers:,} delete markers cost {say_usd(nano)} a month and slow listings down",
                "a lifecycle rule with ExpiredObjectDeleteMarker ends those that hide nothing",
            )

    def _locks(self) -> Iterator[Finding]:
        if not self._found.retention:
            return
        default = "" if self._found.retention == "on" else f" (new objects: {self._found.retention})"
        kept = locks.locked(self._ctx)
        now = kept.sentence() if kept else "nothing of ours waits for it now"
        yield Finding(
            Weight.NOTE,
            f"{self._url} has Object Lock{default}: gc keeps what is locked doomed, and on the books, until it may go; "
            + now,
            "retention much longer than gc.grace pays for what nobody needs; segments and recipes are kept as well",
        )

    def _replicas(self) -> Iterator[Finding]:
        by_class, count = self._standing()
        for there, storage_class in self._found.replicas:
            held = Counter({storage_class: by_class.total()}) if storage_class else by_class
            nano = self._month(held, count)
            yield Finding(
                Weight.NOTE,
                f"{self._url} is replicated to {there}: another {say_bytes(held.total())}, {say_usd(nano)} a month "
                "there by this price book, beside transfer between regions; in no book of frostline's",
                "deletions by version are not replicated: give the copy its own lifecycle rule",
            )

    def _rule(self, rule: RuleFacts) -> Iterator[Finding]:
        if not self._concerns(rule):
            return
        where = f'lifecycle rule "{rule.name}" of {self._url}'
        by_class, count = self._standing()
        if rule.expires_days is not None:
            yield Finding(
                Weight.BAD,
                f"{where} deletes objects under {rule.prefix or 'every key'} {rule.expires_days} days after they came: "
                f"{say_bytes(by_class.total())} in {count:,} packs would be lost, with every file in them",
                "take the rule away, or limit it to keys that are not frostline's, today",
            )
        for days, storage_class in rule.transitions:
            yield self._transition(where, days, storage_class)
        if rule.ends_old_versions_days is not None:
            yield Finding(Weight.GOOD, f"{where} ends old versions after {rule.ends_old_versions_days} days")
        if rule.aborts_uploads_days is not None:
            yield Finding(Weight.GOOD, f"{where} aborts unfinished uploads after {rule.aborts_uploads_days} days")

    def _transition(self, where: str, days: int, storage_class: str) -> Finding:
        by_class, count = self._standing()
        price = self._book.classes.get(storage_class)
        before = self._month(by_class, count)
        after = self._month(Counter({storage_class: by_class.total()}), count)
        once = (price.transition_nano or 0) * count if price else 0
        why = "which must be restored before anything can be read" if storage_class in ARCHIVE_CLASSES else "unasked"
        return Finding(
            Weight.BAD,
            f"{where} moves objects to {storage_class} after {days} days, {why}: {count:,} packs, "
            f"{say_usd(once)} once, {say_usd(before)} a month become {say_usd(after)}; the books would not know",
            f"take the rule away; a tier of class {storage_class} gets packs by rules and price, and can be read from",
        )

    def _archiving(self) -> Iterator[Finding]:
        for name in self._tiers:
            told = self._ctx.config.tiers[name]
            if told.storage_class != "INTELLIGENT_TIERING":
                continue
            said = (told.archive_access_days, told.deep_archive_access_days)
            if said != self._found.archiving:
                yield self._other_days(name, told)

    def _other_days(self, name: str, told: TierConfig) -> Finding:
        days, deep = self._found.archiving
        return Finding(
            Weight.BAD,
            f"{self._url} archives objects of INTELLIGENT_TIERING after {_said(days)}, deeply after {_said(deep)}; "
            f"tier {name} says {_said(told.archive_access_days)} and {_said(told.deep_archive_access_days)}: its "
            "dollars are wrong, and what is archived would fail to be read",
            f"set archive_access_days = {days} and deep_archive_access_days = {deep}, or change the bucket",
        )

    def _uploads(self) -> Iterator[Finding]:
        found = self._found
        if found.uploads:
            parts: Counter[str] = Counter()
            for storage_class, size_bytes in found.upload_parts.items():
                parts["STANDARD" if storage_class in ARCHIVE_CLASSES else storage_class] += size_bytes
            yield Finding(
                Weight.NOTE,
                f"{found.uploads:,} unfinished uploads in {self._url} hold {say_bytes(parts.total())} and cost "
                f"{say_usd(self._month(parts, 0))} a month until they are aborted",
                "frostline gc --yes aborts those of dead processes; AbortIncompleteMultipartUpload in a rule the rest",
            )

    def _standing(self) -> tuple[Counter[str], int]:
        """Return class -> bytes of the packs that stand here, and how many they are."""
        with self._ctx.catalog.read() as tx:
            stock = accruals.stock(tx, before_ns=tx.now_ns + 1, small={})
        found: Counter[str] = Counter()
        count = 0
        for (tier, storage_class), standing in stock.items():
            if tier in self._tiers:
                found[storage_class] += standing.size_bytes
                count += standing.objects
        return found, count

    def _concerns(self, rule: RuleFacts) -> bool:
        tags = [dict(self._ctx.config.tiers[name].tags) for name in self._tiers]
        return not rule.needs_tags or any(rule.needs_tags.items() <= own.items() for own in tags)

    def _month(self, held: Mapping[str, int], objects: int) -> int:
        return month_of(self._ctx, self._book, self._tiers[0] if self._tiers else "", held, objects)


def month_of(ctx: Context, book: PriceBook, tier: str, held: Mapping[str, int], objects: int) -> int:
    """Return what bytes by class cost in a month; *objects* in all, spread over the classes by bytes."""
    total = 0
    every = sum(held.values())
    for storage_class, size_bytes in held.items():
        name = price_class_of(ctx.config, tier, storage_class) if tier else storage_class
        if name in book.classes:
            count = objects * size_bytes // every if every else 0
            total += hold_usd_month(book, name, size_bytes, objects=count)
    return total


def _said(days: int) -> str:
    return f"{days} days" if days else "never"
