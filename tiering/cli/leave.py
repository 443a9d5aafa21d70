"""`frostline leave`: recall everything and remove every trace."""

import os
from typing import Annotated

import typer

from policies.amounts import say_bytes
from tiering.cli.act import acting
from tiering.cli.job_output import report_json, show_report
from tiering.cli.session import needs_yes, session_of
from tiering.jobs.leave import away, leave

EXAMPLES = (
    "frostline leave          # what would come back, and how much room it needs",
    "frostline leave --yes",
)


def run(
    ctx: typer.Context,
    to: Annotated[
        str, typer.Option("--to", help="Restore into this folder instead, when the roots have no room.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
) -> int:
    """Bring every file back, then remove markers and hidden names from the roots. See docs/leaving.md.

    The store, the catalog and the configuration stay: delete them when you are satisfied.
    """
    session = session_of(ctx)
    if not yes:
        with session.looking() as context:
            rest = away(context)
        session.out.json({"files": rest.files, "bytes": rest.size_bytes, "retained_bytes": rest.retained_bytes})
        session.out.text(f"{rest.files:,} files, {say_bytes(rest.size_bytes)}, would come back")
        if rest.retained_bytes:
            session.out.text(
                f"{say_bytes(rest.retained_bytes)} of missing files and earlier versions would not: they are in the "
                "stores alone; frostline restore PATH --at TIME --to DIR takes them first"
            )
        needs_yes(session, yes=yes, what="leave")
        return 0
    with acting(session) as context:
        report = leave(context, to=os.path.abspath(to) if to else "")
    session.out.json(report_json(report.job, left=report.left, kept_placeholders=report.kept_placeholders))
    show_report(session.out, "brought back", report.job)
    for path in report.left:
        session.out.text(f"{path} carries nothing of frostline any more")
    if report.kept_placeholders:
        session.out.text(f"{report.kept_placeholders:,} placeholders still stand: their files are in {to}")
    if report.left:
        session.out.text(f"left as they were: the stores, the catalog, {session.config_path}")
    return report.job.exit_code
