"""Deletes small objects of our own for good, also from a store that would only hide them behind a delete marker."""

from collections.abc import Iterable

from tiering.errors import ObjectLocked, ObjectMissing, StoreDenied
from tiering.stores.base import Store


def remove(store: Store, keys: Iterable[str]) -> None:
    """Delete *keys*, each with the version that stands. What may not go for good is hidden. Absent is fine."""
    keeps_versions = True
    for key in keys:
        version_id = ""
        if keeps_versions:
            try:
                version_id = store.head(key).version_id
            except ObjectMissing:
                continue
            keeps_versions = bool(version_id)  # asked of the first; a bucket keeps them of all or of none
        try:
            store.delete(key, version_id=version_id)
        except (ObjectLocked, StoreDenied):
            if not version_id:
                raise
            store.delete(key)
