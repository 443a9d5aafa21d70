"""Buckets whose objects are stored like files: each is a root whose path is its URL.

Their names begin with CARE, which no directory's may (a colon): so the books tell their bytes from the hot tier's.
"""

from sqlalchemy import select

from tiering.catalog import roots as root_rows
from tiering.catalog.accounts import CARE
from tiering.catalog.tables import roots
from tiering.catalog.transaction import Tx
from tiering.catalog.values import RootRow


def ensure(tx: Tx, name: str, url: str) -> RootRow:
    """Return the root of the bucket at *url*, made if there is none. One that was made under another name keeps it: its
    recipes and its lines in the ledger bear it.
    """
    found = find(tx, url)
    if found is not None:
        return found
    root_rows.add(tx, name=_free_name(tx, CARE + name), path=path_of(url), marker="")
    found = find(tx, url)
    assert found is not None  # it was inserted a statement ago
    return found


def find(tx: Tx, url: str) -> RootRow | None:
    """Return the root of the bucket at *url*."""
    row = tx.conn.execute(select(roots).where(roots.c.path == path_of(url))).one_or_none()
    return None if row is None else RootRow(*row)


def path_of(url: str) -> bytes:
    """Return a bucket's URL as the path of a root."""
    return url.rstrip("/").encode()


def _free_name(tx: Tx, wanted: str) -> str:
    """Return *wanted*, or where a bucket at another URL had that name, with a number."""
    taken = set(root_rows.names(tx).values())
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}#{number}"
    return name
