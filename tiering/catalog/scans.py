"""Scans: what each pass over a root saw."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select, update

from tiering.catalog.tables import scans
from tiering.catalog.transaction import Tx


@dataclass(frozen=True, slots=True)
class ScanRow:
    """One scan of one root."""

    scan_id: int
    root_id: int
    started_ns: int
    finished_ns: int | None
    state: str
    """running, complete, refused or awaiting_confirmation."""
    files: int
    bytes: int
    new: int
    changed: int
    missing: int
    sweep: bool
    access_quality: str
    note: str


def start(tx: Tx, root_id: int, *, access_quality: str) -> int:
    """Note that a scan begins; return its id."""
    counts = dict.fromkeys(("files", "bytes", "new", "changed", "missing"), 0)
    values = {
        "root_id": root_id,
        "started_ns": tx.now_ns,
        "state": "running",
        "sweep": False,
        "access_quality": access_quality,
        "note": "",
        **counts,
    }
    return int(tx.conn.execute(insert(scans).values(values).returning(scans.c.scan_id)).scalar_one())


def finish(tx: Tx, scan_id: int, **values: object) -> None:
    """Note how it ended: state and whichever counts, sweep, access_quality, note are given."""
    tx.conn.execute(update(scans).where(scans.c.scan_id == scan_id).values(finished_ns=tx.now_ns, **values))


def last(tx: Tx, root_id: int, *, state: str | None = None) -> ScanRow | None:
    """Return the newest scan of a root, in that state where given."""
    query = select(scans).where(scans.c.root_id == root_id)
    if state is not None:
        query = query.where(scans.c.state == state)
    row = tx.conn.execute(query.order_by(scans.c.scan_id.desc()).limit(1)).one_or_none()
    return None if row is None else ScanRow(*row)


def running(tx: Tx) -> list[int]:
    """Return the ids of roots that a scan is on record as running in."""
    return list(tx.conn.execute(select(scans.c.root_id).where(scans.c.state == "running").distinct()).scalars())


def abandon(tx: Tx, root_ids: Sequence[int]) -> int:
    """Mark scans of those roots that a dead process left running as refused; return how many."""
    values = {"finished_ns": tx.now_ns, "state": "refused", "note": "the process ended before the scan did"}
    of_roots = update(scans).where(scans.c.state == "running", scans.c.root_id.in_(root_ids))
    return int(tx.conn.execute(of_roots.values(values)).rowcount)
