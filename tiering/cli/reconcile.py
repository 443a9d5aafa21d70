"""`frostline reconcile`: finish or undo what a dead process left half done."""

from dataclasses import asdict

import typer

from tiering.cli.job_output import show_skips, skips_json
from tiering.cli.session import session_of
from tiering.jobs.reconcile import reconcile

EXAMPLES = (
    "frostline reconcile",
    "frostline --json reconcile | jq .skipped",
)


def run(ctx: typer.Context) -> int:
    """Bring every interrupted operation to its end. Commands that act, and the daemon at its start, do this first."""
    session = session_of(ctx)
    with session.reading() as context:
        report = reconcile(context)
    session.out.json({**asdict(report), "skipped": skips_json(tuple(report.skipped))})
    session.out.text(
        f"finished {report.finished:,} operations, undid {report.undone:,}; {report.parked:,} files still parked; "
        f"{report.packs_doomed:,} unfinished packs doomed"
    )
    for note in report.notes:
        session.out.text(f"note: {note}")
    show_skips(session.out, tuple(report.skipped))
    return report.exit_code
