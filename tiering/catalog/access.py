"""Access history: on which days a file was seen to be read, and by what evidence."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select

from tiering.catalog.tables import access_days
from tiering.catalog.transaction import Tx, batches, own_insert


@dataclass(frozen=True, slots=True)
class AccessDay:
    """One file was used on one day."""

    file_id: int
    day: int
    """Days since the epoch, UTC."""
    source: str
    """atime, opens or recall."""
    opens: int = 1


def add(tx: Tx, days: Sequence[AccessDay]) -> None:
    """Note days of use. The same day and source again keeps the larger count, so a scan may be repeated."""
    statement = own_insert(tx, access_days)
    statement = statement.on_conflict_do_update(
        index_elements=["file_id", "day", "source"],
        set_={"opens": statement.excluded.opens},
        where=access_days.c.opens < statement.excluded.opens,
    )
    for batch in batches(days):
        rows = [{"file_id": d.file_id, "day": d.day, "source": d.source, "opens": d.opens} for d in batch]
        tx.conn.execute(statement, rows)


def days_of(tx: Tx, file_ids: Sequence[int], *, since_day: int) -> dict[int, list[AccessDay]]:
    """Return file id -> its days of use from *since_day* on, oldest first; files without any are absent."""
    found: dict[int, list[AccessDay]] = {}
    for batch in batches(file_ids):
        query = (
            select(access_days)
            .where(access_days.c.file_id.in_(batch), access_days.c.day >= since_day)
            .order_by(access_days.c.file_id, access_days.c.day, access_days.c.source)
        )
        for row in tx.conn.execute(query):
            found.setdefault(row.file_id, []).append(AccessDay(*row))
    return found


def forget(tx: Tx, *, before_day: int) -> int:
    """Drop history older than that day; return how many rows."""
    return int(tx.conn.execute(delete(access_days).where(access_days.c.day < before_day)).rowcount)
