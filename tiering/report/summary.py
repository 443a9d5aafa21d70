"""The state of an installation in one line, for `systemctl status` and the daemon's log."""

from policies.amounts import say_bytes
from tiering.catalog import tickets
from tiering.catalog.totals import totals_of
from tiering.catalog.values import FileState
from tiering.jobs.context import Context


def summary(context: Context) -> str:
    """Return e.g. "armed; hot 1.20 TiB, offline 3.40 TiB; 2 tickets open"."""
    with context.catalog.read() as tx:
        totals = totals_of(tx)
        waiting = len(tickets.in_state(tx))
    offline = sum(totals[state].size_bytes for state in (FileState.OFFLINE, FileState.RECALLING) if state in totals)
    hot = sum(
        totals[state].size_bytes
        for state in (FileState.REGULAR, FileState.MIGRATING, FileState.DUAL)
        if state in totals
    )
    parts = ["armed" if context.config.act else "looking only (act = false)"]
    parts.append(f"hot {say_bytes(hot)}, offline {say_bytes(offline)}")
    if waiting:
        parts.append(f"{waiting} tickets open")
    return "; ".join(parts)
