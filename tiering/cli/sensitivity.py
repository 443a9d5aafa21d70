"""`frostline sensitivity`: which assumption moves the bill most."""

from pathlib import Path
from typing import Annotated

import typer

from policies.offers import Terms
from tiering.cli.histories import chosen_history, said_of, write_page
from tiering.cli.output import Cell
from tiering.cli.session import session_of
from tiering.config.price_books import load_book
from tiering.jobs.simulate import DEFAULT_CLASSES, OURS, sensitivity
from tiering.report.simulation_html import sensitivity_html

EXAMPLES = (
    "frostline sensitivity --trace accesses.csv --html tornado.html",
    "frostline --json sensitivity --trace accesses.csv --hot gp3 --stall-usd 0.0111",
)


def run(
    ctx: typer.Context,
    trace: Annotated[Path | None, typer.Option("--trace", help="As for simulate.")] = None,
    policy: Annotated[str, typer.Option("--policy", help="Strategy by name.")] = OURS,
    storage_class: Annotated[
        list[str] | None, typer.Option("--class", help="Class that may be used; may be repeated.")
    ] = None,
    prices: Annotated[str, typer.Option("--prices", help="Price book: shipped name or path.")] = "aws-us-east-1",
    hot: Annotated[str | None, typer.Option("--hot", help="Disk of the price book that stands in front.")] = None,
    stall_usd: Annotated[float, typer.Option("--stall-usd", min=0, help="Loss per GiB recalled to it.")] = 0.0,
    wait_usd: Annotated[float, typer.Option("--wait-usd", min=0, help="Loss per GiB restored from an archive.")] = 0.0,
    html: Annotated[Path | None, typer.Option("--html", help="Write the chart and its numbers to this page.")] = None,
) -> int:
    """Replay a history with prices, reads, volume, reduction, stalls and length low and high, one at a time.

    Half the stall is a recall twice as fast. Sorted by how much the bill moves.
    """
    session = session_of(ctx)
    terms = Terms(hot=hot, stall_usd_gib=stall_usd, wait_usd_gib=wait_usd)
    history = chosen_history(session, trace)
    swings = sensitivity(history, load_book(prices), policy, classes=storage_class or DEFAULT_CLASSES, terms=terms)
    if html is not None:
        write_page(html, sensitivity_html(swings, policy=policy, history=f"{said_of(history)}."))
    document = [
        {
            "factor": it.factor.name, "low": it.factor.low, "high": it.factor.high, "usd_day_low": it.low_usd_day,
            "usd_day": it.base_usd_day, "usd_day_high": it.high_usd_day,
        }
        for it in swings
    ]  # fmt: skip
    session.out.json({"policy": policy, "factors": document})
    rows: list[list[Cell]] = [
        [it.factor.name, f"x{it.factor.low:g} .. x{it.factor.high:g}", f"{it.low_usd_day:.4g}",
         f"{it.base_usd_day:.4g}", f"{it.high_usd_day:.4g}"]
        for it in swings
    ]  # fmt: skip
    session.out.table(("factor", "range", "usd/day low", "now", "usd/day high"), rows)
    return 0
