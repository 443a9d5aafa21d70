"""`frostline simulate`: what a history of accesses would have cost under each policy, against the offline optimum."""

from pathlib import Path
from typing import Annotated

import typer

from policies.amounts import say_dollars
from policies.offers import Terms
from tiering.cli.histories import chosen_history, days_of, said_of, write_page
from tiering.cli.output import Cell, Output
from tiering.cli.session import session_of
from tiering.config.price_books import load_book
from tiering.jobs.simulate import DEFAULT_CLASSES, OURS, Simulation, simulation
from tiering.report.simulation_html import simulation_html

EXAMPLES = (
    "frostline simulate                      # the history that this installation has recorded",
    "frostline simulate --trace accesses.csv --html bills.html",
    "frostline --json simulate --trace accesses.csv --policy ewma --class STANDARD --class GLACIER --wait-usd 0.03",
    "frostline simulate --trace s3-access.log --policy idle=0:gp3,7:STANDARD --hot gp3 --stall-usd 0.0111",
)


def run(
    ctx: typer.Context,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", help="CSV, TSV (.gz), Parquet, or an S3 server access log; else what was recorded here."
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", help="Strategy by name; may be repeated. Baselines come by themselves."),
    ] = None,
    storage_class: Annotated[
        list[str] | None, typer.Option("--class", help="Class that may be used; may be repeated.")
    ] = None,
    prices: Annotated[str, typer.Option("--prices", help="Price book: shipped name or path.")] = "aws-us-east-1",
    hot: Annotated[str | None, typer.Option("--hot", help="Disk of the price book that stands in front.")] = None,
    stall_usd: Annotated[float, typer.Option("--stall-usd", min=0, help="Loss per GiB recalled to it.")] = 0.0,
    wait_usd: Annotated[float, typer.Option("--wait-usd", min=0, help="Loss per GiB restored from an archive.")] = 0.0,
    longest_wait: Annotated[str, typer.Option("--longest-wait", help="Slower restores are not used.")] = "12h",
    reduction: Annotated[float, typer.Option("--reduction", min=0.001, max=1, help="Stored per logical byte.")] = 1.0,
    tick: Annotated[str, typer.Option("--tick", help="How often decisions are made.")] = "1d",
    html: Annotated[Path | None, typer.Option("--html", help="Write charts and numbers to this page.")] = None,
) -> int:
    """Replay accesses: rows of time (seconds or ISO 8601) and object, if known also bytes, op, size and kind.

    Op is read, write or delete. Every report stands beside the age and last-access lifecycles, all-standard and
    all-INTELLIGENT_TIERING, and the optimum that knew the future. A file needs no configuration; without one the days
    of use in the catalog are replayed, every read a whole file. Changes nothing.
    """
    session = session_of(ctx)
    terms = Terms(
        hot=hot,
        stall_usd_gib=stall_usd,
        wait_usd_gib=wait_usd,
        longest_wait_h=days_of("--longest-wait", longest_wait) * 24,
        reduction_ratio=reduction,
    )
    history = chosen_history(session, trace, tick=tick)
    seen = simulation(
        history, load_book(prices), policy or [OURS], classes=storage_class or DEFAULT_CLASSES, terms=terms
    )
    if html is not None:
        write_page(html, simulation_html(seen))
    session.out.json(seen.to_json())
    _show(session.out, seen)
    return 0


def _show(out: Output, seen: Simulation) -> None:
    out.text(f"{said_of(seen.trace)}; prices {seen.book_id}")
    rows: list[list[Cell]] = [["(optimum)", say_dollars(seen.optimum_usd), "1.000", "", "", "", "", "", ""]]
    for outcome in sorted(seen.outcomes, key=lambda outcome: outcome.usd_total):
        usd = outcome.usd()
        parts = [say_dollars(usd[name]) for name in ("storage", "requests", "retrieval", "early_delete", "stall")]
        rows.append(
            [outcome.policy, say_dollars(outcome.usd_total), f"{seen.ratio(outcome):.3f}", *parts, outcome.recalls]
        )
    head = ("policy", "total", "/optimum", "storage", "requests", "retrieval", "early", "stall", "recalls")
    out.table(head, rows)
