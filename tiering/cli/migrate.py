"""`frostline migrate`: copy files out to a tier, and release them if asked."""

from typing import Annotated

import typer

from policies.amounts import say_bytes, say_usd
from tiering.app.selection import Part, Selection, refuse_read_only, select
from tiering.app.targets import apart, find_targets, roots_of
from tiering.cli.act import acting
from tiering.cli.job_output import report_json, show_report, show_skips, skips_json
from tiering.cli.quote_output import moves_json, say_moves
from tiering.cli.session import Session, needs_yes, session_of
from tiering.jobs.carrying import carry_out
from tiering.jobs.context import Context
from tiering.jobs.reports import Skips
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
            selected, price = _prepare(context, paths, to)
            skipped = selected.skips()
        _show_quote(session, price, skipped)
        needs_yes(session, yes=False, what="do it")
        return 0
    with acting(session) as context:
        selected, price = _prepare(context, paths, to)
        skipped = selected.skips()
        _show_moves(session, price)
        context.progress.start("migrate", total_bytes=price.size_bytes, total_files=price.files)
        report = carry_out(
            context,
            selected.to_store(),
            to_move={to: selected.to_move()} if price.moved_files else {},
            to_release=selected.stored() if release else (),
            done=selected.parts[Part.DONE].files,
            wait_parked=True,
        )
    report = skipped.report().merged(report)
    session.out.json(report_json(report))
    show_report(session.out, "migrated", report)
    return report.exit_code


def _prepare(context: Context, paths: list[str], tier: str) -> tuple[Selection, Quote]:
    """Return what there is to do, the trees just looked at, and its price."""
    context.tier(tier)
    targets = apart(find_targets(context, paths))
    refuse_read_only(context, targets)
    for root in roots_of(targets):
        scan_root(context, root)
    selected = select(context, targets, tier)
    return selected, quote(context, tier, selected.parts[Part.STORE], selected.to_move())


def _show_quote(session: Session, price: Quote, skipped: Skips) -> None:
    session.out.json(
        {
            "files": price.files,
            "bytes": price.size_bytes,
            "usd_once": price.once_nano / 1e9,
            "usd_per_month": {"hot": price.hot_nano_month / 1e9, "there": price.cold_nano_month / 1e9},
            "moves": {"files": price.moved_files, **moves_json(price.moves)},
            "files_skipped": skips_json(skipped.listed),
            "files_skipped_count": skipped.count,
        }
    )
    session.out.text(
        f"{price.files:,} files, {say_bytes(price.size_bytes)}, to {price.tier}: {say_usd(price.once_nano)} once; "
        f"a month there {say_usd(price.cold_nano_month)} instead of {say_usd(price.hot_nano_month)} hot, "
        "before dedup and compression"
    )
    _show_moves(session, price)
    show_skips(session.out, skipped.listed, skipped.more)


def _show_moves(session: Session, price: Quote) -> None:
    if price.moved_files:
        session.out.text(f"{price.moved_files:,} stored files move to {price.tier}: {say_moves(price.moves)}")
