"""`frostline plan`: what would move, and why."""

from typing import Annotated

import typer

from policies.amounts import say_bytes, say_usd
from policies.plan import Plan
from policies.plan_json import to_text
from tiering.cli.output import Output
from tiering.cli.quote_output import say_moves
from tiering.cli.session import session_of
from tiering.jobs.plan import make_plan
from tiering.jobs.saved_plan import save_plan

EXAMPLES = (
    "frostline plan",
    "frostline plan --save today.plan && frostline apply today.plan --yes",
)
SHOWN = 20  # on a terminal; --limit and --json show more


def run(
    ctx: typer.Context,
    save: Annotated[str, typer.Option("--save", help="Write the plan to this file, for frostline apply.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show this many actions; 0 shows all.")] = SHOWN,
) -> int:
    """Decide about every file by the rules, prices and evidence of now, and show what would move. Changes nothing.

    Dollars are before dedup and compression, which only make them better; frostline estimate measures those. Moves
    between cold tiers are reckoned by the packs that move. Exit code 3: capacity or a budget does not suffice.
    """
    session = session_of(ctx)
    with session.looking() as context:
        plan = make_plan(context)
    if save:
        save_plan(plan, save)
    session.out.json_text(to_text(plan))
    show_plan(session.out, plan, limit=limit)
    if save:
        session.out.text(f"saved; next: frostline apply {save}")
    return 3 if plan.warnings else 0


def show_plan(out: Output, plan: Plan, *, limit: int) -> None:
    """Print a plan as text."""
    shown = plan.actions[: limit or None]
    for action in shown:
        out.text(f"{action.kind:<8} {say_bytes(action.size_bytes):>11}  {action.root}/{action.path} -> {action.target}")
        out.text(f"         {action.reason}")
    if len(shown) < len(plan.actions):
        out.text(f"... and {len(plan.actions) - len(shown):,} more: --limit 0 shows all")
    for refusal in plan.refused[: limit or None]:
        out.text(f"refused  {say_bytes(refusal.size_bytes):>11}  {refusal.root}/{refusal.path}: {refusal.reason}")
    if len(plan.refused) > (limit or len(plan.refused)):
        out.text(f"... and {len(plan.refused) - limit:,} more refused")
    show_totals(out, plan)


def show_totals(out: Output, plan: Plan, *, is_warned: bool = False) -> None:
    """Print what a plan comes to, without its list; without its warnings where they were told before."""
    totals = plan.totals
    out.text(
        f"of {totals.files_seen:,} files {totals.migrate_files:,} would migrate ({say_bytes(totals.migrate_bytes)}), "
        f"{totals.release_files:,} stored ones be released ({say_bytes(totals.release_bytes)}), "
        f"{totals.move_files:,} go to a colder tier ({say_bytes(totals.move_bytes)}), "
        f"{totals.refused_files:,} are refused"
    )
    saving = "off the bill" if plan.refundable else "avoided cost: a disk that cannot shrink is not a refund"
    out.text(
        f"saving {say_usd(totals.saved_nano_month)} a month ({saving}), {say_usd(totals.once_nano)} once, "
        f"before dedup and compression; prices: {plan.price_book}"
    )
    if totals.unknown_access_files:
        out.text(f"{totals.unknown_access_files:,} files have no evidence of reading: only rules by age move them")
    if totals.premigrate_files:
        out.text(
            f"{totals.premigrate_files:,} would be copied out ahead and stay hot ({say_bytes(totals.premigrate_bytes)})"
        )
    for report in plan.moves:
        out.text(f"{report.source} to {report.target}: {report.files:,} files, {say_moves(report.quote)}")
    energy = plan.energy
    if energy.kwh_before or energy.kwh_after:
        out.text(
            f"energy, an estimate: {energy.kwh_before:.3g} kWh a month there, {energy.kwh_after:.3g} then; "
            f"{energy.gco2e_before:.3g} g CO2e and {energy.gco2e_after:.3g} g (sources: frostline prices show)"
        )
    for room in plan.hot:
        freed = room.rules_free_bytes + room.marks_free_bytes
        out.text(
            f"hot {', '.join(room.roots)}: {say_bytes(room.used_bytes)} of {say_bytes(room.capacity_bytes)} used, "
            f"marks {say_bytes(room.high_bytes)} and {say_bytes(room.low_bytes)}; {say_bytes(freed)} leave, "
            f"{say_bytes(room.marks_free_bytes)} of it for the marks; one more GiB would be worth "
            f"{say_usd(room.shadow_nano_per_gib_month)} a month"
        )
    for budget in plan.budgets:
        put_off = f"; {budget.put_off_files:,} files wait" if budget.put_off_files else ""
        spell = say_usd if budget.name.startswith("usd") else say_bytes if budget.name.startswith("bytes") else str
        out.text(
            f"budget {budget.name}: {spell(budget.planned)} planned, {spell(budget.spent)} spent before, of "
            f"{spell(budget.limit)}{put_off}"
        )
    for warning in plan.warnings if not is_warned else ():
        out.text(f"warning: {warning}")
    for note in plan.notes:
        out.text(f"note: {note}")
