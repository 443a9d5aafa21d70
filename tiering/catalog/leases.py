"""Named leases: one owner per maintenance task (gc, scrub, segments, cycle ...) across processes and hosts."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, select

from tiering.catalog.open import Catalog
from tiering.catalog.tables import leases
from tiering.catalog.transaction import Tx, change_raw, fetch_raw
from tiering.errors import CatalogBusy

STORE_UPKEEP = "gc"
"""The lease of whoever dooms, deletes, rewrites or moves packs: gc, repack and the mover, one at a time."""


def acquire(tx: Tx, name: str, *, owner: str, until_ns: int) -> bool:
    """Take or extend the lease; False while another owner's has not run out."""
    rows = fetch_raw(tx, "SELECT owner, until_ns FROM leases WHERE name = ?", [name])
    if rows and rows[0][0] != owner and rows[0][1] > tx.now_ns:
        return False
    statement = "UPDATE leases SET owner = ?, until_ns = ? WHERE name = ?"
    change_raw(
        tx,
        statement if rows else "INSERT INTO leases (owner, until_ns, name) VALUES (?, ?, ?)",
        [owner, until_ns, name],
    )
    return True


def release(tx: Tx, name: str, *, owner: str) -> None:
    """Give the lease up, if it is the owner's."""
    change_raw(tx, "DELETE FROM leases WHERE name = ? AND owner = ?", [name, owner])


def release_all(tx: Tx, *, owner: str) -> None:
    """Give up every lease of an owner (a process known dead)."""
    tx.conn.execute(delete(leases).where(leases.c.owner == owner))


def holder(tx: Tx, name: str) -> tuple[str, int] | None:
    """Return (owner, until_ns) of a lease that has not run out."""
    rows = fetch_raw(tx, "SELECT owner, until_ns FROM leases WHERE name = ? AND until_ns > ?", [name, tx.now_ns])
    return rows[0] if rows else None


def every(tx: Tx) -> dict[str, tuple[str, int]]:
    """Return name -> (owner, until_ns), run out or not."""
    return {row.name: (row.owner, row.until_ns) for row in tx.conn.execute(select(leases))}


@contextmanager
def held(catalog: Catalog, name: str, *, owner: str, seconds: int) -> Iterator[None]:
    """Hold a lease for a block. Raises CatalogBusy, naming the owner, when another process has it."""
    with catalog.write() as tx:
        granted = acquire(tx, name, owner=owner, until_ns=tx.now_ns + seconds * 1_000_000_000)
        other = holder(tx, name)
    if not granted:
        raise CatalogBusy(
            f'"{name}" is being done by process {other[0] if other else "unknown"}',
            now="nothing was started here",
            hint="wait for it to end, then run this again",
        )
    try:
        yield
    finally:
        with catalog.write() as tx:
            release(tx, name, owner=owner)
