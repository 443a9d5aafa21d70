"""cycle: one full pass over an installation, what the daemon does each day and `frostline cycle` on request.

scan -> plan -> migrate -> release -> tickets -> accrue -> evaluation of months -> segments. A root that cannot be
scanned is left out and the others go on; without *act* nothing moves, and everything else happens.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policies.plan import Plan
from tiering.catalog import leases
from tiering.errors import FrostlineError, Retry
from tiering.jobs import segments
from tiering.jobs.accrue import accrue
from tiering.jobs.advance import advance
from tiering.jobs.charges import charge
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.evaluate import evaluate, promise
from tiering.jobs.plan import make_plan
from tiering.jobs.release import finish_parked
from tiering.jobs.reports import JobReport, Skipped
from tiering.jobs.scan import ScanReport, scan_root
from tiering.jobs.watching import carry_out_watching

LEASE = "cycle"
LEASE_S = 24 * 3600  # a cycle may move terabytes; reconcile gives up the lease of a dead process


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What a pass did."""

    acted: bool
    scans: tuple[ScanReport, ...]
    problems: tuple[Skipped, ...]
    """Roots that could not be scanned, with the reason; nothing was moved there."""
    plan: Plan
    job: JobReport
    """Of everything that moved; empty when it did not act."""
    accrued: int
    """Ledger entries of storage cost that were due."""

    @property
    def exit_code(self) -> int:
        """3 when a root, a file or a scanned name was left out, or capacity or a budget does not suffice; 4 when
        archive restores are waited for; else 0.
        """
        if self.job.exit_code:
            return self.job.exit_code
        return 3 if self.problems or self.plan.warnings or any(scan.exit_code for scan in self.scans) else 0


def _say_nothing(warning: str) -> None:
    del warning


def cycle(
    ctx: Context,
    *,
    act: bool,
    wait_parked: bool,
    warn: Callable[[str], None] = _say_nothing,
    keeps_windows: bool = False,
) -> CycleReport:
    """Do one pass; with *act* carry the plan out. *warn* hears what capacity or budgets lack before anything moves.

    The daemon *keeps_windows*: outside planning.windows only what makes room moves.

    Raises CatalogBusy while another process is at it. With *wait_parked* returns when released bytes are freed;
    without, parked files are finished by a later upkeep.
    """
    with leases.held(ctx.catalog, LEASE, owner=ctx.owner, seconds=LEASE_S):
        job = finish_parked(ctx)
        scans, problems, seen = _scan_all(ctx)
        plan = make_plan(ctx, roots=seen)
        for warning in plan.warnings:
            warn(warning)
        job = job.merged(advance(ctx))
        if act and not ctx.stop.is_set():
            promise(ctx, plan)
            job = job.merged(
                carry_out_watching(ctx, plan, seen, wait_parked=wait_parked, warn=warn, keeps_windows=keeps_windows)
            )
        accrued = accrue(ctx)
        evaluate(ctx)
        charge(ctx, reason="cycle")
        segments.flush(ctx)
    return CycleReport(act, tuple(scans), tuple(problems), plan, job, accrued)


def _scan_all(ctx: Context) -> tuple[list[ScanReport], list[Skipped], Sequence[OpenRoot]]:
    """Scan every root; return the reports, the roots that failed, and the roots that may be planned for."""
    scans: list[ScanReport] = []
    problems: list[Skipped] = []
    seen: list[OpenRoot] = []
    for root in ctx.roots:
        try:
            report = scan_root(ctx, root)
        except FrostlineError as error:
            if error.retry is Retry.SOON:
                raise
            problems.append(Skipped(os.fsdecode(root.path), error.what))
            continue
        scans.append(report)
        if report.state == "complete":
            seen.append(root)
        else:
            problems.append(Skipped(os.fsdecode(root.path), report.note or report.state))
    return scans, problems, seen
