"""Turns changes of rows into ledger lines: what a file, a holder of a recipe, a chunk and a pack weigh in each
book.

Every function that changes rows which weigh something does it between FileChange.begin() and .finish(): the
lines are the difference between the rows before and after, so that books and rows cannot part. Who the callers
are: files, commit, versions, packs.

Weights. A leader row weighs its size on files.hot_only, .dual or .offline by state; an object of a bucket does so under
the bucket's name in place of a tier. A *holder* of a recipe is a leader row with a recipe (held.current; held.retained
while missing) or a versions row (held.retained). A chunk is live while a refs row names it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import itemgetter
from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, exists, func, insert, literal, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from dedup.values import made_of
from tiering.catalog import accounts, ledger, outbox, records
from tiering.catalog.accounts import Amounts
from tiering.catalog.tables import blocks, chunks, files, packs, recipes, refs, versions
from tiering.catalog.transaction import Tx, batches, fetch_among, fetch_raw
from tiering.catalog.values import FileRow, FileState

_STATES: dict[object, FileState] = {str(state): state for state in FileState}
_OF_IDS = f"SELECT {', '.join(column.name for column in files.columns)} FROM files WHERE file_id"  # noqa: S608  # our names
_STATE, _PINNED, _SIZE = map(files.columns.keys().index, ("state", "pinned", "size"))
_size_of = itemgetter(_SIZE)
_STATE_ACCOUNT = {
    FileState.DUAL: accounts.FILES_DUAL,
    FileState.OFFLINE: accounts.FILES_OFFLINE,
    FileState.RECALLING: accounts.FILES_OFFLINE,
    FileState.REGULAR: accounts.FILES_HOT_ONLY,
}


def files_account(row: FileRow) -> str | None:
    """Return the account of the files book that *row* weighs on; None for a follower and for a missing file."""
    if not row.is_leader:
        return None
    if row.state == FileState.MIGRATING:
        return accounts.FILES_HOT_ONLY if row.recipe_no is None else accounts.FILES_DUAL
    return _STATE_ACCOUNT.get(row.state)


def held_account(row: FileRow) -> str | None:
    """Return the account on which *row* holds its recipe; None when it holds none."""
    if not row.is_leader or row.recipe_no is None:
        return None
    return accounts.HELD_RETAINED if row.state == FileState.MISSING else accounts.HELD_CURRENT


def load_files(tx: Tx, file_ids: Iterable[int]) -> dict[int, FileRow]:
    """Return the rows of those ids that exist."""
    return {row[0]: row for row in file_rows(fetch_among(tx, _OF_IDS, file_ids))}


def file_rows(rows: Sequence[Sequence[Any]]) -> Iterable[FileRow]:
    """Return file_row() of each of many, at a third of the time."""
    return rows_of_columns(list(zip(*rows, strict=True))) if rows else ()


def rows_of_columns(columns: list[Iterable[Any]]) -> Iterable[FileRow]:
    """Return file_rows() of the columns of files, all in order; they are taken over."""
    columns[_STATE], columns[_PINNED] = map(_STATES.__getitem__, columns[_STATE]), map(bool, columns[_PINNED])
    return made_of(FileRow, columns)


def file_row(row: Iterable[object]) -> FileRow:
    """Return a row of `select(files)`, or of all columns of files as the driver gives them, as a FileRow."""
    values = list(row)
    values[_STATE], values[_PINNED] = _STATES[values[_STATE]], bool(values[_PINNED])  # SQLite has no booleans
    return FileRow._make(values)


@dataclass(frozen=True, slots=True)
class NewlyStored:
    """Leaders that had no stored copy and will have one: what they weigh is known without comparing each."""

    file_ids: Collection[int]
    root_ids: Sequence[int]
    """Of each."""
    sizes: Sequence[int]
    """Of each, as it was read."""
    tier: str
    plain_bytes: int
    """Raw bytes of all chunks that their recipes list, as often as they do."""


@dataclass(frozen=True, slots=True)
class NewChunks:
    """Chunks whose rows were inserted by a commit, numbered in a row, and which of them its recipes use."""

    tier: str | None
    """Of all their packs; None if those are not of one."""
    numbers: range
    raw: Sequence[int]
    """Lengths, of each."""
    stored: Sequence[int]
    """Shares, of each."""
    used: set[int]
    """Numbers of those that recipes contain, and perhaps of older chunks."""
    bases: set[int]
    """Numbers of those that are only referred to as bases, and perhaps of older chunks."""


@dataclass(slots=True)
class FileChange:
    """One change of file and version rows, from its first look at them to its ledger entry."""

    tx: Tx
    before: dict[int, FileRow]
    created: list[int] = field(default_factory=list)
    """Ids of rows inserted since."""
    held: Counter[tuple[int, str]] = field(default_factory=Counter)
    """(recipe_no, held account) -> holders added, for version rows; file rows are compared."""
    amounts: Amounts = field(default_factory=Amounts)
    """Further lines, e.g. of packs that go live in the same commit."""
    notes: list[outbox.Record] = field(default_factory=list)
    """Further records, written before those of the files."""

    @classmethod
    def begin(cls, tx: Tx, file_ids: Iterable[int]) -> "FileChange":
        """Note how the rows are; every row changed later must be among them, or be created."""
        return cls(tx, load_files(tx, file_ids))

    def finish(
        self,
        *,
        op_id: str,
        kind: str,
        reason: str,
        new_recipes: range = range(0),
        new_chunks: NewChunks | None = None,
        stored: NewlyStored | None = None,
    ) -> int | None:
        """Book the difference, doom recipes that lost their last holder, write records; return the entry, None
        if nothing weighs.

        *new_recipes* are the newest there are and have their refs in place already; the chunks those brought to life
        are booked here. The rows of *stored* are not read, and the caller has noted their records.
        """
        before = self.before
        if stored is not None:
            self._weigh(stored)
            others = before.keys() - set(stored.file_ids)
            before = {file_id: before[file_id] for file_id in others}
        after = load_files(self.tx, (*before, *self.created))
        recorded = self._file_records(before, after)
        held = self._compare(before, after)
        facts = _recipe_facts(self.tx, {recipe_no for recipe_no, _ in held})
        _book_holders(self.amounts, held, facts)
        if new_recipes:
            book_new_chunks(self.tx, self.amounts, new_recipes, new_chunks)
        dropped = {recipe_no for (recipe_no, _), count in held.items() if count < 0}
        doomed = doom_unheld(self.tx, self.amounts, dropped)
        outbox.append(self.tx, [*self.notes, *recorded, *doomed])
        return book(self.tx, self.amounts, op_id=op_id, kind=kind, reason=reason)

    def _weigh(self, stored: NewlyStored) -> None:
        """Book what _compare() would say of the rows of *stored* when they are written."""
        of_bucket = bucket_names(self.tx)
        before = list(map(_size_of, map(self.before.__getitem__, stored.file_ids)))
        for root_id in set(stored.root_ids):
            is_of_root = [root_id == other for other in stored.root_ids]
            size_bytes, was_bytes = sum(compress(stored.sizes, is_of_root)), sum(compress(before, is_of_root))
            bucket = of_bucket.get(root_id, "")
            self.amounts.add(accounts.FILES_DUAL, size_bytes, bucket)
            self.amounts.add(accounts.FILES_HOT_ONLY, -was_bytes, bucket)
            self.amounts.add(accounts.FILES_LOGICAL, was_bytes - size_bytes, bucket)
        size_bytes = sum(stored.sizes)
        self.amounts.add(accounts.HELD_CURRENT, -size_bytes, stored.tier)
        self.amounts.add(accounts.STORE_DEDUP_SAVED, stored.plain_bytes, stored.tier)
        self.amounts.add(accounts.STORE_COMPRESSION_SAVED, size_bytes - stored.plain_bytes, stored.tier)

    def _compare(self, before: Mapping[int, FileRow], after: Mapping[int, FileRow]) -> Counter[tuple[int, str]]:
        held = Counter(self.held)
        weights: Counter[tuple[str, str]] = Counter()
        of_bucket = bucket_names(self.tx)
        for sign, rows in ((-1, before), (+1, after)):
            for row in rows.values():
                account = files_account(row)
                if account is not None:
                    weights[account, of_bucket.get(row.root_id, "")] += sign * row.size
                account = held_account(row)
                if account is not None and row.recipe_no is not None:
                    held[row.recipe_no, account] += sign
        for (account, bucket), weight in weights.items():
            self.amounts.add(account, weight, bucket)
            self.amounts.add(accounts.FILES_LOGICAL, -weight, bucket)
        return held

    def _file_records(self, rows: Mapping[int, FileRow], after: Mapping[int, FileRow]) -> list[outbox.Record]:
        changed = [row for row in after.values() if _matters(rows.get(row.file_id), row)]
        leaders = load_files(self.tx, {row.leader_id for row in changed if row.leader_id is not None})
        ids = recipe_ids(self.tx, {row.recipe_no for row in changed if row.recipe_no is not None})
        names = root_names(self.tx)
        made: list[outbox.Record] = []
        for row in changed:
            described = records.file(
                row,
                root_name=names[row.root_id],
                recipe_id=None if row.recipe_no is None else ids[row.recipe_no],
                leader=leaders[row.leader_id].path if row.leader_id in leaders else None,
            )
            before = rows.get(row.file_id)
            if before is not None and _is_same_holder(before, row):
                described = records.file_changed(described, before, row)
            made.append(described)
        gone = [row for row in rows.values() if row.file_id not in after]
        made += [records.file_gone(root_name=names[row.root_id], path=row.path) for row in gone]
        return made


def book(tx: Tx, amounts: Amounts, *, op_id: str, kind: str, reason: str) -> int | None:
    """Post *amounts* as one entry; None when there is nothing to post.

    The amounts come from rows changed in this very transaction, so a second call under one op_id is a second
    change (a batch in parts, a step resumed) and gets "#2", "#3" ...: nothing can be counted twice, for the
    rows were only changed once.
    """
    lines = amounts.lines()
    if not lines:
        return None
    return ledger.post(tx, ledger.Entry(op_id=_free(tx, op_id), kind=kind, reason=reason, lines=lines))


def book_chunks(tx: Tx, amounts: Amounts, recipe_nos: Sequence[int], *, sign: int) -> None:
    """Book the chunks whose use *recipe_nos* (at most 500) change: +1 once their refs are in place, -1 before they go.

    A chunk is used where a recipe contains it (refs.times > 0), only a base where none does but others are coded
    against it.
    """
    query = _use_changed(refs.c.recipe_no.in_(recipe_nos), _others.c.recipe_no.not_in(recipe_nos))
    _book_use(amounts, tx.conn.execute(query).all(), sign)


def book_new_chunks(tx: Tx, amounts: Amounts, recipe_nos: range, new: NewChunks | None = None) -> None:
    """Book as book_chunks() does the chunks that the newest recipes there are brought to life; *new* are those of the
    same commit, which nothing can have referred to before, and are not asked for.
    """
    ends = {"first": recipe_nos.start, "last": recipe_nos.stop - 1, "before": _NO_CHUNK}
    if new is not None and new.tier is not None:
        ends["before"] = new.numbers.start
        used = [number in new.used for number in new.numbers]
        bases = [number in new.bases for number in new.numbers]
        facts = (
            (new.tier, is_used, False, sum(compress(new.raw, which)), sum(compress(new.stored, which)))
            for is_used, which in ((True, used), (False, bases))
            if any(which)
        )
        _book_use(amounts, facts, +1)
    _book_use(amounts, tx.conn.execute(_USED_ANEW, ends).all(), +1)


_NO_CHUNK = (1 << 63) - 1  # above all numbers of chunks
_others = refs.alias("others")


def _use_changed(is_mine: ColumnElement[bool], counts: ColumnElement[bool]) -> Select[tuple[Any, ...]]:
    """Return the query for (tier, is_used, was_named, raw bytes, stored bytes) of the chunks whose use changes by the
    refs that *is_mine* means; *counts* says which of _others stay.
    """
    times = func.max(refs.c.times).label("times")
    mine = select(refs.c.chunk_no, times).where(is_mine).group_by(refs.c.chunk_no).subquery()
    others = _others
    named = exists(select(literal(1)).select_from(others).where(others.c.chunk_no == mine.c.chunk_no, counts))
    used = exists(
        select(literal(1)).select_from(others).where(others.c.chunk_no == mine.c.chunk_no, counts, others.c.times > 0)
    )
    changed = (
        select(mine.c.chunk_no, (mine.c.times > 0).label("is_used"), named.label("was_named"))
        .where(~used, or_(mine.c.times > 0, ~named))
        .subquery()
    )
    return (
        select(
            *(packs.c.tier, changed.c.is_used, changed.c.was_named),
            *(func.sum(chunks.c.raw_len), func.sum(chunks.c.stored_len)),
        )
        .select_from(changed.join(chunks, chunks.c.chunk_no == changed.c.chunk_no))
        .join(blocks, blocks.c.block_no == chunks.c.block_no)
        .join(packs, packs.c.pack_no == blocks.c.pack_no)
        .group_by(packs.c.tier, changed.c.is_used, changed.c.was_named)
    )


_USED_ANEW = _use_changed(
    and_(refs.c.recipe_no.between(bindparam("first"), bindparam("last")), refs.c.chunk_no < bindparam("before")),
    _others.c.recipe_no < bindparam("first"),
)


def _book_use(amounts: Amounts, found: Iterable[Sequence[Any]], sign: int) -> None:
    for tier, is_used, was_named, raw, stored in found:
        raw_bytes, stored_bytes = sign * int(raw), sign * int(stored)
        if not was_named:
            amounts.add(accounts.STORE_LIVE, stored_bytes, tier)
            amounts.add(accounts.BUCKET_LIVE, stored_bytes, tier)
            amounts.add(accounts.BUCKET_DEAD, -stored_bytes, tier)
        if is_used:
            amounts.add(accounts.STORE_COMPRESSION_SAVED, raw_bytes - stored_bytes, tier)
            amounts.add(accounts.STORE_DEDUP_SAVED, -raw_bytes, tier)
        if is_used == was_named:  # it becomes only a base, or it was one
            amounts.add(accounts.STORE_OVERHEAD, stored_bytes if is_used else -stored_bytes, tier)


def doom_unheld(tx: Tx, amounts: Amounts, recipe_nos: Iterable[int]) -> list[outbox.Record]:
    """Doom those live recipes that nothing holds; their chunks lose their refs. Return the records."""
    made: list[outbox.Record] = []
    for batch in batches(sorted(recipe_nos)):
        query = select(recipes.c.recipe_no, recipes.c.recipe_id).where(
            recipes.c.recipe_no.in_(batch),
            recipes.c.state == "live",
            ~exists(select(literal(1)).where(files.c.recipe_no == recipes.c.recipe_no)),
            ~exists(select(literal(1)).where(versions.c.recipe_no == recipes.c.recipe_no)),
        )
        doomed = {row.recipe_no: row.recipe_id for row in tx.conn.execute(query)}
        if not doomed:
            continue
        numbers = list(doomed)
        book_chunks(tx, amounts, numbers, sign=-1)
        tx.conn.execute(delete(refs).where(refs.c.recipe_no.in_(numbers)))
        tx.conn.execute(update(recipes).where(recipes.c.recipe_no.in_(numbers)).values(state="doomed"))
        made += [{"record": "recipe_doomed", "recipe": doomed[number]} for number in numbers]
    return made


def insert_versions(tx: Tx, rows: Sequence[Mapping[str, object]]) -> list[outbox.Record]:
    """Insert versions rows and return their records; the caller counts them as holders."""
    if not rows:
        return []
    tx.conn.execute(insert(versions), list(rows))
    ids = recipe_ids(tx, {int(str(row["recipe_no"])) for row in rows})
    names = root_names(tx)
    return [records.version(row, root_name=names[int(str(row["root_id"]))], recipe_ids=ids) for row in rows]


def recipe_ids(tx: Tx, recipe_nos: Iterable[int]) -> dict[int, str]:
    """Return recipe_no -> recipe id."""
    found: dict[int, str] = {}
    for batch in batches(recipe_nos):
        query = select(recipes.c.recipe_no, recipes.c.recipe_id).where(recipes.c.recipe_no.in_(batch))
        found.update({row.recipe_no: row.recipe_id for row in tx.conn.execute(query)})
    return found


def root_names(tx: Tx) -> dict[int, str]:
    """Return root_id -> name."""
    return dict(fetch_raw(tx, "SELECT root_id, name FROM roots", ()))


def bucket_names(tx: Tx) -> dict[int, str]:
    """Return root_id -> name of those that are buckets: what stands in place of a tier on the bytes of their files,
    which are not on the hot tier.
    """
    return {root_id: name for root_id, name in root_names(tx).items() if name.startswith(accounts.CARE)}


def _recipe_facts(tx: Tx, recipe_nos: Iterable[int]) -> dict[int, tuple[int, int, str]]:
    text = "SELECT recipe_no, size, plain_bytes, tier FROM recipes WHERE recipe_no"
    return {recipe_no: (size, plain, tier) for recipe_no, size, plain, tier in fetch_among(tx, text, recipe_nos)}


def _book_holders(
    amounts: Amounts, held: Mapping[tuple[int, str], int], facts: Mapping[int, tuple[int, int, str]]
) -> None:
    sums: Counter[tuple[str, str]] = Counter()
    for (recipe_no, account), count in held.items():
        size, plain, tier = facts[recipe_no]
        sums[account, tier] -= count * size
        sums[accounts.STORE_DEDUP_SAVED, tier] += count * plain
        sums[accounts.STORE_COMPRESSION_SAVED, tier] += count * (size - plain)
    for (account, tier), amount in sums.items():
        amounts.add(account, amount, tier)


def _matters(before: FileRow | None, after: FileRow) -> bool:
    """Whether rebuild needs to know: rows that have or had a stored copy. The others it learns by scanning."""
    had = before is not None and before.recipe_no is not None
    return (had or after.recipe_no is not None) and before != after


def _is_same_holder(before: FileRow, after: FileRow) -> bool:
    """Whether what was recorded of the row stands, but for a few columns."""
    held = before.recipe_no is not None and before.recipe_no == after.recipe_no
    return held and (before.root_id, before.path, before.leader_id) == (after.root_id, after.path, after.leader_id)


def _free(tx: Tx, op_id: str) -> str:
    candidate, number = op_id, 1
    while ledger.is_booked(tx, candidate):
        number += 1
        candidate = f"{op_id}#{number}"
    return candidate
