"""Writes what the outbox holds to the store as segments: the catalog's shadow, without which nothing is released or
deleted.

Used after every commit of migrate, by release and gc before they act, and by the daemon's clock. One flusher at a
time: a lease in the catalog across processes, a lock within this one.
"""

import io
import threading

from dedup.segment import encode_segment, segment_hash
from tiering.catalog import leases, segments
from tiering.catalog.segments import SegmentBatch
from tiering.errors import ObjectExists
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.outdated import refuse_outdated, refuse_twin
from tiering.stores import ownership
from tiering.stores.checksum import checksum_of
from tiering.stores.verified import put_verified

LEASE_NAME = "segments"
# A segment of 20,000 records is about 1 MB coded; the store's own deadline for one request is far below this.
LEASE_S = 600

# A lease is its process's, not its thread's: two threads of one daemon would both be granted it.
_one_flusher = threading.Lock()


def flush(ctx: Context) -> int:
    """Write every waiting record to durable segments; return the number of the last durable one (0 = none ever).

    On return everything committed before the call is in the store, verified. Raises CatalogBusy when another process is
    flushing, NotOwner, and what the store raises: then a pending segment remains and the next flush writes the same
    bytes.
    """
    with _one_flusher:
        with ctx.catalog.read() as tx:
            batch = segments.next_batch(tx)
            if batch is None:
                last = segments.last_durable(tx)
                return last.segment_no if last else 0
        with leases.held(ctx.catalog, LEASE_NAME, owner=ctx.owner, seconds=LEASE_S):
            return _write_all(ctx)


def _write_all(ctx: Context) -> int:
    # An older catalog that came back must not add to a chain that a rebuilt one continues.
    ownership.check(ctx.metadata.store, ctx.catalog_id, ctx.epoch)
    refuse_outdated(ctx)
    while True:
        with ctx.catalog.read() as tx:
            batch = segments.next_batch(tx)
            if batch is None:
                last = segments.last_durable(tx)
                return last.segment_no if last else 0
        _write_one(ctx, batch)
        ctx.step("segments.durable")


def _write_one(ctx: Context, batch: SegmentBatch) -> None:
    data = encode_segment(batch.number, batch.prev_hash, batch.records)
    digest = segment_hash(data)
    key = f"segments/{batch.number:012d}-{digest[:16]}"
    with ctx.catalog.write() as tx:
        segments.mark_pending(tx, batch, key=key, size=len(data), hash=digest)
    ctx.step("segments.pending")
    _upload(ctx.metadata, key, data)
    refuse_twin(ctx, key, batch)
    ctx.step("segments.uploaded")
    with ctx.catalog.write() as tx:
        segments.mark_durable(tx, batch.number, tier=ctx.metadata.name)


def _upload(tier: OpenTier, key: str, data: bytes) -> None:
    checksum = checksum_of(data)
    try:
        put_verified(
            tier.store,
            tier.capabilities,
            key,
            io.BytesIO(data),
            size_bytes=len(data),
            checksum=checksum,
            storage_class=tier.storage_class,
        )
    except ObjectExists:
        # The key holds the hash of the bytes: an earlier attempt of ours got through. Believed only after reading it.
        if tier.store.get(key) != data:
            raise
