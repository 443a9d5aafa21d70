"""What every query is handed: an open connection and the transaction's time; and how long lists are cut for it."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar, cast

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

IN_LIST = 500  # SQLite's default limit on bound parameters was 999 until 3.32; two lists fit in one statement

STRETCH_NUMBERS = 100_000  # some megabytes of them sorted

INSERT_ROWS = 5000  # per call of the driver: a megabyte of rows

STATEMENT_ROWS = 128
"""Rows per statement of an insert into SQLite; of 32 columns 4,096 values, of the 32,766 that it allows. Longer ones
gain nothing (1.20 us a row of the chunks table at 128, 1.16 at 4,681)."""

COPY_ROWS = 50  # below it COPY's round trips cost more than its rows save


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


def insert_many(
    tx: Tx,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[tuple[object, ...]],
    *,
    constants: Mapping[str, int | str] | None = None,
) -> None:
    """Insert *rows*, values in the order of *columns*, by the driver itself; *constants* are the same in every row.

    No defaults are filled in and no types converted: the values are what the driver stores. SQLite is handed hundreds
    of rows per statement (half the cost of one by one, and one step without the interpreter's lock), PostgreSQL gets
    more than a few by COPY.
    """
    same = dict(constants or {})
    named = ", ".join(f'"{table.c[column].name}"' for column in (*columns, *same))
    if tx.is_sqlite:
        _insert_sqlite(tx, f"{table.name} ({named})", len(columns), rows, tuple(same.values()))
    else:
        _insert_postgres(tx, f"{table.name} ({named})", len(columns), rows, tuple(same.values()))


def own_insert(tx: Tx, table: Table) -> Insert:
    """Return an insert into *table* that may go on with ON CONFLICT, as the engine in use says it.

    Its dialect alone is loaded: PostgreSQL's, with the drivers it speaks to, costs every command 18 ms.
    """
    dialect = importlib.import_module(f"sqlalchemy.dialects.{tx.conn.dialect.name}")
    return cast("Insert", dialect.insert(table))


def fetch_raw(tx: Tx, text: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    """Return the rows of *text* as the driver gives them; its "?" stand for *values*, in order.

    For queries of many thousand rows, where making SQLAlchemy's rows costs more than reading.
    """
    with _driver_cursor(tx, text) as cursor:
        cursor.execute(text if tx.is_sqlite else text.replace("?", "%s"), tuple(values))
        return cast("list[tuple[Any, ...]]", cursor.fetchall())


def change_raw(tx: Tx, text: str, values: Sequence[object]) -> int:
    """Run *text*, a change, as fetch_raw() does a query; return how many rows it changed."""
    with _driver_cursor(tx, text) as cursor:
        cursor.execute(text if tx.is_sqlite else text.replace("?", "%s"), tuple(values))
        return int(cursor.rowcount)


def fetch_among(tx: Tx, text: str, keys: Iterable[object]) -> list[tuple[Any, ...]]:
    """Return the rows of *text*, which ends before its IN list, for *keys*, IN_LIST at a time, as the driver gives
    them.

    Nothing is compiled and no types are converted: for rows by the thousand.
    """
    found: list[tuple[Any, ...]] = []
    for batch in batches(keys):
        found += fetch_raw(tx, f"{text} IN {marks(batch)}", batch)
    return found


def named_columns(table: Table) -> str:
    """Return the columns of *table*, in their order, as SQL names them."""
    return ", ".join(f'"{column.name}"' for column in table.columns)


def marks(values: Sized) -> str:
    """Return "(?, ?, ...)", one for each of *values*."""
    return f"({'?, ' * (len(values) - 1)}?)" if values else "()"


@contextmanager
def _driver_cursor(tx: Tx, text: str) -> Iterator[Any]:
    """Give a cursor of the driver in this transaction; its errors become those that SQLAlchemy would raise."""
    errors: Any = tx.conn.dialect.dbapi
    cursor = tx.conn.connection.cursor()
    try:
        yield cursor
    except errors.Error as error:
        raise DBAPIError.instance(text, None, error, errors.Error, dialect=tx.conn.dialect) from error
    finally:
        cursor.close()


def _insert_sqlite(
    tx: Tx, into: str, width: int, rows: Iterable[tuple[object, ...]], same: tuple[int | str, ...]
) -> None:
    marks = ", ".join([*["?"] * width, *map(_literal, same)])
    one = f"INSERT INTO {into} VALUES ({marks})"  # noqa: S608  # our names
    many = one + f", ({marks})" * (STATEMENT_ROWS - 1)
    with _driver_cursor(tx, one) as cursor:
        for batch in batches(rows, STATEMENT_ROWS):
            if len(batch) == STATEMENT_ROWS:
                cursor.execute(many, tuple(chain.from_iterable(batch)))
            else:
                # Not a statement of just that length: the driver keeps each one it has seen, prepared, for ever.
                cursor.executemany(one, batch)


def _insert_postgres(
    tx: Tx, into: str, width: int, rows: Iterable[tuple[object, ...]], same: tuple[int | str, ...]
) -> None:
    for batch in batches(rows, INSERT_ROWS):
        if len(batch) < COPY_ROWS:
            marks = ", ".join(["%s"] * (width + len(same)))
            tx.conn.exec_driver_sql(f"INSERT INTO {into} VALUES ({marks})", [(*row, *same) for row in batch])  # noqa: S608
            continue
        text = f"COPY {into} FROM STDIN"
        with _driver_cursor(tx, text) as cursor, cursor.copy(text) as copy:
            for row in batch:
                copy.write_row((*row, *same))


def _literal(value: int | str) -> str:
    return f"{value:d}" if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def stretches(tx: Tx, number: Column[int]) -> Iterator[Callable[[ColumnElement[int]], ColumnElement[bool]]]:
    """Yield conditions that take the rows of a whole table in turn, STRETCH_NUMBERS of its *number* each; to be said of
    that column or of one that refers to it.

    SQLite holds all that it sorts or groups in memory: of a stretch, not of the table.
    """
    first, last = (tx.conn.execute(select(find(number))).scalar() for find in (func.min, func.max))
    if first is None or last is None:
        return
    for start in range(int(first), int(last) + 1, STRETCH_NUMBERS):
        yield partial(_is_between, start, start + STRETCH_NUMBERS - 1)


def _is_between(first: int, last: int, column: ColumnElement[int]) -> ColumnElement[bool]:
    return column.between(first, last)


def batches(items: Iterable[T], size: int = IN_LIST) -> Iterator[list[T]]:
    """Yield *items* in lists of at most *size*, none empty."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
