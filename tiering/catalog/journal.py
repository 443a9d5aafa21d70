"""The journal: what is under way on which file, by which process, until when.

One row per file. A claim also moves the file's state (regular or dual -> migrating, offline -> recalling) and
finish moves it back if the job's commit did not; neither weighs in the books. A row outlives its process:
reconcile takes it over and finishes or undoes the step that `detail` describes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tiering.catalog.tables import files, journal
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileState, JournalKind, JournalRow


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish to work on a file."""

    op_id: str
    kind: JournalKind
    file_id: int
    step: str
    detail: str = "{}"
    """JSON."""


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
    granted: list[Claim] = []
    dialect = sqlite if tx.is_sqlite else postgresql
    for batch in batches(claims):
        states = select(files.c.file_id, files.c.state).where(files.c.file_id.in_([claim.file_id for claim in batch]))
        state_of = {row.file_id: FileState(row.state) for row in tx.conn.execute(states)}
        fit = [claim for claim in batch if state_of.get(claim.file_id) in _CLAIMABLE[claim.kind]]
        if not fit:
            continue
        statement = dialect.insert(journal).on_conflict_do_nothing().returning(journal.c.op_id)
        taken = set(tx.conn.execute(statement, [_row(claim, owner, until_ns, tx.now_ns) for claim in fit]).scalars())
        won = [claim for claim in fit if claim.op_id in taken]
        granted += won
        for kind, state in _CLAIMED.items():
            ids = [claim.file_id for claim in won if claim.kind == kind]
            tx.conn.execute(update(files).where(files.c.file_id.in_(ids)).values(state=state))
    return granted


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
        ids = list(tx.conn.execute(select(journal.c.file_id).where(journal.c.op_id.in_(batch))).scalars())
        before = case(
            (files.c.state == FileState.RECALLING, str(FileState.OFFLINE)),
            (files.c.recipe_no.is_(None), str(FileState.REGULAR)),
            else_=str(FileState.DUAL),
        )
        under_way = [str(FileState.MIGRATING), str(FileState.RECALLING)]
        tx.conn.execute(
            update(files).where(files.c.file_id.in_(ids), files.c.state.in_(under_way)).values(state=before)
        )
        tx.conn.execute(delete(journal).where(journal.c.op_id.in_(batch)))


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


def of_file(tx: Tx, file_id: int) -> JournalRow | None:
    """Return what is under way on a file."""
    row = tx.conn.execute(select(journal).where(journal.c.file_id == file_id)).one_or_none()
    return None if row is None else _as_value(row)


def of_kind(tx: Tx, kind: JournalKind, *, owner: str | None = None, step: str | None = None) -> list[JournalRow]:
    """Return the rows of a kind, oldest first; of one owner, at one step, where given."""
    query = select(journal).where(journal.c.kind == kind)
    if owner is not None:
        query = query.where(journal.c.owner == owner)
    if step is not None:
        query = query.where(journal.c.step == step)
    return [_as_value(row) for row in tx.conn.execute(query.order_by(journal.c.created_ns, journal.c.op_id))]


def held(tx: Tx, *, owner: str, prefix: str) -> set[str]:
    """Return the operation ids of the owner's rows that begin with *prefix*."""
    of_prefix = journal.c.op_id.startswith(prefix, autoescape=True)
    return set(tx.conn.execute(select(journal.c.op_id).where(of_prefix, journal.c.owner == owner)).scalars())


def every(tx: Tx) -> list[JournalRow]:
    """Return all rows, oldest first; there are as many as files in work, not as files."""
    return [_as_value(row) for row in tx.conn.execute(select(journal).order_by(journal.c.created_ns, journal.c.op_id))]


def _row(claim: Claim, owner: str, until_ns: int, now_ns: int) -> dict[str, object]:
    return {
        "op_id": claim.op_id,
        "kind": claim.kind,
        "file_id": claim.file_id,
        "step": claim.step,
        "detail": claim.detail,
        "owner": owner,
        "lease_until_ns": until_ns,
        "created_ns": now_ns,
    }


def _as_value(row: Sequence[object]) -> JournalRow:
    values = list(row)
    values[1] = JournalKind(str(values[1]))
    return JournalRow(*values)  # type: ignore[arg-type]  # column for column
