"""The schema's version, its creation, and the triggers that make the ledger append-only.

Used by open_catalog and by the migrations. SQLite's `INSERT OR REPLACE` deletes without firing a delete trigger
(unless recursive triggers are on), hence the BEFORE INSERT guards; PostgreSQL can TRUNCATE, hence that guard
there.
"""

from sqlalchemy import Connection, inspect, text

from tiering.catalog.bucket_tables import metadata
from tiering.errors import SchemaError

REVISION = "0001"
"""Head of tiering/catalog/migrations; a test holds them equal."""

APPLICATION_ID = 0x46524C4E  # "FRLN": SQLite's file header says whose database it is

_REFUSAL = "the ledger is append-only"

_SAME_KEY = {
    "ledger_entries": "entry_no = NEW.entry_no OR op_id = NEW.op_id",
    "ledger_lines": "entry_no = NEW.entry_no AND line_no = NEW.line_no",
}


def guards(dialect: str) -> list[str]:
    """Return the DDL of the ledger's triggers for *dialect* (sqlite or postgresql)."""
    return _sqlite_guards() if dialect == "sqlite" else _postgres_guards()


def create(conn: Connection) -> None:
    """Create every table and trigger in an empty database and note the revision. Equal to running all migrations."""
    _make_partial(conn.dialect.name)
    metadata.create_all(conn)
    for statement in guards(conn.dialect.name):
        conn.exec_driver_sql(statement)
    conn.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    conn.execute(text("INSERT INTO alembic_version (version_num) VALUES (:v)"), {"v": REVISION})
    mark(conn)


def _make_partial(dialect: str) -> None:
    """Limit indexes to the rows that their tables say, in the words of the engine in use.

    Given to an Index as sqlite_where and postgresql_where, the same loads both engines' dialects with the tables.
    """
    for table in metadata.tables.values():
        for index in table.indexes:
            if "where" in index.info:
                index.dialect_options[dialect]["where"] = index.info["where"]


def drop(conn: Connection) -> None:
    """Remove every table of ours, ledger and all: for what an unfinished rebuild left, and nothing else."""
    metadata.drop_all(conn)
    conn.execute(text("DROP TABLE alembic_version"))
    if conn.dialect.name != "sqlite":
        conn.execute(text("DROP FUNCTION ledger_refuse()"))


def mark(conn: Connection) -> None:
    """Write into an SQLite file's header whose database it is."""
    if conn.dialect.name == "sqlite":
        conn.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")


def check(conn: Connection, shown_url: str) -> bool:
    """Return whether the database holds our schema at this revision; False if it is empty.

    Raises SchemaError for a database of somebody else's, an older, or a newer schema.
    """
    tables = set(inspect(conn).get_table_names())
    if not tables:
        return False
    if not {"meta", "alembic_version", "ledger_entries"} <= tables:
        raise SchemaError(
            f"{shown_url} holds tables that are not frostline's",
            now="nothing was changed in it",
            hint="give catalog.url a database of its own",
        )
    found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found == REVISION:
        return True
    if found is None or str(found) > REVISION:
        raise SchemaError(
            f"{shown_url} has schema {found}, newer than this program's {REVISION}",
            now="nothing was changed in it",
            hint="install the version of frostline that wrote it, or a later one",
        )
    raise SchemaError(
        f"{shown_url} has schema {found}; this program needs {REVISION}",
        now="nothing was changed in it",
        hint="back the database up, then run: frostline db upgrade",
    )


def _sqlite_guards() -> list[str]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    statements = []
    for table, same_key in _SAME_KEY.items():
        taken = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same_key})"  # noqa: S608  # our own constants
        statements.append(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
        statements.append(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
        statements.append(f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} {taken} {refuse}")
    return statements


def _postgres_guards() -> list[str]:
    raise_it = f"BEGIN RAISE EXCEPTION '{_REFUSAL}'; END"
    statements = [f"CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {raise_it} $$"]
    for table in _SAME_KEY:
        rows, all_rows = f"{table}_no_change BEFORE UPDATE OR DELETE", f"{table}_no_truncate BEFORE TRUNCATE"
        refuse = "EXECUTE FUNCTION ledger_refuse()"
        statements.append(f"CREATE TRIGGER {rows} ON {table} FOR EACH ROW {refuse}")
        statements.append(f"CREATE TRIGGER {all_rows} ON {table} FOR EACH STATEMENT {refuse}")
    return statements
