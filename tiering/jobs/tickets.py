"""The archive ticket: which archived packs somebody waits for, what that costs, and how far it is.

recall opens one when packs are cold; tiering.jobs.advance completes it. All is in the catalog before the provider
is asked, nothing waits in memory, and every step may run twice: a provider's "already under way" is as good as a yes.
Packs are shared: one that two tickets want is restored and paid for once, and one that was asked for is followed until
its copy was seen, also when its ticket was cancelled.
"""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace

from policies.amounts import say_bytes, say_usd
from tiering.catalog import packs, recipes
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tickets import NewTicket, RestoreRow, TicketRow
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileRow, PackRow
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.errors import StoreError, UsageError, WaitingOnRestore
from tiering.jobs.context import Context
from tiering.jobs.recall_budget import check_budget
from tiering.jobs.restore_cost import Quote, book_copy, book_request, promised_ns, quote, quotes
from tiering.jobs.restore_looks import cold_looks
from tiering.stores.archive import SPEEDS, offered_speed, restore_hours
from tiering.stores.base import ArchiveStore, Readability

ASKERS = 8  # restore requests at once; S3 takes 1,000 a second, the limit wrapper may allow fewer
NOTED_AT_ONCE = 50  # answers booked in one transaction: what a crash has to ask again, which costs nothing


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


def request(
    ctx: Context,
    files: Sequence[FileRow],
    *,
    speed: str = "",
    deadline_ns: int | None = None,
    by: str,
    reason: str = "",
    recipe_nos: Sequence[int] = (),
) -> Ticket:
    """Open a ticket for *files* (offline, with a recipe) and ask the provider to restore the packs that are cold.

    *recipe_nos* are further versions whose packs are wanted though no file is to be recalled (cat, restore). *speed*
    "" takes the cheapest that meets *deadline_ns*, or recall.speed without one. Files that all wait on one open ticket
    already get that ticket: asking again is free. On return the ticket is durable, and each pack was asked for or is
    named in `trouble`. Raises UsageError for an unknown speed, OverBudget (nothing was asked for), store errors of the
    look at the packs.
    """
    if speed and speed not in SPEEDS:
        raise UsageError(f'there is no restore speed "{speed}"', hint=f"choose one of: {', '.join(SPEEDS)}")
    earlier = _already_waiting(ctx, files, recipe_nos, speed)
    if earlier is not None:
        return earlier
    cold, running = _cold(ctx, [*(row.recipe_no for row in files if row.recipe_no is not None), *recipe_nos])
    chosen = speed or _speed_for(ctx, cold, deadline_ns)
    with ctx.catalog.write() as tx:
        on_the_way = {row.pack_no for row in ticket_rows.restores_in(tx, ("wanted", "warming", "warm"))} | running
        made = quote(ctx, [row for row in cold if row.pack_no not in on_the_way], speed=chosen, hours_of=cold)
        check_budget(ctx, tx, made, quotes(ctx, [row for row in cold if row.pack_no not in on_the_way]))
        number = ticket_rows.open_ticket(
            tx,
            NewTicket(
                speed=chosen,
                reason=reason,
                requested_by=by,
                deadline_ns=deadline_ns,
                quote=json.dumps(asdict(made)),
                file_ids=tuple(row.file_id for row in files),
                pack_nos=tuple(row.pack_no for row in cold),
            ),
            running=running,
        )
        ticket_rows.raise_speed(tx, [row.pack_no for row in cold], chosen)
    ctx.step("tickets.opened")
    trouble = ask(ctx)
    with ctx.catalog.read() as tx:
        ticket = _loaded(tx, number, trouble)
    return replace(ticket, remarks=_remarks(cold, running, speed))


