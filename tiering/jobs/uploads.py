"""Sends packs that waited in STANDARD to their tier's own class, when their days there are over.

Run after gc. What waits is on the books as what it is, and belongs to its tier: nothing warmer is stored against it.
Kill points: uploads.noted, .changed; from .noted on the journal knows of the pack, and reconcile brings it to its end.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from policies.uploading import STANDARD
from tiering.catalog import churn, journal, leases, moving
from tiering.catalog.moving import Sinking
from tiering.catalog.values import PackRow
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.jobs import mover
from tiering.jobs.accrue import accrue
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.upload_choice import upload_of

LEASE_S = 6 * 3600
PAGE = 1000


@dataclass(slots=True)
class WaitReport:
    """What became of packs that waited in STANDARD."""

    packs_sent: int = 0
    bytes_sent: int = 0
    packs_waiting: int = 0


def send_waiting(ctx: Context) -> WaitReport:
    """Move the packs whose days in STANDARD are over to their tier's class. Raises CatalogBusy while gc runs, and what
    the stores raise; what was done before stays.
    """
    report = WaitReport()
    due = list(_waiting(ctx, report))
    if not due:
        return report
    with leases.held(ctx.catalog, leases.STORE_UPKEEP, owner=ctx.owner, seconds=LEASE_S):
        try:
            accrue(ctx)  # what moves now stood in STANDARD until now
            for row in due:
                if ctx.stop.is_set():
                    break
                _send(ctx, row, report)
        finally:
            charge(ctx, reason="packs that waited in STANDARD")
    return report


def _waiting(ctx: Context, report: WaitReport) -> Iterator[PackRow]:
    """Yield live packs in STANDARD whose time has come; what is weighed now counts, not what was then."""
    for name, tier in ctx.tiers.items():
        with ctx.catalog.read() as tx:
            found = upload_of(ctx, tx, tier)
        if found is None:
            continue
        before_ns = ctx.clock.now_ns() - found.chosen.wait_days * NS_PER_DAY
        after = 0
        while True:
            with ctx.catalog.read() as tx:
                page = churn.waiting(tx, name, STANDARD, after_no=after, limit=PAGE)
            for row in page:
                if row.created_ns <= before_ns:
                    yield row
                else:
                    report.packs_waiting += 1
            if len(page) < PAGE:
                break
            after = page[-1].pack_no


def _send(ctx: Context, row: PackRow, report: WaitReport) -> None:
    op_id = f"wait:{row.pack_no}:{secrets.token_hex(8)}"
    until_ns = ctx.clock.now_ns() + LEASE_S * NS_PER_S
    with ctx.catalog.write() as tx:
        # From a tier to itself: only the class changes.
        item = Sinking(row, row.tier)
        is_ours = moving.begin(tx, item, op_id=op_id, owner=ctx.owner, until_ns=until_ns, is_archive=True)
        entry = journal.get(tx, op_id)
    if not is_ours or entry is None:
        return
    ctx.step("uploads.noted")
    mover.resume(ctx, entry)
    ctx.step("uploads.changed")
    report.packs_sent += 1
    report.bytes_sent += row.size
