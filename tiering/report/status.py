"""Health and totals of an installation, from the catalog alone."""

import json
import os
from dataclasses import dataclass
from typing import Any

from tiering.catalog import accounts, journal, ledger, objects, runs, scans, segments, tickets
from tiering.catalog.totals import totals_of
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileState
from tiering.config.bucket import BucketConfig
from tiering.jobs.bucket_limits import job_of, watermarks
from tiering.jobs.context import Context
from tiering.jobs.restore_cost import promised_ns

JOBS = ("scan", "cycle", "tickets", "accrue", "gc")


@dataclass(frozen=True, slots=True)
class StateCount:
    """Files in one state; an inode with several names counts once."""

    state: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RootStatus:
    """One root."""

    name: str
    path: str
    read_only: bool
    states: tuple[StateCount, ...]
    last_scan_ns: int | None
    """When the last complete scan ended."""
    last_scan_state: str
    """Of the last scan, complete or not; "" before the first."""
    access_quality: str
    note: str


@dataclass(frozen=True, slots=True)
class TierStatus:
    """One cold tier, in exact bytes of the ledger."""

    name: str
    store: str
    storage_class: str
    live_bytes: int
    dead_bytes: int
    metadata_bytes: int


@dataclass(frozen=True, slots=True)
class TicketStatus:
    """One open ticket."""

    ticket: int
    created_ns: int
    speed: str
    reason: str
    files: int
    """0: bytes are waited for, to be read where they are."""
    files_waiting: int
    deadline_ns: int | None
    quote: dict[str, Any]
    packs: int
    packs_ready: int
    packs_wanted: int
    """Not asked for yet, or to be asked for again."""
    ready_ns: int
    """By when its packs should be readable; 0 where nothing is on its way."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """How a job of the daemon last went."""

    job: str
    started_ns: int
    finished_ns: int | None
    outcome: str


@dataclass(frozen=True, slots=True)
class BucketDuty:
    """One bucket under care, as the daemon sees it."""

    name: str
    mode: str
    schedule: str
    """"" is never."""
    scanned_ns: int | None
    usd_nano_month: int
    """Booked for it since the first of the month (UTC)."""
    usd_nano_month_allowed: int
    requests_today: int
    """Asked by the daemon."""
    requests_per_day: int
    stopped: str
    """Which limit keeps the daemon from going on; "" for none."""
    last: LastRun | None
    facts: dict[str, Any]
    """Of the last run: what was planned and done."""


@dataclass(frozen=True, slots=True)
class Status:
    """See the module docstring."""

    act: bool
    roots: tuple[RootStatus, ...]
    states: tuple[StateCount, ...]
    tiers: tuple[TierStatus, ...]
    under_way: dict[str, int]
    """Journal rows by kind and step: "release parked"."""
    tickets: tuple[TicketStatus, ...]
    runs: tuple[LastRun, ...]
    buckets: tuple[BucketDuty, ...]
    records_waiting: int
    """Changes not yet in a durable segment."""


def status(context: Context) -> Status:
    """Return what the catalog knows now, in one snapshot. Asks no store."""
    with context.catalog.read() as tx:
        return Status(
            act=context.config.act,
            roots=tuple(_root(context, tx, root.root_id) for root in context.roots),
            states=_states(tx, None),
            tiers=_tiers(context, tx),
            under_way=_under_way(tx),
            tickets=tuple(_ticket(tx, row) for row in tickets.in_state(tx)),
            runs=tuple(run for job in JOBS if (run := _last_run(tx, job)) is not None),
            buckets=tuple(_bucket(tx, config) for config in context.config.buckets),
            records_waiting=segments.waiting(tx),
        )


def _root(context: Context, tx: Tx, root_id: int) -> RootStatus:
    root = context.root(root_id)
    settings = next(entry for entry in context.config.roots if entry.name == root.name)
    last = scans.last(tx, root_id)
    complete = scans.last(tx, root_id, state="complete")
    return RootStatus(
        name=root.name,
        path=os.fsdecode(root.path),
        read_only=settings.read_only,
        states=_states(tx, root_id),
        last_scan_ns=complete.finished_ns if complete else None,
        last_scan_state=last.state if last else "",
        access_quality=last.access_quality if last else "",
        note=last.note if last else "",
    )


def _states(tx: Tx, root_id: int | None) -> tuple[StateCount, ...]:
    totals = totals_of(tx, root_id=root_id)
    return tuple(
        StateCount(str(state), totals[state].files, totals[state].size_bytes) for state in FileState if state in totals
    )


def _tiers(context: Context, tx: Tx) -> tuple[TierStatus, ...]:
    balances = ledger.all_balances(tx)
    return tuple(
        TierStatus(
            name=name,
            store=tier.store,
            storage_class=tier.storage_class,
            live_bytes=balances.get((accounts.BUCKET_LIVE, name), 0),
            dead_bytes=balances.get((accounts.BUCKET_DEAD, name), 0),
            metadata_bytes=balances.get((accounts.BUCKET_METADATA, name), 0),
        )
        for name, tier in context.config.tiers.items()
    )


def _under_way(tx: Tx) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in journal.every(tx):
        what = f"{row.kind} {row.step}"
        counts[what] = counts.get(what, 0) + 1
    return counts


def _ticket(tx: Tx, row: tickets.TicketRow) -> TicketStatus:
    restores = tickets.packs_of(tx, row.ticket_no)
    return TicketStatus(
        ticket=row.ticket_no,
        created_ns=row.created_ns,
        speed=row.speed,
        reason=row.reason,
        files=len(tickets.files_of(tx, row.ticket_no)),
        files_waiting=tickets.count_waiting(tx, row.ticket_no),
        deadline_ns=row.deadline_ns,
        quote=json.loads(row.quote or "{}"),
        packs=len(restores),
        packs_ready=sum(restore.state == "warm" for restore in restores),
        packs_wanted=sum(restore.state == "wanted" for restore in restores),
        ready_ns=max((promised_ns(restore) for restore in restores if restore.state == "warming"), default=0),
    )


def _bucket(tx: Tx, config: BucketConfig) -> BucketDuty:
    row = objects.find(tx, config.name)
    marks = watermarks(tx, config)
    last = runs.last(tx, job_of(config.name))
    return BucketDuty(
        name=config.name,
        mode=config.mode,
        schedule=config.schedule,
        scanned_ns=None if row is None else row.scanned_ns,
        usd_nano_month=marks.spent_nano,
        usd_nano_month_allowed=marks.month_nano,
        requests_today=marks.requests,
        requests_per_day=marks.requests_per_day,
        stopped=marks.stop,
        last=_last_run(tx, job_of(config.name)),
        facts={} if last is None else json.loads(last.detail),
    )


def _last_run(tx: Tx, job: str) -> LastRun | None:
    row = runs.last(tx, job)
    return None if row is None else LastRun(job, row.started_ns, row.finished_ns, row.outcome)
