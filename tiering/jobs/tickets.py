"""The archive ticket: which archived packs somebody waits for, what that costs, and how far it is.

recall opens one when packs are cold; tiering.jobs.advance completes it. All is in the catalog before the provider
is asked, nothing waits in memory, and every step may run twice: a provider's "already under way" is as good as a yes.
Packs are shared: one that two tickets want is restored and paid for once, and one that was asked for is followed until
its copy was seen, also when its ticket was cancelled.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

from policies.amounts import say_bytes, say_usd
from tiering.catalog import packs
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tickets import NewTicket, TicketRow
from tiering.catalog.transaction import Tx
from tiering.errors import UsageError, WaitingOnRestore
from tiering.jobs.context import Context
from tiering.jobs.recall_budget import check_budget
from tiering.jobs.recall_terms import Seen, is_slower, remarks, see, terms
from tiering.jobs.restore_asking import ask
from tiering.jobs.restore_cost import Quote, promised_ns, quote, quotes
from tiering.stores.archive import SPEEDS


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket as it stands."""

    number: int
    state: str
    """open, done, cancelled or failed."""
    speed: str
    requested_by: str
    reason: str
    created_ns: int
    deadline_ns: int | None
    quote: Quote
    files: int
    files_waiting: int
    note: str = ""
    packs: int = 0
    packs_ready: int = 0
    ready_ns: int = 0
    """By when its packs should be readable, as the provider documents it; 0 when nothing is known yet."""
    trouble: tuple[str, ...] = field(default=())
    """What went wrong while asking; the daemon asks again."""
    remarks: tuple[str, ...] = field(default=())
    """What is not as it was asked for."""


class WantedFile(Protocol):
    """A file to be recalled. A FileRow is one."""

    @property
    def file_id(self) -> int:
        """Its id."""

    @property
    def recipe_no(self) -> int | None:
        """Its stored version."""


def request(
    ctx: Context,
    files: Sequence[WantedFile],
    *,
    speed: str = "",
    deadline_ns: int | None = None,
    by: str,
    reason: str = "",
    recipe_nos: Sequence[int] = (),
    pack_nos: Sequence[int] = (),
) -> Ticket:
    """Open a ticket for *files* (offline, with a recipe) and ask the provider to restore the packs that are cold.

    *recipe_nos* are further versions whose packs are wanted though no file is to be recalled (cat, restore), *pack_nos*
    packs that hold a range of one. *speed* "" takes, for each pack, the cheapest that meets *deadline_ns*, or
    recall.speed without one. Who waits on one open ticket already gets that ticket: asking again is free. On return the
    ticket is durable, and each pack was asked for or is named in `trouble`. Raises UsageError for an unknown speed,
    OverBudget (nothing was asked for), store errors of the look at the packs.
    """
    check_speed(speed)
    earlier = None if recipe_nos or pack_nos else _already_waiting(ctx, files, speed)
    if earlier is not None:
        return earlier
    seen = see(ctx, [*(row.recipe_no for row in files if row.recipe_no is not None), *recipe_nos], pack_nos)
    earlier = _waiting_for_packs(ctx, seen, speed) if not files else None
    if earlier is not None:
        return earlier
    with ctx.catalog.write() as tx:
        asked = terms(ctx, tx, seen, speed=speed, deadline_ns=deadline_ns)
        check_budget(ctx, tx, asked.quote, quotes(ctx, asked.new, raised=asked.raised))
        number = ticket_rows.open_ticket(
            tx,
            NewTicket(
                speed=asked.speed,
                reason=reason,
                requested_by=by,
                deadline_ns=deadline_ns,
                quote=json.dumps(asdict(asked.quote)),
                file_ids=tuple(row.file_id for row in files),
                pack_nos=tuple(row.pack_no for row in seen.cold),
                pack_speeds=asked.speeds,
            ),
            running=seen.running,
        )
        for row in asked.raised:
            ticket_rows.raise_speed(tx, [row.pack_no], asked.speeds[row.pack_no])
    ctx.step("tickets.opened")
    trouble = ask(ctx)
    with ctx.catalog.read() as tx:
        ticket = _loaded(tx, number, trouble)
    return replace(ticket, remarks=remarks(seen, asked, speed=speed))


def hasten(ctx: Context, number: int, speed: str) -> Ticket:
    """Ask again, for *speed*, for the packs of an open ticket that come more slowly; what was paid for them stays paid.

    Packs that are no faster at *speed* are left as they are, and a restore is never slowed down. Raises UsageError for
    an unknown speed or a ticket that is not open, OverBudget (nothing was asked for).
    """
    check_speed(speed)
    with ctx.catalog.write() as tx:
        row = ticket_rows.get(tx, number)
        if row is None or row.state != "open" or not speed:
            what = "there is no such ticket" if row is None else f"it is {row.state}" if speed else "no speed was named"
            raise UsageError(f"ticket {number} cannot be hastened: {what}", hint="frostline status lists the open ones")
        slower = [pack for pack in ticket_rows.packs_of(tx, number) if is_slower(pack, speed)]
        rows = packs.by_numbers(tx, [pack.pack_no for pack in slower])
        more = quote(ctx, [], speed=speed, raised=list(rows.values()))
        check_budget(ctx, tx, replace(more, objects=len(rows), bytes=sum(pack.size for pack in slower)), {})
        if slower:
            before = _quoted(row)
            terms_now = replace(before, usd_nano=before.usd_nano + more.usd_nano, hours=more.hours)
            ticket_rows.raise_speed(tx, list(rows), speed)
            faster = max(row.speed, speed, key=SPEEDS.index)
            ticket_rows.set_terms(tx, number, speed=faster, quote=json.dumps(asdict(terms_now)))
    ctx.step("tickets.hastened")
    trouble = ask(ctx)
    with ctx.catalog.read() as tx:
        ticket = _loaded(tx, number, trouble)
    said = f"{len(slower)} packs are asked for again at {speed}, {say_usd(more.usd_nano)} on top of what was paid"
    return replace(ticket, remarks=(said if slower else f"no pack of it comes sooner at {speed}: nothing was asked",))


