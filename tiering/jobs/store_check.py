"""Compares what a store lists with the rows that name its objects: existence, size, storage class, totals.

Used by audit. The listing is read once, in key order, and merged with the rows a page at a time.
"""

import json
from collections.abc import Iterable, Sequence

from dedup.errors import DedupError
from dedup.segment import decode_segment
from tiering.catalog import ledger, packs, segments, stores
from tiering.catalog.segments import SegmentRow
from tiering.catalog.transaction import batches
from tiering.catalog.values import PackRow, PackState
from tiering.errors import ObjectMissing
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.findings import Findings
from tiering.jobs.reconcile import is_abandoned
from tiering.jobs.store_debris import PREFIXES, PROBE_PREFIX
from tiering.stores import ownership
from tiering.stores.base import ObjectInfo

SEGMENT_PREFIX = "segments/"
SEGMENTS_READ = 10  # back from the newest, until one holds an entry of the ledger; nearly every one does


def check_stores(ctx: Context, found: Findings) -> int:
    """Check every store once; return the bytes of uploads in flight. Raises what the stores raise."""
    in_flight = 0
    missing = expected_packs(ctx)
    for tier in {tier.store.url: tier for tier in (*ctx.tiers.values(), ctx.metadata)}.values():
        for prefix in PREFIXES:
            for batch in batches(tier.store.list(prefix)):
                in_flight += _check_packs(ctx, tier, batch, missing, found)
        _check_metadata(ctx, tier, found)
    for pack_no in sorted(missing):
        _check_missing(ctx, pack_no, found)
    return in_flight


def expected_packs(ctx: Context) -> set[int]:
    """Return the numbers of all packs that must stand in a store."""
    numbers: set[int] = set()
    for state in (PackState.LIVE, PackState.DOOMED):
        after = 0
        while True:
            with ctx.catalog.read() as tx:
                page = packs.in_state(tx, state, after_no=after, limit=5000)
            if not page:
                break
            numbers.update(row.pack_no for row in page if row.size)
            after = page[-1].pack_no
    return numbers


def _check_packs(ctx: Context, tier: OpenTier, batch: Sequence[ObjectInfo], missing: set[int], found: Findings) -> int:
    with ctx.catalog.read() as tx:
        rows = packs.by_keys(tx, [info.key for info in batch])
    in_flight = 0
    for info in batch:
        row = rows.get(info.key)
        if row is None:
            found.add(f"store: {info.key} ({info.size_bytes} bytes) is in {tier.store.url} and in no book; gc dooms it")
        elif row.state is PackState.PENDING:
            in_flight += _check_pending(ctx, row, info, found)
        else:
            missing.discard(row.pack_no)
            _check_pack(tier, row, info, found)
    return in_flight


def _check_pending(ctx: Context, row: PackRow, info: ObjectInfo, found: Findings) -> int:
    if is_abandoned(ctx, row, now_ns=ctx.clock.now_ns()):
        found.add(f"store: {row.key} was uploaded by a process that died before its commit; run: frostline reconcile")
        return 0
    return info.size_bytes


def _check_pack(tier: OpenTier, row: PackRow, info: ObjectInfo, found: Findings) -> None:
    if row.state is PackState.DELETED:
        found.add(f"store: {row.key} ({info.size_bytes} bytes) is booked as deleted and stands in {tier.store.url}")
    elif info.size_bytes != row.size:
        found.add(f"store: {row.key} has {info.size_bytes} bytes, {row.size} are booked ({row.state})")
    elif tier.capabilities.keeps_class and info.storage_class != row.storage_class:
        found.add(f"store: {row.key} is of class {info.storage_class}, {row.storage_class} is booked")


