"""A ticket for more packs than are looked at together: all are asked for, seen, and listed for once."""

import io
from dataclasses import replace

import pytest
from sqlalchemy import insert

from tests.jobs.lab import Lab
from tests.stores.faults import FaultyStore
from tiering.catalog import tickets as ticket_rows
from tiering.catalog.tables import packs
from tiering.catalog.tickets import PAGE, NewTicket
from tiering.jobs import tickets
from tiering.jobs.advance import advance
from tiering.stores.checksum import checksum_of

COUNT = PAGE + 2000


@pytest.mark.heavy
def test_no_pack_of_a_large_ticket_is_forgotten(lab: Lab) -> None:
    tier = lab.context.tiers["archive"]
    store = FaultyStore(tier.store)
    context = replace(lab.context, tiers={**lab.context.tiers, "archive": replace(tier, store=store)})
    keys = [f"packs/{number % 256:02x}/{number:06}" for number in range(COUNT)]
    for key in keys:
        tier.store.put(key, io.BytesIO(b"x"), size_bytes=1, checksum=checksum_of(b"x"), storage_class="DEEP_ARCHIVE")
    row = {"kind": "data", "tier": "archive", "storage_class": "DEEP_ARCHIVE", "state": "live", "size": 1}
    row |= {"framing": 0, "checksum": "", "created_ns": 0, "owner": ""}
    with lab.catalog.write() as tx:
        tx.conn.execute(insert(packs), [{**row, "key": key} for key in keys])
        numbers = tuple(tx.conn.execute(packs.select()).scalars())
        new = NewTicket("standard", "all of it", "me", None, "", (), numbers)
        number = ticket_rows.open_ticket(tx, new)

    assert advance(context).tickets == (number,)

    assert store.count("restore") == COUNT
    lab.clock.advance(13 * 3600)
    store.calls.clear()
    assert advance(context).tickets == ()
    assert tickets.open_tickets(context) == []
    assert store.count("head") == 0  # the listing said it
    assert COUNT <= store.count("list") <= COUNT + 10  # counted by object: none twice, though the rows came in pages
