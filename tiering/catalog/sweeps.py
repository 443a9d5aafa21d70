"""Sweeps: which scans saw a backup or an antivirus read the whole root."""

from sqlalchemy import select

from tiering.catalog.tables import scans
from tiering.catalog.transaction import Tx


def seen_since(tx: Tx, root_id: int, since_ns: int) -> list[int]:
    """Return when the scans of a root began that saw a sweep, from *since_ns* on, oldest first."""
    query = select(scans.c.started_ns).where(
        scans.c.root_id == root_id, scans.c.sweep.is_(True), scans.c.started_ns >= since_ns
    )
    return list(tx.conn.execute(query.order_by(scans.c.started_ns)).scalars())
