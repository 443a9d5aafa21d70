"""doctor's look at restores from archives: on their way, about to expire, and asked for at a speed there is not."""

from collections.abc import Iterator

from policies.amounts import say_bytes, say_time
from tiering.catalog import tickets
from tiering.clock import NS_PER_DAY
from tiering.jobs.context import Context
from tiering.jobs.finding import Finding, Weight
from tiering.jobs.restore_cost import promised_ns

SOON_NS = NS_PER_DAY


def restore_findings(ctx: Context) -> Iterator[Finding]:
    """Yield what is to be said of restores, as the last look at them left it."""
    with ctx.catalog.read() as tx:
        now_ns = tx.now_ns
        rows = tickets.restores_in(tx, ["warming", "warm"])
        opened = tickets.in_state(tx)
        needed = {row.pack_no for ticket in opened for row in tickets.packs_of(tx, ticket.ticket_no)}
    warming = [row for row in rows if row.state == "warming"]
    if warming:
        ready_ns = max(promised_ns(row) for row in warming)
        when = f"in at most {say_time(ready_ns - now_ns)}" if ready_ns > now_ns else "and should be through by now"
        yield Finding(
            Weight.GOOD if ready_ns > now_ns else Weight.NOTE,
            f"{len(warming):,} packs are being restored, {say_bytes(sum(row.size for row in warming))}, {when}: asking "
            "again starts nothing, and costs nothing",
            "" if ready_ns > now_ns else "frostline cycle, or the daemon, looks at them again",
        )
    expiring = [row for row in rows if row.state == "warm" and 0 < (row.warm_until_ns or 0) - now_ns <= SOON_NS]
    still_needed = [row for row in expiring if row.pack_no in needed]
    if still_needed:
        left_ns = min(row.warm_until_ns or 0 for row in still_needed) - now_ns
        yield Finding(
            Weight.NOTE,
            f"the readable copies of {len(still_needed):,} packs expire in {say_time(left_ns)}, and open tickets need "
            "them: the next look at tickets reads them, or keeps them for one request each",
            "let the daemon run, or: frostline cycle --yes; after they expired they are restored, and paid, again",
        )
    elif expiring:
        left_ns = min(row.warm_until_ns or 0 for row in expiring) - now_ns
        yield Finding(
            Weight.GOOD, f"{len(expiring):,} readable copies expire in {say_time(left_ns)}; nobody needs them"
        )
    slow = [row for row in warming if row.storage_class == "DEEP_ARCHIVE"]
    hasty = {ticket.ticket_no for ticket in opened if ticket.speed == "expedited"}
    if slow and hasty:
        yield Finding(
            Weight.NOTE,
            f"ticket {min(hasty)} asks for expedited: DEEP_ARCHIVE has no such speed, and {len(slow):,} packs come at "
            "standard",
            "12 hours are the shortest for them; keep what is wanted within minutes in GLACIER or warmer",
        )
