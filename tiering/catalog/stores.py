"""Stores: what each was seen to do, whose it is, and the bytes of its ownership file."""

from dataclasses import dataclass

from sqlalchemy import select

from tiering.catalog import accounts, outbox, records
from tiering.catalog.accounts import Amounts
from tiering.catalog.booking import book
from tiering.catalog.tables import stores
from tiering.catalog.transaction import Tx, own_insert


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One store as last probed."""

    url: str
    store_id: str
    epoch: int
    capabilities: str
    """JSON of stores.base.Capabilities."""
    probed_ns: int
    tier: str
    """A tier on this store: the ownership file's bytes are booked there."""
    ownership_bytes: int
    """Size of frostline.json."""


def get(tx: Tx, url: str) -> StoreRow | None:
    """Return what is known of a store."""
    row = tx.conn.execute(select(stores).where(stores.c.url == url)).one_or_none()
    return None if row is None else StoreRow(*row)


def every(tx: Tx) -> list[StoreRow]:
    """Return all stores, by URL."""
    return [StoreRow(*row) for row in tx.conn.execute(select(stores).order_by(stores.c.url))]


def put(tx: Tx, row: StoreRow) -> None:
    """Write a store's row; a change of its ownership file's size is booked as metadata in the same transaction."""
    before = get(tx, row.url)
    values = {name: getattr(row, name) for name in StoreRow.__dataclass_fields__}
    statement = own_insert(tx, stores).values(values)
    tx.conn.execute(statement.on_conflict_do_update(index_elements=["url"], set_=values))
    if before is None or (before.store_id, before.epoch, before.tier) != (row.store_id, row.epoch, row.tier):
        outbox.append(tx, [records.store(url=row.url, store_id=row.store_id, epoch=row.epoch, tier=row.tier)])
    amounts = Amounts()
    for sign, standing in ((-1, before), (+1, row)):
        if standing is not None:
            amounts.add(accounts.BUCKET_METADATA, sign * standing.ownership_bytes, standing.tier)
            amounts.add(accounts.BUCKET_TOTAL, -sign * standing.ownership_bytes, standing.tier)
    book(tx, amounts, op_id=f"store:{row.store_id}:{row.epoch}", kind="store", reason="ownership file written")
