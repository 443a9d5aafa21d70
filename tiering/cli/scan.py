"""`frostline scan`: bring the catalog to what stands under the roots."""

from dataclasses import asdict
from typing import Annotated

import typer

from policies.amounts import say_bytes
from tiering.cli.job_output import show_skips, skips_json
from tiering.cli.output import Output
from tiering.cli.session import session_of
from tiering.errors import FrostlineError, UsageError
from tiering.jobs.context import OpenRoot
from tiering.jobs.scan import ScanReport, scan_root

EXAMPLES = (
    "frostline scan",
    "frostline scan --confirm-missing   # very many files are gone, and that is right",
)


def run(
    ctx: typer.Context,
    root: Annotated[list[str] | None, typer.Option("--root", help="Only the root of this name. Repeatable.")] = None,
    confirm_missing: Annotated[
        bool, typer.Option("--confirm-missing", help="Believe that very many files are gone.")
    ] = False,
) -> int:
    """Look at every file's name, size and times, and refresh the catalog. Reads no file, changes nothing in the trees.

    A root that is not mounted is refused; the others are scanned all the same.
    """
    session = session_of(ctx)
    reports: list[ScanReport] = []
    failed: list[tuple[OpenRoot, FrostlineError]] = []
    with session.looking() as context:
        names = [known.name for known in context.roots]
        if unknown := set(root or ()).difference(names):
            raise UsageError(
                f'there is no root "{min(unknown)}"',
                now="nothing was scanned",
                hint=f"the roots are: {', '.join(names)}",
            )
        for known in context.roots:
            if root and known.name not in root:
                continue
            try:
                reports.append(scan_root(context, known, confirm_missing=confirm_missing))
            except FrostlineError as error:
                failed.append((known, error))
    session.out.json([report_json(report) for report in reports])
    for report in reports:
        show_scan(session.out, report)
    for _, refusal in failed:
        session.out.note(refusal.sentence())
    return max([refusal.exit_code for _, refusal in failed] + [report.exit_code for report in reports], default=0)


def report_json(report: ScanReport) -> dict[str, object]:
    """Return a scan as JSON."""
    return {**asdict(report), "problems": skips_json(report.problems)}


def show_scan(out: Output, report: ScanReport) -> None:
    """Print a scan as text."""
    changes = [
        f"{count:,} {word}"
        for word in ("new", "changed", "moved", "adopted", "missing")
        if (count := getattr(report, word))
    ]
    out.text(
        f"scan of {report.root}: {report.files:,} files, {say_bytes(report.bytes)}; "
        f"{', '.join(changes) or 'no change'}; reading known by: {report.access_quality}"
    )
    if report.note:
        out.text(f"  {report.note}")
    if report.state == "awaiting_confirmation":
        out.text("  nothing was marked missing; if the files are gone for good: frostline scan --confirm-missing")
    show_skips(out, report.problems)
