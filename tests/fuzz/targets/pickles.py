"""Pickles: recorded, their storages listed, and nothing else happens."""

import sys

from dedup.formats.pickles import Machine
from dedup.formats.segmentation import REFUSALS
from dedup.formats.storages import storages_of


def fuzz(data: bytes) -> None:
    """Record *data*."""
    loaded = len(sys.modules)
    try:
        found = storages_of(Machine(data).run())
    except REFUSALS:
        found = {}
    assert all(len(storage.name) <= 512 for storage in found.values())
    assert len(sys.modules) == loaded
