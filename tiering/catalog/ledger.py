"""The ledger: append-only double entry in bytes and nano-dollars, hash-chained.

An entry's hash is BLAKE3 (hex) over the canonical JSON (sorted keys, no spaces, ASCII) of {at_ns, entry_no,
kind, lines: [[account, tier, unit, amount], ...] in line order, op_id, prev_hash, price_book, reason}; the
first entry's prev_hash is "". Entries and lines cannot be updated, replaced or deleted: triggers of both
engines refuse it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import blake3
from sqlalchemy import Row, func, select

from tiering.catalog import outbox
from tiering.catalog.accounts import BOOK_OF, UNIT_OF, Line
from tiering.catalog.tables import balances, ledger_entries, ledger_lines, storable
from tiering.catalog.transaction import Tx, batches, change_raw, fetch_raw, insert_many, marks
from tiering.errors import Discrepancy, FrostlineError


class Unbalanced(FrostlineError):
    """An entry does not sum to zero in one of its books. A fault of frostline's: nothing was written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be booked."""

    op_id: str
    """Names the operation: the same one is never booked twice."""
    kind: str
    reason: str
    lines: tuple[Line, ...]
    price_book: str = ""
    """Id of the price book that dollar lines come from."""
    at_ns: int | None = None
    """When it counts; None: the transaction's time."""


@dataclass(frozen=True, slots=True)
class PostedEntry:
    """An entry as the ledger holds it."""

    entry_no: int
    op_id: str
    at_ns: int
    kind: str
    reason: str
    price_book: str
    prev_hash: str
    hash: str
    lines: tuple[Line, ...]


def post(tx: Tx, entry: Entry) -> int:
    """Book *entry* and its outbox record; return its number. With the same op_id and lines again: the first
    one's number.

    Raises Unbalanced, and Discrepancy when the op_id is taken by other lines.
    """
    check_balanced(entry.lines)
    earlier = find(tx, entry.op_id)
    if earlier is not None:
        if earlier.lines == entry.lines:
            return earlier.entry_no
        raise Discrepancy(
            f"operation {entry.op_id} is already booked, with other amounts", now="it was not booked again"
        )
    last = _last(tx)
    posted = PostedEntry(
        entry_no=last[0] + 1,
        op_id=entry.op_id,
        at_ns=tx.now_ns if entry.at_ns is None else entry.at_ns,
        kind=entry.kind,
        reason=storable(entry.reason),
        price_book=entry.price_book,
        prev_hash=last[1],
        hash="",
        lines=entry.lines,
    )
    posted = replace(posted, hash=hash_of(posted))
    _write(tx, posted)
    outbox.append(tx, [record_of(posted)])
    return posted.entry_no


def restore(tx: Tx, entries: Sequence[PostedEntry]) -> None:
    """Write entries back verbatim (rebuild), in order, following the last one there is. No outbox record.

    Raises Discrepancy when the chain does not hold.
    """
    number, prev_hash = _last(tx)
    for entry in entries:
        if (entry.entry_no, entry.prev_hash) != (number + 1, prev_hash) or hash_of(entry) != entry.hash:
            raise Discrepancy(f"ledger entry {entry.entry_no} does not follow entry {number}: the chain is broken")
        _write(tx, entry)
        number, prev_hash = entry.entry_no, entry.hash


def check_balanced(lines: Sequence[Line]) -> None:
    """Raise Unbalanced unless every book among *lines* sums to zero, in its unit, with no line twice."""
    sums: Counter[str] = Counter()
    for line in lines:
        if UNIT_OF.get(line.account) != line.unit:
            raise Unbalanced(f"no account {line.account} in {line.unit}")
        sums[BOOK_OF[line.account]] += line.amount
    wrong = {book: amount for book, amount in sums.items() if amount}
    if wrong:
        raise Unbalanced(f"ledger entry does not balance: {wrong}")
    if len({(line.account, line.tier) for line in lines}) != len(lines):
        raise Unbalanced("ledger entry names an account twice")


def hash_of(entry: PostedEntry) -> str:
    """Return the entry's hash, from everything but its own hash."""
    return blake3.blake3(outbox.encode(_content(entry)).encode("ascii")).hexdigest()


def record_of(entry: PostedEntry) -> outbox.Record:
    """Return the entry as an outbox record, whole: rebuild restores it verbatim."""
    return {"record": "ledger", "hash": entry.hash, **_content(entry)}


def find(tx: Tx, op_id: str) -> PostedEntry | None:
    """Return the entry of that operation."""
    if not is_booked(tx, op_id):
        return None
    row = tx.conn.execute(select(ledger_entries).where(ledger_entries.c.op_id == op_id)).one()
    return next(_with_lines(tx, [row]))


def is_booked(tx: Tx, op_id: str) -> bool:
    """Return whether the operation is in the ledger."""
    return bool(fetch_raw(tx, "SELECT 1 FROM ledger_entries WHERE op_id = ?", [op_id]))


def balance(tx: Tx, account: str, tier: str | None = None) -> int:
    """Return the account's balance; of one tier, or over all when *tier* is None."""
    query = select(balances.c.amount).where(balances.c.account == account)
    if tier is not None:
        query = query.where(balances.c.tier == tier)
    return sum(tx.conn.execute(query).scalars())


def all_balances(tx: Tx) -> dict[tuple[str, str], int]:
    """Return every non-zero balance by (account, tier)."""
    rows = tx.conn.execute(select(balances.c.account, balances.c.tier, balances.c.amount))
    return {(account, tier): amount for account, tier, amount in rows if amount}


