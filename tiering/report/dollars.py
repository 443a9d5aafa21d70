"""What one file costs, line by line, in the dollars that the ledger books for it. Used by explain.

Of a file that has a stored copy everything is known: the lines of a month add up to what accrue books for it in 730
hours, and the lines of what happened once to what was booked for its requests. Segments and other traffic of the
catalog belong to no file.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from policies.amounts import say_bytes, say_usd
from policies.cooling import monitoring_rate, step_at, step_rate
from policies.cost import UNIT, accrue, accrue_at
from policies.prices import MONTH_HOURS, PriceBook
from tiering.catalog import pack_notes, shares
from tiering.catalog.shares import PackShare
from tiering.catalog.values import FileRow, FileState, PackRow
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context
from tiering.jobs.storage_rates import ladder

HOT_STATES = frozenset({FileState.REGULAR, FileState.DUAL, FileState.MIGRATING})
MONTH, ONCE, BASELINE = "month", "once", "baseline"


@dataclass(frozen=True, slots=True)
class Line:
    """One amount."""

    when: str
    """MONTH, ONCE, or BASELINE (what a month all on the hot tier would cost)."""
    tier: str
    nano: int
    said: str
    """The arithmetic."""


def lines_of(context: Context, row: FileRow) -> list[Line]:
    """Return what the file costs a month where it is, what its stored copy cost once, and the baseline."""
    book = price_book(context.config)
    hot = context.config.hot.nano_per_gib_month
    baseline = accrue_at(hot, row.size, hours=MONTH_HOURS)
    said = f"{say_bytes(row.size)} x {say_usd(hot)} per GiB-month"
    lines = [Line(BASELINE, "hot", baseline, said)]
    if row.state in HOT_STATES:
        lines.append(Line(MONTH, "hot", baseline, said))
    if row.recipe_no is not None:
        with context.catalog.read() as tx:
            found = shares.shares_of(tx, row.recipe_no)
        for share in found:
            lines += _of_pack(context, book, share)
    return lines


def saved_nano_month(lines: list[Line]) -> int:
    """Return the baseline less what a month costs."""
    return sum(line.nano * (1 if line.when == BASELINE else -1) for line in lines if line.when != ONCE)


def _of_pack(context: Context, book: PriceBook, share: PackShare) -> Iterator[Line]:
    pack = share.pack
    if pack.tier not in context.config.tiers:
        return
    is_recipe = pack.kind != "data"
    name = price_class(context, pack.tier, pack.storage_class)
    own = context.config.tiers[pack.tier].nano_per_gib_month
    if own is not None:
        whole = accrue_at(own, pack.size, hours=MONTH_HOURS)
    else:
        whole, name = _month_of(context, book, pack, name, objects=0 if is_recipe else 1)
    part = "all" if share.part == 1 else f"{float(share.part):.3%}"
    what = f"{part} of {'recipe pack' if is_recipe else 'pack'} {pack.key.rpartition('/')[2][:12]}"
    yield Line(
        MONTH, pack.tier, int(whole * share.part), f"{what}: {say_bytes(pack.size)} of {name}, {say_usd(whole)} a month"
    )
    put = book.price(price_class(context, pack.tier, pack.storage_class)).put_nano
    yield Line(ONCE, pack.tier, int(put * share.part), f"{what}: one request of {say_usd(put)}")


def _month_of(context: Context, book: PriceBook, pack: PackRow, name: str, *, objects: int) -> tuple[int, str]:
    """Return what a pack costs in a month as it is now, and what it is called: with its access tier, where it has."""
    found = ladder(context.config, book, pack.tier, name) if objects else ()
    if not found or pack.size < book.price(name).monitor_min_bytes:
        return accrue(book, name, pack.size, hours=MONTH_HOURS, objects=objects), name
    with context.catalog.read() as tx:
        warm_ns = max(pack.created_ns, pack_notes.reads_of(tx, [pack.pack_no]).get(pack.pack_no, 0))
        step = found[step_at(found, tx.now_ns - warm_ns)]
    rate = step_rate(book, step, pack.size, objects) + monitoring_rate(book.price(name), objects)
    return rate * MONTH_HOURS // UNIT, f"{name} ({step.name})"
