"""Migration 0001's part for buckets under care: the tables buckets, objects and object_moves."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create() -> None:
    """Make the tables."""
    op.create_table(
        "buckets",
        sa.Column("bucket_id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("scan_no", sa.Integer(), nullable=False),
        sa.Column("scanned_ns", sa.BigInteger(), nullable=True),
        sa.Column("accrued_ns", sa.BigInteger(), nullable=True),
        sa.Column("evidence_s", sa.BigInteger(), nullable=True),
        sa.Column("logs_after", sa.Text(), nullable=False),
        sa.Column("trail_after", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("bucket_id"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("url"),
    )
    op.create_table(
        "objects",
        sa.Column("bucket_id", KEY, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("class_no", sa.Integer(), nullable=False),
        sa.Column("etag", sa.LargeBinary(), nullable=False),
        sa.Column("modified_s", sa.BigInteger(), nullable=False),
        sa.Column("since_s", sa.BigInteger(), nullable=False),
        sa.Column("access_s", sa.BigInteger(), nullable=True),
        sa.Column("was_no", sa.Integer(), nullable=True),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["bucket_id"], ["buckets.bucket_id"]),
        sa.PrimaryKeyConstraint("bucket_id", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "objects_moved",
        "objects",
        ["bucket_id", "was_no", "class_no"],
        unique=False,
        sqlite_where=sa.text("was_no IS NOT NULL"),
        postgresql_where=sa.text("was_no IS NOT NULL"),
    )
    op.create_table(
        "object_moves",
        sa.Column("bucket_id", KEY, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("target_no", sa.Integer(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("started_s", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["bucket_id"], ["buckets.bucket_id"]),
        sa.PrimaryKeyConstraint("bucket_id", "key"),
    )
