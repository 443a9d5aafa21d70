"""`frostline migrate`: copy files out to a tier, and release them if asked."""

from dataclasses import replace
from typing import Annotated

import typer

from policies.amounts import say_bytes, say_usd
from tiering.app.selection import refuse_read_only, stored_already, to_migrate
from tiering.app.targets import Target, find_targets, roots_of
from tiering.cli.act import acting
from tiering.cli.job_output import report_json, show_report, show_skips, skips_json
from tiering.cli.quote_output import moves_json, say_moves
from tiering.cli.session import Session, needs_yes, session_of
from tiering.jobs.apply import carry_out
from tiering.jobs.context import Context
from tiering.jobs.migrate import MigrateItem
from tiering.jobs.reports import Skipped
from tiering.jobs.scan import scan_root
from tiering.report.quote import Quote, quote

EXAMPLES = (
    "frostline migrate /data/runs/2023 --to standard                    # a quote; moves nothing",
    "frostline migrate /data/runs/2023 --to standard --release --yes",
)


def run(
    ctx: typer.Context,
    paths: Annotated[list[str], typer.Argument(help="Folders or files under a root.")],
    to: Annotated[str, typer.Option("--to", help="Tier to store them on.")],
    release: Annotated[
        bool, typer.Option("--release/--no-release", help="Free the hot bytes of what is proven.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only quote, even with --yes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
) -> int:
    """Store the files on a tier, whatever the rules say (pins and refusals hold). Without --yes: what it would cost.

    Files that are stored on a warmer tier move with the packs that nothing warmer needs; nothing stored moves to a
    warmer one. Every other file is read once, chunked, deduplicated, compressed, uploaded and verified; it stays hot
    unless --release is given. Interrupted or killed, the same command goes on where it stopped.
    """
    session = session_of(ctx)
    if dry_run or not yes:
        with session.looking() as context:
            _, _, skipped, price = _prepare(context, paths, to, releases=False)
        _show_quote(session, price, skipped)
        needs_yes(session, yes=False, what="do it")
        return 0
    with acting(session) as context:
        done, items, skipped, price = _prepare(context, paths, to, releases=release)
        _show_moves(session, price)
        context.progress.start("migrate", total_bytes=price.size_bytes, total_files=price.files)
        report = carry_out(context, items, releases=release, wait_parked=True)
    report = replace(report, files_done=done + report.files_done, files_skipped=(*skipped, *report.files_skipped))
    session.out.json(report_json(report))
    show_report(session.out, "migrated", report)
    return report.exit_code


def _prepare(
    context: Context, paths: list[str], tier: str, *, releases: bool
) -> tuple[int, list[MigrateItem], list[Skipped], Quote]:
    """Return how many files need nothing done, what is to be done, what is left alone, and the price.

    Files that are stored there already need something only where it *releases*.
    """
    context.tier(tier)
    targets: list[Target] = find_targets(context, paths)
    refuse_read_only(context, targets)
    for root in roots_of(targets):
        scan_root(context, root)
    done = 0 if releases else stored_already(context, targets, tier)
    items, skipped = to_migrate(context, targets, tier, with_stored=releases)
    return done, items, skipped, quote(context, items, tier)


def _show_quote(session: Session, price: Quote, skipped: list[Skipped]) -> None:
    session.out.json(
        {
            "files": price.files,
            "bytes": price.size_bytes,
            "usd_once": price.once_nano / 1e9,
            "usd_per_month": {"hot": price.hot_nano_month / 1e9, "there": price.cold_nano_month / 1e9},
            "moves": {"files": price.moved_files, **moves_json(price.moves)},
            "files_skipped": skips_json(tuple(skipped)),
        }
    )
    session.out.text(
        f"{price.files:,} files, {say_bytes(price.size_bytes)}, to {price.tier}: {say_usd(price.once_nano)} once; "
        f"a month there {say_usd(price.cold_nano_month)} instead of {say_usd(price.hot_nano_month)} hot, "
        "before dedup and compression"
    )
    _show_moves(session, price)
    show_skips(session.out, tuple(skipped))


def _show_moves(session: Session, price: Quote) -> None:
    if price.moved_files:
        session.out.text(f"{price.moved_files:,} stored files move to {price.tier}: {say_moves(price.moves)}")
