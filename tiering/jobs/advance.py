"""Moves every open ticket on by what is possible now: asks, looks which packs are ready, recalls the files that can be.

The daemon calls it every few minutes and a waiting command as often as it looks. It holds nothing between calls: a
ticket survives restarts because all there is to know is in the catalog, and the provider knows the rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tiering.catalog import files, packs, recipes
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tickets import RestoreRow, TicketRow
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileRow, FileState, PackRow
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.errors import FrostlineError, IntegrityError, NoSpace, ObjectMissing, RootMissing, StoreError
from tiering.hot import paths
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.recall import recall
from tiering.jobs.reports import SKIPS_LISTED, JobReport, Skip, Skipped
from tiering.jobs.restore_asking import ask, extend, in_words
from tiering.jobs.restore_cost import became_ready_ns, book_copy, promised_ns
from tiering.jobs.restore_looks import looks
from tiering.jobs.restore_news import listen
from tiering.jobs.tally import NamedFile
from tiering.stores.base import ObjectInfo, Readability

# Copies expire at midnight UTC. One that is used now must outlast the recall of all that is readable, at a pace that
# any line keeps; one that still waits for others (space, a busy file) is kept when it has less than a day.
EXTEND_NOW_NS = 3600 * NS_PER_S
SLOWEST_BYTES_PER_S = 20_000_000
EXTEND_BEFORE_NS = NS_PER_DAY

# A skip of one of these kinds may go away on its own: the file stays on the ticket.
_PASSING = frozenset({Skip.BUSY, Skip.NO_SPACE, Skip.WAITING})


def advance(ctx: Context) -> JobReport:
    """Advance every open ticket; return what was recalled, what was skipped, and the tickets that still wait.

    Idempotent, and safe beside another process doing the same: restores are asked for and booked once, a file is
    claimed by one recall. Trouble with one pack, root or store is a note and leaves the other tickets alone. Raises
    IntegrityError, after everything else was done, if stored bytes are damaged; CatalogBusy.
    """
    started_s = ctx.clock.monotonic_s()
    notes = list(ask(ctx))
    notes += _look(ctx)
    notes += ask(ctx)  # copies that expired before they were used
    report = JobReport()
    damaged: list[IntegrityError] = []
    with ctx.catalog.read() as tx:
        open_rows = ticket_rows.in_state(tx)
    for row in open_rows:
        if ctx.stop.is_set():
            break
        try:
            report = report.merged(_serve(ctx, row))
        except IntegrityError as error:
            damaged.append(error)
    notes += _keep(ctx)
    charge(ctx, reason="tickets")
    if damaged:
        raise damaged[0]
    return report.merged(JobReport(seconds=ctx.clock.monotonic_s() - started_s, notes=tuple(notes)))


def _look(ctx: Context) -> list[str]:
    """Note how readable each pack on its way is now, as far as nothing was heard of it; keep those that expire before
    they can all be used.
    """
    heard = listen(ctx, lambda row, event: _note_ready(ctx, row, event.until_ns, ready_ns=event.at_ns))
    with ctx.catalog.read() as tx:
        size_bytes = ticket_rows.bytes_on_the_way(tx)
    now_ns = ctx.clock.now_ns()
    used_by_ns = now_ns + EXTEND_NOW_NS + size_bytes * NS_PER_S // SLOWEST_BYTES_PER_S
    trouble = heard.trouble
    for page in _pages(ctx):
        due = [row for row in page if heard.is_due(row, now_ns, ends_before_ns=used_by_ns)]
        trouble += _look_at(ctx, due, used_by_ns)
        if ctx.stop.is_set():
            break
    return trouble


def _pages(ctx: Context) -> Iterator[list[RestoreRow]]:
    last_key = ""
    while True:
        with ctx.catalog.read() as tx:
            page = ticket_rows.on_the_way(tx, after_key=last_key)
        if not page:
            return
        yield page
        last_key = page[-1].key


def _look_at(ctx: Context, due: Sequence[RestoreRow], used_by_ns: int) -> list[str]:
    trouble: list[str] = []
    for row, seen in looks(ctx, due):
        try:
            if isinstance(seen, StoreError):
                raise seen
            until_ns = _note(ctx, row, seen)
            if until_ns and row.state != "done" and until_ns < used_by_ns:
                extend(ctx, replace(row, warm_until_ns=until_ns))
        except ObjectMissing as error:
            trouble.append(f"{error.what}: the files that need it cannot be recalled")
        except StoreError as error:
            trouble.append(in_words(error))
    return trouble


def _note(ctx: Context, row: RestoreRow, seen: ObjectInfo) -> int:
    """Note what was seen of one pack, and book its readable copy the first time; return until when it is readable,
    0 where it is not, or for ever.
    """
    archives = ctx.tier(row.tier).capabilities.archives
    readability = seen.readability if archives else Readability.INSTANT
    if readability is Readability.WARMING:
        return 0
    if readability is Readability.COLD:
        with ctx.catalog.write() as tx:
            _note_cold(ctx, tx, row, packs.by_numbers(tx, [row.pack_no])[row.pack_no])
        return 0
    _note_ready(ctx, row, seen.warm_until_ns)
    return seen.warm_until_ns


def _note_ready(ctx: Context, row: RestoreRow, until_ns: int, *, ready_ns: int = 0) -> None:
    """Note that a pack can be read until *until_ns* (0: for ever), since *ready_ns* if that is known."""
    with ctx.catalog.write() as tx:
        pack = packs.by_numbers(tx, [row.pack_no])[row.pack_no]
        if until_ns and row.requested_ns is not None and until_ns != row.warm_until_ns:
            since_ns = ready_ns or became_ready_ns(ctx, row, until_ns=until_ns, now_ns=tx.now_ns)
            book_copy(ctx, tx, pack, from_ns=row.warm_until_ns or since_ns, until_ns=until_ns)
        state = "done" if row.state == "done" else "warm"
        ticket_rows.note_restore(tx, row.pack_no, state=state, warm_until_ns=until_ns or None)


def _note_cold(ctx: Context, tx: Tx, row: RestoreRow, pack: PackRow) -> None:
    """The copy expired before it was used, or the request never took effect: asked for (and paid for) again, if anybody
    still wants it.
    """
    ready_ns = promised_ns(row)
    if row.requested_ns is not None and row.warm_until_ns is None and ready_ns < tx.now_ns:
        # It came and went while nobody looked.
        until_ns = -(-(ready_ns + ctx.config.recall.restore_days * NS_PER_DAY) // NS_PER_DAY) * NS_PER_DAY
        if until_ns <= tx.now_ns:
            book_copy(ctx, tx, pack, from_ns=ready_ns, until_ns=until_ns)
    ticket_rows.forget_restore(tx, row.pack_no, state="done" if row.state == "done" else "wanted")


def _keep(ctx: Context) -> list[str]:
    """Extend the copies that are still wanted after everything that could be was recalled, and have less than a day."""
    with ctx.catalog.read() as tx:
        soon = ticket_rows.ending(tx, ctx.clock.now_ns() + EXTEND_BEFORE_NS)
    trouble: list[str] = []
    for row in soon:
        try:
            extend(ctx, row)
        except StoreError as error:
            trouble.append(in_words(error))
    return trouble


def _serve(ctx: Context, ticket: TicketRow) -> JobReport:
    """Recall what is ready of one ticket and close it when nothing waits any more."""
    number = ticket.ticket_no
    _close_settled(ctx, number)
    ready = _ready(ctx, number)
    report = JobReport()
    damaged: list[IntegrityError] = []
    for batch in batches(ready, SKIPS_LISTED):  # so that all that is left alone is named
        items = [NamedFile(row.root_id, row.dir, row.name, f"ticket {number}") for row in batch]
        try:
            brought = recall(ctx, items, reason=f"ticket {number}")
        except (RootMissing, NoSpace, StoreError) as error:
            told = JobReport(tickets=(number,), notes=(f"ticket {number}: {_told(error)}",))
            return replace(report.merged(told), seconds=0.0)
        except IntegrityError as error:
            _close_recalled(ctx, number, batch, {}, otherwise=error.what)
            damaged.append(error)
            continue
        _close_recalled(ctx, number, batch, {item.path: item for item in brought.files_skipped})
        report = report.merged(brought)
        if ctx.stop.is_set():
            break
    waits = _close_if_over(ctx, number)
    if damaged:
        raise damaged[0]
    return replace(report, tickets=(number,) if waits else (), seconds=0.0)


def _told(error: FrostlineError) -> str:
    return in_words(error) if isinstance(error, StoreError) else error.what


def _close_settled(ctx: Context, number: int) -> None:
    """Close the files that need no recall any more: somebody brought them back, replaced or removed them."""
    with ctx.catalog.write() as tx:
        waiting = [file.file_id for file in ticket_rows.files_of(tx, number, state="waiting")]
        rows = files.by_ids(tx, waiting)
        outcomes = []
        for file_id in waiting:
            row = rows.get(file_id)
            if row is None or row.state not in {FileState.OFFLINE, FileState.RECALLING}:
                outcomes.append((file_id, *_settled(row)))
        ticket_rows.close_files(tx, number, outcomes)


def _settled(row: FileRow | None) -> tuple[str, str]:
    if row is not None and row.state is FileState.DUAL:
        return "done", ""
    if row is not None and row.state is FileState.REGULAR:
        return "done", "another file stands at its path"
    return "failed", "its placeholder is gone"


def _ready(ctx: Context, number: int) -> list[FileRow]:
    """Return the waiting files all of whose packs on this ticket can be read."""
    with ctx.catalog.read() as tx:
        cold = {row.pack_no for row in ticket_rows.packs_of(tx, number) if row.state != "warm"}
        waiting = [file.file_id for file in ticket_rows.files_of(tx, number, state="waiting")]
        rows = files.by_ids(tx, waiting)
        offline = [row for row in rows.values() if row.state is FileState.OFFLINE and row.recipe_no is not None]
        needed = recipes.packs_of(tx, list({row.recipe_no for row in offline if row.recipe_no is not None}))
    ready = [row for row in offline if row.recipe_no is not None and cold.isdisjoint(needed[row.recipe_no])]
    return sorted(ready, key=lambda row: (row.root_id, row.dir, row.name))


def _close_recalled(
    ctx: Context, number: int, asked: Sequence[FileRow], skipped: Mapping[str, Skipped], *, otherwise: str = ""
) -> None:
    """Note what became of the files that recall was given; with *otherwise*, the rest failed for that reason."""
    outcomes: list[tuple[int, str, str]] = []
    with ctx.catalog.write() as tx:
        now = files.by_ids(tx, [row.file_id for row in asked])
        for row in asked:
            current = now.get(row.file_id)
            if current is None or current.state not in {FileState.OFFLINE, FileState.RECALLING}:
                outcomes.append((row.file_id, *_settled(current)))
                continue
            item = skipped.get(paths.display(ctx.root(row.root_id).path, row.dir, row.name))
            if item is not None:
                outcomes.append((row.file_id, "waiting" if item.kind in _PASSING else "failed", item.reason))
            elif otherwise:
                outcomes.append((row.file_id, "failed", otherwise))
        ticket_rows.close_files(tx, number, outcomes)


def _close_if_over(ctx: Context, number: int) -> bool:
    """Close the ticket if no file of it waits and, where it has none, its packs are warm. Return whether it waits."""
    with ctx.catalog.write() as tx:
        every = ticket_rows.files_of(tx, number)
        if any(file.state == "waiting" for file in every):
            return True
        if not every and any(row.state != "warm" for row in ticket_rows.packs_of(tx, number)):
            return True
        failed = [file for file in every if file.state == "failed"]
        note = f"{len(failed)} of {len(every)} files failed: {failed[0].note}" if failed else ""
        ticket_rows.close_ticket(tx, number, state="failed" if failed else "done", note=note)
        return False
