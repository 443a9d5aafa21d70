"""`frostline buckets status`: what buckets under care hold, and what changing classes has cost and saved."""

from datetime import UTC, datetime

import typer

from policies.amounts import NANO, say_bytes, say_usd
from tiering.cli.session import session_of
from tiering.clock import NS_PER_S
from tiering.jobs.object_status import BucketStatus, bucket_status

_WHERE = {
    "dual": "their originals stand",
    "offline": "their originals were deleted",
    "missing": "their owner deleted them; kept for a while",
}
EXAMPLES = ("frostline buckets status", "frostline --json buckets status | jq '.[].usd'")


def run(ctx: typer.Context) -> int:
    """Show each bucket by class, when it was scanned, what its changes cost and saved so far, and what is under way."""
    session = session_of(ctx)
    with session.looking() as context:
        found = [bucket_status(context, bucket.name) for bucket in context.config.buckets]
    session.out.json([_document(status) for status in found])
    for status in found:
        scanned = _day(status.scanned_ns) if status.scanned_ns else "never"
        session.out.text(f"{status.name} ({status.url}), mode {status.mode}, scanned {scanned}")
        session.out.table(
            ("class", "objects", "bytes"),
            [(name, f"{count:,}", say_bytes(size)) for name, (count, size) in status.classes.items()],
        )
        for state, (count, size) in status.stored.items():
            session.out.text(f"stored in packs: {count:,} objects, {say_bytes(size)}, {_WHERE[state]}")
        session.out.text(
            f"spent {say_usd(status.spent_nano)} on requests, reading and changes; moved objects cost "
            f"{say_usd(status.storage_nano)} instead of {say_usd(status.baseline_nano)} so far"
        )
        if status.under_way:
            session.out.text(f"{status.under_way:,} changes of a run that died: the next buckets apply looks at them")
    return 0


def _document(status: BucketStatus) -> dict[str, object]:
    return {
        "name": status.name, "url": status.url, "mode": status.mode,
        "scanned": _day(status.scanned_ns) if status.scanned_ns else None,
        "classes": {name: {"objects": count, "bytes": size} for name, (count, size) in status.classes.items()},
        "usd": {
            "spent": status.spent_nano / NANO, "storage": status.storage_nano / NANO,
            "baseline": status.baseline_nano / NANO,
            "saved": (status.baseline_nano - status.storage_nano - status.spent_nano) / NANO,
        },
        "under_way": status.under_way,
        "stored": {state: {"objects": count, "bytes": size} for state, (count, size) in status.stored.items()},
    }  # fmt: skip


def _day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
