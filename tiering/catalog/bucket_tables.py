"""The catalog's tables of buckets under care: a world apart from files, chunks and packs.

Only tiering.catalog imports this module. What the other tables say of types and units holds here too, but for times
of objects: those are whole seconds, as S3 gives them, and there are many.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from tiering.catalog import tables
from tiering.catalog.tables import Bytes, Key, Prose

metadata = tables.metadata
"""With all tables of the catalog, now that this module is loaded."""

buckets = Table(
    "buckets",
    metadata,
    Column("bucket_id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("scan_no", Integer, nullable=False),  # of the newest scan, finished or not
    Column("scanned_ns", BigInteger),  # when the last one finished
    Column("accrued_ns", BigInteger),  # up to when savings are booked
    Column("evidence_s", BigInteger),  # since when reads are known, from access logs
    Column("logs_after", Text, nullable=False),  # the last access log that was read
    Column("trail_after", Text, nullable=False),  # the last file of CloudTrail events that was read
    UniqueConstraint("url"),
)

objects = Table(
    "objects",
    metadata,
    Column("bucket_id", Key, ForeignKey("buckets.bucket_id"), primary_key=True),
    Column("key", Bytes, primary_key=True),  # whole, in UTF-8: ordered as S3 lists
    Column("size", BigInteger, nullable=False),
    Column("class_no", Integer, nullable=False),  # place in tiering.catalog.objects.CLASSES
    Column("etag", Bytes, nullable=False),  # 16 bytes of an MD5, or text in quotes
    Column("modified_s", BigInteger, nullable=False),
    Column("since_s", BigInteger, nullable=False),  # in this class since then, as far as is known
    Column("access_s", BigInteger),  # last read, as far as is known
    Column("was_no", Integer),  # the class it would be in without us; null where we did not move it
    Column("flags", Integer, nullable=False),  # 1: archived by INTELLIGENT_TIERING
    Column("seen", Integer, nullable=False),  # scan_no that saw it last
    sqlite_with_rowid=False,
)
_is_moved = objects.c.was_no.is_not(None)
Index(
    "objects_moved",
    *(objects.c.bucket_id, objects.c.was_no, objects.c.class_no),
    info={"where": _is_moved},
)

# What buckets apply has under way; a row outlives its process, and the next run looks what became of it.
object_moves = Table(
    "object_moves",
    metadata,
    Column("bucket_id", Key, ForeignKey("buckets.bucket_id"), primary_key=True),
    Column("key", Bytes, primary_key=True),
    Column("target_no", Integer, nullable=False),
    Column("run", Text, nullable=False),  # names the run in the ledger's operation ids
    Column("started_s", BigInteger, nullable=False),
    Column("reason", Prose, nullable=False),  # the rule
)
