"""Numbers of rows that are written many at a time, given out by the catalog itself: nobody has to ask for each, and
none is ever used again.

Used for blocks, chunks and recipes, inside writing transactions, of which there is one at a time.
"""

from sqlalchemy import insert, select, update

from tiering.catalog.tables import meta
from tiering.catalog.transaction import Tx


def take_numbers(tx: Tx, name: str, count: int) -> int:
    """Return the first of *count* numbers for rows of table *name* that no row has had before."""
    key = f"next:{name}"
    found = tx.conn.execute(select(meta.c.value).where(meta.c.key == key)).scalar()
    first = int(found or 1)
    value = {"key": key, "value": str(first + count)}
    if found is None:
        tx.conn.execute(insert(meta), value)
    else:
        tx.conn.execute(update(meta).where(meta.c.key == key).values(value=value["value"]))
    return first
