"""Prints what a job did: the same words and keys for migrate, recall, restore and cycle."""

from collections.abc import Mapping, Sequence
from typing import Any

from policies.amounts import say_bytes
from tiering.cli.output import Output
from tiering.jobs.reports import JobReport, Skip, Skipped

SKIPS_SHOWN = 20  # on a terminal; --json lists what the report does


def report_json(report: JobReport, **more: object) -> dict[str, Any]:
    """Return the documented keys of a job's report, and *more* beside them."""
    return {
        "files_done": report.files_done,
        "files_skipped": skips_json(report.files_skipped),
        "files_skipped_count": report.skipped_count,
        "files_skipped_by_kind": {str(kind): count for kind, count in sorted(report.skipped_by_kind.items())},
        "bytes_read": report.bytes_read,
        "bytes_stored": report.bytes_stored,
        "bytes_freed": report.bytes_freed,
        "seconds": round(report.seconds, 3),
        "tickets": list(report.tickets),
        "notes": list(report.notes),
        "notes_not_listed": report.more_notes,
        **more,
    }


def skips_json(skipped: Sequence[Skipped]) -> list[Mapping[str, str]]:
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
    if report.more_notes:
        out.text(f"note: ... and {report.more_notes:,} more of this kind")
    for ticket in report.tickets:
        out.text(f"waiting on archive restore, ticket {ticket}; next: frostline status, or recall with --wait")
    show_skips(out, report.files_skipped, report.more_skipped)


def show_skips(out: Output, skipped: Sequence[Skipped], more: Mapping[Skip, int] | None = None) -> None:
    """List skipped files with their reasons, the first few of them; *more* is how many of each kind stand behind
    *skipped*.
    """
    unlisted = sum((more or {}).values())
    count = len(skipped) + unlisted
    if count:
        out.text(f"left alone: {count:,}")
    for skip in skipped[:SKIPS_SHOWN]:
        out.text(f"  {skip.path}: {skip.reason}")
    if len(skipped) > SKIPS_SHOWN:
        lists = "all" if not unlisted else f"{len(skipped):,} and counts the others by kind"
        out.text(f"  ... and {count - SKIPS_SHOWN:,} more: --json lists {lists}")
