"""The journal: what is under way on which file, by which process, until when.

One row per file, but one for all the files of a batch that is migrated. A claim also moves the file's state (regular
or dual -> migrating, offline -> recalling) and finish moves it back if the job's commit did not; neither weighs in the
books. A row outlives its process: reconcile takes it over and finishes or undoes the step that `detail` describes.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, update

from tiering.catalog.tables import journal
from tiering.catalog.transaction import STATEMENT_ROWS, Tx, batches, change_raw, fetch_among, fetch_raw, marks
from tiering.catalog.values import FileState, JournalKind, JournalRow


class Claim(NamedTuple):
    """A wish to work on a file."""

    op_id: str
    kind: JournalKind
    file_id: int
    step: str
    detail: str = "{}"
    """JSON."""


_COLUMNS = ("op_id", "kind", "file_id", "step", "detail", "owner", "lease_until_ns", "created_ns")
_SET_BACK = (
    "UPDATE files SET state = CASE WHEN state = 'recalling' THEN 'offline' WHEN recipe_no IS NULL THEN 'regular' "
    "ELSE 'dual' END WHERE state IN ('migrating', 'recalling') AND file_id IN"
)
_BATCHES = f"kind = '{JournalKind.MIGRATE}' AND file_id IS NULL"
"""Rows of claim_batch(): their detail is the runs of the file ids, as [first, count]."""
_CLAIMABLE = {
    JournalKind.MIGRATE: (FileState.REGULAR, FileState.DUAL),
    JournalKind.RELEASE: (FileState.DUAL,),
    JournalKind.RECALL: (FileState.OFFLINE,),
}
_CLAIMED = {JournalKind.MIGRATE: FileState.MIGRATING, JournalKind.RECALL: FileState.RECALLING}


def claim(tx: Tx, claims: Sequence[Claim], *, owner: str, until_ns: int) -> list[Claim]:
    """Return those of *claims* that were granted: the file is in a fitting state and nobody has a row for it,
    expired or not.
    """
    file_ids = [claim.file_id for claim in claims]
    state_of = dict(fetch_among(tx, "SELECT file_id, state FROM files WHERE file_id", file_ids))
    fit = [claim for claim in claims if state_of.get(claim.file_id) in _CLAIMABLE[claim.kind]]
    rows = [(*_named(claim), owner, until_ns, tx.now_ns) for claim in fit]
    taken = {op_id for batch in batches(rows, STATEMENT_ROWS) for op_id in _inserted(tx, batch)}
    granted = [claim for claim in fit if claim.op_id in taken]
    for kind, state in _CLAIMED.items():
        for ids in batches(claim.file_id for claim in granted if claim.kind == kind):
            change_raw(tx, f"UPDATE files SET state = ? WHERE file_id IN {marks(ids)}", [str(state), *ids])  # noqa: S608
    return granted


def claim_batch(tx: Tx, op_id: str, file_ids: Iterable[int], *, owner: str, until_ns: int) -> set[int]:
    """Claim files to be migrated together, under one row named *op_id*; return the ids of those that were granted: none
    that claim() would not grant.
    """
    # Of what is being recalled or migrated the state says so.
    fit = "state IN ('regular', 'dual') AND file_id NOT IN (SELECT file_id FROM journal WHERE file_id IS NOT NULL)"
    granted: set[int] = set()
    for ids in batches(file_ids):
        which = f"FROM files WHERE {fit} AND file_id IN {marks(ids)}"
        # As a rule all: nothing is asked for row by row, which would pass the interpreter's lock to and fro.
        found = ids
        if fetch_raw(tx, f"SELECT count(*) {which}", ids)[0][0] < len(ids):
            found = [file_id for (file_id,) in fetch_raw(tx, f"SELECT file_id {which}", ids)]
        if found:
            change_raw(tx, f"UPDATE files SET state = 'migrating' WHERE file_id IN {marks(found)}", found)  # noqa: S608
        granted.update(found)
    if granted:
        values = (op_id, str(JournalKind.MIGRATE), None, "claimed", _runs(granted), owner, until_ns, tx.now_ns)
        change_raw(tx, f"INSERT INTO journal ({', '.join(_COLUMNS)}) VALUES {marks(values)}", values)  # noqa: S608
    return granted


def of_batch(tx: Tx, op_id: str, file_ids: Collection[int], *, owner: str) -> Collection[int]:
    """Return those of *file_ids*, granted by claim_batch() and not given up since, that still are the owner's."""
    rows = fetch_raw(tx, "SELECT detail FROM journal WHERE op_id = ? AND owner = ?", [op_id, owner])
    held = _ids(rows[0][0]) if rows else []
    return file_ids if len(held) == len(file_ids) else set(held).intersection(file_ids)


