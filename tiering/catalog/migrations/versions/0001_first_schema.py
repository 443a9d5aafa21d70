"""The first schema: every table of the catalog, and the triggers that make the ledger append-only.

Step of the catalog's schema, run by alembic.
"""

import sqlalchemy as sa
from alembic import op

from tiering.catalog.migrations import bucket_schema, note_schema
from tiering.catalog.schema import guards

revision = "0001"
down_revision = None

# SQLite makes only an INTEGER primary key an alias of the rowid.
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the change."""
    _places()
    note_schema.create()
    _chunks()
    _recipes()
    _files()
    _histories()
    _jobs()
    _tickets()
    _ledger()
    _segments()
    bucket_schema.create()
    for statement in guards(op.get_bind().dialect.name):
        op.execute(statement)


def _places() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "roots",
        sa.Column("root_id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("marker", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("added_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("root_id"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("path"),
    )
    op.create_table(
        "stores",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("capabilities", sa.Text(), nullable=False),
        sa.Column("probed_ns", sa.BigInteger(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("ownership_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("url"),
    )
    op.create_table(
        "codecs",
        sa.Column("codec_no", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("codec_no"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "packs",
        sa.Column("pack_no", KEY, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("storage_class", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("framing", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("doomed_ns", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pack_no"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("packs_by_state", "packs", ["state"], unique=False)


def _chunks() -> None:
    op.create_table(
        "blocks",
        sa.Column("block_no", KEY, autoincrement=False, nullable=False),
        sa.Column("pack_no", KEY, nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("stored_len", sa.Integer(), nullable=False),
        sa.Column("raw_len", sa.Integer(), nullable=False),
        sa.Column("codec_no", sa.Integer(), nullable=False),
        sa.Column("first_no", KEY, nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("base_no", KEY, nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["codec_no"], ["codecs.codec_no"]),
        sa.ForeignKeyConstraint(["pack_no"], ["packs.pack_no"]),
        sa.PrimaryKeyConstraint("block_no"),
    )
    op.create_index("blocks_by_pack", "blocks", ["pack_no"], unique=False)
    has_base = sa.text("base_no IS NOT NULL")
    op.create_index("blocks_by_base", "blocks", ["base_no"], sqlite_where=has_base, postgresql_where=has_base)
    op.create_table(
        "chunks",
        sa.Column("chunk_no", KEY, autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("block_no", KEY, nullable=False),
        sa.Column("inner_offset", sa.Integer(), nullable=False),
        sa.Column("raw_len", sa.Integer(), nullable=False),
        sa.Column("stored_len", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["block_no"], ["blocks.block_no"]),
        sa.PrimaryKeyConstraint("chunk_no"),
    )
    op.create_index("chunks_by_fingerprint", "chunks", ["fingerprint"], unique=False)


def _recipes() -> None:
    op.create_table(
        "recipes",
        sa.Column("recipe_no", KEY, autoincrement=False, nullable=False),
        sa.Column("recipe_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("plain_bytes", sa.BigInteger(), nullable=False),
        sa.Column("owner_uid", sa.BigInteger(), nullable=False),
        sa.Column("block_no", KEY, nullable=False),
        sa.Column("inner_offset", sa.Integer(), nullable=False),
        sa.Column("raw_len", sa.Integer(), nullable=False),
        sa.Column("stored_len", sa.Integer(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("read_under_lease", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["block_no"], ["blocks.block_no"]),
        sa.PrimaryKeyConstraint("recipe_no"),
        sa.UniqueConstraint("recipe_id"),
    )
    op.create_index("recipes_by_block", "recipes", ["block_no"], unique=False)
    op.create_table(
        "refs",
        sa.Column("recipe_no", KEY, nullable=False),
        sa.Column("chunk_no", KEY, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["chunk_no"], ["chunks.chunk_no"]),
        sa.ForeignKeyConstraint(["recipe_no"], ["recipes.recipe_no"]),
        sa.PrimaryKeyConstraint("recipe_no", "chunk_no"),
        sqlite_with_rowid=False,
    )
    op.create_index("refs_by_chunk", "refs", ["chunk_no"], unique=False)


def _files() -> None:
    op.create_table(
        "files",
        sa.Column("file_id", KEY, nullable=False),
        sa.Column("root_id", KEY, nullable=False),
        sa.Column("dir", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("leader_id", KEY, nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("ctime_ns", sa.BigInteger(), nullable=False),
        sa.Column("dev", sa.BigInteger(), nullable=False),
        sa.Column("ino", sa.BigInteger(), nullable=False),
        sa.Column("nlink", sa.Integer(), nullable=False),
        sa.Column("mode", sa.Integer(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("gid", sa.BigInteger(), nullable=False),
        sa.Column("recipe_no", KEY, nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("first_seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_access_ns", sa.BigInteger(), nullable=True),
        sa.Column("access_quality", sa.Text(), nullable=False),
        sa.Column("missing_since_ns", sa.BigInteger(), nullable=True),
        sa.Column("missing_from", sa.Text(), nullable=True),
        sa.Column("recalled_ns", sa.BigInteger(), nullable=True),
        sa.Column("stored_ns", sa.BigInteger(), nullable=True),
        sa.Column("stored_seq", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["recipe_no"], ["recipes.recipe_no"]),
        sa.ForeignKeyConstraint(["root_id"], ["roots.root_id"]),
        sa.PrimaryKeyConstraint("file_id"),
        sa.UniqueConstraint("root_id", "dir", "name"),
    )
    op.create_index("files_by_inode", "files", ["dev", "ino"], unique=False)
    for name, column, condition in (
        ("files_by_leader", "leader_id", "leader_id IS NOT NULL"),
        ("files_by_recipe", "recipe_no", "recipe_no IS NOT NULL"),
        ("files_by_state", "state", "state != 'regular'"),
    ):
        where = sa.text(condition)
        op.create_index(name, "files", [column], unique=False, sqlite_where=where, postgresql_where=where)


def _histories() -> None:
    op.create_table(
        "access_days",
        sa.Column("file_id", KEY, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("opens", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.file_id"]),
        sa.PrimaryKeyConstraint("file_id", "day", "source"),
    )
    op.create_table(
        "versions",
        sa.Column("version_no", KEY, nullable=False),
        sa.Column("root_id", KEY, nullable=False),
        sa.Column("dir", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("recipe_no", KEY, nullable=False),
        sa.Column("from_ns", sa.BigInteger(), nullable=False),
        sa.Column("superseded_ns", sa.BigInteger(), nullable=False),
        sa.Column("keep_until_ns", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["recipe_no"], ["recipes.recipe_no"]),
        sa.ForeignKeyConstraint(["root_id"], ["roots.root_id"]),
        sa.PrimaryKeyConstraint("version_no"),
    )
    op.create_index("versions_by_expiry", "versions", ["keep_until_ns"], unique=False)
    op.create_index("versions_by_path", "versions", ["root_id", "dir", "name"], unique=False)
    op.create_index("versions_by_recipe", "versions", ["recipe_no"], unique=False)
    op.create_table(
        "journal",
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("file_id", KEY, nullable=True),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease_until_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.file_id"]),
        sa.PrimaryKeyConstraint("op_id"),
    )
    op.create_index("journal_by_file", "journal", ["file_id"], unique=True)


def _jobs() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "scans",
        sa.Column("scan_id", KEY, nullable=False),
        sa.Column("root_id", KEY, nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        sa.Column("finished_ns", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("new", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("sweep", sa.Boolean(), nullable=False),
        sa.Column("access_quality", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["root_id"], ["roots.root_id"]),
        sa.PrimaryKeyConstraint("scan_id"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        sa.Column("finished_ns", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("runs_by_job", "runs", ["job", "started_ns"], unique=False)


def _tickets() -> None:
    op.create_table(
        "tickets",
        sa.Column("ticket_no", KEY, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("speed", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("deadline_ns", sa.BigInteger(), nullable=True),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ticket_no"),
    )
    op.create_table(
        "ticket_files",
        sa.Column("ticket_no", KEY, nullable=False),
        sa.Column("file_id", KEY, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.file_id"]),
        sa.ForeignKeyConstraint(["ticket_no"], ["tickets.ticket_no"]),
        sa.PrimaryKeyConstraint("ticket_no", "file_id"),
    )
    op.create_table(
        "restores",
        sa.Column("pack_no", KEY, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("speed", sa.Text(), nullable=False),
        sa.Column("requested_ns", sa.BigInteger(), nullable=True),
        sa.Column("warm_until_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["pack_no"], ["packs.pack_no"]),
        sa.PrimaryKeyConstraint("pack_no"),
    )
    op.create_table(
        "ticket_packs",
        sa.Column("ticket_no", KEY, nullable=False),
        sa.Column("pack_no", KEY, nullable=False),
        sa.ForeignKeyConstraint(["pack_no"], ["packs.pack_no"]),
        sa.ForeignKeyConstraint(["ticket_no"], ["tickets.ticket_no"]),
        sa.PrimaryKeyConstraint("ticket_no", "pack_no"),
    )


def _ledger() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("entry_no", KEY, autoincrement=False, nullable=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("price_book", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_no"),
        sa.UniqueConstraint("op_id"),
    )
    op.create_index("ledger_entries_by_time", "ledger_entries", ["at_ns"], unique=False)
    op.create_table(
        "ledger_lines",
        sa.Column("entry_no", KEY, autoincrement=False, nullable=False),
        sa.Column("line_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_no"], ["ledger_entries.entry_no"]),
        sa.PrimaryKeyConstraint("entry_no", "line_no"),
    )
    op.create_index("ledger_lines_by_account", "ledger_lines", ["account", "tier"], unique=False)
    op.create_table(
        "balances",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "tier", "unit"),
    )


def _segments() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", KEY, nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "segments",
        sa.Column("segment_no", KEY, autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("segment_no"),
        sa.UniqueConstraint("key"),
    )
