"""Runs: when each job ran last and how it ended; the schedule's memory."""

import json
from collections.abc import Sequence
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
    """JSON: whose it is while it runs, then the job's report."""


def start(tx: Tx, job: str, *, owner: str) -> int:
    """Note that a job of process *owner* begins; return the run's id."""
    values = {"job": job, "started_ns": tx.now_ns, "outcome": "running", "detail": json.dumps({"owner": owner})}
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


def since(tx: Tx, job: str, *, since_ns: int) -> list[RunRow]:
    """Return the runs of a job that began at that time or later."""
    query = select(runs).where(runs.c.job == job, runs.c.started_ns >= since_ns)
    return [RunRow(*row) for row in tx.conn.execute(query)]


def recent(tx: Tx, *, limit: int = 50) -> list[RunRow]:
    """Return the newest runs of all jobs, newest first."""
    query = select(runs).order_by(runs.c.started_ns.desc(), runs.c.run_id.desc()).limit(limit)
    return [RunRow(*row) for row in tx.conn.execute(query)]


def running(tx: Tx) -> dict[int, str]:
    """Return run_id -> owner of the runs that have not ended."""
    query = select(runs.c.run_id, runs.c.detail).where(runs.c.outcome == "running")
    return {row.run_id: str(json.loads(row.detail).get("owner", "")) for row in tx.conn.execute(query)}


def abandon(tx: Tx, run_ids: Sequence[int]) -> None:
    """Mark runs that dead processes left as running as failed."""
    values = {"finished_ns": tx.now_ns, "outcome": "failed"}
    of_dead = update(runs).where(runs.c.run_id.in_(run_ids), runs.c.outcome == "running")
    tx.conn.execute(of_dead.values(values))
