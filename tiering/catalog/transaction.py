"""What every query is handed: an open connection and the transaction's time; and how long lists are cut for it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, Table

T = TypeVar("T")

IN_LIST = 500  # SQLite's default limit on bound parameters was 999 until 3.32; two lists fit in one statement

INSERT_ROWS = 5000  # per call of the driver: a megabyte of rows


@dataclass(frozen=True, slots=True)
class Tx:
    """One transaction. Made by Catalog.read() and Catalog.write(); commits when the caller's block ends without
    an error.
    """

    conn: Connection
    now_ns: int

    @property
    def is_sqlite(self) -> bool:
        """Whether the embedded engine is behind it."""
        return self.conn.dialect.name == "sqlite"


def insert_many(tx: Tx, table: Table, columns: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    """Insert *rows*, values in the order of *columns*, by the driver itself: half the cost of insert(), which makes a
    dictionary of every row twice.

    No defaults are filled in and no types converted: the values are what the driver stores.
    """
    mark = "?" if tx.is_sqlite else "%s"
    named = ", ".join(f'"{table.c[column].name}"' for column in columns)
    text = f"INSERT INTO {table.name} ({named}) VALUES ({', '.join([mark] * len(columns))})"  # noqa: S608  # our names
    for batch in batches(rows, INSERT_ROWS):
        tx.conn.exec_driver_sql(text, batch)


def batches(items: Iterable[T], size: int = IN_LIST) -> Iterator[list[T]]:
    """Yield *items* in lists of at most *size*, none empty."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
