"""`frostline rebuild`: recover the catalog from the store."""

import os
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated

import typer

from tiering.app.placement import check_placement
from tiering.app.process import process_owner
from tiering.app.stores import open_tier_store
from tiering.catalog.open import open_catalog
from tiering.cli.progress import open_progress
from tiering.cli.scan import report_json as scan_json
from tiering.cli.scan import show_scan
from tiering.cli.session import Session, needs_yes, session_of
from tiering.config import Config
from tiering.hot.lease import ignore_sigio
from tiering.jobs.rebuild import RebuildReport, Surroundings, rebuild
from tiering.stores import ownership
from tiering.stores.base import Store
from tiering.stores.metered import Meter

EXAMPLES = (
    "frostline rebuild          # what stands in the store; changes nothing",
    "frostline rebuild --yes",
)


def run(ctx: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False) -> int:
    """Make a lost catalog anew from packs, recipes and segments, reconciled with what stands on the disk.

    Takes ownership of the store: an old catalog that turns up again is refused from then on. The catalog that the
    configuration names must be gone. Exit 20 when stored data is missing or damaged, 3 when a root could not be looked
    at or the last records are known to be lost; then it says what.
    """
    session = session_of(ctx)
    config = session.load().config
    check_placement(config)
    if not yes:
        return _look(session, config)
    ignore_sigio()
    meters = {name: Meter() for name in config.tiers}
    stores = {
        name: open_tier_store(tier, clock=session.clock, meter=meters[name]) for name, tier in config.tiers.items()
    }
    for folder in (config.catalog.state_dir, config.spool_dir):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    progress = open_progress(session.clock, quiet=session.out.as_json)
    with ExitStack() as stack:
        stack.enter_context(session.interruptible())
        catalog = open_catalog(config.catalog.url, clock=session.clock, create=True, rebuilding=True)
        stack.callback(catalog.close)
        around = Surroundings(session.clock, process_owner(), meters, progress, session.stop)
        report = rebuild(config, catalog, stores, around=around)
        progress.finish()
    _show(session, report)
    return report.exit_code


def _look(session: Session, config: Config) -> int:
    home: Store = open_tier_store(config.tiers[config.metadata_tier], clock=session.clock)
    owner = ownership.read(home)
    count = sum(1 for _ in home.list("segments/"))
    session.out.json({"store": home.url, **asdict(owner), "segments": count})
    session.out.text(
        f"{home.url} belongs to catalog {owner.catalog_id}, epoch {owner.epoch}, and holds {count:,} segments"
    )
    needs_yes(session, yes=False, what="rebuild the catalog from it and take it over")
    return 0


def _show(session: Session, report: RebuildReport) -> None:
    out = session.out
    out.json({**asdict(report), "scans": [scan_json(scan) for scan in report.scans]})
    out.text(
        f"complete through segment {report.complete_through:,} of {report.segments:,}: {report.records:,} records, "
        f"{report.ledger_entries:,} ledger entries"
    )
    out.text(
        f"{report.packs_indexed:,} packs and {report.recipes_indexed:,} recipes indexed, {report.recipes_salvaged:,} "
        f"found that no segment named; the store is ours at epoch {report.epoch}"
    )
    for scan in report.scans:
        show_scan(out, scan)
    for note in report.notes:
        out.text(f"note: {note}")
    for problem in report.problems:
        out.text(f"not recovered: {problem}")
    if unlisted := report.problem_count - len(report.problems):
        out.text(f"not recovered: {unlisted:,} more, not listed")
    out.text("next: frostline audit")
