"""Moves every open ticket on by what is possible now: asks, looks which packs are ready, recalls the files that can be.

The daemon calls it every few minutes and a waiting command as often as it looks. It holds nothing between calls: a
ticket survives restarts because all there is to know is in the catalog, and the provider knows the rest.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tiering.catalog import files, recipes
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tickets import RestoreRow, TicketRow
from tiering.catalog.values import FileRow, FileState
from tiering.clock import NS_PER_DAY
from tiering.errors import IntegrityError, NoSpace, ObjectMissing, RootMissing, StoreError
from tiering.hot import paths
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.recall import recall
from tiering.jobs.reports import JobReport, Skip, Skipped
from tiering.jobs.tally import NamedFile
from tiering.jobs.tickets import ask, extend
from tiering.stores.base import ObjectInfo, Readability

LOOKERS = 8  # HEAD requests at once
EXTEND_BEFORE_NS = NS_PER_DAY  # copies expire at midnight UTC: one that has less than a day may go during a long recall

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
    charge(ctx, reason="tickets")
    if damaged:
        raise damaged[0]
    return report.merged(JobReport(seconds=ctx.clock.monotonic_s() - started_s, notes=tuple(notes)))


def _look(ctx: Context) -> list[str]:
    """Note how readable each pack on its way is now; keep those from expiring that are still needed."""
    with ctx.catalog.read() as tx:
        on_the_way = ticket_rows.restores_in(tx, ("warming", "warm"))
    trouble: list[str] = []
    with ThreadPoolExecutor(LOOKERS, thread_name_prefix="frostline-head") as pool:
        for row, seen in zip(on_the_way, pool.map(lambda row: _seen(ctx, row), on_the_way), strict=True):
            try:
                if isinstance(seen, StoreError):
                    raise seen
                _note(ctx, row, seen)
            except ObjectMissing as error:
                trouble.append(f"{error.what}: the files that need it cannot be recalled")
            except StoreError as error:
                trouble.append(error.what)
    return trouble


def _seen(ctx: Context, row: RestoreRow) -> ObjectInfo | StoreError:
    try:
        return ctx.tier(row.tier).store.head(row.key)
    except StoreError as error:
        return error


def _note(ctx: Context, row: RestoreRow, seen: ObjectInfo) -> None:
    archives = ctx.tier(row.tier).capabilities.archives
    readability = seen.readability if archives else Readability.INSTANT
    if readability is Readability.WARMING:
        return
    if readability is Readability.COLD:
        # Expired before it was used, or the request never took effect: asked for (and paid for) again.
        state, until_ns = "wanted", None
    else:
        state, until_ns = "warm", seen.warm_until_ns or None
    with ctx.catalog.write() as tx:
        ticket_rows.note_restore(tx, row.pack_no, state=state, warm_until_ns=until_ns)
    if state == "warm" and until_ns is not None and until_ns - ctx.clock.now_ns() < EXTEND_BEFORE_NS:
        extend(ctx, row)


def _serve(ctx: Context, ticket: TicketRow) -> JobReport:
    """Recall what is ready of one ticket and close it when nothing waits any more."""
    number = ticket.ticket_no
    _close_settled(ctx, number)
    ready = _ready(ctx, number)
    report = JobReport()
    if ready:
        items = [NamedFile(row.root_id, row.dir, row.name, f"ticket {number}") for row in ready]
        try:
            report = recall(ctx, items, reason=f"ticket {number}")
        except (RootMissing, NoSpace, StoreError) as error:
            return JobReport(tickets=(number,), notes=(f"ticket {number}: {error.what}",))
        except IntegrityError as error:
            _close_recalled(ctx, number, ready, {}, otherwise=error.what)
            _close_if_over(ctx, number)
            raise
        skipped = {item.path: item for item in report.files_skipped}
        _close_recalled(ctx, number, ready, skipped)
    waits = _close_if_over(ctx, number)
    return replace(report, tickets=(number,) if waits else (), seconds=0.0)


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
