"""What every query is handed: an open connection and the transaction's time; and how long lists are cut for it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection

T = TypeVar("T")

IN_LIST = 500  # SQLite's default limit on bound parameters was 999 until 3.32; two lists fit in one statement


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


def batches(items: Iterable[T], size: int = IN_LIST) -> Iterator[list[T]]:
    """Yield *items* in lists of at most *size*, none empty."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
