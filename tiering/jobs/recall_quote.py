"""What a recall would take, in bytes, dollars and hours, by speed: said before anything is asked for.

Used by `recall --quote`. It looks at the archived packs (requests that are booked like all others) and changes
nothing else. Packs are counted whole, with those that hold only what the files' blocks are coded against.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from policies.cost import early_delete_usd
from tiering.catalog import files, recipes
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileRow, FileState, PackRow
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context
from tiering.jobs.recall_budget import Budget, budgets
from tiering.jobs.recall_terms import Seen, Terms, remarks, see, terms
from tiering.jobs.restore_cost import HOUR_NS
from tiering.jobs.tally import FileItem
from tiering.jobs.tickets import check_speed
from tiering.stores.archive import SPEEDS, offered_speed


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to ask."""

    speed: str
    usd_nano: int
    """Requests, retrieval, and the readable copies until they go."""
    hours: float
    """The longest it should take."""
    is_in_time: bool
    """Also True where no deadline was named."""
    is_in_budget: bool


@dataclass(frozen=True, slots=True)
class RecallQuote:
    """See the module docstring."""

    files: int
    """Offline, and so to be brought back; 0 of a range."""
    file_bytes: int
    packs: int
    """All that are needed, in whatever class."""
    pack_bytes: int
    base_packs: int
    """Of those, needed only because others hold blocks that are coded against theirs."""
    cold_packs: int
    """Not readable now."""
    running_packs: int
    """Of those, on their way already, and not paid for again."""
    new_packs: int
    """To be asked for and paid."""
    new_bytes: int
    offers: tuple[Offer, ...]
    """By speed, the slowest first; empty where nothing has to be paid."""
    chosen: Offer
    """What recall would do with the same options."""
    budgets: tuple[Budget, ...]
    early_delete_nano: int
    """What deleting the needed packs today would cost for the rest of their minimum stays. A recall deletes none."""
    remarks: tuple[str, ...]


def quote_recall(
    ctx: Context, items: Iterable[FileItem], *, speed: str = "", deadline_ns: int | None = None
) -> RecallQuote:
    """Return what recall() of *items* with these options would take. Raises UsageError, store errors of the look."""
    wanted = _Wanted()
    for batch in batches(items):
        with ctx.catalog.read() as tx:
            rows = [files.get(tx, item.root_id, item.dir, item.name) for item in batch]
            wanted.add(tx, [row for row in rows if row is not None and row.state is FileState.OFFLINE])
    return _quote(ctx, see(ctx, [], wanted.packs), wanted, speed=speed, deadline_ns=deadline_ns)


def quote_packs(
    ctx: Context, pack_nos: Collection[int], *, speed: str = "", deadline_ns: int | None = None
) -> RecallQuote:
    """Return what making these packs readable would take: those that hold a range of a file."""
    return _quote(ctx, see(ctx, [], pack_nos), _Wanted(), speed=speed, deadline_ns=deadline_ns)


@dataclass(slots=True)
class _Wanted:
    """The files that are to be brought back, added up."""

    files: int = 0
    size_bytes: int = 0
    packs: set[int] = field(default_factory=set)
    """All that are needed."""
    used: set[int] = field(default_factory=set)
    """Those that hold something of the files themselves."""

    def add(self, tx: Tx, rows: Sequence[FileRow]) -> None:
        stored = [(row, row.recipe_no) for row in rows if row.recipe_no is not None]
        self.files += len(stored)
        self.size_bytes += sum(row.size for row, _ in stored)
        numbers = list(dict.fromkeys(number for _, number in stored))
        self.packs.update(pack_no for found in recipes.packs_of(tx, numbers).values() for pack_no in found)
        self.used |= ticket_rows.used_packs(tx, numbers)


def _quote(
    ctx: Context,
    seen: Seen,
    wanted: _Wanted,
    *,
    speed: str,
    deadline_ns: int | None,
) -> RecallQuote:
    check_speed(speed)
    with ctx.catalog.read() as tx:
        limits = tuple(budgets(ctx, tx))
        asked = terms(ctx, tx, seen, speed=speed, deadline_ns=deadline_ns)
        offered = [each for each in SPEEDS if any(offered_speed(row.storage_class, each) == each for row in asked.new)]
        offers = [terms(ctx, tx, seen, speed=each, deadline_ns=deadline_ns) for each in offered]
        base_packs = len(seen.needed) - len(wanted.used) if wanted.files else 0
        early = sum(_rest_of_stay(ctx, tx, row) for row in seen.needed)
    return RecallQuote(
        files=wanted.files,
        file_bytes=wanted.size_bytes,
        packs=len(seen.needed),
        pack_bytes=sum(row.size for row in seen.needed),
        base_packs=base_packs,
        cold_packs=len(seen.cold),
        running_packs=len(seen.cold) - len(asked.new),
        new_packs=len(asked.new),
        new_bytes=sum(row.size for row in asked.new),
        offers=tuple(_offer(each, limits) for each in offers),
        chosen=_offer(asked, limits),
        budgets=limits,
        early_delete_nano=early,
        remarks=remarks(seen, asked, speed=speed),
    )


def _offer(asked: Terms, limits: Sequence[Budget]) -> Offer:
    usd_nano = asked.quote.usd_nano
    in_budget = all(usd_nano <= limit.usd_nano for limit in limits)
    return Offer(asked.speed, usd_nano, asked.quote.hours, is_in_time=not asked.late, is_in_budget=in_budget)


def _rest_of_stay(ctx: Context, tx: Tx, row: PackRow) -> int:
    held_hours = max(0, (tx.now_ns - row.created_ns) // HOUR_NS)
    storage_class = price_class(ctx, row.tier, row.storage_class)
    return early_delete_usd(price_book(ctx.config), storage_class, row.size, held_hours=held_hours)