def give_up(tx: Tx, op_id: str, file_ids: Collection[int]) -> None:
    """End the claims of some files of claim_batch(), or of all; those still migrating are what they were before."""
    for (detail,) in fetch_raw(tx, f"SELECT detail FROM journal WHERE {_BATCHES} AND op_id = ?", [op_id]):  # noqa: S608
        _keep(tx, op_id, detail, set(file_ids))
        _set_back(tx, set(file_ids).intersection(_ids(detail)))


def end_batch(tx: Tx, op_id: str) -> None:
    """Remove the row of claim_batch(); its files stay as they are."""
    change_raw(tx, "DELETE FROM journal WHERE op_id = ?", [op_id])


def forget(tx: Tx, file_ids: Collection[int]) -> None:
    """End what is under way on files whose rows go; another file may be given such an id."""
    for batch in batches(file_ids):
        change_raw(tx, f"DELETE FROM journal WHERE file_id IN {marks(batch)}", batch)  # noqa: S608  # our own names
    for op_id, detail in fetch_raw(tx, f"SELECT op_id, detail FROM journal WHERE {_BATCHES}", ()):  # noqa: S608
        if not set(file_ids).isdisjoint(_ids(detail)):
            _keep(tx, op_id, detail, set(file_ids))


def files_at_work(tx: Tx) -> set[int]:
    """Return the files that something is under way on."""
    found = set(chain.from_iterable(fetch_raw(tx, "SELECT file_id FROM journal WHERE file_id IS NOT NULL", ())))
    for (detail,) in fetch_raw(tx, f"SELECT detail FROM journal WHERE {_BATCHES}", ()):  # noqa: S608  # our own names
        found.update(_ids(detail))
    return found


def extend(tx: Tx, op_ids: Sequence[str], *, owner: str, until_ns: int) -> int:
    """Push the lease of the owner's rows to *until_ns*; return how many still are the owner's."""
    extended = 0
    for batch in batches(op_ids):
        result = tx.conn.execute(
            update(journal).where(journal.c.op_id.in_(batch), journal.c.owner == owner).values(lease_until_ns=until_ns)
        )
        extended += result.rowcount
    return extended


def advance(tx: Tx, op_id: str, *, step: str, detail: str) -> bool:
    """Note the next step; False if the row is gone."""
    return advance_all(tx, [(op_id, step, detail)]) == 1


def advance_all(tx: Tx, steps: Sequence[tuple[str, str, str]]) -> int:
    """Note (op_id, step, detail) for many; return how many rows there were."""
    statement = (
        update(journal)
        .where(journal.c.op_id == bindparam("of_op"))
        .values(step=bindparam("to_step"), detail=bindparam("to_detail"))
    )
    moved = 0
    for op_id, step, detail in steps:
        moved += tx.conn.execute(statement, {"of_op": op_id, "to_step": step, "to_detail": detail}).rowcount
    return moved


def finish(tx: Tx, op_ids: Sequence[str]) -> None:
    """Remove the rows; a file still migrating or recalling is what it was before."""
    for batch in batches(op_ids):
        of_rows = f"FROM journal WHERE op_id IN {marks(batch)}"
        change_raw(tx, f"{_SET_BACK} (SELECT file_id {of_rows})", batch)
        for (detail,) in fetch_raw(tx, f"SELECT detail {of_rows} AND {_BATCHES}", batch):
            _set_back(tx, _ids(detail))
        change_raw(tx, f"DELETE {of_rows}", batch)


def take_over(tx: Tx, op_id: str, *, owner: str, until_ns: int) -> bool:
    """Make an expired row, or one of a process known dead, the caller's. False if it is gone or someone was
    faster.
    """
    result = tx.conn.execute(
        update(journal)
        .where(journal.c.op_id == op_id, journal.c.owner != owner)
        .values(owner=owner, lease_until_ns=until_ns)
    )
    return result.rowcount == 1


