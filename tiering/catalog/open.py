"""Open a catalog: the one place that knows which database is behind the URL, its settings and its locks.

SQLite: WAL, synchronous=FULL, foreign keys, BEGIN IMMEDIATE for writes, 30 s of patience. PostgreSQL: every
writing transaction takes one advisory lock, which gives the ledger's chain and the state machines the same
serial order that SQLite has by nature; transactions hold no I/O and stay far under a second. Raises CatalogBusy
when the lock cannot be had, NoSpace when the disk is full.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tiering.catalog import schema
from tiering.catalog.network_fs import network_filesystem
from tiering.catalog.tables import meta
from tiering.catalog.transaction import Tx
from tiering.clock import Clock
from tiering.errors import CatalogBusy, ConfigError, FrostlineError, NoSpace, SchemaError

PATIENCE_S = 30  # design.md section 5: a writer holds the lock for well under a second
WRITE_LOCK = 0x66726C6E  # "frln": the advisory lock all writers of one PostgreSQL database share
POOL_SIZE = 8
POOL_OVERFLOW = 24  # upload and scan threads of one process


@dataclass(frozen=True, slots=True)
class Catalog:
    """An open catalog; thread-safe. Close it, or use `closing`."""

    engine: Engine
    clock: Clock
    catalog_id: str
    """32 hex characters, chosen at creation; stores carry it as their owner."""
    shown_url: str
    """Without a password, for messages."""

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Give a consistent snapshot; nothing can be written through it on SQLite."""
        with self._transaction(write=False) as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """Give the one writing transaction; durable when the block has ended without an error, undone otherwise."""
        with self._transaction(write=True) as tx:
            yield tx

    def close(self) -> None:
        """Give up every connection."""
        self.engine.dispose()

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Tx]:
        try:
            with self.engine.connect() as plain:
                conn = plain.execution_options(frostline_write=write)
                with conn.begin():
                    yield Tx(conn, self.clock.now_ns())
        except (OperationalError, PoolTimeout, DBAPIError) as error:
            raise _translated(error, self.shown_url) from error


def open_catalog(url: str, *, clock: Clock, create: bool = False, rebuilding: bool = False) -> Catalog:
    """Open the catalog at *url*; with *create*, make it first where the database is empty or absent.

    One whose rebuild did not finish is refused, but with *rebuilding*. Raises SchemaError (unsupported,
    foreign, older or newer database), ConfigError (malformed URL, SQLite state on a network file system, no
    catalog there), CatalogBusy (locked, or the server cannot be reached).
    """
    engine, shown = open_engine(url, create=create)
    try:
        catalog_id = _identity(engine, shown, create=create)
        if not rebuilding:
            _refuse_unfinished(engine, shown)
    except DBAPIError as error:
        engine.dispose()
        raise _translated(error, shown) from error
    except BaseException:
        engine.dispose()
        raise
    return Catalog(engine, clock, catalog_id, shown)


