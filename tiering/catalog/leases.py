"""Named leases: one owner per maintenance task (gc, scrub, segments, cycle ...) across processes and hosts."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, insert, select, update

from tiering.catalog.open import Catalog
from tiering.catalog.tables import leases
from tiering.catalog.transaction import Tx
from tiering.errors import CatalogBusy

STORE_UPKEEP = "gc"
"""The lease of whoever dooms, deletes, rewrites or moves packs: gc, repack and the mover, one at a time."""


def acquire(tx: Tx, name: str, *, owner: str, until_ns: int) -> bool:
    """Take or extend the lease; False while another owner's has not run out."""
    row = tx.conn.execute(select(leases).where(leases.c.name == name)).one_or_none()
    values = {"owner": owner, "until_ns": until_ns}
    if row is None:
        tx.conn.execute(insert(leases), {"name": name, **values})
        return True
    if row.owner != owner and row.until_ns > tx.now_ns:
        return False
    tx.conn.execute(update(leases).where(leases.c.name == name).values(values))
    return True


def release(tx: Tx, name: str, *, owner: str) -> None:
    """Give the lease up, if it is the owner's."""
    tx.conn.execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))


def release_all(tx: Tx, *, owner: str) -> None:
    """Give up every lease of an owner (a process known dead)."""
    tx.conn.execute(delete(leases).where(leases.c.owner == owner))


def holder(tx: Tx, name: str) -> tuple[str, int] | None:
    """Return (owner, until_ns) of a lease that has not run out."""
    row = tx.conn.execute(select(leases).where(leases.c.name == name, leases.c.until_ns > tx.now_ns)).one_or_none()
    return None if row is None else (row.owner, row.until_ns)


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
