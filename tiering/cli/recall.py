"""`frostline recall`: bring files back."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from dedup.values import Span
from policies.amounts import NANO, say_time
from tiering.app.selection import away_total, missing_from_catalog, refuse_read_only, to_recall
from tiering.app.targets import Target, apart, find_targets
from tiering.cli.act import acting
from tiering.cli.arguments import parse_deadline, parse_range, refuse_folder
from tiering.cli.job_output import report_json, show_report
from tiering.cli.recall_output import quote_json, show_quote
from tiering.cli.session import Session, session_of
from tiering.errors import UsageError
from tiering.jobs.advance import advance
from tiering.jobs.block_cache import BlockCache
from tiering.jobs.context import Context
from tiering.jobs.random_access import open_stored, recall_range
from tiering.jobs.recall import recall
from tiering.jobs.recall_quote import quote_packs, quote_recall
from tiering.jobs.reports import JobReport, Skip
from tiering.jobs.scan import scan_root
from tiering.jobs.tickets import cancel, check_speed, hasten, open_tickets

EXAMPLES = (
    "frostline recall /data/runs/2023/model.pt",
    "frostline recall /data/runs/2023 --within 6h --quote",
    "frostline recall /data/runs/2023 --speed bulk --wait",
    "frostline recall /data/runs/2023/model.pt --range 0+64MiB",
    "frostline recall --hasten 7 --speed expedited",
    "frostline recall --cancel 7",
)
POLL_S = 60.0  # restores take minutes to days; asking more often only costs requests


def run(
    ctx: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(help="Folders or files under a root.")] = None,
    speed: Annotated[str, typer.Option("--speed", help="Of archive restores: bulk, standard or expedited.")] = "",
    within: Annotated[
        str,
        typer.Option(
            "--within",
            "--by",
            help='When it must be back: "6h" from now, or 2026-01-31T08:00 (UTC). Takes the cheapest speed in time.',
        ),
    ] = "",
    quote: Annotated[bool, typer.Option("--quote", help="Only say what it would take; nothing is asked for.")] = False,
    part: Annotated[
        str,
        typer.Option("--range", metavar="OFFSET+LENGTH", help="Make only these bytes of one file readable for cat."),
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until archived files are back.")] = False,
    hasten_ticket: Annotated[
        int, typer.Option("--hasten", metavar="TICKET", help="Ask again, at --speed, for what a ticket waits for.")
    ] = 0,
    cancel_ticket: Annotated[
        int, typer.Option("--cancel", metavar="TICKET", help="Wait no more for the files of a ticket.")
    ] = 0,
) -> int:
    """Bring the files back, verified bit by bit, with everything they had. Files that are there already count as done.

    The stored copy stays, so releasing again costs nothing. Archived files are put on a ticket (exit code 4), which the
    daemon, --wait, or the next cycle brings to its end. What would cost more than recall.budget_usd_per_day or _month
    is refused with the quote (exit code 1).
    """
    session = session_of(ctx)
    if cancel_ticket:
        return _cancel(session, cancel_ticket)
    if hasten_ticket:
        return _hasten(session, hasten_ticket, speed)
    if not paths:
        raise UsageError("nothing was named to bring back", hint="frostline recall PATH...")
    check_speed(speed)
    if part and len(paths) != 1:
        raise UsageError("--range is of one file", hint="frostline recall PATH --range 0+64MiB")
    span = _range_of(part, paths[0])
    deadline_ns = parse_deadline(within, session.clock.now_ns()) if within else None
    if quote:
        return _quote(session, paths, span, speed=speed, deadline_ns=deadline_ns)
    with acting(session) as context:
        if span is not None:
            report = recall_range(context, os.path.abspath(paths[0]), span, speed=speed, deadline_ns=deadline_ns)
        else:
            targets = _targets(context, paths)
            away = away_total(context, targets)
            context.progress.start("recall", total_bytes=away.size_bytes, total_files=away.files)
            items = to_recall(context, targets)
            report = recall(context, items, reason="asked for", speed=speed, deadline_ns=deadline_ns)
        if wait and report.tickets:
            report = _wait_for(session, context, report)
    session.out.json(report_json(report))
    show_report(session.out, "recalled", report)
    return report.exit_code


def _range_of(part: str, path: str) -> Span | None:
    if not part:
        return None
    refuse_folder(path, "recall --range")
    return parse_range(part)


def _targets(context: Context, paths: list[str]) -> list[Target]:
    """Return what is to be brought back, everything once; what the catalog does not know is looked for on the disk."""
    targets = find_targets(context, paths)
    refuse_read_only(context, targets)
    for target in list(missing_from_catalog(context, targets)):
        scan_root(context, target.root)
    _refuse_unknown(context, targets, paths)
    return apart(targets)


def _refuse_unknown(context: Context, targets: Sequence[Target], paths: list[str]) -> None:
    unknown = next(missing_from_catalog(context, targets), None)
    if unknown is not None:
        raise UsageError(
            f"frostline stores nothing for {paths[targets.index(unknown)]}",
            now="nothing was done",
            hint="frostline ls lists what is known; frostline scan says what it refused to take up",
        )


def _quote(session: Session, paths: list[str], span: Span | None, *, speed: str, deadline_ns: int | None) -> int:
    with session.reading() as context:
        if span is not None:
            needed = open_stored(context, os.path.abspath(paths[0]), BlockCache()).packs_of(span.start, span.length)
            told = quote_packs(context, needed, speed=speed, deadline_ns=deadline_ns)
        else:
            targets = find_targets(context, paths)
            _refuse_unknown(context, targets, paths)
            told = quote_recall(context, to_recall(context, apart(targets)), speed=speed, deadline_ns=deadline_ns)
    session.out.json(quote_json(told))
    show_quote(session.out, told, has_deadline=deadline_ns is not None)
    return 0


def _hasten(session: Session, number: int, speed: str) -> int:
    if not speed:
        raise UsageError("--hasten needs the speed to ask for", hint=f"frostline recall --hasten {number} --speed ...")
    with acting(session) as context:
        ticket = hasten(context, number, speed)
        left_ns = max(0, ticket.ready_ns - context.clock.now_ns())
    session.out.json({
        "ticket": ticket.number, "state": ticket.state, "speed": ticket.speed, "usd": ticket.quote.usd_nano / NANO,
        "ready_ns": ticket.ready_ns, "remarks": ticket.remarks, "trouble": ticket.trouble,
    })  # fmt: skip
    session.out.text(f"ticket {number}: {'; '.join((*ticket.remarks, *ticket.trouble))}; within {say_time(left_ns)}")
    return 4


def _cancel(session: Session, number: int) -> int:
    with acting(session) as context:
        ticket = cancel(context, number)
    session.out.json({"ticket": ticket.number, "state": ticket.state})
    session.out.text(
        f"ticket {ticket.number} is {ticket.state}; its files stay as they are, and what the provider was asked "
        "already stays paid for"
    )
    return 0


def _wait_for(session: Session, context: Context, first: JobReport) -> JobReport:
    """Advance the tickets of *first* until none is open; return everything that came back."""
    total = replace(first.without(Skip.WAITING), tickets=())
    while not context.stop.is_set():
        total = total.merged(replace(advance(context), tickets=()))
        waiting = [ticket for ticket in open_tickets(context) if ticket.number in first.tickets]
        if not waiting:
            return total
        for ticket in waiting:
            left_ns = max(0, ticket.ready_ns - session.clock.now_ns())
            session.out.note(
                f"ticket {ticket.number}: {ticket.files_waiting:,} of {ticket.files:,} files wait, "
                f"{ticket.packs_ready:,} of {ticket.packs:,} packs are readable, the others within {say_time(left_ns)}"
            )
        context.stop.wait(POLL_S)
    return total.merged(JobReport(tickets=first.tickets))
