"""accrue: book what storage cost until now, and what it would have cost had everything stayed hot.

Called by the daemon, cycle and leave. Runs twice: the second time books nothing. Whoever takes objects out of a store
calls it before. What is booked, and how, is told in tiering.jobs.storage_hours.
"""

from tiering.config.policy import price_book
from tiering.jobs.charges import metered_once
from tiering.jobs.context import Context
from tiering.jobs.pack_reads import note_reads
from tiering.jobs.storage_hours import book_hours


def accrue(ctx: Context) -> int:
    """Book every whole hour that has passed and is not booked; return how many. Raises ConfigError (prices)."""
    book = price_book(ctx.config)
    noted = [(tier.name, tier.meter) for tier in metered_once(ctx)]
    note_reads(ctx.config, ctx.catalog, book, noted)  # what was read since is warm from then on
    return book_hours(ctx.config, ctx.catalog, book, stop=ctx.stop)
