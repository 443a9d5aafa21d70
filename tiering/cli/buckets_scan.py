"""`frostline buckets scan`: look at buckets under care."""

from dataclasses import asdict
from typing import Annotated

import typer

from policies.amounts import say_bytes
from tiering.cli.session import session_of
from tiering.jobs.object_scan import scan_bucket

EXAMPLES = ("frostline buckets scan datalake", "frostline --json buckets scan")


def run(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Names in [[buckets]]; none means all.")] = None,
) -> int:
    """List a bucket, or read its S3 Inventory, and its access logs where configured. Changes nothing in it.

    What the requests cost goes into the ledger, and so does what objects that changed class saved until now.
    """
    session = session_of(ctx)
    out = session.out
    with session.looking() as context:
        chosen = names or [bucket.name for bucket in context.config.buckets]
        reports = [scan_bucket(context, name) for name in chosen]
    out.json([asdict(report) for report in reports])
    for report in reports:
        out.text(
            f"{report.bucket}: {report.objects:,} objects, {say_bytes(report.bytes)}; {report.forgotten:,} are gone"
            + (f"; {report.access_logs:,} access logs read" if report.access_logs else "")
        )
        for note in report.notes:
            out.text(f"note: {note}")
    return 0
