"""`frostline doctor`: check the installation and say what to mend."""

from dataclasses import asdict
from typing import Annotated

import typer

from tiering.cli.session import session_of
from tiering.errors import FrostlineError
from tiering.jobs.doctor import doctor
from tiering.jobs.finding import Weight

EXAMPLES = (
    "frostline doctor",
    "frostline doctor --probe     # also asks the stores again what they can do",
)
SIGNS = {Weight.GOOD: "ok  ", Weight.NOTE: "note", Weight.BAD: "BAD "}


def run(
    ctx: typer.Context,
    probe: Annotated[bool, typer.Option("--probe", help="Probe the stores with real requests.")] = False,
) -> int:
    """Look at configuration, catalog, roots, stores and work under way. Exit 1 when something will not work."""
    session = session_of(ctx)
    with session.looking() as context:
        findings = []
        for finding in doctor(context, probes=probe):
            findings.append(finding)
            session.out.text(f"{SIGNS[finding.weight]}  {finding.what}")
            if finding.do:
                session.out.text(f"        {finding.do}")
    is_bad = any(finding.weight is Weight.BAD for finding in findings)
    session.out.json({"ok": not is_bad, "findings": [asdict(finding) for finding in findings]})
    return FrostlineError.exit_code if is_bad else 0
