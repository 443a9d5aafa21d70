"""What only one process may do at a time, where nothing was put right before: a dead one's hold counts for nothing.

Used by what runs without tiering.jobs.reconcile, which frees such holds for everybody else.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tiering.catalog import leases
from tiering.jobs.context import Context
from tiering.jobs.processes import is_dead


@contextmanager
def alone(ctx: Context, lease: str, *, seconds: int) -> Iterator[None]:
    """Hold *lease* against other processes.

    Raises CatalogBusy while one that lives, or may live, has it.
    """
    with ctx.catalog.write() as tx:
        found = leases.holder(tx, lease)
        if found is not None and is_dead(found[0], mine=ctx.owner):
            leases.release(tx, lease, owner=found[0])
    with leases.held(ctx.catalog, lease, owner=ctx.owner, seconds=seconds):
        yield
