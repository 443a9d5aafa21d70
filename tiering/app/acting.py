"""What precedes every change: the debris of dead processes put right, and the locks that a weak store needs; and what
follows it: the bucket is told.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tiering.catalog import leases
from tiering.clock import NS_PER_S
from tiering.errors import CatalogBusy
from tiering.jobs import segments
from tiering.jobs.context import Context
from tiering.jobs.reconcile import reconcile
from tiering.stores.probe import writer_lease

LEASE_S = (
    24 * 3600
)  # a dead holder's lease is freed by reconcile on its host; this bounds what a vanished host holds up


@contextmanager
def acting(context: Context) -> Iterator[None]:
    """Reconcile, then hold the writer lease of every store that cannot tell two writers apart; in the end write what
    was committed to a segment, so that a rebuild knows of it even if nothing runs here any more (P3).

    Raises CatalogBusy when another process is writing to such a store, and at the end what the stores raise.
    """
    reconcile(context)
    with ExitStack() as held:
        for name in writer_leases(context):
            held.enter_context(leases.held(context.catalog, name, owner=context.owner, seconds=LEASE_S))
        yield
        try:
            segments.flush(context)
        except CatalogBusy:
            pass  # another process is writing one: that or its next takes ours along


def renew(context: Context) -> None:
    """Hold the writer leases for another LEASE_S; for processes that run longer."""
    names = writer_leases(context)
    if names:
        with context.catalog.write() as tx:
            for name in names:
                leases.acquire(tx, name, owner=context.owner, until_ns=tx.now_ns + LEASE_S * NS_PER_S)


def writer_leases(context: Context) -> list[str]:
    """Return the names of the leases that whoever writes must hold; none where creates are conditional."""
    return sorted({writer_lease(tier.capabilities, tier.store.url) for tier in context.tiers.values()} - {""})
