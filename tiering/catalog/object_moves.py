"""Class changes of other people's objects: what is under way, what came of it, and what the moved ones weigh.

A claim is committed before the first request; settle() turns it into facts in the transaction that books its cost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from tiering.catalog.bucket_tables import object_moves, objects
from tiering.catalog.objects import CLASSES
from tiering.catalog.transaction import Tx, batches, fetch_raw
from tiering.clock import NS_PER_DAY, NS_PER_S

DAY_S = NS_PER_DAY // NS_PER_S


@dataclass(frozen=True, slots=True)
class MoveRow:
    """One change under way."""

    bucket_id: int
    key: bytes
    target_no: int
    run: str
    started_s: int
    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What an object is after its change."""

    key: bytes
    source_no: int
    target_no: int
    etag: bytes
    modified_s: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Objects that stand in another class than they would without us, taken together."""

    was_no: int
    class_no: int
    idle_step: int
    """How many of the asked idle ages they have reached."""
    count: int
    size: int
    small: int
    """How many are below the size that was asked about; their bytes are in *small_size*."""
    small_size: int


def claim(tx: Tx, rows: Sequence[MoveRow]) -> None:
    """Note changes before the first request for them."""
    for batch in batches(rows):
        tx.conn.execute(
            insert(object_moves),
            [
                {
                    "bucket_id": row.bucket_id, "key": row.key, "target_no": row.target_no, "run": row.run,
                    "started_s": row.started_s, "reason": row.reason,
                }
                for row in batch
            ],
        )  # fmt: skip


def under_way(tx: Tx, bucket_id: int) -> list[MoveRow]:
    """Return what runs that did not come to their end left, in key order; at most a batch per run."""
    query = select(object_moves).where(object_moves.c.bucket_id == bucket_id).order_by(object_moves.c.key)
    return [MoveRow(*row) for row in tx.conn.execute(query)]


def settle(tx: Tx, bucket_id: int, keys: Sequence[bytes], moved: Sequence[Moved]) -> None:
    """End the claims on *keys*, of which *moved* have changed class.

    Where an object would be without us stays what it was at the first move: savings are measured by it. One that is
    back in that class saves nothing.
    """
    for batch in batches(keys):
        ended = delete(object_moves).where(object_moves.c.bucket_id == bucket_id, object_moves.c.key.in_(batch))
        tx.conn.execute(ended)
    for it in moved:
        where = (objects.c.bucket_id == bucket_id) & (objects.c.key == it.key)
        was = tx.conn.execute(select(objects.c.was_no).where(where)).scalar()
        origin = it.source_no if was is None else int(was)
        values = {
            "class_no": it.target_no, "etag": it.etag, "modified_s": it.modified_s, "since_s": tx.now_ns // NS_PER_S,
            "was_no": None if origin == it.target_no else origin,
        }  # fmt: skip
        tx.conn.execute(update(objects).where(where).values(values))


def refresh(tx: Tx, bucket_id: int, key: bytes, *, size: int, class_no: int, etag: bytes, modified_s: int) -> None:
    """Note what an object turned out to be, when somebody else changed it."""
    where = (objects.c.bucket_id == bucket_id) & (objects.c.key == key)
    values = {
        "size": size, "class_no": class_no, "etag": etag, "modified_s": modified_s, "since_s": modified_s,
        "was_no": None,
    }  # fmt: skip
    tx.conn.execute(update(objects).where(where).values(values))


def forget(tx: Tx, bucket_id: int, key: bytes) -> None:
    """Drop the row of an object that is gone."""
    tx.conn.execute(delete(objects).where(objects.c.bucket_id == bucket_id, objects.c.key == key))


def standing(tx: Tx, bucket_id: int, *, now_s: int, idle_days: Sequence[int], small_bytes: int) -> Iterator[Standing]:
    """Yield the moved objects by (class before, class now, step of *idle_days* reached); see Standing.

    Idle is the time since an object was last read or came into its class.
    """
    last = "CASE WHEN access_s > since_s THEN access_s ELSE since_s END"
    reached = [f"CASE WHEN {now_s:d} - ({last}) >= {days * DAY_S:d} THEN 1 ELSE 0 END" for days in idle_days]
    step = " + ".join(reached) or "0"
    small = f"size < {small_bytes:d}"
    text = (
        f"SELECT was_no, class_no, {step} AS step, count(*), sum(size), "  # noqa: S608  # our names and numbers
        f"sum(CASE WHEN {small} THEN 1 ELSE 0 END), sum(CASE WHEN {small} THEN size ELSE 0 END) "
        f"FROM objects WHERE bucket_id = ? AND was_no IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    for row in fetch_raw(tx, text, (bucket_id,)):
        yield Standing(*map(int, row))


def pair(it: Standing) -> tuple[str, str]:
    """Return (class before, class now)."""
    return CLASSES[it.was_no], CLASSES[it.class_no]
