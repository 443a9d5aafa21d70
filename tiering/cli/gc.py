"""`frostline gc`: reclaim what nobody needs in the stores."""

from dataclasses import asdict
from typing import Annotated

import typer

from policies.amounts import say_bytes
from tiering.cli.act import acting
from tiering.cli.session import needs_yes, session_of
from tiering.jobs.gc import collect, preview
from tiering.jobs.mover import tend_packs
from tiering.jobs.uploads import send_waiting

SKIPPED = 3
EXAMPLES = (
    "frostline gc          # what would be deleted",
    "frostline gc --yes",
)


def run(ctx: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False) -> int:
    """End versions whose time is over, doom what nothing refers to, delete what has been doomed for gc.grace, and
    rewrite packs of which little is needed any more, and move those that only colder files need, where that pays within
    a year.

    Before each deletion ownership, references and the store's own listing are looked at again.
    """
    session = session_of(ctx)
    out = session.out
    if not yes:
        with session.looking() as context:
            would = preview(context)
        out.json(asdict(would))
        out.text(
            f"{would.versions_ended:,} versions and {would.files_forgotten:,} missing files are past their time; "
            f"{would.packs_deleted:,} objects, {say_bytes(would.bytes_deleted)}, would be deleted, "
            f"{would.packs_doomed:,} doomed"
        )
        needs_yes(session, yes=yes, what="do it")
        return 0
    with acting(session) as context:
        report = collect(context)
        moved = tend_packs(context)
        sent = send_waiting(context)
    repacked = moved.rewritten
    out.json({**asdict(report), "repacked": asdict(repacked), "moved": asdict(moved), "sent": asdict(sent)})
    out.text(
        f"deleted {report.packs_deleted:,} objects, {say_bytes(report.bytes_deleted)}; doomed {report.packs_doomed:,} "
        f"and {report.orphans_doomed:,} orphans; {report.packs_waiting:,} wait out their grace"
    )
    if report.locked:
        out.text(report.locked)
    if repacked.packs_rewritten:
        out.text(
            f"rewrote {repacked.packs_rewritten:,} half-dead or mixed packs as {repacked.packs_written:,}: "
            f"{say_bytes(repacked.bytes_freed)} will be free when the old ones have waited out their grace"
        )
    if moved.packs_moved:
        out.text(f"moved {moved.packs_moved:,} packs, {say_bytes(moved.bytes_moved)}, to colder classes")
    if sent.packs_sent:
        out.text(
            f"sent {sent.packs_sent:,} packs, {say_bytes(sent.bytes_sent)}, on from STANDARD to their tier's class"
        )
    for note in (*report.notes, *repacked.notes, *moved.notes):
        out.text(f"note: {note}")
    return SKIPPED if repacked.notes or moved.notes else report.exit_code
