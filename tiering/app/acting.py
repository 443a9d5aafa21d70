"""What precedes every change: the debris of dead processes put right, and the locks that a weak store needs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tiering.catalog import leases
from tiering.jobs.context import Context
from tiering.jobs.reconcile import reconcile
from tiering.stores.probe import writer_lease

LEASE_S = 6 * 3600  # a crashed holder's lease is given up by reconcile; this only bounds a vanished host's


@contextmanager
def acting(context: Context) -> Iterator[None]:
    """Reconcile, then hold the writer lease of every store that cannot tell two writers apart.

    Raises CatalogBusy when another process is writing to such a store.
    """
    reconcile(context)
    with ExitStack() as held:
        names = {writer_lease(tier.capabilities, tier.store.url) for tier in context.tiers.values()}
        for name in sorted(names - {""}):
            held.enter_context(leases.held(context.catalog, name, owner=context.owner, seconds=LEASE_S))
        yield