def entries(tx: Tx, *, after: int = 0, since_ns: int = 0, until_ns: int | None = None) -> Iterator[PostedEntry]:
    """Yield entries numbered above *after* with since <= at_ns < until, in order, a page at a time."""
    while True:
        query = select(ledger_entries).where(ledger_entries.c.entry_no > after, ledger_entries.c.at_ns >= since_ns)
        if until_ns is not None:
            query = query.where(ledger_entries.c.at_ns < until_ns)
        page = tx.conn.execute(query.order_by(ledger_entries.c.entry_no).limit(500)).all()
        if not page:
            return
        yield from _with_lines(tx, page)
        after = page[-1].entry_no


def verify_chain(tx: Tx, *, since_entry: int = 0) -> Iterator[str]:
    """Yield a sentence for every fault: gaps, broken links, entries that hash or sum to something else.

    With *since_entry* only entries above that number are read, the link to it included.
    """
    number, prev_hash = since_entry, ""
    if since_entry:
        query = select(ledger_entries.c.hash).where(ledger_entries.c.entry_no == since_entry)
        prev_hash = tx.conn.execute(query).scalar_one_or_none() or ""
    for entry in entries(tx, after=since_entry):
        if entry.entry_no != number + 1:
            yield f"ledger: entry {number + 1} is missing (the next one is {entry.entry_no})"
        if entry.prev_hash != prev_hash:
            yield f"ledger: entry {entry.entry_no} does not follow the hash of entry {number}"
        if hash_of(entry) != entry.hash:
            yield f"ledger: entry {entry.entry_no} ({entry.op_id}) has been altered: its hash does not fit its content"
        try:
            check_balanced(entry.lines)
        except Unbalanced as unbalanced:
            yield f"ledger: entry {entry.entry_no} ({entry.op_id}): {unbalanced.what}"
        number, prev_hash = entry.entry_no, entry.hash


def verify_balances(tx: Tx) -> Iterator[str]:
    """Yield a sentence for every running balance that is not the sum of its lines."""
    summed = select(ledger_lines.c.account, ledger_lines.c.tier, func.sum(ledger_lines.c.amount))
    rows = tx.conn.execute(summed.group_by(ledger_lines.c.account, ledger_lines.c.tier))
    from_lines = {(account, tier): int(amount) for account, tier, amount in rows if amount}
    kept = all_balances(tx)
    for account, tier in sorted(from_lines.keys() | kept.keys()):
        lines, running = from_lines.get((account, tier), 0), kept.get((account, tier), 0)
        if lines != running:
            yield f"ledger: the balance of {account} {tier} is {running}, its lines sum to {lines}"


def hash_at(tx: Tx, entry_no: int) -> str | None:
    """Return the hash of the entry of that number, None if there is none."""
    query = select(ledger_entries.c.hash).where(ledger_entries.c.entry_no == entry_no)
    return tx.conn.execute(query).scalar()


def last(tx: Tx) -> tuple[int, str]:
    """Return (number, hash) of the newest entry; (0, "") when there is none."""
    return _last(tx)


def _last(tx: Tx) -> tuple[int, str]:
    rows = fetch_raw(tx, "SELECT entry_no, hash FROM ledger_entries ORDER BY entry_no DESC LIMIT 1", ())
    return rows[0] if rows else (0, "")


def _content(entry: PostedEntry) -> dict[str, object]:
    return {
        "entry_no": entry.entry_no,
        "op_id": entry.op_id,
        "at_ns": entry.at_ns,
        "kind": entry.kind,
        "reason": entry.reason,
        "price_book": entry.price_book,
        "prev_hash": entry.prev_hash,
        "lines": [[line.account, line.tier, line.unit, line.amount] for line in entry.lines],
    }


def _write(tx: Tx, entry: PostedEntry) -> None:
    columns = [column.name for column in ledger_entries.columns]
    insert_many(tx, ledger_entries, columns, [tuple(getattr(entry, column) for column in columns)])
    columns = [column.name for column in ledger_lines.columns]
    lines = [(line.account, line.tier, line.unit, line.amount) for line in entry.lines]
    insert_many(tx, ledger_lines, columns, [(entry.entry_no, at, *line) for at, line in enumerate(lines, start=1)])
    if lines:
        _add_to_balances(tx, lines)


def _add_to_balances(tx: Tx, lines: Sequence[tuple[str, str, str, int]]) -> None:
    text = (
        f"INSERT INTO balances (account, tier, unit, amount) VALUES {', '.join([marks(range(4))] * len(lines))} "  # noqa: S608
        "ON CONFLICT (account, tier, unit) DO UPDATE SET amount = balances.amount + excluded.amount"
    )
    change_raw(tx, text, list(chain.from_iterable(lines)))


def _with_lines(tx: Tx, heads: Sequence[Row[*tuple[Any, ...]]]) -> Iterator[PostedEntry]:
    for batch in batches(heads):
        numbers = [head.entry_no for head in batch]
        query = select(ledger_lines).where(ledger_lines.c.entry_no.in_(numbers))
        by_entry: dict[int, list[Line]] = {number: [] for number in numbers}
        for row in tx.conn.execute(query.order_by(ledger_lines.c.entry_no, ledger_lines.c.line_no)):
            by_entry[row.entry_no].append(Line(row.account, row.tier, row.unit, row.amount))
        for head in batch:
            yield _posted(head, tuple(by_entry[head.entry_no]))


def _posted(head: Row[*tuple[Any, ...]], lines: tuple[Line, ...]) -> PostedEntry:
    return PostedEntry(
        entry_no=head.entry_no,
        op_id=head.op_id,
        at_ns=head.at_ns,
        kind=head.kind,
        reason=head.reason,
        price_book=head.price_book,
        prev_hash=head.prev_hash,
        hash=head.hash,
        lines=lines,
    )
