"""Plans class changes for a bucket under care: each object's rule, its prices, and whether the change pays.

Reads the catalog a page at a time and keeps totals and the most valuable changes: memory is bounded whatever the bucket
holds. Sends nothing and changes nothing; the same catalog, rules and time give the same plan.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from policies.amounts import GIB, NANO
from policies.object_costs import Bools, Floats, Ints, change
from policies.prices import PriceBook
from tiering.catalog import objects
from tiering.catalog.objects import ARCHIVED, CLASSES, BucketRow, ObjectFacts
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.config.bucket import BucketConfig, BucketRuleConfig
from tiering.config.policy import price_book
from tiering.errors import UsageError
from tiering.jobs.bucket_choice import bucket_config
from tiering.jobs.context import Context

PAGE_ROWS = 50_000  # some 20 MB of rows and arrays
DAY_S = NS_PER_DAY // NS_PER_S
NO_RULE = "no rule matches"
THERE = "it is there already"
ARCHIVE = "archived: it must be restored first"
IN_PACKS = "its original was deleted: it is in packs"
UNKNOWN_CLASS = "its class is not known to the price book"
DEARER = "the change would not repay its cost in time"
TOO_LITTLE = "the gain is below min_gain"


@dataclass(frozen=True, slots=True, order=True)
class Action:
    """One change; the more it gains, the greater."""

    gain_nano: int
    """Over the horizon, its cost taken off."""
    key: bytes
    size: int = field(compare=False)
    source: str = field(compare=False)
    target: str = field(compare=False)
    etag: bytes = field(compare=False)
    since_s: int = field(compare=False)
    once_nano: int = field(compare=False)
    saved_nano_month: int = field(compare=False)
    break_even_days: float = field(compare=False)
    rule: str = field(compare=False)


@dataclass(slots=True)
class Total:
    """Changes of one kind, added up."""

    objects: int = 0
    bytes: int = 0
    once_nano: float = 0.0
    saved_nano_month: float = 0.0
    gain_nano: float = 0.0
    read_nano: float = 0.0
    """Reading all of it once, in the target: requests and retrieval, and restores at the speed "bulk"."""


@dataclass(slots=True)
class BucketPlan:
    """What would change, and what not."""

    bucket: str
    url: str
    planned_ns: int
    scanned_ns: int
    objects: int = 0
    bytes: int = 0
    changes: dict[tuple[str, str, str], Total] = field(default_factory=dict)
    """(rule, class now, class then) -> sums over all that pay."""
    left: Counter[str] = field(default_factory=Counter)
    """Why objects stay -> how many."""
    actions: list[Action] = field(default_factory=list)
    """The most valuable ones, best first: at most as many as were asked for."""

    def total(self) -> Total:
        """Return the sum over all changes."""
        sums = Total()
        for part in self.changes.values():
            for name in Total.__slots__:
                setattr(sums, name, getattr(sums, name) + getattr(part, name))
        return sums


@dataclass(frozen=True, slots=True)
class FactPage:
    """Columns of some objects."""

    rows: Sequence[ObjectFacts]
    keys: tuple[bytes, ...]
    sizes: Ints
    classes: Ints
    held_days: Floats
    age_days: Floats
    idle_days: Floats
    """Since the last known read or write; nan where nothing is known of reading."""
    archived: Bools


def plan_bucket(ctx: Context, name: str, *, keep: int = 100) -> BucketPlan:
    """Return the plan of a bucket with its *keep* most valuable actions. Raises UsageError before its first scan."""
    config = bucket_config(ctx, name)
    book = price_book(ctx.config)
    now_ns = ctx.clock.now_ns()
    with ctx.catalog.read() as tx:
        row = objects.find(tx, name)
    if row is None or row.scanned_ns is None or row.url != config.url:
        raise UsageError(f"bucket {name} was never scanned to its end", hint=f"run: frostline buckets scan {name}")
    plan = BucketPlan(name, config.url, now_ns, row.scanned_ns)
    best: list[Action] = []
    ctx.progress.start(f"plan {config.url}")
    for page in _pages(ctx, row, now_ns):
        plan.objects += len(page.keys)
        plan.bytes += int(page.sizes.sum())
        for action in _plan_page(plan, config, book, page, best=best, keep=keep):
            if len(best) < keep:
                heapq.heappush(best, action)
            else:
                heapq.heappushpop(best, action)
        ctx.progress.advance(files=len(page.keys), byte_count=int(page.sizes.sum()))
        if ctx.stop.is_set():
            break
    ctx.progress.finish()
    plan.actions = sorted(best, reverse=True)
    return plan


def _pages(ctx: Context, row: BucketRow, now_ns: int) -> Iterator[FactPage]:
    after = b""
    while True:
        with ctx.catalog.read() as tx:  # one at a time: a long read would keep SQLite's log from shrinking
            rows = next(objects.pages(tx, row.bucket_id, after=after, rows=PAGE_ROWS), None)
        if rows is None:
            return
        yield fact_columns(rows, now_ns // NS_PER_S, row.evidence_s)
        after = rows[-1][0]


def fact_columns(rows: Sequence[ObjectFacts], now_s: int, evidence_s: int | None) -> FactPage:
    """Return what rules look at, column by column; *evidence_s*: since when reads are known."""
    keys, sizes, classes, _, modified, since, access, flags = zip(*rows, strict=True)
    written = np.array(modified, np.int64)
    # Nobody read it since the logs began: that is knowledge too.
    known_from = np.nan if evidence_s is None else float(evidence_s)
    read = np.array([known_from if at is None else at for at in access], np.float64)
    return FactPage(
        rows=rows,
        keys=keys,
        sizes=np.array(sizes, np.int64),
        classes=np.array(classes, np.int64),
        held_days=np.maximum(now_s - np.array(since, np.int64), 0) / DAY_S,
        age_days=(now_s - written) / DAY_S,
        idle_days=(now_s - np.maximum(written, read)) / DAY_S,
        archived=(np.array(flags, np.int64) & ARCHIVED) != 0,
    )


def _plan_page(
    plan: BucketPlan, config: BucketConfig, book: PriceBook, page: FactPage, *, best: list[Action], keep: int
) -> Iterator[Action]:
    chosen = choose_page(config, page)
    plan.left[NO_RULE] += int((chosen < 0).sum())
    for number, rule in enumerate(config.rules):
        of_rule = chosen == number
        for class_no in np.unique(page.classes[of_rule]):
            ids = np.flatnonzero(of_rule & (page.classes == class_no))
            source = CLASSES[int(class_no)]
            reason, ids = _movable(plan, book, page, ids, source=source, target=rule.storage_class)
            if reason:
                plan.left[reason] += len(ids)
            elif len(ids):
                yield from _price(plan, config, book, page, ids=ids, rule=rule, source=source, best=best, keep=keep)


def choose_page(config: BucketConfig, page: FactPage) -> Ints:
    """Return the number of the first rule that matches each object, -1 for none."""
    chosen = np.full(len(page.keys), -1, np.int64)
    for number, rule in enumerate(config.rules):
        chosen[(chosen < 0) & _matches(rule, config.prefix, page)] = number
    return chosen


def _matches(rule: BucketRuleConfig, prefix: str, page: FactPage) -> Bools:
    fits = np.ones(len(page.keys), np.bool_)
    if rule.prefix:
        begin = (prefix + rule.prefix).encode()
        fits &= np.array([key.startswith(begin) for key in page.keys], np.bool_)
    if rule.larger_than_bytes is not None:
        fits &= page.sizes > rule.larger_than_bytes
    if rule.smaller_than_bytes is not None:
        fits &= page.sizes < rule.smaller_than_bytes
    if rule.age_ns is not None:
        fits &= page.age_days >= rule.age_ns / NS_PER_DAY
    if rule.idle_ns is not None:
        fits &= page.idle_days >= rule.idle_ns / NS_PER_DAY  # never true of nan
    return fits


def _movable(
    plan: BucketPlan, book: PriceBook, page: FactPage, ids: Ints, *, source: str, target: str
) -> tuple[str, Ints]:
    """Return why all of *ids* stay, or ("", those that may move); archived ones among them are counted."""
    if source == target:
        return THERE, ids
    if source == objects.STORED:
        return IN_PACKS, ids
    if source not in book.classes:
        return UNKNOWN_CLASS, ids
    if book.price(source).is_archive:
        return ARCHIVE, ids
    readable = ~page.archived[ids]
    plan.left[ARCHIVE] += int((~readable).sum())
    return "", ids[readable]


def _price(
    plan: BucketPlan,
    config: BucketConfig,
    book: PriceBook,
    page: FactPage,
    *,
    ids: Ints,
    rule: BucketRuleConfig,
    source: str,
    best: list[Action],
    keep: int,
) -> Iterator[Action]:
    target, sizes = rule.storage_class, page.sizes[ids]
    # Nobody knows when it was last read: then it may have been a moment ago. Only INTELLIGENT_TIERING asks.
    idle = np.minimum(np.nan_to_num(page.idle_days[ids], nan=0.0), page.held_days[ids])
    horizon_days = config.pays_within_ns / NS_PER_DAY
    it = change(book, source, target, sizes, page.held_days[ids], idle_days=idle, horizon_days=horizon_days)
    pays = (it.gain > 0) & (it.break_even_days <= horizon_days)
    enough = it.gain >= config.min_gain_nano
    plan.left[DEARER] += int((~pays).sum())
    plan.left[TOO_LITTLE] += int((pays & ~enough).sum())
    take = pays & enough
    if not take.any():
        return
    total = plan.changes.setdefault((rule.name, source, target), Total())
    total.objects += int(take.sum())
    total.bytes += int(sizes[take].sum())
    total.once_nano += float(it.once[take].sum())
    total.saved_nano_month += float(it.saved_month[take].sum())
    total.gain_nano += float(it.gain[take].sum())
    total.read_nano += _read_all(book, target, sizes[take])
    for place in _worth(it.gain, take, best, keep):
        row = page.rows[ids[place]]
        yield Action(
            gain_nano=int(it.gain[place]),
            key=row[0],
            size=row[1],
            source=source,
            target=target,
            etag=row[3],
            since_s=row[5],
            once_nano=int(it.once[place]),
            saved_nano_month=int(it.saved_month[place]),
            break_even_days=float(it.break_even_days[place]),
            rule=rule.name,
        )


def _worth(gain: Floats, take: Bools, best: list[Action], keep: int) -> Sequence[int]:
    """Return the places that may be among the *keep* best: most pages hold few of those."""
    places = np.flatnonzero(take)
    if keep <= 0:
        return ()
    if len(places) > keep:
        places = places[np.argpartition(gain[places], len(places) - keep)[-keep:]]
    if len(best) == keep:
        places = places[gain[places] >= best[0].gain_nano]
    return [int(place) for place in places]


def _read_all(book: PriceBook, target: str, sizes: Ints) -> float:
    price = book.price(target)
    nano = price.get_nano * len(sizes) + price.retrieval_nano_per_gib * float(sizes.sum()) / GIB
    if price.restore:
        restore = price.restore.get("bulk") or next(iter(price.restore.values()))
        nano += restore.nano_per_request * len(sizes) + restore.nano_per_gib * float(sizes.sum()) / GIB
    return nano


def plan_json(plan: BucketPlan) -> dict[str, object]:
    """Return the plan as a JSON document; dollars are numbers."""
    return {
        "bucket": plan.bucket, "url": plan.url, "objects": plan.objects, "bytes": plan.bytes,
        "changes": [
            {"rule": rule, "from": source, "to": target, **_total_json(total)}
            for (rule, source, target), total in sorted(plan.changes.items())
        ],
        "total": _total_json(plan.total()),
        "left": {reason: count for reason, count in sorted(plan.left.items()) if count},
        "actions": [
            {
                "key": action.key.decode("utf-8", "surrogateescape"), "size_bytes": action.size, "from": action.source,
                "to": action.target, "rule": action.rule, "usd_once": action.once_nano / NANO,
                "usd_per_month_saved": action.saved_nano_month / NANO, "usd_gain": action.gain_nano / NANO,
                "break_even_days": round(action.break_even_days, 1),
            }
            for action in plan.actions
        ],
    }  # fmt: skip


def _total_json(total: Total) -> dict[str, object]:
    return {
        "objects": total.objects, "bytes": total.bytes, "usd_once": total.once_nano / NANO,
        "usd_per_month_saved": total.saved_nano_month / NANO, "usd_gain": total.gain_nano / NANO,
        "usd_to_read_all_once": total.read_nano / NANO,
    }  # fmt: skip
