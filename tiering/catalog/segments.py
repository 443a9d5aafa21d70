"""Segments: which records of the outbox are in the store, and which come next.

next_batch -> encode -> mark_pending -> upload -> mark_durable. A pending segment is resumed with exactly its
records, so the same bytes are made again and a crash between upload and mark_durable leaves no second segment
of that number. One flusher at a time: callers hold the lease "segments".
"""

import json
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import delete, func, insert, select, update

from tiering.catalog import accounts
from tiering.catalog.accounts import Amounts
from tiering.catalog.booking import book
from tiering.catalog.tables import outbox, segments
from tiering.catalog.transaction import Tx, fetch_raw, named_columns

BATCH_RECORDS = 20_000  # about 10 MB of JSON: a transaction and a segment stay small
SEGMENT_KIND = "segment"
_ROWS = f"SELECT {named_columns(segments)} FROM segments"  # noqa: S608  # our own names


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment written or about to be."""

    segment_no: int
    key: str
    state: str
    """pending or durable."""
    size: int
    hash: str
    last_seq: int
    created_ns: int
    tier: str
    """Where its bytes are booked; "" while pending."""


@dataclass(frozen=True, slots=True)
class SegmentBatch:
    """What the next segment holds."""

    number: int
    prev_hash: str
    """Hash of the segment before; "" for the first."""
    records: tuple[str, ...]
    """JSON texts in order."""
    last_seq: int


def next_batch(tx: Tx, *, limit: int = BATCH_RECORDS) -> SegmentBatch | None:
    """Return the records of the next segment (of the pending one, if there is one), or None when nothing waits.

    Bookings of segments alone do not wait: else every segment would call for another.
    """
    pending = _one(tx, "pending")
    durable = last_durable(tx)
    number, prev_hash = (durable.segment_no, durable.hash) if durable else (0, "")
    of_pending, first = ("WHERE seq <= ?", pending.last_seq) if pending is not None else ("ORDER BY seq LIMIT ?", limit)
    rows = fetch_raw(tx, f"SELECT seq, record FROM outbox {of_pending}", [first])  # noqa: S608  # our own names
    rows.sort(key=itemgetter(0))
    if not rows or (pending is None and all(_books_segment(record) for _, record in rows)):
        return None
    return SegmentBatch(number + 1, prev_hash, tuple(record for _, record in rows), rows[-1][0])


def mark_pending(tx: Tx, batch: SegmentBatch, *, key: str, size: int, hash: str) -> None:
    """Note the segment before its upload. Idempotent; another encoding of the same batch replaces the row."""
    tx.conn.execute(delete(segments).where(segments.c.segment_no == batch.number, segments.c.state == "pending"))
    tx.conn.execute(
        insert(segments),
        {
            "segment_no": batch.number,
            "key": key,
            "state": "pending",
            "size": size,
            "hash": hash,
            "last_seq": batch.last_seq,
            "created_ns": tx.now_ns,
        },
    )


def mark_durable(tx: Tx, number: int, *, tier: str) -> None:
    """Note that the store holds the segment, book its bytes as metadata of *tier*, drop its records. Idempotent."""
    query = select(segments).where(segments.c.segment_no == number, segments.c.state == "pending")
    row = tx.conn.execute(query).one_or_none()
    if row is None:
        return
    tx.conn.execute(update(segments).where(segments.c.segment_no == number).values(state="durable", tier=tier))
    tx.conn.execute(delete(outbox).where(outbox.c.seq <= row.last_seq))
    amounts = Amounts()
    amounts.add(accounts.BUCKET_METADATA, row.size, tier)
    amounts.add(accounts.BUCKET_TOTAL, -row.size, tier)
    book(tx, amounts, op_id=f"segment:{number}", kind=SEGMENT_KIND, reason="")


def durable_through(tx: Tx) -> int:
    """Return the outbox seq up to which everything is in durable segments; compare FileRow.stored_seq with it."""
    found = tx.conn.execute(select(func.max(segments.c.last_seq)).where(segments.c.state == "durable")).scalar()
    return int(found or 0)


def last_durable(tx: Tx) -> SegmentRow | None:
    """Return the newest durable segment."""
    return _one(tx, "durable")


def pending(tx: Tx) -> SegmentRow | None:
    """Return the segment that was about to be written."""
    return _one(tx, "pending")


def durable_keys(tx: Tx) -> dict[str, SegmentRow]:
    """Return key -> segment for all durable ones."""
    query = select(segments).where(segments.c.state == "durable")
    return {row.key: SegmentRow(*row) for row in tx.conn.execute(query)}


def times(tx: Tx, *, since_ns: int, until_ns: int) -> set[int]:
    """Return when segments were written, by our clock, in that time; and when the last before it was."""
    query = select(segments.c.created_ns).where(segments.c.created_ns.between(since_ns, until_ns))
    before = select(func.max(segments.c.created_ns)).where(segments.c.created_ns < since_ns)
    found = {*tx.conn.execute(query).scalars(), tx.conn.execute(before).scalar()}
    return {at_ns for at_ns in found if at_ns is not None}


def restore(tx: Tx, row: SegmentRow) -> None:
    """Insert a durable segment found in the store (rebuild)."""
    tx.conn.execute(insert(segments), {name: getattr(row, name) for name in SegmentRow.__dataclass_fields__})


def waiting(tx: Tx) -> int:
    """Return how many records wait for a segment."""
    return int(tx.conn.execute(select(func.count()).select_from(outbox)).scalar_one())


def _one(tx: Tx, state: str) -> SegmentRow | None:
    rows = fetch_raw(tx, f"{_ROWS} WHERE state = ? ORDER BY segment_no DESC LIMIT 1", [state])
    return SegmentRow(*rows[0]) if rows else None


def _books_segment(record: str) -> bool:
    value = json.loads(record)
    return bool(value.get("record") == "ledger" and value.get("kind") == SEGMENT_KIND)
