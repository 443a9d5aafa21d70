"""What is noted of single packs beside their rows: when one was last read, and until when its object is locked.

Reads are noted of packs in classes that cool by themselves, whose price follows them. A lost catalog gets them back
from the segments; locks are found out again.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, insert, select, update

from tiering.catalog import outbox
from tiering.catalog.tables import pack_notes, packs
from tiering.catalog.transaction import Tx, batches


def note_reads(tx: Tx, read: Mapping[int, int]) -> None:
    """Note pack_no -> when it was read, where that is later than what is known."""
    known = _column(tx, list(read), "read_ns")
    newer = {number: at_ns for number, at_ns in read.items() if at_ns > known.get(number, 0)}
    _put(tx, "read_ns", newer)
    for batch in batches(sorted(newer)):
        query = select(packs.c.key, packs.c.pack_no).where(packs.c.pack_no.in_(batch))
        found = {key: newer[number] for key, number in tx.conn.execute(query)}
        outbox.append(tx, [{"record": "packs_read", "packs": found}])


def restore_reads(tx: Tx, read: Mapping[str, int]) -> None:
    """Note key -> when it was read, as records of a lost catalog tell it."""
    for batch in batches(sorted(read)):
        query = select(packs.c.pack_no, packs.c.key).where(packs.c.key.in_(batch))
        _put(tx, "read_ns", {int(number): read[key] for number, key in tx.conn.execute(query)})


def note_locks(tx: Tx, locked: Mapping[int, int]) -> None:
    """Note pack_no -> until when its object cannot be deleted."""
    _put(tx, "locked_until_ns", locked)


def reads_of(tx: Tx, pack_nos: Sequence[int]) -> dict[int, int]:
    """Return pack_no -> when it was last read, of those of which that is noted."""
    return _column(tx, pack_nos, "read_ns")


def locks_of(tx: Tx, pack_nos: Sequence[int]) -> dict[int, int]:
    """Return pack_no -> until when its object is locked, of those that are known to be."""
    return _column(tx, pack_nos, "locked_until_ns")


def locked(tx: Tx, *, at_ns: int) -> dict[int, int]:
    """Return pack_no -> until when, of all doomed packs that are locked at that time."""
    query = (
        select(pack_notes.c.pack_no, pack_notes.c.locked_until_ns)
        .join(packs, packs.c.pack_no == pack_notes.c.pack_no)
        .where(pack_notes.c.locked_until_ns > at_ns, packs.c.state.in_(["doomed", "deleting"]))
    )
    return {int(number): int(until_ns) for number, until_ns in tx.conn.execute(query)}


def forget(tx: Tx, pack_nos: Sequence[int]) -> None:
    """Drop what was noted of packs whose objects are gone."""
    for batch in batches(pack_nos):
        tx.conn.execute(delete(pack_notes).where(pack_notes.c.pack_no.in_(batch)))


def _column(tx: Tx, pack_nos: Sequence[int], name: str) -> dict[int, int]:
    found: dict[int, int] = {}
    column = pack_notes.c[name]
    for batch in batches(pack_nos):
        query = select(pack_notes.c.pack_no, column).where(pack_notes.c.pack_no.in_(batch), column.is_not(None))
        found.update({int(number): int(at_ns) for number, at_ns in tx.conn.execute(query)})
    return found


def _put(tx: Tx, name: str, values: Mapping[int, int]) -> None:
    for batch in batches(sorted(values)):
        there = set(tx.conn.execute(select(pack_notes.c.pack_no).where(pack_notes.c.pack_no.in_(batch))).scalars())
        for number in batch:
            if number in there:
                statement = update(pack_notes).where(pack_notes.c.pack_no == number).values({name: values[number]})
                tx.conn.execute(statement)
            else:
                tx.conn.execute(insert(pack_notes).values({"pack_no": number, name: values[number]}))
