"""Prints what a job did: the same words and keys for migrate, recall, restore and cycle."""

from collections.abc import Mapping
from typing import Any

from policies.amounts import say_bytes
from tiering.cli.output import Output
from tiering.jobs.reports import JobReport, Skipped

SKIPS_SHOWN = 20  # on a terminal; --json lists all


def report_json(report: JobReport, **more: object) -> dict[str, Any]:
    """Return the documented keys of a job's report, and *more* beside them."""
    return {
        "files_done": report.files_done,
        "files_skipped": skips_json(report.files_skipped),
        "bytes_read": report.bytes_read,
        "bytes_stored": report.bytes_stored,
        "bytes_freed": report.bytes_freed,
        "seconds": round(report.seconds, 3),
        "tickets": list(report.tickets),
        "notes": list(report.notes),
        **more,
    }


def skips_json(skipped: tuple[Skipped, ...]) -> list[Mapping[str, str]]:
    """Return skipped files as JSON."""
    return [{"path": skip.path, "reason": skip.reason, "kind": str(skip.kind)} for skip in skipped]


def show_report(out: Output, verb: str, report: JobReport) -> None:
    """Print a report as text: a line of totals, then what was left alone and why."""
    parts = [f"{verb}: {report.files_done:,} files"]
    if report.bytes_read:
        rate = f" at {say_bytes(int(report.bytes_read / report.seconds))}/s" if report.seconds > 0 else ""
        parts.append(f"{say_bytes(report.bytes_read)} read{rate}")
    if report.bytes_stored:
        parts.append(f"{say_bytes(report.bytes_stored)} stored")
    if report.bytes_freed:
        parts.append(f"{say_bytes(report.bytes_freed)} freed")
    out.text(", ".join(parts))
    for note in report.notes:
        out.text(f"note: {note}")
    for ticket in report.tickets:
        out.text(f"waiting on archive restore, ticket {ticket}; next: frostline status, or recall with --wait")
    show_skips(out, report.files_skipped)


def show_skips(out: Output, skipped: tuple[Skipped, ...]) -> None:
    """List skipped files with their reasons, the first few of them."""
    if skipped:
        out.text(f"left alone: {len(skipped):,}")
    for skip in skipped[:SKIPS_SHOWN]:
        out.text(f"  {skip.path}: {skip.reason}")
    if len(skipped) > SKIPS_SHOWN:
        out.text(f"  ... and {len(skipped) - SKIPS_SHOWN:,} more: --json lists all")
