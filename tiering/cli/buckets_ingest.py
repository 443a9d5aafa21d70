"""What `frostline buckets apply` does with a bucket in mode ingest."""

from policies.amounts import NANO, say_bytes, say_usd
from tiering.cli.act import acting
from tiering.cli.buckets_quote import show_quote
from tiering.cli.output import Output
from tiering.cli.session import Session, needs_yes
from tiering.jobs.object_choice import quote_ingest, quote_json
from tiering.jobs.object_ingest import BucketIngestReport, ingest_bucket

SHOWN = 10


def apply_ingest(session: Session, name: str, *, yes: bool, confirm_missing: bool) -> int:
    """Show the quote, or with *yes* take objects in; return the exit code."""
    out = session.out
    if not yes:
        with session.looking() as context:
            quote = quote_ingest(context, name)
        out.json(quote_json(quote))
        show_quote(out, quote)
        needs_yes(session, yes=yes, what="do it")
        return 0
    with acting(session) as context:
        report = ingest_bucket(context, name, confirm_missing=confirm_missing)
    out.json(_document(report))
    _show(out, report)
    return report.exit_code


def _document(report: BucketIngestReport) -> dict[str, object]:
    return {
        "bucket": report.bucket, "objects_stored": report.objects_stored, "bytes_read": report.bytes_read,
        "bytes_stored": report.bytes_stored, "originals_deleted": report.originals_deleted,
        "bytes_deleted": report.bytes_deleted, "usd_once": report.usd_nano / NANO, "left": report.left,
        "skipped": dict(report.skipped), "notes": report.notes,
        "skipped_objects": [{"key": key, "reason": reason} for key, reason in report.skipped_objects],
    }  # fmt: skip


def _show(out: Output, report: BucketIngestReport) -> None:
    out.text(
        f"stored {report.objects_stored:,} objects: {say_bytes(report.bytes_read)} read, "
        f"{say_bytes(report.bytes_stored)} uploaded; {report.originals_deleted:,} originals deleted, "
        f"{say_bytes(report.bytes_deleted)}; {say_usd(report.usd_nano)} booked; {report.left:,} left for another run"
    )
    for key, reason in report.skipped_objects[:SHOWN]:
        out.text(f"skipped {key}: {reason}")
    for reason, count in sorted(report.skipped.items()):
        out.text(f"{count:,} skipped: {reason}")
    for note in report.notes:
        out.text(f"note: {note}")
