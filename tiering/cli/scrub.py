"""`frostline scrub`: read stored packs again and check every byte of them."""

from typing import Annotated

import typer

from policies.amounts import say_bytes
from tiering.cli.session import session_of
from tiering.clock import NS_PER_DAY
from tiering.jobs.scrub import scrub

EXAMPLES = (
    "frostline scrub --fraction 0.05     # a twentieth today, another one tomorrow",
    "frostline scrub --pack packs/3f/3f9c21ab04de...-0123456789abcdef",
)


def run(
    ctx: typer.Context,
    fraction: Annotated[float, typer.Option("--fraction", help="Part of all packs to read, above 0, at most 1.")] = 1.0,
    pack: Annotated[list[str] | None, typer.Option("--pack", help="Only the pack under this key. Repeatable.")] = None,
) -> int:
    """Read packs from the stores and check their hash, their trailer and each chunk against its digest.

    Changes nothing. With a fraction, each day reads another part: in 1/fraction days everything was read. Reading costs
    GET requests (and retrieval in rare classes); archived packs are left out. Exit code 20 when anything is damaged.
    """
    session = session_of(ctx)
    with session.reading() as context:
        report = scrub(context, fraction=fraction, keys=pack or (), round_no=session.clock.now_ns() // NS_PER_DAY)
    out = session.out
    out.json(report)
    out.text(f"scrub: {report.packs_read:,} packs, {say_bytes(report.bytes_read)} read, {len(report.faults)} damaged")
    if report.packs_archived:
        out.text(f"  {report.packs_archived:,} archived packs were not read: they would have to be restored first")
    for fault in report.faults:
        out.text(f"{fault.pack} (tier {fault.tier})")
        for sentence in fault.faults:
            out.text(f"  {sentence}")
        for path in fault.files:
            out.text(f"  needed by {path}")
    if report.faults:
        out.text("next: docs/runbook.md#corrupt-pack")
    return report.exit_code
