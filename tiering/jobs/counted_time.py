"""How late it is for what ends with time: retentions, and the grace of doomed packs.

Used by gc alone. A clock that was set wrong by months would end them all in one run, for good (P5: deletion is slow and
doubted). So a leap of the clock counts only once something has been recorded on its other side, and the grace
period went by since: by then somebody has noticed, or it was right, and the machine had been off. (The ledger does not
tell: what storage cost meanwhile is booked hour by hour, after the leap.)
"""

from itertools import pairwise

from tiering.catalog import runs, segments
from tiering.clock import NS_PER_DAY
from tiering.jobs.context import Context

LEAP_NS = 8 * NS_PER_DAY  # the daemon writes a segment by the hour; where there is none, gc may be run once a week
MARK = "gc.time"
"""What the marks are called among the runs: where nothing else is recorded, gc says by them that it was there."""


def counted_ns(ctx: Context) -> int:
    """Return the clock's time without its leaps that are younger than gc.grace; 0 s of grace doubts nothing.

    A leap is a time of more than LEAP_NS in which no segment and no mark was written.
    """
    now_ns = ctx.clock.now_ns()
    lived = _lived(ctx, now_ns)
    return now_ns - sum(later - before for before, later in pairwise(lived) if later - before > LEAP_NS)


def mark(ctx: Context) -> None:
    """Note that frostline is there at this time, unless the last day has a note of it already."""
    now_ns = ctx.clock.now_ns()
    before = [at_ns for at_ns in _lived(ctx, now_ns) if at_ns < now_ns]
    if not before or before[-1] < now_ns - NS_PER_DAY:
        with ctx.catalog.write() as tx:
            runs.finish(tx, runs.start(tx, MARK, owner=ctx.owner), outcome="done", detail="{}")


def _lived(ctx: Context, now_ns: int) -> list[int]:
    """Return when something was recorded since the grace period began, the last time before that, and now."""
    since_ns = now_ns - ctx.config.gc.grace_ns
    with ctx.catalog.read() as tx:
        written = segments.times(tx, since_ns=since_ns, until_ns=now_ns)
        marked = [row.started_ns for row in runs.since(tx, MARK, since_ns=0) if row.started_ns <= now_ns]
    times = sorted({*written, *marked, now_ns})
    first = max((number for number, at_ns in enumerate(times) if at_ns <= since_ns), default=0)
    return times[first:]
