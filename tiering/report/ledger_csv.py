"""The ledger as CSV: one line per account and entry, from which every number of an audit can be summed again, and the
hash of every entry recomputed (docs/ledger.md has the program).
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

from tiering.catalog import ledger
from tiering.catalog.accounts import Line
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_S

HEAD = (
    "entry", "at", "operation", "kind", "reason", "price_book", "account", "tier", "unit", "amount",
    "hash", "prev_hash", "at_ns",
)  # fmt: skip
NOTHING = Line("", "", "", 0)
"""What stands in the row of an entry that moves nothing: without it the chain would have a gap."""


def write_ledger_csv(tx: Tx, out: TextIO, *, since_ns: int = 0, until_ns: int | None = None) -> int:
    """Write the entries of that time (since inclusive, until exclusive) and return how many there are."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    count = 0
    for entry in ledger.entries(tx, since_ns=since_ns, until_ns=until_ns):
        count += 1
        writer.writerows(_rows(entry))
    return count


def _rows(entry: ledger.PostedEntry) -> Iterator[tuple[object, ...]]:
    at = datetime.fromtimestamp(entry.at_ns / NS_PER_S, UTC).isoformat(timespec="milliseconds")
    for line in entry.lines or (NOTHING,):
        yield (
            entry.entry_no, at, entry.op_id, entry.kind, entry.reason, entry.price_book,
            line.account, line.tier, line.unit, line.amount, entry.hash, entry.prev_hash, entry.at_ns,
        )  # fmt: skip
