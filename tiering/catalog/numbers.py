"""Numbers of rows that are written many at a time, given out by the catalog itself: nobody has to ask for each, and
none is ever used again.

Used for blocks, chunks and recipes, inside writing transactions, of which there is one at a time.
"""

from tiering.catalog.transaction import Tx, change_raw, fetch_raw


def take_numbers(tx: Tx, name: str, count: int) -> int:
    """Return the first of *count* numbers for rows of table *name* that no row has had before."""
    key = f"next:{name}"
    found = fetch_raw(tx, "SELECT value FROM meta WHERE key = ?", [key])
    if not found:
        change_raw(tx, "INSERT INTO meta (value, key) VALUES (?, ?)", [str(1 + count), key])
        return 1
    first = int(found[0][0])
    change_raw(tx, "UPDATE meta SET value = ? WHERE key = ?", [str(first + count), key])
    return first
