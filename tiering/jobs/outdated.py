"""Tells an old copy, put back from a backup, from the real thing: of the catalog (the store then holds segments that it
never wrote) and of the store (the catalog's last segment is then not there). And tells that two copies of one catalog,
of a machine that was cloned, wrote a segment at the same time.

Used before segments are written and before gc; the first also when an installation is opened. An old catalog has the
right id and epoch, but to it everything stored since is debris, and gc would delete it. An old store has packs again
that were rewritten since, and not those that took their place: gc would delete the only copy.
"""

from collections.abc import Set

from dedup.errors import DedupError
from dedup.segment import decode_segment
from tiering.catalog import segments
from tiering.errors import IntegrityError, NotOwner, ObjectMissing
from tiering.jobs.context import Context
from tiering.stores.base import ObjectInfo

_PREFIX = "segments/"


def refuse_outdated(ctx: Context, *, may_read: bool = False) -> None:
    """Raise NotOwner if the store holds a segment beyond the catalog's last one, or, unless *may_read*, has not that
    one: what an old store still holds may be brought back. One request to list, seldom more.

    A segment's row precedes its object, so what is listed first and looked up afterwards, and is in no row, was written
    from a newer catalog. What cannot be read there, or holds what waits here, is an unfinished attempt of our own.
    """
    with ctx.catalog.read() as tx:
        last = segments.last_durable(tx)
    number = last.segment_no if last else 0
    store = ctx.metadata.store
    # "-" precedes every hexadecimal digit, "g" follows: keys of that number are between the two.
    found = list(store.list(_PREFIX, start_after=f"{_PREFIX}{number:012d}-"))
    if last is not None and last.tier == ctx.metadata.name and not may_read:
        _refuse_older_store(ctx, last.key, {info.key for info in found})
    listed = [info for info in found if info.key > f"{_PREFIX}{number:012d}-g"]
    if not listed:
        return
    with ctx.catalog.read() as tx:
        ours = set(segments.durable_keys(tx))
        pending = segments.pending(tx)
        waiting = segments.next_batch(tx)
    if pending is not None:
        ours.add(pending.key)
    for info in listed:
        if info.key not in ours and _is_foreign(ctx, info, waiting=waiting):
            raise NotOwner(
                f"the catalog {ctx.catalog.shown_url} is older than its store: it knows {number} segments, and "
                f"{store.url} holds {info.key}",
                now="nothing was deleted or released; files stored since then are safe in the store",
                hint="an old copy of the catalog was put back: bring the newest one, or move this one away and run "
                "frostline rebuild; see docs/runbook.md#catalog-outdated",
            )


def refuse_twin(ctx: Context, key: str, batch: segments.SegmentBatch) -> None:
    """Raise NotOwner if another segment of the number of *batch*, which stands as *key*, says something else.

    Asked after the upload: of two copies of a catalog that looked at the same time, and saw nothing, at least the one
    that comes second sees the other now, and what its segment says is not relied on.
    """
    store = ctx.metadata.store
    for info in store.list(f"{_PREFIX}{batch.number:012d}-"):
        if info.key != key and _is_foreign(ctx, info, waiting=batch):
            raise NotOwner(
                f"two copies of one catalog write to {store.url}: {key} is ours, and {info.key} is another's",
                now="what this one recorded since is not relied on: nothing was released or deleted for it",
                hint="stop frostline on the machine that was cloned; then move this catalog away and run frostline "
                "rebuild, which takes in what both stored; see docs/runbook.md#catalog-outdated",
            )


def _refuse_older_store(ctx: Context, key: str, found: Set[str]) -> None:
    if key not in found:
        store = ctx.metadata.store
        raise NotOwner(
            f"{store.url} is older than the catalog: {key}, the last segment that was written, is not in it",
            now="nothing was deleted, released or recorded there; what it holds can be recalled and restored",
            hint="an old copy of the store was put back, or a part was left out when it was copied: bring the newest "
            "one, or move the catalog away and run frostline rebuild; see docs/runbook.md#store-outdated",
        )


def _is_foreign(ctx: Context, info: ObjectInfo, *, waiting: segments.SegmentBatch | None) -> bool:
    try:
        found = decode_segment(ctx.metadata.store.get(info.key))
    except (DedupError, ObjectMissing, IntegrityError):
        return False
    if not info.key.startswith(f"{_PREFIX}{found.number:012d}-"):
        return False
    # The same records in another encoding: a library was updated between two attempts.
    return waiting is None or (found.number, found.records) != (waiting.number, waiting.records)
