"""What a catalog that grows for years needs of its database: statistics for the planner, a short log, no dead rows.

The daemon does it after every duty that writes much. Nothing depends on it but speed and room on disk.
"""

from collections.abc import Callable
from contextlib import closing
from typing import Any

from sqlalchemy.exc import DBAPIError

from tiering.catalog.open import PATIENCE_S, Catalog
from tiering.catalog.tables import metadata

# Index entries looked at per index: the statistics of 200 million rows take milliseconds and are as good for us.
ANALYSIS_LIMIT = 2000
CHURNING = ("outbox", "journal", "leases", "balances")
"""Tables whose rows come and go or change many times an hour."""


def tend(catalog: Catalog) -> None:
    """Refresh statistics, and give back what the write-ahead log and dead rows take. Bounded; may run any time.

    Passes over what another process keeps busy; raises CatalogBusy when no write lock can be had at all.
    """
    if catalog.engine.dialect.name == "sqlite":
        with catalog.write() as tx:
            tx.conn.exec_driver_sql(f"PRAGMA analysis_limit = {ANALYSIS_LIMIT}")
            tx.conn.exec_driver_sql("ANALYZE")
        _by_itself(catalog, _truncate_log)
    else:
        _by_itself(catalog, _vacuum)


def _truncate_log(cursor: Any) -> None:
    # Waiting for a reader here would keep writers waiting: the next round comes.
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.fetchall()
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {PATIENCE_S * 1000}")


def _vacuum(cursor: Any) -> None:
    for table in metadata.sorted_tables:
        cursor.execute(f"ANALYZE (SKIP_LOCKED) {table.name}")
    for name in CHURNING:
        cursor.execute(f"VACUUM (SKIP_LOCKED) {name}")


def _by_itself(catalog: Catalog, work: Callable[[Any], None]) -> None:
    """Run *work* on a connection of the driver outside any transaction."""
    with catalog.engine.connect() as conn:
        driver: Any = conn.connection.driver_connection
        errors: Any = conn.dialect.dbapi
        is_postgres = conn.dialect.name != "sqlite"
        if is_postgres:
            driver.autocommit = True
        try:
            with closing(driver.cursor()) as cursor:
                work(cursor)
        except errors.Error as error:
            raise DBAPIError.instance(None, None, error, errors.Error, dialect=conn.dialect) from error
        finally:
            if is_postgres:
                driver.autocommit = False
