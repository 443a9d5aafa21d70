"""File rows of a commit: made dual, and as they are then.

Used by tiering.catalog.commit alone, inside a FileChange.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import attrgetter, itemgetter

from sqlalchemy import bindparam, or_, update

from dedup.values import made_of
from tiering.catalog import recipes
from tiering.catalog.booking import FileChange, NewlyStored, load_files
from tiering.catalog.hardlinks import ON_DISK
from tiering.catalog.tables import files
from tiering.catalog.transaction import INSERT_ROWS, STATEMENT_ROWS, Tx, batches, change_raw
from tiering.catalog.values import FileRow, FileState, Identity, StoredBatch, StoredFile, signed64

IDENTITY = ("dev", "ino", "mtime_ns", "ctime_ns")
_identity_of = attrgetter("size", *IDENTITY)
_STATE, _RECIPE_NO, _TIER, _STORED_NS = map(FileRow._fields.index, ("state", "recipe_no", "tier", "stored_ns"))
_SIZE, _DEV, _INO, _MTIME_NS, _CTIME_NS = map(FileRow._fields.index, ("size", *IDENTITY))
_identity_of_row = itemgetter(_SIZE, _DEV, _INO, _MTIME_NS, _CTIME_NS)


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
    as_known: list[tuple[int, int]] = []
    changed: list[tuple[object, ...]] = []
    for number, file in stored:
        # Written only where it differs, which is next to never: an index has dev and ino.
        if _identity_of_row(change.before[file.file_id]) == _identity_of(file.identity):
            as_known.append((file.file_id, number))
        else:
            values = (file.recipe.size, *identity_values(file.identity))
            changed.append((str(FileState.DUAL), batch.tier, tx.now_ns, number, *values, file.file_id))
    _refer(tx, batch.tier, as_known)
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


def _refer(tx: Tx, tier: str, numbers: Iterable[tuple[int, int]]) -> None:
    """Let files refer to recipes: (file_id, recipe_no) for each. Many to a statement: half the cost of one by one."""
    for batch in batches(numbers, STATEMENT_ROWS):
        rows = ", ".join(["(?, ?)"] * len(batch))
        text = (
            f"UPDATE files SET state = '{FileState.DUAL}', tier = ?, stored_ns = ?, recipe_no = new.column2 "  # noqa: S608
            f"FROM (VALUES {rows}) AS new WHERE file_id = new.column1"
        )
        change_raw(tx, text, [tier, tx.now_ns, *chain.from_iterable(batch)])


def placed_rows(
    tx: Tx,
    batch: StoredBatch,
    change: FileChange,
    stored: Sequence[tuple[int, StoredFile]],
    leaders: set[int | None],
) -> dict[int, FileRow]:
    """Return the rows of the files as they are now; those that other changes may have touched are read again."""
    fresh = [
        (number, file)
        for number, file in stored
        if file.file_id not in leaders and change.before[file.file_id].recipe_no is None
    ]
    again = [file.file_id for _, file in stored]
    if not fresh:
        return load_files(tx, again)
    columns: list[Iterable[object]] = list(zip(*[change.before[file.file_id] for _, file in fresh], strict=True))
    columns[_RECIPE_NO], files_of = zip(*fresh, strict=True)
    columns[_STATE], columns[_TIER], columns[_STORED_NS] = repeat(FileState.DUAL), repeat(batch.tier), repeat(tx.now_ns)
    columns[_SIZE] = [file.recipe.size for file in files_of]
    identities = zip(*[identity_values(file.identity) for file in files_of], strict=True)
    columns[_DEV], columns[_INO], columns[_MTIME_NS], columns[_CTIME_NS] = identities
    after = {row.file_id: row for row in made_of(FileRow, columns)}
    again = [file_id for file_id in again if file_id not in after]
    return after | load_files(tx, again)


def newly_stored(
    tier: str, change: FileChange, told: Sequence[StoredFile], after: Mapping[int, FileRow]
) -> NewlyStored:
    """Return those of *told*, whose records are made, that had no stored copy before: all but the few stored again."""
    new = [file for file in told if change.before[file.file_id].recipe_no is None]
    plain = sum(recipes.plain_bytes([file.recipe for file in new]))
    return NewlyStored({file.file_id: after[file.file_id] for file in new}, tier, plain)


def update_files(tx: Tx, columns: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    """Set *columns* of files; each row has their values and then the file_id. By the driver itself, as insert_many."""
    mark = "?" if tx.is_sqlite else "%s"
    assigned = ", ".join(f"{column} = {mark}" for column in columns)
    for batch in batches(rows, INSERT_ROWS):
        tx.conn.exec_driver_sql(f"UPDATE files SET {assigned} WHERE file_id = {mark}", batch)  # noqa: S608  # our names