def get(tx: Tx, op_id: str) -> JournalRow | None:
    """Return the row of that operation."""
    row = tx.conn.execute(select(journal).where(journal.c.op_id == op_id)).one_or_none()
    return None if row is None else _as_value(row)


def of_kind(tx: Tx, kind: JournalKind, *, owner: str | None = None, step: str | None = None) -> list[JournalRow]:
    """Return the rows of a kind, oldest first; of one owner, at one step, where given."""
    query = select(journal).where(journal.c.kind == kind)
    if owner is not None:
        query = query.where(journal.c.owner == owner)
    if step is not None:
        query = query.where(journal.c.step == step)
    return [_as_value(row) for row in tx.conn.execute(query.order_by(journal.c.created_ns, journal.c.op_id))]


def page(tx: Tx, *, after: str = "", limit: int = 1000) -> list[JournalRow]:
    """Return up to *limit* rows whose operation ids come after *after*, in their order."""
    query = select(journal).where(journal.c.op_id > after).order_by(journal.c.op_id).limit(limit)
    return [_as_value(row) for row in tx.conn.execute(query)]


def page_of_kind(
    tx: Tx, kind: JournalKind, *, step: str, within: str = "", after: str = "", limit: int = 1000
) -> list[JournalRow]:
    """Return the rows of page() that are of a kind and at one step; only those whose ids begin with *within*."""
    query = select(journal).where(journal.c.kind == kind, journal.c.step == step, journal.c.op_id > after)
    if within:
        query = query.where(func.substr(journal.c.op_id, 1, len(within)) == within)
    return [_as_value(row) for row in tx.conn.execute(query.order_by(journal.c.op_id).limit(limit))]


def count(tx: Tx, *, step: str | None = None) -> int:
    """Return how many rows there are; at one step, where given."""
    query = select(func.count()).select_from(journal)
    if step is not None:
        query = query.where(journal.c.step == step)
    return int(tx.conn.execute(query).scalar_one())


def every(tx: Tx) -> list[JournalRow]:
    """Return all rows, oldest first; there are no more than files in work."""
    return [_as_value(row) for row in tx.conn.execute(select(journal).order_by(journal.c.created_ns, journal.c.op_id))]


def _set_back(tx: Tx, file_ids: Iterable[int]) -> None:
    for batch in batches(file_ids):
        change_raw(tx, f"{_SET_BACK} {marks(batch)}", batch)


def _keep(tx: Tx, op_id: str, detail: str, without: set[int]) -> None:
    """Leave a row of claim_batch() the files that are not *without*; none: it goes."""
    kept = set(_ids(detail)) - without
    if kept:
        change_raw(tx, "UPDATE journal SET detail = ? WHERE op_id = ?", [_runs(kept), op_id])
    else:
        end_batch(tx, op_id)


def _runs(file_ids: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for file_id in sorted(file_ids):
        if runs and file_id == sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([file_id, 1])
    return json.dumps(runs, separators=(",", ":"))


def _ids(detail: str) -> list[int]:
    return [file_id for first, count in json.loads(detail) for file_id in range(first, first + count)]


def _named(claim: Claim) -> tuple[object, ...]:
    return claim.op_id, str(claim.kind), claim.file_id, claim.step, claim.detail


def _inserted(tx: Tx, rows: Sequence[tuple[object, ...]]) -> Iterator[str]:
    """Insert *rows* in the order of _COLUMNS and yield the operation ids of those that nothing stood in the way of."""
    of_rows = ", ".join([marks(_COLUMNS)] * len(rows))
    into = f"INSERT INTO journal ({', '.join(_COLUMNS)}) VALUES {of_rows}"  # noqa: S608  # our own names
    text = f"{into} ON CONFLICT DO NOTHING RETURNING op_id"
    for (op_id,) in fetch_raw(tx, text, tuple(chain.from_iterable(rows))):
        yield op_id


def _as_value(row: Sequence[object]) -> JournalRow:
    values = list(row)
    values[1] = JournalKind(str(values[1]))
    return JournalRow(*values)  # type: ignore[arg-type]  # column for column
