"""What the daemon does when a duty is due: the job, its row in `runs`, its line in the log, and whom to tell.

A duty never raises: what fails is logged with its sentence, noted, and tried again when it is due next.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tiering.app.acting import renew
from tiering.catalog import runs
from tiering.catalog.accounts import CARE
from tiering.catalog.upkeep import tend
from tiering.errors import CatalogBusy, FrostlineError, Retry, StoreUnavailable
from tiering.jobs import gc, segments
from tiering.jobs.accrue import accrue
from tiering.jobs.advance import advance
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.cycle import cycle
from tiering.jobs.mover import tend_packs
from tiering.jobs.release import finish_parked
from tiering.jobs.scan import scan_root
from tiering.jobs.uploads import send_waiting
from tiering.logs import Log
from tiering.notify import Notifier

Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a duty ended."""

    outcome: str
    """done, skipped_some or failed: as in the catalog's runs."""
    facts: Facts


def _scan(ctx: Context, log: Log) -> Outcome:
    files = problems = 0
    failed = ""
    for root in ctx.roots:
        try:
            report = scan_root(ctx, root)
        except FrostlineError as error:
            failed = error.what
            log.error("scan_failed", root=root.name, what=error.what, now=error.now, next=error.hint)
            continue
        files += report.files
        problems += report.problem_count
        if report.state == "awaiting_confirmation":
            failed = (
                f"{report.missing} files of {root.name} are missing; frostline scan --confirm-missing if that is right"
            )
    if failed:
        return Outcome("failed", {"files": files, "what": failed})
    return Outcome("skipped_some" if problems else "done", {"files": files, "problems": problems})


def _cycle(ctx: Context, log: Log) -> Outcome:
    report = cycle(
        ctx,
        act=ctx.config.act,
        wait_parked=False,
        keeps_windows=True,
        warn=lambda warning: log.warning("plan_warning", what=warning),
    )
    for problem in report.problems:
        log.error("cycle_problem", root=problem.path, what=problem.reason)
    facts: dict[str, object] = {
        "acted": report.acted,
        "files_done": report.job.files_done,
        "files_skipped": report.job.skipped_count,
        "bytes_stored": report.job.bytes_stored,
        "bytes_freed": report.job.bytes_freed,
    }
    if report.plan.warnings:
        facts["warning"] = "; ".join(report.plan.warnings)
    if report.problems:
        return Outcome("failed", {**facts, "what": report.problems[0].reason})
    return Outcome("skipped_some" if report.job.files_skipped else "done", facts)


def _tickets(ctx: Context, log: Log) -> Outcome:
    report = advance(ctx)
    return Outcome(
        "skipped_some" if report.files_skipped else "done",
        {"files_done": report.files_done, "files_skipped": report.skipped_count},
    )


def _accrue(ctx: Context, log: Log) -> Outcome:
    return Outcome("done", {"entries": accrue(ctx)})


def _gc(ctx: Context, log: Log) -> Outcome:
    if not ctx.config.act:
        return Outcome("done", {"acted": False})
    report = gc.collect(ctx)
    moved = tend_packs(ctx)
    sent = send_waiting(ctx)
    repacked = moved.rewritten
    notes = [*report.notes, *repacked.notes, *moved.notes]
    for note in notes:
        log.warning("gc_note", what=note)
    facts = {"packs_doomed": report.packs_doomed, "packs_deleted": report.packs_deleted, "bytes": report.bytes_deleted}
    facts |= {"packs_rewritten": repacked.packs_rewritten, "bytes_freed": repacked.bytes_freed}
    facts |= {"packs_moved": moved.packs_moved, "bytes_moved": moved.bytes_moved}
    facts |= {"packs_sent_on": sent.packs_sent, "packs_locked": report.packs_locked}
    return Outcome("skipped_some" if notes else "done", facts)


