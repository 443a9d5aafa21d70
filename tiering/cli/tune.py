"""`frostline tune`: which thresholds the history would choose, and by how much the choice would have mattered."""

from pathlib import Path
from typing import Annotated, Any

import typer

from policies.amounts import say_dollars
from policies.offers import MONTH_DAYS, Terms
from policies.tuning import HELD_OUT, Candidate, Tuned
from tiering.cli.histories import chosen_history, said_of
from tiering.cli.output import Cell, Output
from tiering.cli.session import session_of
from tiering.config.price_books import load_book
from tiering.jobs.simulate import DEFAULT_CLASSES, OURS, tuned

EXAMPLES = (
    "frostline tune                          # on the history that this installation has recorded",
    "frostline --json tune --trace accesses.csv --policy idle=0:STANDARD,30:STANDARD_IA,90:GLACIER_IR",
)
SHOWN = 10
FEW_DAYS = 30
"""A held-out period below the shortest minimum stay judges hardly anything."""


def run(
    ctx: typer.Context,
    trace: Annotated[
        Path | None, typer.Option("--trace", help="As for simulate; without it what was recorded here.")
    ] = None,
    policy: Annotated[str, typer.Option("--policy", help="The strategy in use, which the choice must beat.")] = OURS,
    storage_class: Annotated[
        list[str] | None, typer.Option("--class", help="Class that may be used; may be repeated.")
    ] = None,
    prices: Annotated[str, typer.Option("--prices", help="Price book: shipped name or path.")] = "aws-us-east-1",
    hot: Annotated[str | None, typer.Option("--hot", help="Disk of the price book that stands in front.")] = None,
    stall_usd: Annotated[float, typer.Option("--stall-usd", min=0, help="Loss per GiB recalled to it.")] = 0.0,
    wait_usd: Annotated[float, typer.Option("--wait-usd", min=0, help="Loss per GiB restored from an archive.")] = 0.0,
    held_out: Annotated[
        float, typer.Option("--held-out", min=0.05, max=0.9, help="Part of the history, its end, that judges.")
    ] = HELD_OUT,
) -> int:
    """Search idle, age and frequency thresholds, half-lives and margins on the earlier part of the history.

    What the choice would have saved is counted in the later part only, which had no say in it. Changes nothing: who
    wants the choice writes it into a rule.
    """
    session = session_of(ctx)
    terms = Terms(hot=hot, stall_usd_gib=stall_usd, wait_usd_gib=wait_usd)
    history = chosen_history(session, trace)
    found = tuned(
        history, load_book(prices), policy,
        classes=storage_class or DEFAULT_CLASSES, terms=terms, held_out=held_out,
    )  # fmt: skip
    session.out.json(_document(found))
    session.out.text(said_of(history))
    _show(session.out, found)
    return 0


def _document(found: Tuned) -> dict[str, Any]:
    return {
        "days": found.days,
        "split_day": found.split_day,
        "now": _row(found.now),
        "chosen": _row(found.best),
        "hindsight": _row(found.hindsight),
        "saved_usd": found.saved_usd,
        "saved_part": found.saved_part,
        "worth_it": found.is_worth_it,
        "candidates": [_row(candidate) for candidate in found.candidates],
    }


def _row(candidate: Candidate) -> dict[str, Any]:
    return {
        "policy": candidate.policy,
        "chosen_by_usd": candidate.chosen_by_usd,
        "held_out_usd": candidate.held_out_usd,
    }


def _show(out: Output, found: Tuned) -> None:
    judged = found.days - found.split_day
    out.text(f"chosen on the first {found.split_day:,.0f} days, judged on the last {judged:,.0f}")
    shown = list(dict.fromkeys([*found.candidates[:SHOWN], found.hindsight, found.now]))
    rows: list[list[Cell]] = [
        [it.policy, say_dollars(it.chosen_by_usd), say_dollars(it.held_out_usd), _mark(found, it)] for it in shown
    ]
    out.table(("policy", "earlier", "later", ""), rows)
    out.text(_verdict(found))
    if judged < FEW_DAYS:
        out.text(f"{judged:,.0f} days judge little: minimum stays alone are 30 to 180 days. Ask again later.")


def _mark(found: Tuned, candidate: Candidate) -> str:
    said = [("in use", found.now), ("chosen", found.best), ("best in hindsight", found.hindsight)]
    return ", ".join(word for word, other in said if other == candidate)


def _verdict(found: Tuned) -> str:
    month = found.saved_usd / (found.days - found.split_day) * MONTH_DAYS
    amount = f"{say_dollars(abs(found.saved_usd))} ({abs(found.saved_part):.1%}), {say_dollars(abs(month))} a month"
    if found.best == found.now:
        return f"{found.now.policy} is what the earlier part would have chosen: nothing to change."
    if found.is_worth_it:
        return f"{found.best.policy} would have saved {amount} in the later part. Nothing was changed."
    verb = "saved only" if found.saved_usd >= 0 else "cost"
    return (
        f"keep {found.now.policy}: {found.best.policy} would have {verb} {amount}{'' if verb != 'cost' else ' more'}."
    )
