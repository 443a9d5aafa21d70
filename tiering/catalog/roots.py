"""Roots: the directories under care."""

from sqlalchemy import insert, select, update

from tiering.catalog import outbox, records
from tiering.catalog.tables import roots
from tiering.catalog.transaction import Tx
from tiering.catalog.values import RootRow


def add(tx: Tx, *, name: str, path: bytes, marker: str) -> int:
    """Register a root, or take one up again under its name with another path or marker; return its id. Idempotent."""
    found = by_name(tx, name)
    if found is not None:
        if (found.path, found.marker, found.state) != (path, marker, "active"):
            changed = {"path": path, "marker": marker, "state": "active"}
            tx.conn.execute(update(roots).where(roots.c.root_id == found.root_id).values(changed))
            _record(tx, found.root_id)
        return found.root_id
    values = {"name": name, "path": path, "marker": marker, "state": "active", "added_ns": tx.now_ns}
    root_id = tx.conn.execute(insert(roots).values(values).returning(roots.c.root_id)).scalar_one()
    _record(tx, root_id)
    return int(root_id)


def leave(tx: Tx, root_id: int) -> None:
    """Mark the root as no longer under care."""
    tx.conn.execute(update(roots).where(roots.c.root_id == root_id).values(state="left"))
    _record(tx, root_id)


def all_roots(tx: Tx) -> list[RootRow]:
    """Return every root, by id."""
    return [RootRow(*row) for row in tx.conn.execute(select(roots).order_by(roots.c.root_id))]


def by_name(tx: Tx, name: str) -> RootRow | None:
    """Return the root of that name."""
    row = tx.conn.execute(select(roots).where(roots.c.name == name)).one_or_none()
    return None if row is None else RootRow(*row)


def names(tx: Tx) -> dict[int, str]:
    """Return root id -> name."""
    return {row.root_id: row.name for row in tx.conn.execute(select(roots.c.root_id, roots.c.name))}


def _record(tx: Tx, root_id: int) -> None:
    row = RootRow(*tx.conn.execute(select(roots).where(roots.c.root_id == root_id)).one())
    outbox.append(tx, [records.root(row)])
