"""Who may write to a store: "frostline.json" at its top, created conditionally, re-read before anything destructive.

{"format": 1, "store_id": "...", "catalog_id": "...", "epoch": 1, "claimed": "2026-11-21T04:00:00Z"} and a line break.
The epoch rises each time a rebuilt catalog takes over, so that the old one, should it come back, is refused.
"""

import io
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from tiering.clock import NS_PER_S
from tiering.errors import IntegrityError, NotOwner, ObjectExists, ObjectMissing, StoreUnavailable
from tiering.stores.base import Store
from tiering.stores.checksum import checksum_of

KEY = "frostline.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the file says."""

    format: int
    store_id: str
    """8 characters; stands in every placeholder."""
    catalog_id: str
    epoch: int
    """1 at first; +1 with every take-over."""
    claimed: str
    """UTC, ISO 8601, for a human."""

    @property
    def body(self) -> bytes:
        """The file's bytes."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"


def claim(store: Store, catalog_id: str, store_id: str, now_ns: int, *, storage_class: str = "STANDARD") -> Ownership:
    """Make *catalog_id* the owner of an unowned store; return what is then on record.

    Idempotent: a store this catalog owns already keeps its store id and epoch. Raises NotOwner if another owns it.
    """
    try:
        found = read(store)
    except ObjectMissing:
        _write(store, Ownership(FORMAT, store_id, catalog_id, 1, _text(now_ns)), storage_class, if_absent=True)
        found = read(store)  # also where creates are not conditional: the last writer is the owner
    if found.catalog_id != catalog_id:
        raise _not_owner(store, found)
    return found


def read(store: Store) -> Ownership:
    """Return the record. Raises ObjectMissing for an unowned store, IntegrityError for a damaged or newer record."""
    try:
        values: dict[str, Any] = json.loads(store.get(KEY))
        found = Ownership(
            int(values["format"]),
            str(values["store_id"]),
            str(values["catalog_id"]),
            int(values["epoch"]),
            str(values.get("claimed", "")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{KEY} in {store.url} cannot be read: {error}",
            now="nothing was written to the store",
            hint="run: frostline rebuild, which writes it anew; see docs/runbook.md#not-owner",
        ) from error
    if found.format != FORMAT:
        raise IntegrityError(f"{KEY} in {store.url} has the unknown format {found.format}", hint="update frostline")
    return found


def check(store: Store, catalog_id: str, epoch: int) -> Ownership:
    """Return the record if this catalog, at this epoch, still owns the store; raises NotOwner otherwise.

    An absent record is NotOwner too: an emptied or unmounted store is not this catalog's store. Every destructive job
    asks anew before it deletes.
    """
    try:
        found = read(store)
    except ObjectMissing as error:
        raise NotOwner(
            f"{store.url} carries no {KEY}: it is empty, or not the store it was",
            now="nothing was deleted or written",
            hint="check the URL and the mount; for a store that lost the file: frostline rebuild",
        ) from error
    if (found.catalog_id, found.epoch) != (catalog_id, epoch):
        raise _not_owner(store, found)
    return found


def take_over(store: Store, catalog_id: str, now_ns: int, *, storage_class: str = "STANDARD") -> Ownership:
    """Make *catalog_id* the owner of an owned store, one epoch later; for rebuild alone. Raises ObjectMissing.

    Of two at the same time the last to write wins; the other is told NotOwner here or by its next check().
    """
    before = read(store)
    mine = Ownership(FORMAT, before.store_id, catalog_id, before.epoch + 1, _text(now_ns))
    _write(store, mine, storage_class, if_absent=False)
    return check(store, catalog_id, mine.epoch)


def release(store: Store, catalog_id: str, epoch: int) -> None:
    """Remove the record of a store this catalog leaves. Absent is fine; raises NotOwner if it is another's."""
    try:
        check(store, catalog_id, epoch)
    except NotOwner as error:
        if isinstance(error.__cause__, ObjectMissing):
            return
        raise
    store.delete(KEY)


def _write(store: Store, record: Ownership, storage_class: str, *, if_absent: bool) -> None:
    body = record.body
    try:
        store.put(
            KEY,
            io.BytesIO(body),
            size_bytes=len(body),
            checksum=checksum_of(body),
            storage_class=storage_class,
            if_absent=if_absent,
        )
    except ObjectExists:
        pass  # another was first; the caller reads who
    except StoreUnavailable as error:
        raise StoreUnavailable(
            error.what, now=f"whether {KEY} was written is not known; running it again is safe", hint=error.hint
        ) from error


def _not_owner(store: Store, found: Ownership) -> NotOwner:
    return NotOwner(
        f"{store.url} belongs to catalog {found.catalog_id}, epoch {found.epoch}, since {found.claimed}",
        now="nothing was written to it",
        hint="choose another store; if that catalog is lost, run: frostline rebuild",
    )


def _text(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
