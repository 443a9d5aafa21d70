"""Rows of buckets under care and of the objects in them: written by scans a page at a time, read in key order.

An object's row is what the last scan saw, and what we did since; a scan that looks at an older snapshot (S3 Inventory)
does not undo the latter. Nothing here weighs in the books of bytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update

from tiering.catalog.bucket_tables import buckets, objects
from tiering.catalog.transaction import Tx, fetch_among, fetch_raw
from tiering.clock import NS_PER_S

CLASSES = (
    "STANDARD", "REDUCED_REDUNDANCY", "INTELLIGENT_TIERING", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER",
    "DEEP_ARCHIVE", "OTHER", "FROSTLINE",
)  # fmt: skip
"""Stored as their place here: only ever append. OTHER is what frostline does not know and leaves alone; FROSTLINE is
where an object is that was taken into packs and deleted here: its row stays, for what it would cost.
"""
CLASS_NO = {name: number for number, name in enumerate(CLASSES)}
STORED = "FROSTLINE"
ARCHIVED = 1
"""Flag: INTELLIGENT_TIERING keeps it in an archive access tier, where it cannot be read."""


@dataclass(frozen=True, slots=True)
class BucketRow:
    """One bucket under care."""

    bucket_id: int
    name: str
    url: str
    scan_no: int
    scanned_ns: int | None
    accrued_ns: int | None
    evidence_s: int | None
    logs_after: str
    trail_after: str


Seen = tuple[bytes, int, int, bytes, int, int | None, int]
"""What a scan saw: (key, size, class_no, packed etag, modified_s, access_s, flags). A tuple: there are millions."""

ObjectFacts = tuple[bytes, int, int, bytes, int, int, int | None, int]
"""(key, size, class_no, etag, modified_s, since_s, access_s, flags) as the catalog has them."""

_FACTS = "key, size, class_no, etag, modified_s, since_s, access_s, flags"


def packed_etag(etag: str) -> bytes:
    """Return an ETag as stored: 16 bytes of a plain MD5 (half of all bytes a row has), else its text in quotes (never
    16 bytes).
    """
    text = etag.strip('"')
    if len(text) == 32:
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass  # not an MD5: servers may put anything there
    spelled = f'"{text}"'.encode()
    return spelled if len(spelled) != 16 else b'"' + spelled


def etag_text(etag: bytes) -> str:
    """Return the ETag as S3 spells it, with its quotes."""
    text = etag.hex() if len(etag) == 16 else etag.strip(b'"').decode()
    return f'"{text}"'


def ensure(tx: Tx, name: str, url: str) -> BucketRow:
    """Return the row of a bucket, made if there is none; under another URL than before it starts anew.

    One that is called otherwise than before keeps what is known of it.
    """
    renamed = update(buckets).where(buckets.c.url == url, buckets.c.name != name)
    row = tx.conn.execute(select(buckets).where(buckets.c.name == name)).one_or_none()
    if row is None:
        tx.conn.execute(renamed.values(name=name))
        row = tx.conn.execute(select(buckets).where(buckets.c.name == name)).one_or_none()
    if row is None:
        values = {"name": name, "url": url, "scan_no": 0, "logs_after": "", "trail_after": ""}
        tx.conn.execute(insert(buckets), values)
    elif row.url != url:
        tx.conn.execute(delete(objects).where(objects.c.bucket_id == row.bucket_id))
        fresh = {
            "url": url, "scanned_ns": None, "accrued_ns": None, "evidence_s": None, "logs_after": "", "trail_after": "",
        }  # fmt: skip
        tx.conn.execute(update(buckets).where(buckets.c.bucket_id == row.bucket_id).values(fresh))
    return BucketRow(*tx.conn.execute(select(buckets).where(buckets.c.name == name)).one())


def find(tx: Tx, name: str) -> BucketRow | None:
    """Return the row of a bucket; None before its first scan."""
    row = tx.conn.execute(select(buckets).where(buckets.c.name == name)).one_or_none()
    return None if row is None else BucketRow(*row)


def begin_scan(tx: Tx, bucket_id: int) -> int:
    """Return the number of a new scan."""
    counted = update(buckets).where(buckets.c.bucket_id == bucket_id).values(scan_no=buckets.c.scan_no + 1)
    return int(tx.conn.execute(counted.returning(buckets.c.scan_no)).scalar_one())


def write_page(tx: Tx, bucket_id: int, page: Iterable[Seen], *, scan_no: int, as_of_s: int) -> None:
    """Insert or refresh rows; what is known from after *as_of_s*, the time of what is read, stays as it is.

    An object whose class changed and whose bytes did not has been in it since now, as far as anybody can tell.
    """
    now_s = tx.now_ns // NS_PER_S
    marks = "%s" if not tx.is_sqlite else "?"
    values = ", ".join([marks] * 10)
    changed = "objects.class_no <> excluded.class_no"
    text = (
        f"INSERT INTO objects (bucket_id, key, size, class_no, etag, modified_s, since_s, access_s, flags, seen) "  # noqa: S608  # our names and numbers
        f"VALUES ({values}) ON CONFLICT (bucket_id, key) DO UPDATE SET "
        f"since_s = CASE WHEN objects.modified_s <> excluded.modified_s THEN excluded.since_s "
        f"WHEN {changed} THEN {now_s:d} ELSE objects.since_s END, "
        f"was_no = CASE WHEN {changed} OR objects.etag <> excluded.etag THEN NULL ELSE objects.was_no END, "
        f"access_s = CASE WHEN excluded.access_s IS NULL OR excluded.access_s < objects.access_s "
        f"THEN objects.access_s ELSE excluded.access_s END, "
        f"size = excluded.size, class_no = excluded.class_no, etag = excluded.etag, "
        f"modified_s = excluded.modified_s, flags = excluded.flags, seen = excluded.seen "
        f"WHERE objects.modified_s <= {as_of_s:d}"
    )
    rows = [
        (bucket_id, key, size, class_no, etag, modified_s, modified_s, access_s, flags, scan_no)
        for key, size, class_no, etag, modified_s, access_s, flags in page
    ]
    if rows:
        tx.conn.exec_driver_sql(text, rows)


def forget_unseen(tx: Tx, bucket_id: int, *, scan_no: int, as_of_s: int, limit: int) -> int:
    """Drop at most *limit* rows that a whole scan did not see and that are not newer than it; return how many."""
    text = "SELECT key FROM objects WHERE bucket_id = ? AND seen < ? AND modified_s <= ? AND class_no <> ? LIMIT ?"
    gone = fetch_raw(tx, text, (bucket_id, scan_no, as_of_s, CLASS_NO[STORED], limit))
    if gone:
        mark = "?" if tx.is_sqlite else "%s"
        dropping = f"DELETE FROM objects WHERE bucket_id = {mark} AND key = {mark}"  # noqa: S608  # placeholders
        tx.conn.exec_driver_sql(dropping, [(bucket_id, key) for (key,) in gone])
    return len(gone)


def end_scan(tx: Tx, bucket_id: int) -> None:
    """Note that a scan saw everything."""
    tx.conn.execute(update(buckets).where(buckets.c.bucket_id == bucket_id).values(scanned_ns=tx.now_ns))


def note_access(tx: Tx, bucket_id: int, reads: Iterable[tuple[bytes, int]]) -> None:
    """Note (key, second) of reads; keys that are not known are left out."""
    mark = "?" if tx.is_sqlite else "%s"
    text = (
        f"UPDATE objects SET access_s = {mark} WHERE bucket_id = {mark} AND key = {mark} "  # noqa: S608  # placeholders
        f"AND (access_s IS NULL OR access_s < {mark})"
    )
    rows = [(at_s, bucket_id, key, at_s) for key, at_s in reads]
    if rows:
        tx.conn.exec_driver_sql(text, rows)


def note_evidence(tx: Tx, bucket_id: int, values: Mapping[str, object]) -> None:
    """Note in columns of the bucket's row which log was read last, and since when reads are known."""
    tx.conn.execute(update(buckets).where(buckets.c.bucket_id == bucket_id).values(values))