def waiting(ticket: Ticket) -> WaitingOnRestore:
    """Return the error that tells a user what they wait for (exit code 4)."""
    price = ticket.quote
    return WaitingOnRestore(
        f"{ticket.files_waiting} files wait for archived packs to be restored: ticket {ticket.number}",
        ticket=ticket.number,
        now=(
            f"{price.objects} packs, {say_bytes(price.bytes)}, were asked for at speed {ticket.speed}: about "
            f"{say_usd(price.usd_nano)}, up to {price.hours:g} h"
            + (f"; not yet asked for: {ticket.trouble[0]}" if ticket.trouble else "")
        ),
        hint="the daemon brings the files back when they are ready; running the same command again shows how far it is",
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


def ask(ctx: Context) -> tuple[str, ...]:
    """Request the restore of every wanted pack, and book what that costs; return what could not be asked for, and why.

    A pack is booked in the transaction that notes it as warming. If the process dies between the request and that
    note, the next ask() is told "already under way", notes it and books it once.
    """
    with ctx.catalog.read() as tx:
        wanted = ticket_rows.restores_in(tx, ("wanted",))
    trouble: list[str] = []
    with ThreadPoolExecutor(ASKERS, thread_name_prefix="frostline-restore") as pool:
        for batch in batches(wanted, NOTED_AT_ONCE):
            answers = list(zip(batch, pool.map(lambda row: _ask_one(ctx, row), batch), strict=True))
            trouble += [answer.what for _, answer in answers if isinstance(answer, StoreError)]
            _note_asked(ctx, [(row, answer) for row, answer in answers if isinstance(answer, Readability)])
            ctx.step("tickets.asked")
    return tuple(trouble)


def extend(ctx: Context, row: RestoreRow) -> None:
    """Keep the readable copy of a warm pack for recall.restore_days from now; books the days. Raises store errors."""
    days = ctx.config.recall.restore_days
    store = _archive(ctx, row)
    if store is None or store.request_restore(row.key, days=days, speed=row.speed) is Readability.INSTANT:
        return
    until_ns = store.head(row.key).warm_until_ns or ctx.clock.now_ns() + days * NS_PER_DAY
    with ctx.catalog.write() as tx:
        pack = packs.by_numbers(tx, [row.pack_no])[row.pack_no]
        book_copy(ctx, tx, pack, from_ns=max(row.warm_until_ns or 0, tx.now_ns), until_ns=until_ns)
        ticket_rows.note_restore(tx, row.pack_no, state="warm", warm_until_ns=until_ns)


def _already_waiting(ctx: Context, files: Sequence[FileRow], recipe_nos: Sequence[int], speed: str) -> Ticket | None:
    if not files or recipe_nos:
        return None
    with ctx.catalog.read() as tx:
        shared = set(ticket_rows.waiting_on_file(tx, files[0].file_id))
        for row in files[1:]:
            shared &= set(ticket_rows.waiting_on_file(tx, row.file_id))
        found = [_loaded(tx, number) for number in sorted(shared)]
    fast_enough = [ticket for ticket in found if not speed or SPEEDS.index(ticket.speed) >= SPEEDS.index(speed)]
    return fast_enough[0] if fast_enough else None


def _cold(ctx: Context, recipe_nos: Iterable[int]) -> tuple[list[PackRow], frozenset[int]]:
    """Return the packs that must be restored first, and the numbers of those that are being restored already."""
    with ctx.catalog.read() as tx:
        needed = recipes.packs_of(tx, list(dict.fromkeys(recipe_nos)))
        rows = packs.by_numbers(tx, {pack_no for numbers in needed.values() for pack_no in numbers})
    seen = cold_looks(ctx, [rows[number] for number in sorted(rows)])
    running = [row.pack_no for row, info in seen if info.readability is Readability.WARMING]
    return [row for row, _ in seen], frozenset(running)


def _remarks(cold: Sequence[PackRow], running: frozenset[int], speed: str) -> tuple[str, ...]:
    """Return what is not as it was asked for."""
    remarks = []
    slower = sum(bool(speed) and offered_speed(row.storage_class, speed) != speed for row in cold)
    if slower:
        remarks.append(
            f"DEEP_ARCHIVE offers no {speed} retrieval: {slower} packs are asked for at standard, up to "
            f"{restore_hours('DEEP_ARCHIVE', 'standard'):g} h"
        )
    if running:
        remarks.append(f"{len(running)} packs are being restored already: they are waited for, and not paid for again")
    return tuple(remarks)


def _speed_for(ctx: Context, cold: Sequence[PackRow], deadline_ns: int | None) -> str:
    if deadline_ns is None:
        return ctx.config.recall.speed
    left_h = (deadline_ns - ctx.clock.now_ns()) / (3600 * NS_PER_S)
    for speed in SPEEDS:
        if all(restore_hours(row.storage_class, speed) <= left_h for row in cold):
            return speed
    return SPEEDS[-1]


def _ask_one(ctx: Context, row: RestoreRow) -> Readability | StoreError:
    with ctx.catalog.read() as tx:
        pack = packs.by_numbers(tx, [row.pack_no])[row.pack_no]
    try:
        store = _archive(ctx, row)
        if store is None:
            return Readability.INSTANT
        speed = offered_speed(pack.storage_class, row.speed)
        return store.request_restore(row.key, days=ctx.config.recall.restore_days, speed=speed)
    except StoreError as error:
        return error


def _archive(ctx: Context, row: RestoreRow) -> ArchiveStore | None:
    """Return the store of a pack if it restores; None where everything reads at once."""
    tier = ctx.tier(row.tier)
    return tier.store if tier.capabilities.archives and isinstance(tier.store, ArchiveStore) else None


def _note_asked(ctx: Context, answers: Sequence[tuple[RestoreRow, Readability]]) -> None:
    with ctx.catalog.write() as tx:
        still = {found.pack_no for found in ticket_rows.restores_in(tx, ("wanted",))}
        rows = packs.by_numbers(tx, [row.pack_no for row, _ in answers])
        for row, answer in answers:
            if row.pack_no not in still:
                continue  # another process noted and booked it
            if answer is Readability.INSTANT:
                ticket_rows.note_restore(tx, row.pack_no, state="warm")
                continue
            # Also an answer of WARM is noted as warming: the next look finds out until when.
            ticket_rows.note_restore(tx, row.pack_no, state="warming", requested_ns=tx.now_ns)
            book_request(ctx, tx, rows[row.pack_no], row.speed)


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
