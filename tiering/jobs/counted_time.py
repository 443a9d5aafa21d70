"""How late it is for what ends with time: retentions, and the grace of doomed packs.

Used by gc alone. A clock that was set wrong by months would end them all in one run, for good (P5: deletion is slow and
doubted). So a leap of the clock counts only once segments have been written on its other side for the grace period: by
then somebody has noticed, or it was right, and the machine had been off. (The ledger does not tell: what storage cost
meanwhile is booked hour by hour, after the leap.)
"""

from tiering.catalog import segments
from tiering.clock import NS_PER_DAY
from tiering.jobs.context import Context

LEAP_NS = 8 * NS_PER_DAY  # the daemon writes a segment by the hour; where there is none, gc may be run once a week
PAGE = 1000


def counted_ns(ctx: Context) -> int:
    """Return the clock's time without its leaps that are younger than gc.grace; 0 s of grace doubts nothing.

    A leap is a time of more than LEAP_NS in which no segment was written. Reads the rows of the last ones.
    """
    now_ns = ctx.clock.now_ns()
    since_ns = now_ns - ctx.config.gc.grace_ns
    leapt_ns, later_ns, before_no = 0, now_ns, None
    with ctx.catalog.read() as tx:
        while since_ns < now_ns and (page := segments.times(tx, before_no=before_no, limit=PAGE)):
            for _, at_ns in page:
                if at_ns > later_ns:
                    continue  # written while the clock was ahead
                if later_ns - at_ns > LEAP_NS:
                    leapt_ns += later_ns - at_ns
                later_ns = at_ns
                if at_ns <= since_ns:
                    return now_ns - leapt_ns
            before_no = page[-1][0]
    return now_ns - leapt_ns
