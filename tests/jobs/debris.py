"""What tests of gc, reconcile and audit put into stores and rows: objects of dead processes, and of nobody."""

import io

from tests.jobs.lab import Lab
from tiering.catalog import packs
from tiering.catalog.values import PackState, PendingPack
from tiering.stores.checksum import checksum_of

DEAD = "test:99999999:boot"
"""Owner of what a dead process left: its pid is beyond any there is."""


def put(lab: Lab, key: str, body: bytes, *, tier: str = "standard") -> None:
    """Put an object behind the catalog's back."""
    lab.context.tiers[tier].store.put(
        key, io.BytesIO(body), size_bytes=len(body), checksum=checksum_of(body), storage_class="STANDARD"
    )


def pending(lab: Lab, key: str, size: int, *, owner: str = DEAD) -> None:
    """Write the pending row that precedes an upload."""
    with lab.catalog.write() as tx:
        packs.add_pending(tx, PendingPack(key, "data", "standard", "STANDARD", size, 64, "crc32:0", owner))


def plant(lab: Lab, key: str, body: bytes) -> None:
    """Leave what a kill between upload and commit leaves: the object and its pending row."""
    pending(lab, key, len(body))
    put(lab, key, body)


def state_of(lab: Lab, key: str) -> PackState | None:
    """Return the state of the row that names *key*, None if there is none."""
    with lab.catalog.read() as tx:
        row = packs.by_keys(tx, [key]).get(key)
    return None if row is None else row.state


def keys(lab: Lab, prefix: str, *, tier: str = "standard") -> list[str]:
    """Return the keys below a prefix."""
    return [info.key for info in lab.context.tiers[tier].store.list(prefix)]
