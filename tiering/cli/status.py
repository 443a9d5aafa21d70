"""`frostline status`: health and totals."""

from dataclasses import asdict
from datetime import UTC, datetime

import typer

from policies.amounts import say_bytes, say_time, say_usd
from tiering.cli.output import Output
from tiering.cli.session import session_of
from tiering.clock import NS_PER_S
from tiering.report.forecast import Forecast, forecast
from tiering.report.status import BucketDuty, Status, TicketStatus, status

EXAMPLES = (
    "frostline status",
    "frostline --json status | jq .tickets",
)


def run(ctx: typer.Context) -> int:
    """Show what is where, what is under way, and when each job last ran. Reads the catalog alone."""
    session = session_of(ctx)
    with session.looking() as context:
        seen = status(context)
        ahead = forecast(context)
        now_ns = context.clock.now_ns()
    session.out.json({**asdict(seen), "forecast": asdict(ahead)})
    _show(session.out, seen, now_ns)
    _show_forecast(session.out, ahead)
    return 0


def moment(time_ns: int | None) -> str:
    """Return a time as people read it, in UTC."""
    return "never" if time_ns is None else datetime.fromtimestamp(time_ns // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%MZ")


def _show(out: Output, seen: Status, now_ns: int) -> None:
    out.text("armed: the daemon acts by the rules" if seen.act else "act = false: the daemon looks and moves nothing")
    out.text()
    out.table(
        ("state", "files", "size"), [(row.state, f"{row.files:,}", say_bytes(row.size_bytes)) for row in seen.states]
    )
    for root in seen.roots:
        ended = root.last_scan_ns
        ago = "never scanned" if ended is None else f"scanned {say_time(now_ns - ended)} ago"
        problem = "" if root.last_scan_state in {"", "complete"} else f"; last scan {root.last_scan_state}: {root.note}"
        read_only = ", read-only" if root.read_only else ""
        out.text(f"root {root.name}: {root.path}{read_only}, {ago}, reading known by: {root.access_quality}{problem}")
    out.text()
    out.table(
        ("tier", "class", "live", "dead", "metadata", "store"),
        [
            (
                tier.name, tier.storage_class, say_bytes(tier.live_bytes), say_bytes(tier.dead_bytes),
                say_bytes(tier.metadata_bytes), tier.store,
            )
            for tier in seen.tiers
        ],
    )  # fmt: skip
    _show_work(out, seen, now_ns)


def _show_forecast(out: Output, ahead: Forecast) -> None:
    if ahead.bytes_per_day is not None:
        growth = f"{'+' if ahead.bytes_per_day >= 0 else '-'}{say_bytes(int(abs(ahead.bytes_per_day)))} a day"
        when = "not full within ten years" if ahead.full_in_days is None else f"full in {ahead.full_in_days:,.0f} days"
        soonest, latest = ahead.full_in_days_soonest, ahead.full_in_days_latest
        between = (
            "" if soonest is None else f" (from {soonest:,.0f} to {'never' if latest is None else f'{latest:,.0f}'})"
        )
        out.text(f"hot: {growth}, {say_bytes(ahead.free_bytes)} free: {when}{between}")
    if ahead.usd_nano_next_month is not None:
        out.text(
            f"next month: {say_usd(ahead.usd_nano_next_month)} to the provider, between "
            f"{say_usd(ahead.usd_nano_low or 0)} and {say_usd(ahead.usd_nano_high or 0)}"
        )


def _of_ticket(ticket: TicketStatus, now_ns: int) -> str:
    """Return how far a ticket is, when the rest should be there, and what stands in its way."""
    left_ns = ticket.ready_ns - now_ns
    within = f", the others within {say_time(left_ns)}, by {moment(ticket.ready_ns)}" if left_ns > 0 else ""
    wanted = f"; {ticket.packs_wanted:,} could not be asked for yet" if ticket.packs_wanted else ""
    late = ticket.deadline_ns is not None and max(ticket.ready_ns, now_ns) > ticket.deadline_ns
    what = f"{ticket.files_waiting:,} of {ticket.files:,} files wait" if ticket.files else f"{ticket.reason}: wanted"
    return (
        f"ticket {ticket.ticket} ({ticket.speed}): {what} since {say_time(now_ns - ticket.created_ns)}: "
        f"{ticket.packs_ready:,} of {ticket.packs:,} packs are readable{within}{wanted}"
        + (
            f"; later than wanted ({moment(ticket.deadline_ns)}): frostline recall --hasten {ticket.ticket} --speed ..."
            if late
            else ""
        )
    )


def _of_bucket(bucket: BucketDuty) -> str:
    """Return when a bucket was last seen to, what came of it, and how far its limits are used up."""
    when = f"every {bucket.schedule}" if bucket.schedule else "by commands only"
    ended = "" if bucket.last is None else f"; {bucket.last.outcome}, started {moment(bucket.last.started_ns)}"
    done = bucket.facts.get("objects_done")
    did = "" if done is None else f": {done:,} of {bucket.facts.get('planned', 0):,} planned objects done"
    return (
        f"bucket {bucket.name}: {bucket.mode}, {when}{ended}{did}; {say_usd(bucket.usd_nano_month)} of "
        f"{say_usd(bucket.usd_nano_month_allowed)} this month, {bucket.requests_today:,} of "
        f"{bucket.requests_per_day:,} requests today" + (f"; waits: {bucket.stopped}" if bucket.stopped else "")
    )


def _show_work(out: Output, seen: Status, now_ns: int) -> None:
    for what, count in seen.under_way.items():
        out.text(f"under way: {what}: {count:,} files")
    if seen.records_waiting:
        out.text(f"{seen.records_waiting:,} records wait for the next segment")
    for ticket in seen.tickets:
        out.text(_of_ticket(ticket, now_ns))
    for bucket in seen.buckets:
        out.text(_of_bucket(bucket))
    for run in seen.runs:
        out.text(f"{run.job:<8} {run.outcome}, started {moment(run.started_ns)}")
