"""Restore tickets: which archived files somebody waits for, and which packs must be readable for it.

A ticket has files; its files need packs; one restores row per pack is shared by all tickets that want it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, update

from tiering.catalog import outbox
from tiering.catalog.booking import root_names
from tiering.catalog.records import ticket as ticket_record
from tiering.catalog.tables import blocks, chunks, packs, refs, restores, ticket_files, ticket_packs, tickets
from tiering.catalog.transaction import Tx, batches, fetch_raw, own_insert

SPEEDS = ("bulk", "standard", "expedited")  # slowest first
PAGE = 10_000  # rows at once: 4 MB of what is known of packs


@dataclass(frozen=True, slots=True)
class TicketRow:
    """One request to bring files back from an archive."""

    ticket_no: int
    state: str
    """open, done, cancelled or failed."""
    speed: str
    """bulk, standard or expedited."""
    reason: str
    requested_by: str
    created_ns: int
    deadline_ns: int | None
    quote: str
    """JSON: bytes, usd_nano, hours, objects."""
    note: str


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket to be opened."""

    speed: str
    reason: str
    requested_by: str
    deadline_ns: int | None
    quote: str
    file_ids: tuple[int, ...]
    pack_nos: tuple[int, ...]
    pack_speeds: Mapping[int, str] = field(default_factory=dict)
    """Of packs that are wanted at another speed than the ticket's."""


@dataclass(frozen=True, slots=True)
class TicketFile:
    """A file of a ticket."""

    ticket_no: int
    file_id: int
    state: str
    """waiting, done or failed."""
    note: str


@dataclass(frozen=True, slots=True)
class RestoreRow:
    """How far the restore of one archived pack is."""

    pack_no: int
    state: str
    """wanted, warming, warm or done."""
    speed: str
    requested_ns: int | None
    warm_until_ns: int | None
    key: str
    tier: str
    storage_class: str
    size: int


def open_ticket(tx: Tx, new: NewTicket, *, running: Collection[int] = ()) -> int:
    """Write a ticket with its files and packs; packs already on the way are shared. Return its number.

    *running* are packs that the provider was seen to restore already: they need not be asked for.
    """
    values = {
        "state": "open",
        "speed": new.speed,
        "reason": new.reason,
        "requested_by": new.requested_by,
        "created_ns": tx.now_ns,
        "deadline_ns": new.deadline_ns,
        "quote": new.quote,
        "note": "",
    }
    ticket_no = int(tx.conn.execute(insert(tickets).values(values).returning(tickets.c.ticket_no)).scalar_one())
    for batch in batches(new.file_ids):
        rows = [{"ticket_no": ticket_no, "file_id": file_id, "state": "waiting", "note": ""} for file_id in batch]
        tx.conn.execute(insert(ticket_files), rows)
    for batch in batches(new.pack_nos):
        tx.conn.execute(insert(ticket_packs), [{"ticket_no": ticket_no, "pack_no": pack_no} for pack_no in batch])
        speeds = {pack_no: new.pack_speeds.get(pack_no, new.speed) for pack_no in batch}
        _want(tx, {pack_no: speed for pack_no, speed in speeds.items() if pack_no not in running})
        _follow(tx, {pack_no: speed for pack_no, speed in speeds.items() if pack_no in running})
    _record(tx, ticket_no)
    return ticket_no


def get(tx: Tx, ticket_no: int) -> TicketRow | None:
    """Return the ticket of that number."""
    row = tx.conn.execute(select(tickets).where(tickets.c.ticket_no == ticket_no)).one_or_none()
    return None if row is None else TicketRow(*row)


def in_state(tx: Tx, state: str = "open") -> list[TicketRow]:
    """Return the tickets in a state, oldest first."""
    query = select(tickets).where(tickets.c.state == state).order_by(tickets.c.ticket_no)
    return [TicketRow(*row) for row in tx.conn.execute(query)]


def waiting_on_file(tx: Tx, file_id: int) -> list[int]:
    """Return the open tickets that wait for a file."""
    query = (
        select(ticket_files.c.ticket_no)
        .join(tickets, tickets.c.ticket_no == ticket_files.c.ticket_no)
        .where(ticket_files.c.file_id == file_id, ticket_files.c.state == "waiting", tickets.c.state == "open")
        .order_by(ticket_files.c.ticket_no)
    )
    return list(tx.conn.execute(query).scalars())


def files_of(tx: Tx, ticket_no: int, *, state: str | None = None) -> list[TicketFile]:
    """Return the files of a ticket, in that state where given, by id."""
    query = select(ticket_files).where(ticket_files.c.ticket_no == ticket_no)
    if state is not None:
        query = query.where(ticket_files.c.state == state)
    return [TicketFile(*row) for row in tx.conn.execute(query.order_by(ticket_files.c.file_id))]


