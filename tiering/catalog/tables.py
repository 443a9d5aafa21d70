"""The catalog's tables: what is where, what is under way, what it saved.

One definition for SQLite and PostgreSQL; alembic migrations are generated from it and a test holds them equal.
Times are integer ns since the epoch (UTC), sizes are bytes, paths and names are raw bytes.
Only tiering.catalog imports this module.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect

metadata = MetaData()


class Bytes(LargeBinary):
    """Bytes as both drivers take and give them: SQLAlchemy's own conversions, one Python call per value, only cost."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        """Hand the value to the driver as it is."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Take the value as the driver gives it: bytes."""


class Prose(TypeDecorator[str]):
    """Text for people that may quote a path: bytes of it that are not UTF-8 are stored as backslash escapes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return *value* as every database can store it."""
        return None if value is None else storable(value)


def storable(text: str) -> str:
    """Return *text* with what os.fsdecode made of undecodable bytes written as backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# SQLite makes only an INTEGER (not BIGINT) primary key an alias of the rowid; PostgreSQL needs BIGINT for 2e8 chunks.
Key = BigInteger().with_variant(Integer, "sqlite")

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

roots = Table(
    "roots",
    metadata,
    Column("root_id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("path", Bytes, nullable=False, unique=True),
    Column("marker", Text, nullable=False),  # content of the root's marker file: proves that the right tree is mounted
    Column("state", Text, nullable=False),  # active | left
    Column("added_ns", BigInteger, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("file_id", Key, primary_key=True),
    Column("root_id", Key, ForeignKey("roots.root_id"), nullable=False),
    # b"" for the root itself, else "a/b/" with a trailing slash: ordered by (dir, name) this is a depth-first walk
    Column("dir", Bytes, nullable=False),
    Column("name", Bytes, nullable=False),
    Column("state", Text, nullable=False),  # FileState
    Column("leader_id", Key),  # another name of the same inode leads; bytes are counted on the leader only
    Column("size", BigInteger, nullable=False),  # apparent; of an offline file: what it was
    Column("mtime_ns", BigInteger, nullable=False),
    Column("ctime_ns", BigInteger, nullable=False),
    Column("dev", BigInteger, nullable=False),
    Column("ino", BigInteger, nullable=False),  # stored as signed 64 bit
    Column("nlink", Integer, nullable=False),
    Column("mode", Integer, nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("gid", BigInteger, nullable=False),
    Column("recipe_no", Key, ForeignKey("recipes.recipe_no")),  # the stored version that equals the file now
    Column("tier", Text),  # name of the tier that recipe was written to
    Column("pinned", Boolean, nullable=False, default=False),
    Column("first_seen_ns", BigInteger, nullable=False),
    Column("last_access_ns", BigInteger),  # best evidence so far; null = unknown, never "cold"
    Column("access_quality", Text, nullable=False),  # AccessQuality
    Column("missing_since_ns", BigInteger),
    Column("missing_from", Text),  # the state it was in when it went missing
    Column("recalled_ns", BigInteger),  # last recall: the cool-off counts from here
    Column("stored_ns", BigInteger),  # when the current recipe was committed
    Column("stored_seq", BigInteger),  # outbox seq that says so: release waits until a durable segment holds it
    UniqueConstraint("root_id", "dir", "name"),
)
# Partial, so that a first scan has only one index to keep beside the table's own (half the cost of a row).
_is_special, _is_stored, _is_follower = (
    files.c.state != "regular",
    files.c.recipe_no.is_not(None),
    files.c.leader_id.is_not(None),
)
Index("files_by_state", files.c.state, info={"where": _is_special})
Index("files_by_recipe", files.c.recipe_no, info={"where": _is_stored})
Index("files_by_inode", files.c.dev, files.c.ino)
Index("files_by_leader", files.c.leader_id, info={"where": _is_follower})

access_days = Table(
    "access_days",
    metadata,
    Column("file_id", Key, ForeignKey("files.file_id"), primary_key=True),
    Column("day", Integer, primary_key=True),  # days since the epoch, UTC
    Column("source", Text, primary_key=True),  # atime | opens | recall
    Column("opens", Integer, nullable=False),
)

packs = Table(
    "packs",
    metadata,
    Column("pack_no", Key, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),  # data | recipes
    Column("tier", Text, nullable=False),
    Column("storage_class", Text, nullable=False),
    Column("state", Text, nullable=False),  # PackState
    Column("size", BigInteger, nullable=False),
    Column("framing", BigInteger, nullable=False),  # size - sum(stored_len of its blocks): headers, trailer, footer
    Column("checksum", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("doomed_ns", BigInteger),
    Column("owner", Text, nullable=False, default=""),  # host:pid:boot of the process that uploads it
)
Index("packs_by_state", packs.c.state)

pack_notes = Table(  # of the few packs of which there is something to say beside their row
    "pack_notes",
    metadata,
    Column("pack_no", Key, ForeignKey("packs.pack_no"), primary_key=True, autoincrement=False),
    Column("read_ns", BigInteger),  # last read, of a pack in a class that cools by itself
    Column("locked_until_ns", BigInteger),  # the store refuses to delete it before (Object Lock)
)

codecs = Table("codecs", metadata, Column("codec_no", Integer, primary_key=True), Column("name", Text, unique=True))

blocks = Table(
    "blocks",
    metadata,
    # Numbered by catalog.chunks, as chunks are: a pack's rows are written without asking for each one's number, and
    # no number is ever used again.
    Column("block_no", Key, primary_key=True, autoincrement=False),
    Column("pack_no", Key, ForeignKey("packs.pack_no"), nullable=False),
    Column("offset", BigInteger, nullable=False),  # of the coded payload in the pack
    Column("stored_len", Integer, nullable=False),
    Column("raw_len", Integer, nullable=False),
    Column("codec_no", Integer, ForeignKey("codecs.codec_no"), nullable=False),
    # A data pack's chunks are those numbered first_no .. first_no + chunk_count - 1, in order: no index leads from a
    # block to its chunks. A recipe pack's blocks have none.
    Column("first_no", Key, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    # chunk_no of the chunk whose raw bytes the decoder needs; a block that has one holds exactly one chunk.
    # Not declared as a foreign key: it would close a circle of tables.
    Column("base_no", Key),
    Column("digest", Bytes),  # of the decoded block, in a recipe pack; chunks have their own
)
Index("blocks_by_pack", blocks.c.pack_no)
_HAS_BASE = blocks.c.base_no.is_not(None)
Index("blocks_by_base", blocks.c.base_no, info={"where": _HAS_BASE})

chunks = Table(
    "chunks",
    metadata,
    Column("chunk_no", Key, primary_key=True, autoincrement=False),
    Column("fingerprint", BigInteger, nullable=False),  # its 8 bytes as one signed integer, big-endian
    Column("digest", Bytes, nullable=False),
    Column("block_no", Key, ForeignKey("blocks.block_no"), nullable=False),
    Column("inner_offset", Integer, nullable=False),  # in the decoded block
    Column("raw_len", Integer, nullable=False),
    Column("stored_len", Integer, nullable=False),  # its share of the block's coded bytes; the shares add up to it
)
Index("chunks_by_fingerprint", chunks.c.fingerprint)  # not unique: fingerprints collide, tiers hold copies

recipes = Table(
    "recipes",
    metadata,
    Column("recipe_no", Key, primary_key=True, autoincrement=False),  # by catalog.numbers
    Column("recipe_id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),  # live | doomed
    Column("tier", Text, nullable=False),
    Column("digest", Bytes, nullable=False),  # of the whole file
    Column("size", BigInteger, nullable=False),
    # raw bytes of all its chunks, repeated ones counted again: less than size by its holes, more by what wrapped parts
    # hold unwrapped
    Column("plain_bytes", BigInteger, nullable=False),
    Column("owner_uid", BigInteger, nullable=False),
    Column("block_no", Key, ForeignKey("blocks.block_no"), nullable=False),
    Column("inner_offset", Integer, nullable=False),  # of the encoded recipe in the decoded block
    Column("raw_len", Integer, nullable=False),
    Column("stored_len", Integer, nullable=False),  # its share of the block
    Column("created_ns", BigInteger, nullable=False),
    # a lease proved that nobody wrote while it was read; else release reads the file again (P1). Rebuild: false
    Column("read_under_lease", Boolean, nullable=False, default=False),
)
Index("recipes_by_block", recipes.c.block_no)

refs = Table(
    "refs",
    metadata,
    Column("recipe_no", Key, ForeignKey("recipes.recipe_no"), primary_key=True),
    Column("chunk_no", Key, ForeignKey("chunks.chunk_no"), primary_key=True),
    # how often the chunk occurs in the recipe; 0: only a chunk that does is coded against it, at however many removes
    Column("times", Integer, nullable=False),
    sqlite_with_rowid=False,
)
Index("refs_by_chunk", refs.c.chunk_no)

versions = Table(
    "versions",
    metadata,
    Column("version_no", Key, primary_key=True),
    Column("root_id", Key, ForeignKey("roots.root_id"), nullable=False),
    Column("dir", Bytes, nullable=False),
    Column("name", Bytes, nullable=False),
    Column("recipe_no", Key, ForeignKey("recipes.recipe_no"), nullable=False),
    Column("from_ns", BigInteger, nullable=False),  # when this version was stored
    Column("superseded_ns", BigInteger, nullable=False),
    Column("keep_until_ns", BigInteger, nullable=False),
    Column("reason", Prose, nullable=False),  # changed | deleted | replaced
)
Index("versions_by_path", versions.c.root_id, versions.c.dir, versions.c.name)
Index("versions_by_recipe", versions.c.recipe_no)
Index("versions_by_expiry", versions.c.keep_until_ns)

journal = Table(
    "journal",
    metadata,
    Column("op_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # migrate | release | recall
    # null where the row is not of one file: a batch that is migrated has the ids in its detail
    Column("file_id", Key, ForeignKey("files.file_id")),
    Column("step", Text, nullable=False),  # see the job that writes it
    Column("detail", Text, nullable=False),  # JSON: what reconcile needs to finish or undo the step
    Column("owner", Text, nullable=False),  # host:pid:boot of the process
    Column("lease_until_ns", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
)
Index("journal_by_file", journal.c.file_id, unique=True)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),  # one owner per maintenance task; also "writer:<store>"
    Column("owner", Text, nullable=False),
    Column("until_ns", BigInteger, nullable=False),
)

scans = Table(
    "scans",
    metadata,
    Column("scan_id", Key, primary_key=True),
    Column("root_id", Key, ForeignKey("roots.root_id"), nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("finished_ns", BigInteger),
    Column("state", Text, nullable=False),  # running | complete | refused | awaiting_confirmation
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("new", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("sweep", Boolean, nullable=False),  # most atimes moved within hours in walk order: not counted as access
    Column("access_quality", Text, nullable=False),
    Column("note", Prose, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Key, primary_key=True),
    Column("job", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("finished_ns", BigInteger),
    Column("outcome", Text, nullable=False),  # running | done | skipped_some | failed
    Column("detail", Text, nullable=False),  # JSON of the job's report
)
Index("runs_by_job", runs.c.job, runs.c.started_ns)

tickets = Table(
    "tickets",
    metadata,
    Column("ticket_no", Key, primary_key=True),
    Column("state", Text, nullable=False),  # open | done | cancelled | failed
    Column("speed", Text, nullable=False),  # bulk | standard | expedited
    Column("reason", Prose, nullable=False),
    Column("requested_by", Prose, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("deadline_ns", BigInteger),
    Column("quote", Text, nullable=False),  # JSON: bytes, usd_nano, hours, objects
    Column("note", Prose, nullable=False),
)

ticket_files = Table(
    "ticket_files",
    metadata,
    Column("ticket_no", Key, ForeignKey("tickets.ticket_no"), primary_key=True),
    Column("file_id", Key, ForeignKey("files.file_id"), primary_key=True),
    Column("state", Text, nullable=False),  # waiting | done | failed
    Column("note", Prose, nullable=False),
)

restores = Table(
    "restores",
    metadata,
    Column("pack_no", Key, ForeignKey("packs.pack_no"), primary_key=True),
    Column("state", Text, nullable=False),  # wanted | warming | warm | done
    Column("speed", Text, nullable=False),
    Column("requested_ns", BigInteger),
    Column("warm_until_ns", BigInteger),
)

ticket_packs = Table(
    "ticket_packs",
    metadata,
    Column("ticket_no", Key, ForeignKey("tickets.ticket_no"), primary_key=True),
    Column("pack_no", Key, ForeignKey("packs.pack_no"), primary_key=True),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("entry_no", Key, primary_key=True, autoincrement=False),  # 1, 2, 3 ... without gaps
    Column("op_id", Text, nullable=False, unique=True),  # the same operation is never booked twice
    Column("at_ns", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Prose, nullable=False),
    Column("price_book", Text, nullable=False),  # "" where no price is involved
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

ledger_lines = Table(
    "ledger_lines",
    metadata,
    Column("entry_no", Key, ForeignKey("ledger_entries.entry_no"), primary_key=True, autoincrement=False),
    Column("line_no", Integer, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False),
    Column("tier", Text, nullable=False),  # "" where the account has no tier
    Column("unit", Text, nullable=False),  # byte | nanousd
    Column("amount", BigInteger, nullable=False),
)
Index("ledger_lines_by_account", ledger_lines.c.account, ledger_lines.c.tier)
Index("ledger_entries_by_time", ledger_entries.c.at_ns)

balances = Table(  # running sums of ledger_lines, kept in the same transaction; audit recomputes them from the lines
    "balances",
    metadata,
    Column("account", Text, primary_key=True),
    Column("tier", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

outbox = Table(  # state changes and ledger entries not yet in a segment
    "outbox",
    metadata,
    Column("seq", Key, primary_key=True),
    Column("record", Text, nullable=False),  # one JSON object; docs/formats.md lists them
    sqlite_autoincrement=True,
)

segments = Table(
    "segments",
    metadata,
    Column("segment_no", Key, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),  # pending | durable
    Column("size", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("tier", Text, nullable=False, default=""),  # where its bytes are booked
)

stores = Table(
    "stores",
    metadata,
    Column("url", Text, primary_key=True),
    Column("store_id", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("capabilities", Text, nullable=False),  # JSON of stores.base.Capabilities
    Column("probed_ns", BigInteger, nullable=False),
    Column(
        "tier", Text, nullable=False, default=""
    ),  # a tier on this store: the ownership file's bytes are booked there
    Column("ownership_bytes", BigInteger, nullable=False, default=0),  # size of frostline.json, as booked
)