def open_engine(url: str, *, create: bool) -> tuple[Engine, str]:
    """Return the engine for *url*, set up but not connected, and the URL as it may be shown.

    With *create*, an absent SQLite file is made, empty and closed to others. Raises as open_catalog does.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        _prepare_file(parsed, create=create)
        engine = _sqlite_engine(parsed)
    else:
        engine = _postgres_engine(parsed)
    return engine, parsed.render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "catalog.url is not a database URL", hint='write it like "sqlite:////var/lib/frostline/catalog.db"'
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+pysqlite")
    raise SchemaError(
        f'catalog.url names a "{backend}" database, which is not supported', hint="use sqlite:/// or postgresql://"
    )


def _prepare_file(parsed: URL, *, create: bool) -> None:
    path = parsed.database or ""
    if path in {"", ":memory:"} or path.startswith("file:"):
        raise ConfigError(
            "catalog.url needs the path of a file", hint='write it like "sqlite:////var/lib/frostline/catalog.db"'
        )
    folder = Path(path).parent
    if not folder.is_dir():
        raise ConfigError(
            f"the folder of the catalog does not exist: {folder}", hint="create it, or run: frostline init"
        )
    kind = network_filesystem(str(folder))
    if kind:
        raise ConfigError(
            f"the catalog {path} would lie on a network file system ({kind}), where SQLite's locks do not hold",
            now="nothing was written there",
            hint="put catalog.url on a local disk, or use PostgreSQL",
        )
    if Path(path).exists():
        return
    if not create:
        raise ConfigError(f"there is no catalog at {path}", hint="run: frostline init, or: frostline rebuild")
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _sqlite_engine(parsed: URL) -> Engine:
    engine = create_engine(
        parsed,
        connect_args={"timeout": PATIENCE_S, "check_same_thread": False},
        pool_size=POOL_SIZE,
        pool_use_lifo=True,  # the connection used last has its pages in memory; each has a cache of its own
        max_overflow=POOL_OVERFLOW,
        pool_timeout=PATIENCE_S,
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(
    connection: Any, _record: Any
) -> None:  # the driver's own connection, untyped in SQLAlchemy's events
    connection.isolation_level = None  # the begin event says which BEGIN
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {PATIENCE_S * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
        # 16 MiB for each connection: a commit of one makes the others read anew, and what they let go leaves holes.
        # With 64 a migrate of many small files took 80 MB more, and no less CPU with 8.
        "cache_size = -16384",
        # 32 MiB, SQLite's own is 4: pages that a large scan or commit changes again and again are copied back once.
        "wal_autocheckpoint = 8192",
        "journal_size_limit = 134217728",  # what a burst made of the log is given back when it starts anew
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(conn: Connection) -> None:
    writes = conn.get_execution_options().get("frostline_write", False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres_engine(parsed: URL) -> Engine:
    engine = create_engine(
        parsed,
        connect_args={"connect_timeout": PATIENCE_S, "options": f"-c lock_timeout={PATIENCE_S}s -c timezone=UTC"},
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=PATIENCE_S,
        pool_pre_ping=True,
    )
    event.listen(engine, "begin", _begin_postgres)
    return engine


def _begin_postgres(conn: Connection) -> None:
    if conn.get_execution_options().get("frostline_write", False):
        conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
    else:
        conn.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def _identity(engine: Engine, shown: str, *, create: bool) -> str:
    with engine.connect() as plain, plain.execution_options(frostline_write=create) as conn, conn.begin():
        if not schema.check(conn, shown):
            if not create:
                raise ConfigError(f"there is no catalog in {shown}", hint="run: frostline init, or: frostline rebuild")
            schema.create(conn)
            conn.execute(meta.insert(), [{"key": "catalog_id", "value": secrets.token_hex(16)}])
        found = conn.execute(select(meta.c.value).where(meta.c.key == "catalog_id")).scalar()
    if found is None:
        raise SchemaError(
            f"{shown} has lost its catalog id", hint="restore it from a backup, or run: frostline rebuild"
        )
    return str(found)


def _refuse_unfinished(engine: Engine, shown: str) -> None:
    with engine.connect() as conn:
        mark = conn.execute(select(meta.c.value).where(meta.c.key == "rebuilding")).scalar()
    if mark is not None:
        raise ConfigError(
            f"the rebuild of {shown} did not come to its end",
            now="the store is untouched but for its owner's epoch",
            hint="run it again: frostline rebuild --yes",
        )


def _translated(error: Exception, shown: str) -> Exception:
    """Return what *error* means to a user; itself where it is a bug of ours."""
    said = str(getattr(error, "orig", error))
    if isinstance(error, PoolTimeout) or re.search(r"database (table )?is locked|lock timeout|database is busy", said):
        return CatalogBusy(
            f"the catalog {shown} is locked by another process for more than {PATIENCE_S} s",
            now="this step was not recorded; nothing is half done",
            hint="wait for the other command, then run this one again",
        )
    if re.search(r"database or disk is full|No space left", said) or ("disk I/O error" in said and _is_full(shown)):
        return NoSpace(
            f"no space left for the catalog {shown}", now="this step was not recorded", hint="free space on its disk"
        )
    if "disk I/O error" in said:
        return FrostlineError(
            f"the disk under the catalog {shown} fails: {said}",
            now="this step was not recorded; nothing was released or deleted",
            hint="check the disk (dmesg), then run: frostline reconcile",
        )
    if re.search(r"not a database|malformed", said):
        return SchemaError(
            f"{shown} is not a readable catalog: {said}",
            now="nothing was changed in it",
            hint="restore it from a backup, or run: frostline rebuild",
        )
    if "readonly database" in said or "unable to open database" in said:
        return FrostlineError(
            f"the catalog {shown} cannot be opened for writing: {said}", hint="run as the user that owns it"
        )
    if isinstance(error, OperationalError) and re.search(
        r"connection|connect|server|role|password|authentication", said
    ):
        return CatalogBusy(
            f"the catalog's database {shown} cannot be reached: {said.strip().splitlines()[0]}",
            hint="check that the server runs and that catalog.url is right",
        )
    return error


def _is_full(shown: str) -> bool:
    """Whether the disk of an SQLite catalog has no room: SQLite then calls a failing -shm file an I/O error."""
    try:
        disk = os.statvfs(Path(make_url(shown).database or "/").parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 1 << 20
