"""Runs: when each job ran last and how it ended; the schedule's memory."""

from dataclasses import dataclass

from sqlalchemy import insert, select, update

from tiering.catalog.tables import runs
from tiering.catalog.transaction import Tx


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of one job."""

    run_id: int
    job: str
    started_ns: int
    finished_ns: int | None
    outcome: str
    """running, done, skipped_some or failed."""
    detail: str
    """JSON of the job's report."""


def start(tx: Tx, job: str) -> int:
    """Note that a job begins; return the run's id."""
    values = {"job": job, "started_ns": tx.now_ns, "outcome": "running", "detail": "{}"}
    return int(tx.conn.execute(insert(runs).values(values).returning(runs.c.run_id)).scalar_one())


def finish(tx: Tx, run_id: int, *, outcome: str, detail: str) -> None:
    """Note how it ended."""
    values = {"finished_ns": tx.now_ns, "outcome": outcome, "detail": detail}
    tx.conn.execute(update(runs).where(runs.c.run_id == run_id).values(values))


def last(tx: Tx, job: str, *, outcome: str | None = None) -> RunRow | None:
    """Return the newest run of a job, with that outcome where given."""
    query = select(runs).where(runs.c.job == job)
    if outcome is not None:
        query = query.where(runs.c.outcome == outcome)
    row = tx.conn.execute(query.order_by(runs.c.started_ns.desc(), runs.c.run_id.desc()).limit(1)).one_or_none()
    return None if row is None else RunRow(*row)


def recent(tx: Tx, *, limit: int = 50) -> list[RunRow]:
    """Return the newest runs of all jobs, newest first."""
    query = select(runs).order_by(runs.c.started_ns.desc(), runs.c.run_id.desc()).limit(limit)
    return [RunRow(*row) for row in tx.conn.execute(query)]


def abandon(tx: Tx) -> int:
    """Mark runs that a dead process left as running as failed; return how many. For start-up, under the
    reconcile lease.
    """
    values = {"finished_ns": tx.now_ns, "outcome": "failed"}
    return int(tx.conn.execute(update(runs).where(runs.c.outcome == "running").values(values)).rowcount)
