"""What has to be restored before some packs can be read: at which speeds, what of it is new, and what that costs.

Used by tickets, which acts on it, and by recall_quote, which only says it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiering.catalog import packs, recipes
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tickets import RestoreRow
from tiering.catalog.transaction import Tx
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
    """Which no speed brings back by the deadline."""


def see(ctx: Context, recipe_nos: Iterable[int], pack_nos: Iterable[int] = ()) -> Seen:
    """Look at the packs that stored versions need, bases included, and at *pack_nos*. Raises store errors."""
    with ctx.catalog.read() as tx:
        needed = recipes.packs_of(tx, list(dict.fromkeys(recipe_nos)))
        numbers = {number for found in needed.values() for number in found} | set(pack_nos)
        rows = packs.by_numbers(tx, numbers)
    every = tuple(rows[number] for number in sorted(rows))
    looked = cold_looks(ctx, every)
    running = frozenset(row.pack_no for row, info in looked if info.readability is Readability.WARMING)
    return Seen(every, tuple(row for row, _ in looked), running)


def terms(ctx: Context, tx: Tx, seen: Seen, *, speed: str = "", deadline_ns: int | None = None) -> Terms:
    """Return what asking for the cold packs of *seen* comes to.

    At *speed*; without one each pack at the cheapest that meets *deadline_ns*, or the fastest there is if none does;
    without either at recall.speed.
    """
    late: list[PackRow] = []
    speeds: dict[int, str] = {}
    for row in seen.cold:
        speeds[row.pack_no] = speed or (
            ctx.config.recall.speed if deadline_ns is None else _in_time(row, deadline_ns - tx.now_ns)
        )
        if deadline_ns is not None and _hours(row, speeds) > (deadline_ns - tx.now_ns) / _HOUR_NS:
            late.append(row)
    known = ticket_rows.restores_of(tx, [row.pack_no for row in seen.cold])
    under_way = {
        number
        for number, row in known.items()
        if _is_under_way(row, is_running=number in seen.running, now_ns=tx.now_ns)
    }
    new = tuple(row for row in seen.cold if row.pack_no not in under_way | seen.running)
    raised = tuple(
        row for row in seen.cold if row.pack_no in under_way and is_slower(known[row.pack_no], speeds[row.pack_no])
    )
    made = quote(ctx, new, speed=speeds, hours_of=seen.cold, raised=raised)
    fastest = max(speeds.values(), key=SPEEDS.index, default=speed or ctx.config.recall.speed)
    return Terms(fastest, speeds, new, raised, made, tuple(late))


def is_slower(row: RestoreRow, speed: str) -> bool:
    """Return whether a pack on its way comes more slowly than at *speed*, as far as its class has that."""
    offered = [offered_speed(row.storage_class, each) for each in (row.speed, speed)]
    return row.state in {"wanted", "warming"} and SPEEDS.index(offered[0]) < SPEEDS.index(offered[1])


def remarks(seen: Seen, asked: Terms, *, speed: str) -> tuple[str, ...]:
    """Return what is not as it was asked for, in sentences."""
    found = []
    slower = sum(bool(speed) and offered_speed(row.storage_class, speed) != speed for row in seen.cold)
    if slower:
        found.append(
            f"DEEP_ARCHIVE offers no {speed} retrieval: {slower} packs are asked for at standard, up to "
            f"{restore_hours('DEEP_ARCHIVE', 'standard'):g} h"
        )
    shared = len(seen.running - {row.pack_no for row in asked.raised})
    if shared:
        found.append(f"{shared} packs are being restored already: they are waited for, and not paid for again")
    if asked.raised:
        found.append(f"{len(asked.raised)} packs are being restored more slowly: the faster restore is paid on top")
    if asked.late:
        hours = max(_hours(row, asked.speeds) for row in asked.late)
        found.append(f"{len(asked.late)} packs cannot be back in time: the fastest takes up to {hours:g} h")
    return tuple(found)


def _in_time(row: PackRow, left_ns: int) -> str:
    """Return the cheapest speed of a pack's class that keeps within *left_ns*, or its fastest."""
    offered = [speed for speed in SPEEDS if offered_speed(row.storage_class, speed) == speed]
    in_time = (speed for speed in offered if restore_hours(row.storage_class, speed) * _HOUR_NS <= left_ns)
    return next(in_time, offered[-1])


def _hours(row: PackRow, speeds: Mapping[int, str]) -> float:
    return restore_hours(row.storage_class, speeds[row.pack_no])


def _is_under_way(row: RestoreRow, *, is_running: bool, now_ns: int) -> bool:
    """Whether a pack that cannot be read is on its way and paid: not where its copy went before it was used."""
    if row.state == "warming":
        return is_running or now_ns < promised_ns(row)
    return row.state == "wanted"
