"""What has to be restored before some packs can be read: at which speeds, what of it is new, and what that costs.

Used by tickets, which acts on it, and by recall_quote, which only says it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tiering.catalog import packs, recipes
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tickets import RestoreRow
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import PackRow
from tiering.clock import NS_PER_S
from tiering.jobs.context import Context
from tiering.jobs.restore_cost import Quote, promised_ns, quote
from tiering.jobs.restore_looks import cold_looks
from tiering.stores.archive import SPEEDS, offered_speed, restore_hours
from tiering.stores.base import Readability

_HOUR_NS = 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Seen:
    """Packs as their stores say they are."""

    needed: tuple[PackRow, ...]
    """All of them."""
    cold: tuple[PackRow, ...]
    """Those that cannot be read before they are restored."""
    running: frozenset[int]
    """Numbers of those among the cold that are being restored already, whoever asked."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a request would be made."""

    speed: str
    """The fastest among the packs' own."""
    speeds: Mapping[int, str]
    """By pack number, of every cold pack."""
    new: tuple[PackRow, ...]
    """Not on their way: to be asked for and paid."""
    raised: tuple[PackRow, ...]
    """On their way more slowly than is wanted now: to be asked for again, and paid on top."""
    quote: Quote
    late: tuple[PackRow, ...]
    """Which do not come by the deadline."""


def see(ctx: Context, recipe_nos: Iterable[int], pack_nos: Iterable[int] = ()) -> Seen:
    """Look at the packs that stored versions need, bases included, and at *pack_nos*. Raises store errors."""
    numbers = set(pack_nos)
    for batch in batches(recipe_nos):
        with ctx.catalog.read() as tx:
            numbers.update(number for found in recipes.packs_of(tx, batch).values() for number in found)
    with ctx.catalog.read() as tx:
        rows = packs.by_numbers(tx, numbers)
    every = tuple(rows[number] for number in sorted(rows))
    looked = cold_looks(ctx, every)
    running = frozenset(row.pack_no for row, info in looked if info.readability is Readability.WARMING)
    return Seen(every, tuple(row for row, _ in looked), running)


def terms(ctx: Context, tx: Tx, seen: Seen, *, speed: str = "", deadline_ns: int | None = None) -> Terms:
    """Return what asking for the cold packs of *seen* comes to.

    At *speed*; without one each pack at the cheapest that meets *deadline_ns*, or the fastest there is if none does;
    without either at recall.speed. What is on its way is asked for again only for a *speed*, or to meet the deadline.
    """
    left_ns = None if deadline_ns is None else deadline_ns - tx.now_ns
    usual = speed or ctx.config.recall.speed
    speeds = {row.pack_no: usual if speed or left_ns is None else _in_time(row, left_ns) for row in seen.cold}
    known = ticket_rows.restores_of(tx, [row.pack_no for row in seen.cold])
    left = {
        number: _left_ns(row, tx.now_ns)
        for number, row in known.items()
        if _is_under_way(row, is_running=number in seen.running, now_ns=tx.now_ns)
    }
    new = tuple(row for row in seen.cold if row.pack_no not in left.keys() | seen.running)
    raised = tuple(
        row
        for row in seen.cold
        if row.pack_no in left
        and is_slower(known[row.pack_no], speeds[row.pack_no])
        and (speed or (left_ns is not None and left[row.pack_no] > left_ns))
    )
    asked = {row.pack_no for row in (*new, *raised)}
    waits = {
        row.pack_no: round(restore_hours(row.storage_class, speeds[row.pack_no]) * _HOUR_NS)
        if row.pack_no in asked or row.pack_no not in left
        else left[row.pack_no]
        for row in seen.cold
    }
    made = quote(ctx, new, speed=speeds, raised=raised)
    made = replace(made, hours=max(waits.values(), default=0) / _HOUR_NS)
    late = tuple(row for row in seen.cold if left_ns is not None and waits[row.pack_no] > left_ns)
    fastest = max(speeds.values(), key=SPEEDS.index, default=usual)
    return Terms(fastest, speeds, new, raised, made, late)


def is_slower(row: RestoreRow, speed: str) -> bool:
    """Return whether a pack on its way comes more slowly than at *speed*, as far as its class has that."""
    offered = [offered_speed(row.storage_class, each) for each in (row.speed, speed)]
    return row.state in {"wanted", "warming"} and SPEEDS.index(offered[0]) < SPEEDS.index(offered[1])


def remarks(seen: Seen, asked: Terms, *, speed: str) -> tuple[str, ...]:
    """Return what is not as it was asked for, in sentences."""
    found = []
    lacking = [row.storage_class for row in seen.cold if speed and offered_speed(row.storage_class, speed) != speed]
    for storage_class in dict.fromkeys(lacking):
        found.append(
            f"{storage_class} offers no {speed} retrieval: {lacking.count(storage_class)} packs are asked for at "
            f"standard, up to {restore_hours(storage_class, 'standard'):g} h"
        )
    shared = len(seen.running - {row.pack_no for row in asked.raised})
    if shared:
        found.append(f"{shared} packs are being restored already: they are waited for, and not paid for again")
    if asked.raised:
        found.append(f"{len(asked.raised)} packs are being restored more slowly: the faster restore is paid on top")
    if asked.late:
        found.append(f"{len(asked.late)} packs will not be back in time: it takes up to {asked.quote.hours:g} h")
    return tuple(found)


def _in_time(row: PackRow, left_ns: int) -> str:
    """Return the cheapest speed of a pack's class that keeps within *left_ns*, or its fastest."""
    offered = [speed for speed in SPEEDS if offered_speed(row.storage_class, speed) == speed]
    in_time = (speed for speed in offered if restore_hours(row.storage_class, speed) * _HOUR_NS <= left_ns)
    return next(in_time, offered[-1])


def _left_ns(row: RestoreRow, now_ns: int) -> int:
    """Return how long a pack on its way takes at most; a whole restore where nobody knows when it began."""
    if row.requested_ns is None:
        return round(restore_hours(row.storage_class, row.speed) * _HOUR_NS)
    return max(0, promised_ns(row) - now_ns)


def _is_under_way(row: RestoreRow, *, is_running: bool, now_ns: int) -> bool:
    """Whether a pack that cannot be read is on its way and paid: not where its copy went before it was used."""
    if row.state == "warming":
        return is_running or now_ns < promised_ns(row)
    return row.state == "wanted"