def packs_of(tx: Tx, ticket_no: int) -> list[RestoreRow]:
    """Return how far the packs of a ticket are, by number."""
    wanted = select(ticket_packs.c.pack_no).where(ticket_packs.c.ticket_no == ticket_no)
    query = _restores().where(restores.c.pack_no.in_(wanted))
    return [RestoreRow(*row) for row in tx.conn.execute(query.order_by(restores.c.pack_no))]


def restores_in(tx: Tx, states: Sequence[str], *, after_no: int = 0, limit: int = PAGE) -> list[RestoreRow]:
    """Return up to *limit* packs whose restore is in any of *states*, numbered above *after_no*, by number."""
    query = _restores().where(restores.c.state.in_(states), restores.c.pack_no > after_no)
    return [RestoreRow(*row) for row in tx.conn.execute(query.order_by(restores.c.pack_no).limit(limit))]


def on_the_way(tx: Tx, *, after_key: str = "", limit: int = PAGE) -> list[RestoreRow]:
    """Return up to *limit* packs that may still become readable or stop being so, by key: those that somebody waits
    for, and those that were asked for, whom nobody wants any more, and whose readable copy nobody saw yet.
    """
    is_unseen = restores.c.requested_ns.is_not(None) & restores.c.warm_until_ns.is_(None)
    is_open = restores.c.state.in_(("warming", "warm")) | ((restores.c.state == "done") & is_unseen)
    query = _restores().where(is_open, packs.c.key > after_key).order_by(packs.c.key).limit(limit)
    return [RestoreRow(*row) for row in tx.conn.execute(query)]


def ending(tx: Tx, before_ns: int, *, limit: int = PAGE) -> list[RestoreRow]:
    """Return up to *limit* warm packs that somebody waits for and whose copies go before then, the next first."""
    query = _restores().where(restores.c.state == "warm", restores.c.warm_until_ns < before_ns)
    return [RestoreRow(*row) for row in tx.conn.execute(query.order_by(restores.c.warm_until_ns).limit(limit))]


def bytes_on_the_way(tx: Tx) -> int:
    """Return the bytes of the packs that somebody waits for and that were asked for."""
    query = select(func.coalesce(func.sum(packs.c.size), 0)).join(restores, restores.c.pack_no == packs.c.pack_no)
    return int(tx.conn.execute(query.where(restores.c.state.in_(("warming", "warm")))).scalar_one())


def count_between(tx: Tx, tier: str, first: str, last: str) -> int:
    """Return how many packs of a tier have keys from *first* to *last*, whatever became of them."""
    query = select(func.count()).where(packs.c.tier == tier, packs.c.key >= first, packs.c.key <= last)
    return int(tx.conn.execute(query).scalar_one())


def restores_of(tx: Tx, pack_nos: Sequence[int]) -> dict[int, RestoreRow]:
    """Return pack_no -> how far its restore is, in any state, for those that ever were wanted."""
    found: dict[int, RestoreRow] = {}
    for batch in batches(pack_nos):
        rows = tx.conn.execute(_restores().where(restores.c.pack_no.in_(batch)))
        found.update((row.pack_no, RestoreRow(*row)) for row in rows)
    return found


def note_restore(
    tx: Tx, pack_no: int, *, state: str, requested_ns: int | None = None, warm_until_ns: int | None = None
) -> None:
    """Move a pack's restore on; times that are None stay as they are."""
    values: dict[str, object] = {"state": state}
    if requested_ns is not None:
        values["requested_ns"] = requested_ns
    if warm_until_ns is not None:
        values["warm_until_ns"] = warm_until_ns
    tx.conn.execute(update(restores).where(restores.c.pack_no == pack_no).values(values))


def forget_restore(tx: Tx, pack_no: int, *, state: str) -> None:
    """Note that no readable copy of a pack is there, nor under way."""
    nothing = {"state": state, "requested_ns": None, "warm_until_ns": None}
    tx.conn.execute(update(restores).where(restores.c.pack_no == pack_no).values(nothing))


def raise_speed(tx: Tx, pack_nos: Sequence[int], speed: str) -> None:
    """Ask again, for *speed*, for packs that are on their way; the caller knows that it is faster than theirs."""
    for batch in batches(pack_nos):
        condition = restores.c.pack_no.in_(batch) & restores.c.state.in_(("wanted", "warming"))
        tx.conn.execute(update(restores).where(condition).values(speed=speed, state="wanted"))


def set_speed(tx: Tx, pack_no: int, *, state: str, speed: str) -> None:
    """Note at which speed a pack is being restored after all."""
    tx.conn.execute(update(restores).where(restores.c.pack_no == pack_no).values(state=state, speed=speed))


def set_terms(tx: Tx, ticket_no: int, *, speed: str, quote: str) -> None:
    """Note that a ticket was given another speed, and what it costs with that."""
    tx.conn.execute(update(tickets).where(tickets.c.ticket_no == ticket_no).values(speed=speed, quote=quote))
    _record(tx, ticket_no)


