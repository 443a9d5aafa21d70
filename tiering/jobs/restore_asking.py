"""Asks providers for the restores that are wanted, and for more days where a copy would go too soon.

Used by tickets and advance. Every step may run twice: a provider's "already under way" is as good as a yes. A pack is
booked in the transaction that notes it; if the process dies between the request and that note, the next ask() is told
"already under way", notes it and books it once.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tiering.catalog import packs
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tickets import RestoreRow
from tiering.catalog.transaction import batches
from tiering.clock import NS_PER_DAY
from tiering.errors import SpeedUnavailable, StoreDenied, StoreError
from tiering.jobs.context import Context
from tiering.jobs.restore_cost import book_copy, book_extension, book_request
from tiering.stores.archive import offered_speed, restore_hours
from tiering.stores.base import ArchiveStore, Readability

ASKERS = 8  # requests at once; the limit wrapper may allow fewer
ASKED_PER_S = 500  # half of what S3 takes from an account: docs.aws.amazon.com, RestoreObject, 1,000 a second
NOTED_AT_ONCE = 50  # answers booked in one transaction: what a crash has to ask again, which costs nothing


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of asking for one pack."""

    row: RestoreRow
    """With the speed that was asked for in the end."""
    readability: Readability | None = None
    """None: it could not be asked for."""
    trouble: str = ""


def ask(ctx: Context) -> tuple[str, ...]:
    """Request the restore of every wanted pack, and book what that costs; return what is not as it was wanted, and why.

    One request for a pack, however many tickets want it.
    """
    trouble: list[str] = []
    with ThreadPoolExecutor(ASKERS, thread_name_prefix="frostline-restore") as pool:
        for batch in batches(_wanted(ctx), NOTED_AT_ONCE):
            if ctx.stop.is_set():
                break  # the daemon goes on with the rest
            began_s = ctx.clock.monotonic_s()
            answers = list(pool.map(lambda row: _ask_one(ctx, row), batch))
            trouble += [answer.trouble for answer in answers if answer.trouble]
            _note_asked(ctx, [answer for answer in answers if answer.readability is not None])
            ctx.step("tickets.asked")
            if len(batch) == NOTED_AT_ONCE:
                ctx.clock.sleep(len(batch) / ASKED_PER_S - (ctx.clock.monotonic_s() - began_s))
    return tuple(trouble)


def extend(ctx: Context, row: RestoreRow) -> None:
    """Keep the readable copy of a warm pack for recall.restore_days from now; books the days. Raises store errors.

    If the copy went a moment ago, that was a request for a new one: it is followed like any other.
    """
    days = ctx.config.recall.restore_days
    store = archive_of(ctx, row)
    if store is None:
        return
    answer = store.request_restore(row.key, days=days, speed=offered_speed(row.storage_class, row.speed))
    if answer is Readability.INSTANT:
        return
    if answer is Readability.WARMING:
        with ctx.catalog.write() as tx:
            ticket_rows.forget_restore(tx, row.pack_no, state="wanted")
        _note_asked(ctx, [_Answer(replace(row, requested_ns=None), answer)])
        return
    until_ns = store.head(row.key).warm_until_ns or ctx.clock.now_ns() + days * NS_PER_DAY
    with ctx.catalog.write() as tx:
        pack = packs.by_numbers(tx, [row.pack_no])[row.pack_no]
        book_extension(ctx, tx, pack, row.speed)
        book_copy(ctx, tx, pack, from_ns=max(row.warm_until_ns or 0, tx.now_ns), until_ns=until_ns)
        ticket_rows.note_restore(tx, row.pack_no, state="warm", warm_until_ns=until_ns)


def _wanted(ctx: Context) -> Iterator[RestoreRow]:
    last_no = 0
    while True:
        with ctx.catalog.read() as tx:
            page = ticket_rows.restores_in(tx, ("wanted",), after_no=last_no)
        if not page:
            return
        yield from page
        last_no = page[-1].pack_no


def archive_of(ctx: Context, row: RestoreRow) -> ArchiveStore | None:
    """Return the store of a pack if it restores; None where everything reads at once."""
    tier = ctx.tier(row.tier)
    return tier.store if tier.capabilities.archives and isinstance(tier.store, ArchiveStore) else None


def _ask_one(ctx: Context, row: RestoreRow) -> _Answer:
    store = archive_of(ctx, row)
    if store is None:
        return _Answer(row, Readability.INSTANT)
    days = ctx.config.recall.restore_days
    speed = offered_speed(row.storage_class, row.speed)
    try:
        if row.requested_ns is not None and store.head(row.key).readability is Readability.WARM:
            return _Answer(row, Readability.WARM)  # ready before it could be hastened: a request would only cost
        return _Answer(row, store.request_restore(row.key, days=days, speed=speed))
    except SpeedUnavailable:
        said = f"the provider has no room for {speed} restores now: {row.key} "
        if row.requested_ns is not None:
            return _Answer(row, trouble=said + "goes on at the speed that it had, and is asked for again")
    except StoreError as error:
        return _Answer(row, trouble=in_words(error))
    hours = restore_hours(row.storage_class, "standard")
    try:
        answer = store.request_restore(row.key, days=days, speed="standard")
    except StoreError as error:
        return _Answer(row, trouble=in_words(error))
    return _Answer(replace(row, speed="standard"), answer, said + f"comes at standard, up to {hours:g} h")


def in_words(error: StoreError) -> str:
    """Return what went wrong, and what to do about it where it needs a person."""
    return f"{error.what}; {error.hint}" if isinstance(error, StoreDenied) and error.hint else error.what


def _note_asked(ctx: Context, answers: Sequence[_Answer]) -> None:
    """Note what was asked for and book it, where nobody else did meanwhile."""
    with ctx.catalog.write() as tx:
        numbers = [answer.row.pack_no for answer in answers]
        now = ticket_rows.restores_of(tx, numbers)
        rows = packs.by_numbers(tx, numbers)
        for answer in answers:
            row = answer.row
            if now[row.pack_no].state != "wanted":
                continue
            if answer.readability is Readability.INSTANT:
                ticket_rows.note_restore(tx, row.pack_no, state="warm")
                continue
            # Also an answer of WARM is noted as warming: the next look finds out until when.
            ticket_rows.set_speed(tx, row.pack_no, state="warming", speed=row.speed)
            if answer.readability is Readability.WARM and row.requested_ns is not None:
                continue  # as paid for
            ticket_rows.note_restore(tx, row.pack_no, state="warming", requested_ns=tx.now_ns)
            book_request(ctx, tx, rows[row.pack_no], row.speed)
