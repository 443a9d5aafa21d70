"""Bring a catalog's schema to this program's version (`frostline db upgrade`). The only user of alembic."""

import secrets
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, select

from tiering.catalog import schema
from tiering.catalog.open import open_engine
from tiering.catalog.tables import meta
from tiering.errors import SchemaError


def configuration() -> Config:
    """Return alembic's settings: the migrations packaged beside this file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def upgrade(url: str) -> tuple[str, str]:
    """Run what is missing, in one transaction; return (revision before, revision now). "" is an empty database.

    Raises SchemaError for somebody else's database and for a newer one, with nothing changed.
    """
    engine, shown = open_engine(url, create=True)
    try:
        with engine.connect() as plain, plain.execution_options(frostline_write=True) as conn, conn.begin():
            before = MigrationContext.configure(conn).get_current_revision() or ""
            if before > schema.REVISION:
                schema.check(conn, shown)
            if not before and inspect(conn).get_table_names():
                raise SchemaError(
                    f"{shown} holds tables that are not frostline's",
                    now="nothing was changed in it",
                    hint="give catalog.url a database of its own",
                )
            config = configuration()
            config.attributes["connection"] = conn
            command.upgrade(config, "head")
            schema.mark(conn)
            if conn.execute(select(meta.c.value).where(meta.c.key == "catalog_id")).scalar() is None:
                conn.execute(insert(meta), {"key": "catalog_id", "value": secrets.token_hex(16)})
    finally:
        engine.dispose()
    return before, schema.REVISION
