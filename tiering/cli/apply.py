"""`frostline apply`: do exactly what a saved plan says."""

from typing import Annotated

import typer

from policies.plan_json import to_text
from tiering.cli.act import acting
from tiering.cli.job_output import report_json, show_report
from tiering.cli.plan import SHOWN, show_plan
from tiering.cli.session import needs_yes, session_of
from tiering.jobs.apply import apply_plan
from tiering.jobs.saved_plan import check_plan, load_plan

EXAMPLES = (
    "frostline apply today.plan          # shows what is left of it",
    "frostline apply today.plan --yes",
)


def run(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="A plan saved by frostline plan --save.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
) -> int:
    """Migrate and release what the plan lists. A file that is not what it was when the plan was made is refused."""
    session = session_of(ctx)
    plan = load_plan(file)
    if not yes:
        with session.looking() as context:
            checked = check_plan(context, plan)
        session.out.json_text(to_text(plan, drifted=[skip.path for skip in checked.drifted.listed]))
        show_plan(session.out, plan, limit=SHOWN)
        session.out.text(f"{checked.drifted.count:,} of its files have changed since and would be refused")
        needs_yes(session, yes=yes, what="do it")
        return 0
    with acting(session) as context:
        report = apply_plan(context, plan, wait_parked=True)
    session.out.json(report_json(report))
    show_report(session.out, "applied", report)
    return report.exit_code