def _bucket(ctx: Context, log: Log, name: str) -> Outcome:
    # Brings boto3 and the codecs along: for installations that care for buckets only.
    report = importlib.import_module("tiering.jobs.bucket_duty").care_for(ctx, name)
    facts: dict[str, object] = report.facts()
    if report.stopped:
        facts["warning"] = f"bucket {name} waits: {report.stopped}"
    elif report.note:
        facts["warning"] = f"bucket {name}: {report.note}"
    return Outcome("skipped_some" if report.skipped or report.note else "done", facts)


DUTIES: Mapping[str, Callable[[Context, Log], Outcome]] = {
    "scan": _scan,
    "cycle": _cycle,
    "tickets": _tickets,
    "accrue": _accrue,
    "gc": _gc,
}


WRITES_MUCH = frozenset({"scan", "cycle", "gc"})
"""Duties after which the catalog's statistics and log are seen to; those of buckets are too."""


def is_of_bucket(name: str) -> bool:
    """Return whether a duty is that of one bucket."""
    return name.startswith(CARE)


def perform(name: str, ctx: Context, log: Log, notifier: Notifier) -> str:
    """Do the duty *name* now and return its outcome; on record, logged, and told where a person is needed."""
    if ctx.stop.is_set():
        return "done"
    log.info("duty_started", duty=name)
    try:
        with ctx.catalog.write() as tx:
            run_id = runs.start(tx, name, owner=ctx.owner)
    except FrostlineError as error:
        log.error("duty_not_started", duty=name, what=error.what, next=error.hint)
        return "failed"
    ended = _guarded(name, ctx, log, notifier)
    try:
        with ctx.catalog.write() as tx:
            runs.finish(tx, run_id, outcome=ended.outcome, detail=json.dumps(dict(ended.facts)))
        charge(ctx, reason=name)
        segments.flush(ctx)
        if name in WRITES_MUCH or is_of_bucket(name):
            tend(ctx.catalog)
    except FrostlineError as error:
        log.error("duty_not_recorded", duty=name, what=error.what, next=error.hint)
    log.info("duty_ended", duty=name, outcome=ended.outcome, **ended.facts)
    return ended.outcome


def upkeep(ctx: Context, log: Log) -> None:
    """Finish what is parked and bring the store up to the catalog; every minute, and quiet when there is nothing."""
    try:
        renew(ctx)
        report = finish_parked(ctx)
        if report.files_done or report.files_skipped:
            log.info("parked_finished", freed=report.bytes_freed, files=report.files_done, back=report.skipped_count)
        segments.flush(ctx)
    except CatalogBusy:
        pass  # another process does it at this moment
    except FrostlineError as error:
        log.warning("upkeep_failed", what=error.what, next=error.hint)
    except Exception as error:  # noqa: BLE001  # the service loop: a bug in one round must not end the daemon
        log.bug("upkeep_bug", error, what=str(error))


def _guarded(name: str, ctx: Context, log: Log, notifier: Notifier) -> Outcome:
    try:
        ended = _bucket(ctx, log, name.removeprefix(CARE)) if is_of_bucket(name) else DUTIES[name](ctx, log)
    except FrostlineError as error:
        log.error("duty_failed", duty=name, what=error.what, now=error.now, next=error.hint)
        if error.retry is Retry.NEVER or isinstance(error, StoreUnavailable):
            notifier.tell(f"{name}_failed", error.what, now=error.now, hint=error.hint)
        return Outcome("failed", {"what": error.what})
    except Exception as error:  # noqa: BLE001  # the service loop: a bug in one duty must not end the others
        log.bug("duty_bug", error, duty=name)
        notifier.tell(f"{name}_bug", f"{type(error).__name__}: {error}", hint="report it with the journal's traceback")
        return Outcome("failed", {"what": str(error)})
    if "warning" in ended.facts:
        notifier.tell(f"{name}_warning", str(ended.facts["warning"]), hint="frostline plan")
    if ended.outcome == "failed":
        notifier.tell(f"{name}_failed", str(ended.facts.get("what", "")), hint="frostline status; frostline doctor")
    return ended
