"""What `frostline migrate` does with a whole installation, without the command."""

from tests.jobs.lab import Lab
from tiering.app.selection import Part, select
from tiering.app.targets import whole_roots
from tiering.jobs.carrying import carry_out
from tiering.jobs.reports import JobReport


def asked_for(lab: Lab, tier: str, *, releases: bool = False) -> JobReport:
    """`migrate --to TIER` for all roots, as they were scanned last."""
    selected = select(lab.context, whole_roots(lab.context), tier)
    report = carry_out(
        lab.context,
        selected.to_store(),
        to_move={tier: selected.to_move()} if selected.parts[Part.MOVE].files else {},
        to_release=selected.stored() if releases else (),
        done=selected.parts[Part.DONE].files,
        wait_parked=True,
    )
    return selected.skips().report().merged(report)
