"""Tells an old copy of the catalog, put back from a backup, from the catalog itself: the store then holds segments that
it never wrote.

Used before segments are written, before gc, and when an installation is opened. An old copy has the right id and epoch,
but to it everything stored since is debris, and gc would delete it.
"""

from dedup.errors import DedupError
from dedup.segment import decode_segment
from tiering.catalog import segments
from tiering.errors import IntegrityError, NotOwner, ObjectMissing
from tiering.jobs.context import Context
from tiering.stores.base import ObjectInfo

_PREFIX = "segments/"


def refuse_outdated(ctx: Context) -> None:
    """Raise NotOwner if the store holds a segment beyond the catalog's last one. One request to list, seldom more.

    A segment's row precedes its object, so what is listed first and looked up afterwards, and is in no row, was written
    from a newer catalog. What cannot be read there, or holds what waits here, is an unfinished attempt of our own.
    """
    with ctx.catalog.read() as tx:
        last = segments.last_durable(tx)
    number = last.segment_no if last else 0
    store = ctx.metadata.store
    # "g" follows every hexadecimal digit: all keys of that number are before it.
    listed = list(store.list(_PREFIX, start_after=f"{_PREFIX}{number:012d}-g"))
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


def _is_foreign(ctx: Context, info: ObjectInfo, *, waiting: segments.SegmentBatch | None) -> bool:
    try:
        found = decode_segment(ctx.metadata.store.get(info.key))
    except (DedupError, ObjectMissing, IntegrityError):
        return False
    if not info.key.startswith(f"{_PREFIX}{found.number:012d}-"):
        return False
    # The same records in another encoding: a library was updated between two attempts.
    return waiting is None or (found.number, found.records) != (waiting.number, waiting.records)
