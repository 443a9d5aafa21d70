"""repack: write anew what is needed of packs of which much is dead, or of which a part may be colder than the rest, so
that the rest stops being paid for as it is.

Run after gc, and by the mover for the packs of files that were given to another tier. What is done with a pack is
policies.moving's decision: nothing is rewritten that costs more (requests, retrieval, egress, what is left of a minimum
stay) than it saves within a year. Packs of one unit (a checkpoint) are rewritten together, so that they stay together.
Packs in archive classes are left alone unless a readable copy of them is there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from policies.moving import REWRITE, Home, MoveQuote, quote_whole
from policies.units import unit_of
from tiering.catalog import leases, temperature
from tiering.catalog.values import PackRow
from tiering.config.policy import price_book
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.pack_plans import PackPlan, content_of, homes, plans, ranks_of
from tiering.jobs.pack_ranges import tidy
from tiering.jobs.rewriting import Source, rewrite

LEASE_S = 6 * 3600
GROUP_SHARE = 1.5
"""Of chunking.pack_bytes: what is rewritten together. It is on the spool as it was read and as it is written, which
makes three of the four packs for which catalog.state_dir has room.
"""


@dataclass(slots=True)
class RepackReport:
    """What was rewritten."""

    packs_rewritten: int = 0
    packs_written: int = 0
    bytes_moved: int = 0
    bytes_freed: int = 0
    """Of the store once gc has deleted the old packs."""
    packs_kept: int = 0
    """Half dead or mixed, and not worth their rewriting yet."""
    reads: int = 0
    """Ranged requests."""
    quote: MoveQuote = field(default_factory=MoveQuote)
    """What was expected of it."""
    notes: list[str] = field(default_factory=list)


def repack(ctx: Context) -> RepackReport:
    """Rewrite what is worth it, tier by tier. Raises CatalogBusy while gc or another repack runs, and what the stores
    raise; what was committed before stays.
    """
    report = RepackReport()
    with leases.held(ctx.catalog, leases.STORE_UPKEEP, owner=ctx.owner, seconds=LEASE_S):
        try:
            for tier in ctx.tiers:
                found = list(plans(ctx, tier))
                report.packs_kept += sum(plan.could_be_better for plan in found)
                rewrite_all(ctx, [plan for plan in found if plan.decision.way == REWRITE], report)
            if not ctx.stop.is_set():
                tidy(ctx)
        finally:
            charge(ctx, reason="repack")
    return report


def rewrite_all(ctx: Context, chosen: Iterable[PackPlan], report: RepackReport) -> None:
    """Rewrite the packs of one tier for which that was decided, a unit's together. The caller holds the lease."""
    able = [plan for plan in chosen if plan.is_readable]
    for group in _groups(ctx, able):
        if ctx.stop.is_set():
            return
        if not _quoted(ctx, group).pays:
            report.packs_kept += len(group)
            continue
        sources = [_source(ctx, plan) for plan in group]
        written = rewrite(ctx, sources, reason=_reason(group))
        report.notes += [
            f"{sentence}: frostline scrub, then docs/runbook.md#half-dead-pack" for sentence in written.damaged
        ]
        report.reads += written.reads
        if written.packs_written:
            done = {row.pack_no for row in written.sources}
            report.packs_written += written.packs_written
            report.packs_rewritten += len(done)
            report.bytes_moved += written.bytes_written
            report.bytes_freed += sum(row.size for row in written.sources) - written.bytes_written
            for plan in group:
                if plan.heat.pack.pack_no in done:
                    report.quote += plan.decision.quote


def _quoted(ctx: Context, group: Sequence[PackPlan]) -> MoveQuote:
    """Return what rewriting these packs together costs and saves."""
    places = homes(ctx)
    written: dict[Home, int] = {}
    total = MoveQuote()
    for plan in group:
        total += plan.decision.quote
        content = content_of(plan.heat, ranks_of(ctx))
        for may, goes in (plan.decision.parts or {}).items():
            written[places[goes]] = written.get(places[goes], 0) + content.parts[may]
    return total + quote_whole(price_book(ctx.config), written, pack_bytes=ctx.config.chunking.pack_bytes)


def _source(ctx: Context, plan: PackPlan) -> Source:
    ranks = ranks_of(ctx)
    parts = plan.decision.parts or {}
    return Source(plan.heat.pack, {ranks[may]: goes for may, goes in parts.items()})


def _groups(ctx: Context, found: Sequence[PackPlan]) -> Iterator[list[PackPlan]]:
    """Yield packs that are rewritten together: of one unit, or of several that fill no pack on their own."""
    with ctx.catalog.read() as tx:
        names = temperature.units(tx, [plan.heat.pack.pack_no for plan in found])
    units = {number: unit_of(folder, name) for number, (folder, name) in names.items()}
    limit = int(GROUP_SHARE * ctx.config.chunking.pack_bytes)
    held: list[PackPlan] = []
    size = 0
    unit = b""
    for plan in sorted(found, key=lambda plan: (units.get(plan.heat.pack.pack_no, b""), plan.heat.pack.pack_no)):
        needed = sum(plan.heat.parts.values())
        of = units.get(plan.heat.pack.pack_no, b"")
        is_full = size + needed > limit or (of != unit and size >= ctx.config.chunking.pack_bytes // 2)
        if held and is_full:
            yield held
            held, size = [], 0
        held.append(plan)
        size += needed
        unit = of
    if held:
        yield held


def _reason(group: Sequence[PackPlan]) -> str:
    rows: list[PackRow] = [plan.heat.pack for plan in group]
    places = sorted({goes for plan in group for goes in (plan.decision.parts or {}).values()})
    return f"{len(rows)} packs of {rows[0].tier}: what is needed of them goes to {', '.join(places)}"
