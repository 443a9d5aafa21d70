"""Files: every name under a root, in walk order, with its state; and what a scan may change of them.

Scan's writes (add_new, update_scanned, mark_missing) post their ledger entry in the same transaction, under the
caller's op_id.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, bindparam, func, insert, literal_column, select, update

from tiering.catalog import hardlinks, outbox, records
from tiering.catalog.booking import FileChange, file_row, file_rows, insert_versions, load_files, root_names
from tiering.catalog.packed_rows import fetch_files
from tiering.catalog.tables import files
from tiering.catalog.transaction import Tx, batches, fetch_raw, marks
from tiering.catalog.values import FileRow, FileState, NewFile, ScannedFile, signed64

_IDENTITY = ("dev", "ino", "size", "mtime_ns", "ctime_ns")
_ATTRIBUTES = ("nlink", "mode", "uid", "gid")
_EVIDENCE = ("last_access_ns", "access_quality")
_PLACE = ("state", "recipe_no", "tier", "missing_since_ns", "missing_from", "stored_ns", "stored_seq")
_SCANNED = (*_IDENTITY, *_ATTRIBUTES, *_EVIDENCE, *_PLACE)

_ROWS = f"SELECT {', '.join(column.name for column in files.columns)} FROM files"  # noqa: S608  # our own names
_BELOW = "dir >= ? AND dir < ?"
_STORED = "state = 'dual' AND COALESCE(tier, '') = ? AND NOT pinned"

# SQLite uses the index of states only where it reads this very condition.
_IS_SPECIAL = files.c.state != literal_column("'regular'")


@dataclass(frozen=True, slots=True)
class Only:
    """Which rows are asked for; all of them where nothing is said."""

    on: str = ""
    """Leaders that are dual on this tier and not pinned."""
    not_on: str = ""
    """All but the dual ones that stand on this tier and are not pinned."""
    states: tuple[FileState, ...] = ()

    def holds(self, row: FileRow) -> bool:
        """Return whether *row* is one of them."""
        stands = row.tier if row.state is FileState.DUAL and not row.pinned else ""
        if self.on and not (stands == self.on and row.is_leader):
            return False
        return not (self.not_on and stands == self.not_on) and (not self.states or row.state in self.states)


EVERY = Only()


def page(
    tx: Tx,
    root_id: int,
    *,
    after: tuple[bytes, bytes] | None = None,
    limit: int = 1000,
    under: bytes = b"",
    only: Only = EVERY,
) -> list[FileRow]:
    """Return up to *limit* rows of a root in (dir, name) order, after the given one; only below the folder
    *under* ("a/b/").
    """
    text, values = rows_of_page(root_id, after, under)
    if only.on:
        text, values = f"{text} AND leader_id IS NULL AND {_STORED}", [*values, only.on]
    if only.not_on:
        text, values = f"{text} AND NOT ({_STORED})", [*values, only.not_on]
    if only.states:
        text, values = f"{text} AND state IN {marks(only.states)}", [*values, *map(str, only.states)]
    return fetch_files(tx, f"{text} ORDER BY dir, name LIMIT ?", [*values, limit])


def rows_of_page(root_id: int, after: tuple[bytes, bytes] | None, under: bytes) -> tuple[str, list[object]]:
    """Return the condition of page() on rows, and the values of its "?"."""
    text = "WHERE root_id = ?"
    values: list[object] = [root_id]
    if after is not None:
        text, values = f"{text} AND (dir, name) > (?, ?)", [*values, *after]
    if under:
        text, values = f"{text} AND {_BELOW}", [*values, *_bounds(under)]
    return text, values


def every(tx: Tx, root_id: int, *, under: bytes = b"", page_rows: int = 2000) -> Iterator[FileRow]:
    """Yield the rows of a root in (dir, name) order, a page at a time; see page()."""
    after: tuple[bytes, bytes] | None = None
    while rows := page(tx, root_id, after=after, limit=page_rows, under=under):
        yield from rows
        after = (rows[-1].dir, rows[-1].name)


def stored_among(tx: Tx, root_id: int, *, under: bytes, limit: int, larger: int) -> list[FileRow]:
    """Return those of the first *limit* rows below the folder *under* ("" or "a/b/"), in (dir, name) order, that have a
    stored copy and more than *larger* bytes.
    """
    text, values = f"{_ROWS} WHERE root_id = ?", [root_id]
    below: list[object] = []
    if under:
        text, below = f"{text} AND {_BELOW}", _bounds(under)
    first = f"({text} ORDER BY dir, name LIMIT ?) AS first"
    text = f"SELECT * FROM {first} WHERE recipe_no IS NOT NULL AND size > ?"  # noqa: S608  # our own names
    return list(file_rows(fetch_raw(tx, text, [*values, *below, limit, larger])))


def get(tx: Tx, root_id: int, dir: bytes, name: bytes) -> FileRow | None:
    """Return the row of that path."""
    query = select(files).where(files.c.root_id == root_id, files.c.dir == dir, files.c.name == name)
    return next(iter(_rows(tx, query)), None)


def at_paths(tx: Tx, root_id: int, places: Iterable[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], FileRow]:
    """Return (dir, name) -> row for those of *places* that are known: one query per folder and IN_LIST names.

    Not one with pairs: SQLite searches those by root alone.
    """
    names: dict[bytes, list[bytes]] = {}
    for folder, name in places:
        names.setdefault(folder, []).append(name)
    found: dict[tuple[bytes, bytes], FileRow] = {}
    for folder, wanted in names.items():
        for batch in batches(wanted):
            text = f"{_ROWS} WHERE root_id = ? AND dir = ? AND name IN {marks(batch)}"
            rows = file_rows(fetch_raw(tx, text, [root_id, folder, *batch]))
            found.update(((row.dir, row.name), row) for row in rows)
    return found


def by_ids(tx: Tx, file_ids: Iterable[int]) -> dict[int, FileRow]:
    """Return the rows of those ids that exist."""
    return load_files(tx, file_ids)


def by_state(
    tx: Tx, states: Sequence[FileState], *, root_id: int | None = None, after_id: int = 0, limit: int = 1000
) -> list[FileRow]:
    """Return up to *limit* rows in any of *states* with ids above *after_id*, by id."""
    query = select(files).where(files.c.state.in_([str(state) for state in states]), files.c.file_id > after_id)
    if FileState.REGULAR not in states:
        query = query.where(_IS_SPECIAL)
    if root_id is not None:
        query = query.where(files.c.root_id == root_id)
    return _rows(tx, query.order_by(files.c.file_id).limit(limit))


def by_inode(tx: Tx, dev: int, ino: int) -> list[FileRow]:
    """Return the rows that stand on that inode, by id."""
    query = select(files).where(files.c.dev == signed64(dev), files.c.ino == signed64(ino))
    return _rows(tx, query.order_by(files.c.file_id))


def by_recipe(tx: Tx, recipe_no: int) -> list[FileRow]:
    """Return the rows whose current version is that recipe, by id."""
    return _rows(tx, select(files).where(files.c.recipe_no == recipe_no).order_by(files.c.file_id))


def links_of(tx: Tx, file_id: int) -> list[FileRow]:
    """Return the followers of a leader, by id: the other names of its inode."""
    return _rows(tx, select(files).where(files.c.leader_id == file_id).order_by(files.c.file_id))


def count(tx: Tx, *, root_id: int | None = None) -> int:
    """Return how many names are known and not missing."""
    every = select(func.count()).select_from(files)
    # Two counts by index; the plain one would read every row for its state.
    missing = every.where(files.c.state == FileState.MISSING, _IS_SPECIAL)
    if root_id is not None:
        every, missing = every.where(files.c.root_id == root_id), missing.where(files.c.root_id == root_id)
    return int(tx.conn.execute(every).scalar_one()) - int(tx.conn.execute(missing).scalar_one())


def add_new(tx: Tx, rows: Sequence[NewFile], *, op_id: str, reason: str = "") -> list[int]:
    """Insert files in state regular; return their ids in order. Names of one inode are grouped under a leader."""
    change = FileChange.begin(tx, hardlinks.on_inodes(tx, [(row.dev, row.ino) for row in rows if row.nlink > 1]))
    statement = insert(files).returning(files.c.file_id, sort_by_parameter_order=True)
    for batch in batches(rows):
        change.created += tx.conn.execute(statement, [_new_row(tx, row) for row in batch]).scalars()
    hardlinks.group(tx, [file_id for file_id, row in zip(change.created, rows, strict=True) if row.nlink > 1])
    change.finish(op_id=op_id, kind="scan", reason=reason)
    return change.created


def update_scanned(
    tx: Tx, rows: Sequence[ScannedFile], *, op_id: str, keep_until_ns: int, reason: str = ""
) -> dict[int, FileRow]:
    """Bring known rows to what the scan saw, and return them as they were.

    A dual or offline file in whose place another file stands becomes regular, its stored copy a version kept until
    *keep_until_ns*. A placeholder (which the caller has found to name this row's recipe) makes the row offline. A
    missing file seen again with its identity is what it was. Rows being migrated or recalled keep that state.
    """
    linked = hardlinks.on_inodes(tx, [(row.dev, row.ino) for row in rows if row.nlink > 1 and not row.is_placeholder])
    change = FileChange.begin(tx, {*hardlinks.with_links(tx, [row.file_id for row in rows]), *linked})
    hardlinks.split(tx, {row.file_id: (row.dev, row.ino) for row in rows if not row.is_placeholder})
    current = load_files(tx, change.before)
    changed: list[dict[str, object]] = []
    ended: list[dict[str, object]] = []
    for seen in rows:
        known = current.get(seen.file_id)
        if known is None:
            continue
        values = _as_seen(known, seen)
        if known.recipe_no is not None and values["recipe_no"] is None:
            ended += _superseded(tx, change, known, keep_until_ns)
        changed.append({"of_id": seen.file_id, **values})
    change.notes += insert_versions(tx, ended)
    for batch in batches(changed):
        tx.conn.execute(
            update(files).where(files.c.file_id == bindparam("of_id")).values({c: bindparam(c) for c in _SCANNED}),
            batch,
        )
    hardlinks.group(tx, [row.file_id for row in rows if row.nlink > 1 and not row.is_placeholder])
    change.finish(op_id=op_id, kind="scan", reason=reason)
    return change.before


def mark_missing(tx: Tx, file_ids: Sequence[int], *, op_id: str, reason: str = "") -> None:
    """Note that the files were not seen; a stored copy is retained. Of a hard-linked inode another name takes
    the lead.
    """
    change = FileChange.begin(tx, hardlinks.with_links(tx, file_ids))
    hardlinks.hand_over(tx, file_ids)
    for batch in batches(file_ids):
        tx.conn.execute(
            update(files)
            .where(files.c.file_id.in_(batch), files.c.state != FileState.MISSING)
            .values(missing_from=files.c.state, missing_since_ns=tx.now_ns, state=FileState.MISSING)
        )
    change.finish(op_id=op_id, kind="scan", reason=reason)


def set_pinned(tx: Tx, file_ids: Sequence[int], pinned: bool) -> None:
    """Pin or unpin; recorded for rebuild."""
    names = root_names(tx)
    for batch in batches(file_ids):
        found = load_files(tx, batch)
        tx.conn.execute(update(files).where(files.c.file_id.in_(list(found))).values(pinned=pinned))
        outbox.append(
            tx, [records.pin(root_name=names[row.root_id], path=row.path, pinned=pinned) for row in found.values()]
        )


def device_of(tx: Tx, root_id: int) -> int | None:
    """Return the device number that the root's files on disk are known by; None when there are none."""
    of_root = select(files.c.dev).where(files.c.root_id == root_id).limit(1)
    stored = of_root.where(files.c.state == FileState.DUAL, _IS_SPECIAL)  # by index; the other may look at every row
    for query in (stored, of_root.where(files.c.state == FileState.REGULAR)):
        found = tx.conn.execute(query).scalar_one_or_none()
        if found is not None:
            return int(found)
    return None


def follow_device(tx: Tx, root_id: int, dev: int) -> int:
    """Replace the root's device number in all its rows by *dev*; return in how many. The caller knows it is the
    same tree.
    """
    old = device_of(tx, root_id)
    if old is None or old == signed64(dev):
        return 0
    moved = update(files).where(files.c.root_id == root_id, files.c.dev == old).values(dev=signed64(dev))
    return int(tx.conn.execute(moved).rowcount)


def note_access(tx: Tx, evidence: Mapping[int, int], quality: str) -> None:
    """Raise last_access_ns of file ids to the given times (never back), with the quality of the evidence."""
    statement = (
        update(files)
        .where(
            files.c.file_id == bindparam("of_id"),
            func.coalesce(files.c.last_access_ns, -1) < bindparam("at_ns"),
        )
        .values(last_access_ns=bindparam("at_ns"), access_quality=quality)
    )
    for batch in batches(evidence.items()):
        tx.conn.execute(statement, [{"of_id": file_id, "at_ns": at_ns} for file_id, at_ns in batch])


def _bounds(under: bytes) -> list[object]:
    """Return the values of _BELOW for the folder *under*."""
    return [under, under[:-1] + b"0"]  # "0" follows "/"


def _rows(tx: Tx, query: Select[*tuple[object, ...]]) -> list[FileRow]:
    return [file_row(row) for row in tx.conn.execute(query).all()]


def _new_row(tx: Tx, row: NewFile) -> dict[str, object]:
    return {
        **row._asdict(),
        "dev": signed64(row.dev),
        "ino": signed64(row.ino),
        "state": FileState.REGULAR,
        "pinned": False,
        "first_seen_ns": tx.now_ns,
    }


def _as_seen(known: FileRow, seen: ScannedFile) -> dict[str, object]:
    """Return the columns of _SCANNED after the scan saw *seen* at the path of *known*."""
    values: dict[str, object] = {column: getattr(known, column) for column in _SCANNED}
    fresh = {column: getattr(seen, column) for column in (*_IDENTITY, *_ATTRIBUTES, *_EVIDENCE)}
    fresh |= {"dev": signed64(seen.dev), "ino": signed64(seen.ino)}
    same = all(fresh[column] == values[column] for column in _IDENTITY)
    if seen.is_placeholder:
        if known.recipe_no is None:
            return values
        fresh["size"] = known.size
        fresh |= {column: values[column] for column in _EVIDENCE}
        state = FileState.RECALLING if known.state == FileState.RECALLING else FileState.OFFLINE
        return values | fresh | {"state": state, "missing_since_ns": None, "missing_from": None}
    if known.state == FileState.RECALLING:
        return values  # the recall's swap and its commit are not one step: its journal row says how it stands
    values |= fresh | {"missing_since_ns": None, "missing_from": None}
    offline = known.state == FileState.OFFLINE or (
        known.state == FileState.MISSING and known.missing_from in {FileState.OFFLINE, FileState.RECALLING}
    )
    if offline or not same:
        values |= {"recipe_no": None, "tier": None, "stored_ns": None, "stored_seq": None}
    if known.state != FileState.MIGRATING:
        values["state"] = FileState.REGULAR if values["recipe_no"] is None else FileState.DUAL
    return values


def _superseded(tx: Tx, change: FileChange, known: FileRow, keep_until_ns: int) -> list[dict[str, object]]:
    """Return the versions row for what *known* held, none for a follower; followers of it lose the recipe too."""
    if not known.is_leader or known.recipe_no is None:
        return []
    hardlinks.drop_recipe_of_followers(tx, known)
    return [version_of(tx, change, known, keep_until_ns, "replaced" if known.state == FileState.OFFLINE else "changed")]


def version_of(tx: Tx, change: FileChange, row: FileRow, keep_until_ns: int, reason: str) -> dict[str, object]:
    """Return the versions row that keeps the recipe of *row* from now on, counted in *change* as a retained
    holder.
    """
    if row.recipe_no is None:
        raise ValueError(f"file {row.file_id} has no stored version")
    change.held[row.recipe_no, "held.retained"] += 1
    return {
        "root_id": row.root_id,
        "dir": row.dir,
        "name": row.name,
        "recipe_no": row.recipe_no,
        "from_ns": row.stored_ns or row.first_seen_ns,
        "superseded_ns": tx.now_ns,
        "keep_until_ns": keep_until_ns,
        "reason": reason,
    }
