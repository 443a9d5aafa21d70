"""`frostline recall`: bring files back."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from policies.amounts import say_bytes, say_time
from tiering.app.selection import missing_from_catalog, refuse_read_only, to_recall
from tiering.app.targets import find_targets
from tiering.cli.act import acting
from tiering.cli.job_output import report_json, show_report
from tiering.cli.session import Session, session_of
from tiering.clock import NS_PER_S
from tiering.config.quantities import parse_duration_ns
from tiering.errors import UsageError
from tiering.jobs.advance import advance
from tiering.jobs.context import Context
from tiering.jobs.recall import recall
from tiering.jobs.reports import JobReport
from tiering.jobs.scan import scan_root
from tiering.jobs.tickets import cancel, open_tickets

EXAMPLES = (
    "frostline recall /data/runs/2023/model.pt",
    "frostline recall /data/runs/2023 --speed bulk --wait",
    "frostline recall --cancel 7",
)
SPEEDS = ("bulk", "standard", "expedited")
POLL_S = 60.0  # restores take minutes to days; asking more often only costs requests


def run(
    ctx: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(help="Folders or files under a root.")] = None,
    speed: Annotated[str, typer.Option("--speed", help="Of archive restores: bulk, standard or expedited.")] = "",
    by: Annotated[
        str, typer.Option("--by", help='When it must be back: "12h" from now, or 2026-01-31T08:00 (UTC).')
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until archived files are back.")] = False,
    cancel_ticket: Annotated[
        int, typer.Option("--cancel", metavar="TICKET", help="Wait no more for the files of a ticket.")
    ] = 0,
) -> int:
    """Bring the files back, verified bit by bit, with everything they had. Files that are there already count as done.

    The stored copy stays, so releasing again costs nothing. Archived files are put on a ticket (exit code 4), which the
    daemon, --wait, or the next cycle brings to its end.
    """
    session = session_of(ctx)
    if cancel_ticket:
        return _cancel(session, cancel_ticket)
    if not paths:
        raise UsageError("nothing was named to bring back", hint="frostline recall PATH...")
    if speed and speed not in SPEEDS:
        raise UsageError(f'--speed: there is no speed "{speed}"', hint=f"choose one of: {', '.join(SPEEDS)}")
    deadline_ns = parse_deadline(by, session.clock.now_ns()) if by else None
    with acting(session) as context:
        targets = find_targets(context, paths)
        refuse_read_only(context, targets)
        for target in list(missing_from_catalog(context, targets)):
            scan_root(context, target.root)
        unknown = next(missing_from_catalog(context, targets), None)
        if unknown is not None:
            raise UsageError(
                f"frostline stores nothing for {paths[targets.index(unknown)]}",
                now="nothing was done",
                hint="frostline ls lists what is known; frostline scan says what it refused to take up",
            )
        items = list(to_recall(context, targets))
        context.progress.start("recall", total_bytes=None, total_files=len(items))
        report = recall(context, items, reason="asked for", speed=speed, deadline_ns=deadline_ns)
        if wait and report.tickets:
            report = _wait_for(session, context, report)
    session.out.json(report_json(report))
    show_report(session.out, "recalled", report)
    return report.exit_code


def _cancel(session: Session, number: int) -> int:
    with acting(session) as context:
        ticket = cancel(context, number)
    session.out.json({"ticket": ticket.number, "state": ticket.state})
    session.out.text(
        f"ticket {ticket.number} is {ticket.state}; its files stay as they are, and what the provider was asked "
        "already stays paid for"
    )
    return 0


def parse_deadline(text: str, now_ns: int) -> int:
    """Return the moment that *text* means, in ns: a duration from now, or a time. Raises UsageError."""
    try:
        return now_ns + parse_duration_ns(text)
    except ValueError:
        return parse_moment(text)


def parse_moment(text: str) -> int:
    """Return the ns of an ISO 8601 time, UTC unless it names a zone. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f'"{text}" is neither a duration nor a time', hint='write "12h", "2d" or 2026-01-31T08:00'
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * NS_PER_S


def _wait_for(session: Session, context: Context, first: JobReport) -> JobReport:
    """Advance the tickets of *first* until none is open; return everything that came back."""
    total = JobReport(**{name: getattr(first, name) for name in first.__dataclass_fields__ if name != "tickets"})
    while not context.stop.is_set():
        total = total.merged(_without_tickets(advance(context)))
        waiting = [ticket for ticket in open_tickets(context) if ticket.number in first.tickets]
        if not waiting:
            return total
        for ticket in waiting:
            left_ns = max(0, ticket.ready_ns - session.clock.now_ns())
            session.out.note(
                f"ticket {ticket.number}: {ticket.files_waiting:,} files wait for {say_bytes(ticket.quote.bytes)}, "
                f"{ticket.packs_ready:,} of {ticket.packs:,} packs are readable, the others within {say_time(left_ns)}"
            )
        context.stop.wait(POLL_S)
    return total.merged(JobReport(tickets=first.tickets))


def _without_tickets(report: JobReport) -> JobReport:
    return JobReport(**{name: getattr(report, name) for name in report.__dataclass_fields__ if name != "tickets"})
