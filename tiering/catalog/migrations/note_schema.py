"""The table of what is noted of single packs, for the first schema."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create() -> None:
    """Create it."""
    op.create_table(
        "pack_notes",
        sa.Column("pack_no", KEY, autoincrement=False, nullable=False),
        sa.Column("read_ns", sa.BigInteger(), nullable=True),
        sa.Column("locked_until_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["pack_no"], ["packs.pack_no"]),
        sa.PrimaryKeyConstraint("pack_no"),
    )
