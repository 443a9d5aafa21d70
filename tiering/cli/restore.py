"""`frostline restore`: copy stored files to another folder, changing nothing."""

import os
from typing import Annotated

import typer

from tiering.app.placement import check_target
from tiering.cli.arguments import parse_moment
from tiering.cli.job_output import report_json, show_report
from tiering.cli.session import session_of
from tiering.jobs.restore import restore
from tiering.jobs.stored_paths import absolute_path

EXAMPLES = (
    "frostline restore /data/runs/2023 --to /mnt/spare",
    "frostline restore /data/config.yaml --to . --at 2026-01-31T08:00",
    "frostline restore s3://datalake/raw/2023 --to /mnt/spare",
)


def run(
    ctx: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(help="Folders or files under a root, also deleted ones; s3://BUCKET/PREFIX.")
    ],
    to: Annotated[str, typer.Option("--to", help="Folder to copy into; names that are taken there are skipped.")],
    at: Annotated[str, typer.Option("--at", help="As it was then: 2026-01-31T08:00 (UTC); now without.")] = "",
) -> int:
    """Copy the stored versions out, verified, with their metadata. Roots, states and stored copies stay as they are.

    Replaced and deleted versions can be had for as long as [versions] keeps them.
    """
    session = session_of(ctx)
    at_ns = parse_moment(at) if at else None
    with session.reading() as context:
        check_target(context.config, os.path.abspath(to))
        wanted = [absolute_path(context, path) for path in paths]
        report = restore(context, wanted, os.path.abspath(to), at_ns)
    session.out.json(report_json(report))
    show_report(session.out, "restored", report)
    if not report.files_done and not report.files_skipped:
        session.out.note(f"nothing is stored there {'as of then' if at else 'now; --at brings what was deleted since'}")
    return report.exit_code