def _check_missing(ctx: Context, pack_no: int, found: Findings) -> None:
    """Look at one pack again that the listing did not have: it may have been committed or deleted meanwhile."""
    with ctx.catalog.read() as tx:
        row = packs.get(tx, pack_no)
    if row is None or row.state not in {PackState.LIVE, PackState.DOOMED}:
        return
    if row.tier not in ctx.tiers:
        found.note(f'{row.key} was not looked for: tier "{row.tier}" is not configured any more')
        return
    use = "live files need it" if row.state is PackState.LIVE else "it was doomed"
    found.add(f"store: {row.key} ({row.size} bytes) is booked in tier {row.tier} and is not there; {use}")


def _check_metadata(ctx: Context, tier: OpenTier, found: Findings) -> None:
    if tier.store.url == ctx.metadata.store.url:
        _check_segments(ctx, tier, found)
    with ctx.catalog.read() as tx:
        row = stores.get(tx, tier.store.url)
    size_bytes = sum(info.size_bytes for info in tier.store.list(ownership.KEY))
    if row is not None and size_bytes != row.ownership_bytes:
        found.add(
            f"store: {ownership.KEY} in {tier.store.url} has {size_bytes} bytes, {row.ownership_bytes} are booked"
        )
    known = (*PREFIXES, SEGMENT_PREFIX, PROBE_PREFIX)
    for info in _strangers(tier, known):
        found.note(f"{info.key} ({info.size_bytes} bytes) in {tier.store.url} is not frostline's")


def _strangers(tier: OpenTier, known: Iterable[str]) -> Iterable[ObjectInfo]:
    """Yield objects outside all prefixes of ours, without listing what is inside them."""
    start = ""
    for prefix in [*sorted(known), ""]:
        for info in tier.store.list("", start_after=start):
            if prefix and info.key >= prefix:
                break
            if info.key != ownership.KEY:
                yield info
        start = prefix[:-1] + "0" if prefix else ""  # "0" follows "/": the first key after the prefix


def _check_segments(ctx: Context, tier: OpenTier, found: Findings) -> None:
    listed = {info.key: info.size_bytes for info in tier.store.list(SEGMENT_PREFIX)}
    with ctx.catalog.read() as tx:
        booked = segments.durable_keys(tx)
        pending = segments.pending(tx)
    for key, row in sorted(booked.items()):
        size_bytes = listed.pop(key, None)
        if size_bytes is None:
            found.add(f"store: segment {key} is booked and is not there: rebuild would be incomplete")
        elif size_bytes != row.size:
            found.add(f"store: segment {key} has {size_bytes} bytes, {row.size} are booked")
    for key, size_bytes in sorted(listed.items()):
        if pending is None or key != pending.key:
            found.add(f"store: segment {key} ({size_bytes} bytes) is in no book")
    _check_ledger_head(ctx, tier, sorted(booked.values(), key=lambda row: -row.segment_no), found)


def _check_ledger_head(ctx: Context, tier: OpenTier, newest_first: Sequence[SegmentRow], found: Findings) -> None:
    """Hold the newest ledger entry that stands in the store against the catalog's: a ledger whose chain was made anew
    from some entry on verifies in itself, but all hashes from there on are others.
    """
    for row in newest_first[:SEGMENTS_READ]:
        try:
            segment = decode_segment(tier.store.get(row.key))
        except ObjectMissing:
            continue  # said already
        except DedupError as error:
            found.add(f"store: segment {row.key} is damaged: {error}")
            continue
        if segment.hash != row.hash:
            found.add(f"store: segment {row.key} is not the one that was written")
        entries = [record for record in map(json.loads, segment.records) if record["record"] == "ledger"]
        if not entries:
            continue
        newest = entries[-1]
        with ctx.catalog.read() as tx:
            known = ledger.hash_at(tx, newest["entry_no"])
        if known is None:
            found.add(f"ledger: entry {newest['entry_no']} stands in segment {row.key} and not in the catalog")
        elif known != newest["hash"]:
            found.add(f"ledger: entry {newest['entry_no']} is not the one in segment {row.key}: it was altered since")
        return
