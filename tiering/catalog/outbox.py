"""The outbox: records of state changes, written in the same transaction as the change, that await a segment.

A record is one JSON object with a `record` key that names its kind; docs/records.md lists them. Numbers are
integers, paths are str by os.fsdecode (surrogateescape), everything is ASCII on the wire.
"""

import json
from collections.abc import Iterable, Mapping

from tiering.catalog.tables import outbox
from tiering.catalog.transaction import Tx, fetch_raw, insert_many

Record = Mapping[str, object]

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def encode(record: Record) -> str:
    """Return the one spelling of *record*: sorted keys, no spaces, ASCII."""
    return _encoder.encode(record)


def append(tx: Tx, records: Iterable[Record]) -> None:
    """Add *records* in order."""
    insert_many(tx, outbox, ("record",), ((encode(record),) for record in records))


def last_seq(tx: Tx) -> int:
    """Return the number of the newest waiting record, 0 if none waits. Inside a write: of this transaction or
    before.
    """
    return int(fetch_raw(tx, "SELECT max(seq) FROM outbox", ())[0][0] or 0)
