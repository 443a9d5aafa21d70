"""Finds what stands in a store and in no row: objects of crashed or foreign writers, and uploads nobody will
finish.

Used by gc. A writer's row always precedes its first byte, so what is listed first and looked up afterwards, and
has no row, is nobody's. It is doomed like any other pack, never deleted here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tiering.catalog import packs, segments
from tiering.catalog.packs import Orphan
from tiering.catalog.transaction import batches
from tiering.catalog.values import PackRow, PackState
from tiering.errors import FrostlineError
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.packing import FOLDERS
from tiering.jobs.reconcile import is_abandoned
from tiering.stores.base import ObjectInfo, Upload
from tiering.stores.removal import remove

PREFIXES = {f"{folder}/": kind for kind, folder in FOLDERS.items()}
PROBE_PREFIX = "probe/"


class Tally(Protocol):
    """What the counts are added to: gc's report."""

    orphans_doomed: int
    uploads_aborted: int
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Unknown:
    """An object under a pack prefix that no row names."""

    tier: OpenTier
    kind: str
    info: ObjectInfo


def unknown_objects(ctx: Context, tier: OpenTier) -> Iterator[Unknown]:
    """Yield the objects of one store that no row names, in key order; memory is bounded by a page."""
    for prefix, kind in PREFIXES.items():
        for batch in batches(tier.store.list(prefix)):
            with ctx.catalog.read() as tx:
                known = packs.by_keys(tx, [info.key for info in batch])
            for info in batch:
                if info.key not in known:
                    yield Unknown(_tier_of(ctx, tier, info, kind), kind, info)


def doom_orphans(ctx: Context, run: str, report: Tally) -> None:
    """Give every unknown object a row that is doomed from now on, and book its bytes as dead."""
    for tier in _stores(ctx):
        for number, found in enumerate(batches(unknown_objects(ctx, tier))):
            ctx.step("gc.orphans")
            orphans = [
                Orphan(
                    key=item.info.key,
                    kind=item.kind,
                    tier=item.tier.name,
                    storage_class=item.info.storage_class,
                    size=item.info.size_bytes,
                    checksum=item.info.checksum,
                    created_ns=item.info.modified_ns,
                )
                for item in found
            ]
            with ctx.catalog.write() as tx:
                packs.doom_orphans(tx, orphans, op_id=f"{run}:orphans:{tier.name}:{number}")
            report.orphans_doomed += len(orphans)


def abort_uploads(ctx: Context, report: Tally) -> None:
    """Drop unfinished uploads that no living process is at: their pack is not pending, or its process is dead.

    Uploads under keys that are not of packs are dropped once they are older than the grace period.
    """
    now_ns = ctx.clock.now_ns()
    for tier in _stores(ctx):
        uploads = list(tier.store.list_uploads())
        if not uploads:
            continue
        with ctx.catalog.read() as tx:
            rows = packs.by_keys(tx, {upload.key for upload in uploads})
            pending = segments.pending(tx)
        for upload in uploads:
            if pending is not None and upload.key == pending.key:
                continue
            if not _is_debris(ctx, upload, rows.get(upload.key), now_ns=now_ns):
                continue
            try:
                tier.store.abort_upload(upload)
            except FrostlineError as error:
                report.notes.append(f"the unfinished upload of {upload.key} stays: {error.what}")
                continue
            report.uploads_aborted += 1


def remove_probes(ctx: Context) -> None:
    """Delete what an interrupted probe left behind, once it is older than the grace period."""
    before_ns = ctx.clock.now_ns() - ctx.config.gc.grace_ns
    for tier in _stores(ctx):
        remove(tier.store, [info.key for info in tier.store.list(PROBE_PREFIX) if info.modified_ns <= before_ns])


def _is_debris(ctx: Context, upload: Upload, row: PackRow | None, *, now_ns: int) -> bool:
    if row is None:
        return upload.started_ns <= now_ns - ctx.config.gc.grace_ns
    return row.state is not PackState.PENDING or is_abandoned(ctx, row, now_ns=now_ns)


def _stores(ctx: Context) -> Iterable[OpenTier]:
    return {tier.store.url: tier for tier in (ctx.metadata, *ctx.tiers.values())}.values()


def _tier_of(ctx: Context, tier: OpenTier, info: ObjectInfo, kind: str) -> OpenTier:
    """Return the tier that an object of a store shared by several belongs to: recipes are metadata, else by class."""
    if kind == "recipes" and ctx.metadata.store.url == tier.store.url:
        return ctx.metadata
    here = [other for other in ctx.tiers.values() if other.store.url == tier.store.url]
    return next((other for other in here if other.storage_class == info.storage_class), here[0] if here else tier)
