"""`frostline cycle`: one full pass."""

from typing import Annotated

import typer

from policies.plan_json import totals_to_json
from tiering.cli.act import acting
from tiering.cli.job_output import report_json, show_report, show_skips, skips_json
from tiering.cli.plan import SHOWN, show_plan, show_totals
from tiering.cli.scan import report_json as scan_json
from tiering.cli.scan import show_scan
from tiering.cli.session import needs_yes, session_of
from tiering.jobs.cycle import cycle

EXAMPLES = (
    "frostline cycle          # scan, plan, report; moves nothing",
    "frostline cycle --yes    # the same, and carries the plan out",
)


def run(
    ctx: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Move what the plan says.")] = False
) -> int:
    """Scan, plan, migrate, release, finish recalls, book costs: what the daemon does each day.

    With --yes it acts even while act = false holds the daemon back. A root that is not mounted is left out.
    """
    session = session_of(ctx)
    with acting(session) as context:
        report = cycle(context, act=yes, wait_parked=True, warn=lambda warning: session.out.text(f"warning: {warning}"))
    session.out.json(
        report_json(
            report.job,
            acted=report.acted,
            scans=[scan_json(scan) for scan in report.scans],
            problems=skips_json(report.problems),
            plan=totals_to_json(report.plan.totals),
            warnings=list(report.plan.warnings),
            accrued=report.accrued,
        )
    )
    for scan in report.scans:
        show_scan(session.out, scan)
    show_skips(session.out, report.problems)
    if yes:
        show_totals(session.out, report.plan, is_warned=True)
        show_report(session.out, "moved", report.job)
    else:
        show_plan(session.out, report.plan, limit=SHOWN)
        needs_yes(session, yes=yes, what="carry this out")
    return report.exit_code
