"""`frostline explain`: facts, rule, price arithmetic and verdict for one path."""

import os
from dataclasses import asdict
from typing import Annotated

import typer

from policies.amounts import say_bytes, say_usd
from tiering.app.targets import find_targets
from tiering.catalog import files
from tiering.cli.session import session_of
from tiering.errors import UsageError
from tiering.jobs.coding import coding_of
from tiering.jobs.plan import explain_file
from tiering.report.dollars import BASELINE, MONTH, ONCE, lines_of, saved_nano_month
from tiering.report.residency import residency

EXAMPLES = (
    "frostline explain /data/runs/2023/model.pt",
    "frostline --json explain /data/runs/2023/model.pt | jq .verdict",
)

WORDS = {BASELINE: "all hot", MONTH: "a month", ONCE: "once"}


def run(
    ctx: typer.Context, path: Annotated[str, typer.Argument(help="One file under a root; its placeholder counts.")]
) -> int:
    """Show why the planner decides about a file as it does: each rule passed over, the one that decided, the sums."""
    session = session_of(ctx)
    with session.looking() as context:
        target = find_targets(context, [path])[0]
        if target.is_folder:
            raise UsageError(f"{path} is a folder; explain is about one file", hint="frostline ls, frostline plan")
        why = explain_file(context, target.root, target.dir, target.name)
        where = next(residency(context, [target]))
        with context.catalog.read() as tx:
            row = files.get(tx, target.root.root_id, target.dir, target.name)
        lines = [] if row is None else lines_of(context, row)
        coded = coding_of(context, row.recipe_no) if row is not None and row.recipe_no is not None else []
    coding = [asdict(item) for item in coded]
    session.out.json({**asdict(why), "residency": where.as_json(), "coding": coding})
    out = session.out
    out.text(f"{os.path.abspath(path)}: {where.state} on {where.tier}")
    for fact in why.facts:
        out.text(f"  fact     {fact}")
    for rule, missed in why.passed_over:
        out.text(f"  not      {rule}: {missed}")
    out.text(f"  decides  {why.rule} -> {why.target}")
    if why.weighed:
        out.text(f"  weighed  {why.weighed}")
    out.text(f"  sums     {why.arithmetic}")
    for line in lines:
        out.text(f"  {WORDS[line.when]:<8} {say_usd(line.nano)} {line.tier}: {line.said}")
    out.text(f"  saved    {say_usd(saved_nano_month(lines))} a month: all hot less what it costs now")
    for reason in why.verdict.reasons:
        out.text(f"  {'verdict' if why.verdict.ok else 'refused'}  {reason}")
    for item in coded:
        size = f"{say_bytes(item.raw_bytes)} as {say_bytes(item.stored_bytes)}"
        leans = f"; leans on {item.leans_on:,} chunks of other files" if item.leans_on else ""
        out.text(f"  kept     {size} by {item.codec}: {item.why}{leans}")
    return 0
