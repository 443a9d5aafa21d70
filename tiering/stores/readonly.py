"""A store that can be looked at and not changed: for estimates, audits by others, and restores from somebody's
bucket.
"""

from collections.abc import Callable
from typing import TypeVar

from tiering.errors import StoreDenied
from tiering.stores.base import ArchiveStore, Store
from tiering.stores.wrapper import Operation, RestoreOperations, Wrapper

T = TypeVar("T")

_HARMLESS = frozenset({"get", "head", "list", "list_uploads"})


class ReadOnlyStore(Wrapper):
    """Refuses everything that changes the store or costs more than a read; a restore request does both."""

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        """See Wrapper. Raises StoreDenied."""
        if operation.kind not in _HARMLESS:
            raise StoreDenied(
                f"{self.url} is open for reading only: {operation.kind} {operation.key} was refused",
                now="nothing was sent to the store",
                hint="run this from the installation that owns the store",
            )
        return call()


class ReadOnlyArchive(RestoreOperations, ReadOnlyStore):
    """The same over an ArchiveStore."""


def read_only(store: Store) -> Store:
    """Return *store* without what changes it."""
    return ReadOnlyArchive(store) if isinstance(store, ArchiveStore) else ReadOnlyStore(store)
