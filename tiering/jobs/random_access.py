"""Any range of a stored version, read without bringing the file back; of an archived one only the packs that a range
needs are looked at, and asked for.

Used by tiering.reading, cat and recall.
"""

from typing import BinaryIO

from dedup.values import Span
from tiering.catalog import packs, recipes
from tiering.errors import FrostlineError, UsageError
from tiering.jobs import tickets
from tiering.jobs.block_cache import BlockCache
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.range_restore import open_gate
from tiering.jobs.reports import JobReport
from tiering.jobs.stored_bytes import StoredBytes
from tiering.jobs.stored_paths import place_of, version_of_file
from tiering.jobs.stored_recipes import read_recipes


def open_stored(
    ctx: Context, path: str, cache: BlockCache, *, at_ns: int | None = None, asks: bool = False
) -> StoredBytes:
    """Return the stored version of *path*, as of *at_ns* if given. No pack is looked at before something is read.

    What is archived raises when it is read; with *asks* it is asked for then, on a ticket. Raises UsageError if nothing
    is stored for *path*; what the stores raise.
    """
    place = place_of(ctx, path)
    with ctx.catalog.read() as tx:
        version = version_of_file(tx, place, at_ns)
        row = None if version is None else recipes.get(tx, version.recipe_no)
        if row is None:
            raise UsageError(f"frostline stores nothing for {path}", hint="frostline ls lists what is known")
        known = packs.locate(tx, row.recipe_no)
        rows = packs.by_numbers(tx, {location.block.pack_no for location in known.values()})
    recipe = read_recipes(ctx, [row])[row.recipe_no]
    if isinstance(recipe, FrostlineError):
        raise recipe
    return StoredBytes(ctx, recipe, known, cache, open_gate(ctx, path, rows, asks=asks))


def cat_range(ctx: Context, path: str, out: BinaryIO, span: Span, at_ns: int | None = None) -> None:
    """Write a range of the stored content of *path* to *out*, fewer bytes where the file ends before.

    Raises UsageError if nothing is stored for it, WaitingOnRestore with a ticket for the packs that the range needs if
    any of them is archived; what the stores raise.
    """
    try:
        stored = open_stored(ctx, path, BlockCache(), at_ns=at_ns, asks=True)
        stored.need(span.start, span.length)
        for data in stored.in_order(span.start, min(span.end, stored.size)):
            out.write(data)
    finally:
        charge(ctx, reason="cat")


def recall_range(ctx: Context, path: str, span: Span, *, speed: str = "", deadline_ns: int | None = None) -> JobReport:
    """Ask for the packs that *span* of the stored content of *path* needs, on one ticket; the file stays as it is.

    Nothing is asked for where they can be read. Raises as tickets.request(), and UsageError if nothing is stored.
    """
    stored = open_stored(ctx, path, BlockCache())
    needed = stored.packs_of(span.start, span.length)
    try:
        if stored.gate.are_readable(needed):
            return JobReport(notes=(f"these bytes can be read now: frostline cat {path} --range ...",))
        ticket = tickets.request(
            ctx,
            [],
            speed=speed,
            deadline_ns=deadline_ns,
            by=ctx.owner,
            reason=f"bytes {span.start} to {span.end} of {path}",
            pack_nos=sorted(needed),
        )
    finally:
        charge(ctx, reason="recall")
    told = tickets.waiting(ticket)
    return JobReport(tickets=(ticket.number,), notes=(told.what, told.now, *ticket.remarks))
