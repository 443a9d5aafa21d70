"""`frostline explain`: facts, rule, price arithmetic and verdict for one path."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from policies.amounts import say_bytes, say_usd
from policies.values import HOT
from tiering.app.targets import find_targets
from tiering.cli.output import Output
from tiering.cli.quote_output import moves_json
from tiering.cli.session import session_of
from tiering.config.policy import tier_facts
from tiering.errors import UsageError
from tiering.jobs.coding import coding_of
from tiering.jobs.context import Context
from tiering.jobs.explaining import Explained, explain_file
from tiering.jobs.upload_choice import sentences
from tiering.report.dollars import BASELINE, MONTH, ONCE, Line, lines_of, saved_nano_month
from tiering.report.events import COPY, DELETE, RECALL, STORE, event_lines, storing_lines, waiting_nano
from tiering.report.residency import residency

EXAMPLES = (
    "frostline explain /data/runs/2023/model.pt",
    "frostline --json explain /data/runs/2023/model.pt | jq .verdict",
)

WORDS = {
    BASELINE: "all hot", MONTH: "a month", ONCE: "once", STORE: "stored", RECALL: "recall", COPY: "its copy",
    DELETE: "deleted",
}  # fmt: skip


def run(
    ctx: typer.Context, path: Annotated[str, typer.Argument(help="One file under a root; its placeholder counts.")]
) -> int:
    """Show why the planner decides about a file as it does: each rule passed over, the one that decided, the sums.

    Dollars: what it costs a month where it is and has cost (of a stored file its parts of packs, after dedup), what
    bringing it back or deleting it would cost, and what its move to a colder tier comes to.
    """
    session = session_of(ctx)
    with session.looking() as context:
        target = find_targets(context, [path])[0]
        if target.is_folder:
            raise UsageError(f"{path} is a folder; explain is about one file", hint="frostline ls, frostline plan")
        found = explain_file(context, target.root, target.dir, target.name)
        where = next(residency(context, [target]))
        row, why = found.row, found.why
        lines = lines_of(context, row)
        events = _events(context, found)
        expected = _expected(context, found, events)
        coded = coding_of(context, row.recipe_no) if row.recipe_no is not None else []
        upload = list(sentences(context, {why.target})) if row.recipe_no is None else []
    coding = [asdict(item) for item in coded]
    move = None if found.move is None else moves_json(found.move.quote)
    dollars = [asdict(line) for line in (*lines, *events)]
    session.out.json({
        **asdict(why), "residency": where.as_json(), "coding": coding, "dollars": dollars, "move": move,
        "move_refused": found.move_refused, "recalls": asdict(expected), "upload": upload,
    })  # fmt: skip
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
    for said in upload:
        out.text(f"  upload   {said}")
    for line in (*lines, *events):
        out.text(f"  {WORDS[line.when]:<8} {say_usd(line.nano)} {line.tier}: {line.said}")
    out.text(f"  saved    {say_usd(saved_nano_month(lines))} a month: all hot less what it costs now")
    if any(line.when == RECALL for line in events):
        out.text(
            f"  expected {expected.reads_month:.3g} recalls a month x ({say_usd(expected.recall_nano)} of bills + "
            f"{say_usd(expected.waiting_nano)} of waiting) = {say_usd(expected.nano_month)} a month"
        )
    _show_move(out, found)
    for reason in why.verdict.reasons:
        out.text(f"  {'verdict' if why.verdict.ok else 'refused'}  {reason}")
    for item in coded:
        size = f"{say_bytes(item.raw_bytes)} as {say_bytes(item.stored_bytes)}"
        leans = f"; leans on {item.leans_on:,} chunks of other files" if item.leans_on else ""
        out.text(f"  kept     {size} by {item.codec}: {item.why}{leans}")
    return 0


@dataclass(frozen=True, slots=True)
class _Expected:
    """What being read again would cost, at the rate that is expected."""

    reads_month: float
    recall_nano: int
    waiting_nano: int

    @property
    def nano_month(self) -> int:
        return int(self.reads_month * (self.recall_nano + self.waiting_nano))


def _events(context: Context, found: Explained) -> list[Line]:
    """Return the lines of a stored file as it stands; of another, those of the tier that it would go to."""
    if found.row.recipe_no is not None:
        return event_lines(context, found.row)
    tiers = {tier.name: tier for tier in tier_facts(context.config)}
    return [] if found.why.target == HOT else storing_lines(context, found.row, tiers[found.why.target])


def _expected(context: Context, found: Explained, events: Sequence[Line]) -> _Expected:
    recall = sum(line.nano for line in events if line.when in {RECALL, COPY})
    where = found.row.tier if found.row.recipe_no is not None else found.why.target
    is_archive = where in context.config.tiers and context.config.tiers[where].is_archive
    waiting = waiting_nano(context, found.row, is_archive=is_archive)
    return _Expected(found.why.reads_month, recall, waiting)


def _show_move(out: Output, found: Explained) -> None:
    if found.move is not None:
        out.text(f"  moves    to {found.move.target}: {found.move.reason.rpartition(' -> ')[2]}")
    elif found.move_refused:
        out.text(f"  moves    not to {found.why.sinks_to}: {found.move_refused.partition(' (')[0]}")