def note_accrued(tx: Tx, bucket_id: int, until_ns: int) -> None:
    """Note up to when savings are booked."""
    tx.conn.execute(update(buckets).where(buckets.c.bucket_id == bucket_id).values(accrued_ns=until_ns))


def pages(tx: Tx, bucket_id: int, *, after: bytes = b"", rows: int) -> Iterator[Sequence[ObjectFacts]]:
    """Yield the objects after a key in key order, at most *rows* at a time."""
    text = f"SELECT {_FACTS} FROM objects WHERE bucket_id = ? AND key > ? ORDER BY key LIMIT ?"  # noqa: S608  # our names
    while True:
        page: list[ObjectFacts] = fetch_raw(tx, text, (bucket_id, after, rows))
        if not page:
            return
        yield page
        after = page[-1][0]


def get(tx: Tx, bucket_id: int, key: bytes) -> ObjectFacts | None:
    """Return what is known of one object."""
    found: list[ObjectFacts] = fetch_raw(
        tx,
        f"SELECT {_FACTS} FROM objects WHERE bucket_id = ? AND key = ?",  # noqa: S608  # our names
        (bucket_id, key),
    )
    return found[0] if found else None


def at_keys(tx: Tx, bucket_id: int, keys: Iterable[bytes]) -> dict[bytes, ObjectFacts]:
    """Return key -> what is known of those objects that are known."""
    text = f"SELECT {_FACTS} FROM objects WHERE bucket_id = {bucket_id:d} AND key"  # noqa: S608  # our names and numbers
    return {row[0]: row for row in fetch_among(tx, text, keys)}