def check_affordable(ctx: Context, recipe_nos: Iterable[int], *, speed: str, deadline_ns: int | None) -> None:
    """Raise what request() of these stored versions would, UsageError or OverBudget, and ask for nothing."""
    check_speed(speed)
    seen = see(ctx, recipe_nos)
    with ctx.catalog.read() as tx:
        asked = terms(ctx, tx, seen, speed=speed, deadline_ns=deadline_ns)
        check_budget(ctx, tx, asked.quote, quotes(ctx, asked.new, raised=asked.raised))


def check_speed(speed: str) -> None:
    """Raise UsageError for a speed that no class has; "" is none."""
    if speed and speed not in SPEEDS:
        raise UsageError(f'there is no restore speed "{speed}"', hint=f"choose one of: {', '.join(SPEEDS)}")


def waiting(ticket: Ticket) -> WaitingOnRestore:
    """Return the error that tells a user what they wait for (exit code 4)."""
    price = ticket.quote
    return WaitingOnRestore(
        (f"{ticket.files_waiting} files wait" if ticket.files else "these bytes wait")
        + f" for archived packs to be restored: ticket {ticket.number}",
        ticket=ticket.number,
        now=(
            (
                f"{price.objects} packs, {say_bytes(price.bytes)}, were asked for at speed {ticket.speed}: about "
                f"{say_usd(price.usd_nano)}, up to {price.hours:g} h"
                if price.usd_nano or price.objects
                else f"its packs are on their way already and not paid for again: up to {price.hours:g} h"
            )
            + (f"; not yet asked for: {ticket.trouble[0]}" if ticket.trouble else "")
        ),
        hint="the daemon follows it; running the same command again when they are ready reads them"
        if not ticket.files
        else "the daemon brings the files back when they are ready; running the same command again shows how far it is",
    )


def cancel(ctx: Context, number: int) -> Ticket:
    """Stop waiting: nothing of the ticket is recalled any more.

    What the provider was already asked stays paid for. Cancelling twice is fine; raises UsageError for a ticket that
    does not exist or is done.
    """
    with ctx.catalog.write() as tx:
        row = ticket_rows.get(tx, number)
        if row is None or row.state in {"done", "failed"}:
            what = "there is no such ticket" if row is None else f"it is {row.state} already"
            raise UsageError(
                f"ticket {number} cannot be cancelled: {what}", hint="frostline status lists the open ones"
            )
        if row.state == "open":
            ticket_rows.close_ticket(tx, number, state="cancelled", note="cancelled on request")
        return _loaded(tx, number)


def open_tickets(ctx: Context) -> list[Ticket]:
    """Return the open tickets, oldest first."""
    with ctx.catalog.read() as tx:
        return [_loaded(tx, row.ticket_no) for row in ticket_rows.in_state(tx)]


def _already_waiting(ctx: Context, files: Sequence[WantedFile], speed: str) -> Ticket | None:
    if not files:
        return None
    with ctx.catalog.read() as tx:
        shared = set(ticket_rows.waiting_on_file(tx, files[0].file_id))
        for row in files[1:]:
            if not shared:
                return None
            shared &= set(ticket_rows.waiting_on_file(tx, row.file_id))
        return _fast_enough([_loaded(tx, number) for number in sorted(shared)], speed)


def _waiting_for_packs(ctx: Context, seen: Seen, speed: str) -> Ticket | None:
    """Return the open ticket of an earlier cat or restore that waits for all of these packs."""
    if not seen.cold:
        return None
    with ctx.catalog.read() as tx:
        numbers = ticket_rows.without_files(tx, [row.pack_no for row in seen.cold])
        return _fast_enough([_loaded(tx, number) for number in numbers], speed)


def _fast_enough(found: Sequence[Ticket], speed: str) -> Ticket | None:
    enough = [ticket for ticket in found if not speed or SPEEDS.index(ticket.speed) >= SPEEDS.index(speed)]
    return enough[0] if enough else None


def _loaded(tx: Tx, number: int, trouble: tuple[str, ...] = ()) -> Ticket:
    row = ticket_rows.get(tx, number)
    assert row is not None, f"ticket {number} was just read or written"
    restores = ticket_rows.packs_of(tx, number)
    return Ticket(
        number=number,
        state=row.state,
        speed=row.speed,
        requested_by=row.requested_by,
        reason=row.reason,
        created_ns=row.created_ns,
        deadline_ns=row.deadline_ns,
        quote=_quoted(row),
        files=len(ticket_rows.files_of(tx, number)),
        files_waiting=ticket_rows.count_waiting(tx, number),
        note=row.note,
        packs=len(restores),
        packs_ready=sum(restore.state == "warm" for restore in restores),
        ready_ns=max((promised_ns(restore) for restore in restores if restore.state == "warming"), default=0),
        trouble=trouble,
    )


def _quoted(row: TicketRow) -> Quote:
    return Quote(**json.loads(row.quote)) if row.quote else Quote(0, 0, 0, 0.0)
