"""`frostline buckets plan`: which objects would change class or be taken in, and what that costs and saves."""

from typing import Annotated

import typer

from policies.amounts import say_bytes, say_usd
from tiering.cli.buckets_quote import show_quote
from tiering.cli.output import Cell, Output
from tiering.cli.session import session_of
from tiering.jobs.bucket_choice import bucket_config
from tiering.jobs.object_choice import quote_ingest, quote_json
from tiering.jobs.object_plan import BucketPlan, Total, plan_bucket, plan_json

EXAMPLES = ("frostline buckets plan datalake", "frostline --json buckets plan datalake --top 1000 | jq .total")


def run(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A name in [[buckets]].")],
    top: Annotated[int, typer.Option("--top", min=0, help="Show this many of the most valuable changes.")] = 10,
) -> int:
    """Show, from the last scan, what each rule would move, why objects stay, and the changes that gain most.

    Counted per object: requests, reading it out of its class, the rest of its minimum stay, smallest billed sizes and
    overheads of the target. Of a bucket in mode ingest: what reading and storing all that the rules choose would cost.
    Nothing is sent.
    """
    session = session_of(ctx)
    with session.looking() as context:
        if bucket_config(context, name).mode == "ingest":
            quote = quote_ingest(context, name)
            session.out.json(quote_json(quote))
            show_quote(session.out, quote)
            return 0
        plan = plan_bucket(context, name, keep=top)
    session.out.json(plan_json(plan))
    show_bucket_plan(session.out, plan)
    return 0


def show_bucket_plan(out: Output, plan: BucketPlan) -> None:
    """Print a plan as tables."""
    out.text(f"{plan.url}: {plan.objects:,} objects, {say_bytes(plan.bytes)}")
    rows = [
        _row(f"{rule}: {source} -> {target}", total) for (rule, source, target), total in sorted(plan.changes.items())
    ]
    head = ("change", "objects", "bytes", "costs once", "saves a month", "gains", "to read it all once")
    out.table(head, [*rows, _row("all", plan.total())])
    for reason, count in sorted(plan.left.items()):
        if count:
            out.text(f"{count:,} stay: {reason}")
    best: list[list[Cell]] = [
        [
            action.key.decode("utf-8", "surrogateescape"), say_bytes(action.size),
            f"{action.source} -> {action.target}",
            say_usd(action.once_nano), say_usd(action.gain_nano), f"{action.break_even_days:.0f} d",
        ]
        for action in plan.actions[:1000]
    ]  # fmt: skip
    if best:
        out.table(("most valuable", "size", "change", "costs once", "gains", "repaid after"), best)


def _row(what: str, total: Total) -> list[Cell]:
    return [
        what, f"{total.objects:,}", say_bytes(total.bytes), say_usd(round(total.once_nano)),
        say_usd(round(total.saved_nano_month)), say_usd(round(total.gain_nano)), say_usd(round(total.read_nano)),
    ]  # fmt: skip
