"""File rows of a commit: made dual, and as they are then.

Used by tiering.catalog.commit alone, inside a FileChange.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from sqlalchemy import bindparam, or_, update

from tiering.catalog import recipes
from tiering.catalog.booking import FileChange, NewlyStored, load_files
from tiering.catalog.hardlinks import ON_DISK
from tiering.catalog.tables import files
from tiering.catalog.transaction import INSERT_ROWS, Tx, batches
from tiering.catalog.values import FileRow, FileState, Identity, StoredBatch, StoredFile, signed64

IDENTITY = ("dev", "ino", "mtime_ns", "ctime_ns")
_sized_identity = attrgetter("size", *IDENTITY)
_STATE, _RECIPE_NO, _TIER, _STORED_NS = map(FileRow._fields.index, ("state", "recipe_no", "tier", "stored_ns"))
_SIZE, _DEV, _INO, _MTIME_NS, _CTIME_NS = map(FileRow._fields.index, ("size", *IDENTITY))


def identity_values(identity: Identity) -> tuple[int, int, int, int]:
    """Return the values of the columns IDENTITY."""
    return signed64(identity.dev), signed64(identity.ino), identity.mtime_ns, identity.ctime_ns


def place(
    tx: Tx,
    batch: StoredBatch,
    change: FileChange,
    stored: Sequence[tuple[int, StoredFile]],
    leaders: set[int | None],
) -> None:
    """Make the files dual, and the other names of their inodes with them; *leaders* have such names."""
    same = (str(FileState.DUAL), batch.tier, tx.now_ns)
    as_known: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    for number, file in stored:
        values = (file.recipe.size, *identity_values(file.identity))
        # Written only where it differs, which is next to never: an index has dev and ino.
        if _sized_identity(change.before[file.file_id]) == values:
            as_known.append((*same, number, file.file_id))
        else:
            changed.append((*same, number, *values, file.file_id))
    update_files(tx, ("state", "tier", "stored_ns", "recipe_no"), as_known)
    update_files(tx, ("state", "tier", "stored_ns", "recipe_no", "size", *IDENTITY), changed)
    # Spelled out: executemany takes no IN list.
    on_disk = or_(*(files.c.state == str(state) for state in sorted(ON_DISK)))
    of_links = update(files).where(files.c.leader_id == bindparam("of_id"), on_disk)
    placed: dict[str, object] = {"state": FileState.DUAL, "tier": batch.tier, "stored_ns": tx.now_ns}
    placed |= {"recipe_no": bindparam("to_recipe"), "size": bindparam("to_size")}
    for number, file in stored:
        if file.file_id in leaders:
            to = {"of_id": file.file_id, "to_recipe": number, "to_size": file.recipe.size}
            tx.conn.execute(of_links.values(placed), to)


def placed_rows(
    tx: Tx,
    batch: StoredBatch,
    change: FileChange,
    stored: Sequence[tuple[int, StoredFile]],
    leaders: set[int | None],
) -> dict[int, FileRow]:
    """Return the rows of the files as they are now; those that other changes may have touched are read again."""
    after: dict[int, FileRow] = {}
    again: list[int] = []
    for number, file in stored:
        before = change.before[file.file_id]
        if before.recipe_no is not None or file.file_id in leaders:
            again.append(file.file_id)
            continue
        values: list[object] = list(before)  # _replace() takes four times as long
        values[_STATE], values[_RECIPE_NO], values[_SIZE] = FileState.DUAL, number, file.recipe.size
        values[_TIER], values[_STORED_NS] = batch.tier, tx.now_ns
        values[_DEV], values[_INO], values[_MTIME_NS], values[_CTIME_NS] = identity_values(file.identity)
        after[file.file_id] = FileRow._make(values)
    return after | load_files(tx, again)


def newly_stored(
    tier: str, change: FileChange, told: Sequence[StoredFile], after: Mapping[int, FileRow]
) -> NewlyStored:
    """Return those of *told*, whose records are made, that had no stored copy before: all but the few stored again."""
    new = [file for file in told if change.before[file.file_id].recipe_no is None]
    plain = sum(recipes.plain_bytes(file.recipe) for file in new)
    return NewlyStored({file.file_id: after[file.file_id] for file in new}, tier, plain)


def update_files(tx: Tx, columns: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    """Set *columns* of files; each row has their values and then the file_id. By the driver itself, as insert_many."""
    mark = "?" if tx.is_sqlite else "%s"
    assigned = ", ".join(f"{column} = {mark}" for column in columns)
    for batch in batches(rows, INSERT_ROWS):
        tx.conn.exec_driver_sql(f"UPDATE files SET {assigned} WHERE file_id = {mark}", batch)  # noqa: S608  # our names