def note_stored(tx: Tx, bucket_id: int, rows: Iterable[tuple[bytes, int]]) -> None:
    """Note (key, class number it was in) of objects that stand in packs alone from now on."""
    now_s = tx.now_ns // NS_PER_S
    for key, class_no in rows:
        values = {
            "class_no": CLASS_NO[STORED], "was_no": func.coalesce(objects.c.was_no, class_no),
            # An inventory that was made before does not bring it back.
            "since_s": now_s, "modified_s": now_s,
        }  # fmt: skip
        tx.conn.execute(update(objects).where(objects.c.bucket_id == bucket_id, objects.c.key == key).values(values))


def insert_stored(tx: Tx, bucket_id: int, rows: Iterable[tuple[bytes, int, bytes, int]]) -> None:
    """Insert (key, size, packed etag, class number it was in) of objects that stand in packs alone: after a rebuild."""
    now_s = tx.now_ns // NS_PER_S
    values = [
        {
            "bucket_id": bucket_id, "key": key, "size": size, "class_no": CLASS_NO[STORED], "etag": etag,
            "modified_s": now_s, "since_s": now_s, "access_s": None, "was_no": was_no, "flags": 0, "seen": 0,
        }
        for key, size, etag, was_no in rows
    ]  # fmt: skip
    if values:
        tx.conn.execute(insert(objects), values)


def note_returned(
    tx: Tx, bucket_id: int, key: bytes, *, size: int, etag: bytes, class_no: int, modified_s: int
) -> None:
    """Note that an object stands in its bucket again: what it costs there is nobody's saving any more."""
    values = {
        "size": size, "etag": etag, "class_no": class_no, "modified_s": modified_s, "since_s": modified_s,
        "was_no": None,
    }  # fmt: skip
    where = (objects.c.bucket_id == bucket_id) & (objects.c.key == key)
    if not tx.conn.execute(update(objects).where(where).values(values)).rowcount:
        seen = {"bucket_id": bucket_id, "key": key, "access_s": None, "flags": 0, "seen": 0}
        tx.conn.execute(insert(objects), {**values, **seen})


def by_class(tx: Tx, bucket_id: int) -> dict[str, tuple[int, int]]:
    """Return class -> (objects, bytes)."""
    query = (
        select(objects.c.class_no, func.count(), func.coalesce(func.sum(objects.c.size), 0))
        .where(objects.c.bucket_id == bucket_id)
        .group_by(objects.c.class_no)
        .order_by(objects.c.class_no)
    )
    return {CLASSES[number]: (int(count), int(size)) for number, count, size in tx.conn.execute(query)}