def without_files(tx: Tx, pack_nos: Collection[int]) -> list[int]:
    """Return the open tickets that wait for all of these packs and for no file, oldest first."""
    has_files = select(ticket_files.c.ticket_no)
    found: dict[int, int] = {}
    for batch in batches(pack_nos):
        query = (
            select(ticket_packs.c.ticket_no, func.count())
            .join(tickets, tickets.c.ticket_no == ticket_packs.c.ticket_no)
            .where(ticket_packs.c.pack_no.in_(batch), tickets.c.state == "open")
            .where(ticket_packs.c.ticket_no.not_in(has_files))
            .group_by(ticket_packs.c.ticket_no)
        )
        for number, count in tx.conn.execute(query):
            found[number] = found.get(number, 0) + count
    return sorted(number for number, count in found.items() if count == len(pack_nos))


def used_packs(tx: Tx, recipe_nos: Sequence[int]) -> set[int]:
    """Return the packs that hold chunks of these versions themselves: not those that only hold what they are coded
    against.
    """
    found: set[int] = set()
    for batch in batches(recipe_nos):
        query = (
            select(blocks.c.pack_no)
            .join(chunks, chunks.c.block_no == blocks.c.block_no)
            .join(refs, refs.c.chunk_no == chunks.c.chunk_no)
            .where(refs.c.recipe_no.in_(batch), refs.c.times > 0)
            .distinct()
        )
        found.update(tx.conn.execute(query).scalars())
    return found


def close_files(tx: Tx, ticket_no: int, outcomes: Sequence[tuple[int, str, str]]) -> None:
    """Note (file id, done or failed, note) for files of a ticket."""
    statement = (
        update(ticket_files)
        .where(ticket_files.c.ticket_no == ticket_no, ticket_files.c.file_id == bindparam("of_id"))
        .values(state=bindparam("to_state"), note=bindparam("to_note"))
    )
    for batch in batches(outcomes):
        rows = [{"of_id": file_id, "to_state": state, "to_note": note} for file_id, state, note in batch]
        tx.conn.execute(statement, rows)


def close_ticket(tx: Tx, ticket_no: int, *, state: str, note: str = "") -> None:
    """End a ticket; restores that no other open ticket wants are done."""
    tx.conn.execute(update(tickets).where(tickets.c.ticket_no == ticket_no).values(state=state, note=note))
    still = (
        select(ticket_packs.c.pack_no)
        .join(tickets, tickets.c.ticket_no == ticket_packs.c.ticket_no)
        .where(tickets.c.state == "open")
    )
    mine = select(ticket_packs.c.pack_no).where(ticket_packs.c.ticket_no == ticket_no)
    tx.conn.execute(
        update(restores).where(restores.c.pack_no.in_(mine), restores.c.pack_no.not_in(still)).values(state="done")
    )
    _record(tx, ticket_no)


def count_waiting(tx: Tx, ticket_no: int) -> int:
    """Return how many files of a ticket still wait."""
    query = select(func.count()).where(ticket_files.c.ticket_no == ticket_no, ticket_files.c.state == "waiting")
    return int(tx.conn.execute(query).scalar_one())


def _follow(tx: Tx, speeds: Mapping[int, str]) -> None:
    """Wait for packs that are being restored, at whatever speed that is; the one given where it is not known."""
    if not speeds:
        return
    statement = own_insert(tx, restores)
    statement = statement.on_conflict_do_update(
        index_elements=["pack_no"], set_={"state": "warming"}, where=restores.c.state == "done"
    )
    rows = [{"pack_no": pack_no, "state": "warming", "speed": speed} for pack_no, speed in speeds.items()]
    tx.conn.execute(statement, rows)


def _want(tx: Tx, speeds: Mapping[int, str]) -> None:
    if not speeds:
        return
    statement = own_insert(tx, restores)
    statement = statement.on_conflict_do_update(
        index_elements=["pack_no"],
        set_={"state": "wanted", "speed": statement.excluded.speed, "requested_ns": None, "warm_until_ns": None},
        where=restores.c.state == "done",
    )
    rows = [{"pack_no": pack_no, "state": "wanted", "speed": speed} for pack_no, speed in speeds.items()]
    tx.conn.execute(statement, rows)


def _restores() -> Select[*tuple[Any, ...]]:
    return select(
        restores.c.pack_no,
        restores.c.state,
        restores.c.speed,
        restores.c.requested_ns,
        restores.c.warm_until_ns,
        packs.c.key,
        packs.c.tier,
        packs.c.storage_class,
        packs.c.size,
    ).join(packs, packs.c.pack_no == restores.c.pack_no)


def _record(tx: Tx, ticket_no: int) -> None:
    row = get(tx, ticket_no)
    if row is None:
        return
    names = root_names(tx)
    text = (
        "SELECT root_id, dir, name FROM files JOIN ticket_files ON ticket_files.file_id = files.file_id "
        "WHERE ticket_no = ? ORDER BY files.file_id"
    )
    paths = [(names[root_id], bytes(dir) + bytes(name)) for root_id, dir, name in fetch_raw(tx, text, [ticket_no])]
    outbox.append(tx, [ticket_record(row, paths=paths)])
