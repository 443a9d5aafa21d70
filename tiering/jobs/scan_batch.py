"""Judges a batch of sights and brings the catalog to them, in one transaction.

Used by tiering.jobs.scan. Whatever touches the disk (looking whether a moved file's old path is empty) happens before
the transaction; inside it every row is read again, because another job may have been faster. Rows with an operation
under way are left alone: the journal says how they stand.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

from tiering.catalog import commit, files, journal, moves, recipes, versions, walked
from tiering.catalog.transaction import Tx
from tiering.catalog.values import AdoptedFile, FileRow, FileState, NewFile, RecipeRow, ScannedFile, signed64
from tiering.clock import NS_PER_DAY
from tiering.hot.identity import Identity
from tiering.hot.looks import status_of
from tiering.hot.placeholder import parse_target
from tiering.hot.walk import Entry, Kind
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.reports import Skip, Skipped
from tiering.jobs.scan_merge import Seen

_ON_DISK = {FileState.REGULAR, FileState.DUAL}
_MOVABLE = {FileState.REGULAR, FileState.DUAL, FileState.OFFLINE, FileState.MISSING}
_NLINK = 7  # of a walked.FreshFile


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What one batch changed. Files."""

    new: int = 0
    changed: int = 0
    moved: int = 0
    adopted: int = 0
    problems: tuple[Skipped, ...] = ()
    displaced: tuple[FileRow, ...] = ()
    """Rows in whose place a placeholder stands that was refused: their files are gone."""
    left_devices: frozenset[int] = frozenset()
    """Devices that were numbered anew: their files stand at their paths, the same inodes."""


@dataclass(slots=True)
class _Work:
    """The batch, sorted by what is to be done."""

    updates: list[ScannedFile] = field(default_factory=list)
    new: list[NewFile] = field(default_factory=list)
    moved: list[moves.Move] = field(default_factory=list)
    adopted: list[AdoptedFile] = field(default_factory=list)
    problems: list[Skipped] = field(default_factory=list)
    displaced: list[FileRow] = field(default_factory=list)
    named: set[int] = field(default_factory=set)
    """Live recipes that a refused placeholder names: it stands, so they are kept."""
    left_devices: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class BatchScope:
    """What holds for every batch of a scan."""

    context: Context
    root: OpenRoot
    quality: str
    """AccessQuality of the mount, as files are marked with it."""
    counts_atime: bool
    may_move: bool
    """The root had rows when the scan began: a new path may be a known file's."""


def apply_batch(
    scope: BatchScope, fresh: Sequence[walked.FreshFile], sights: Sequence[Seen], *, op_id: str
) -> BatchOutcome:
    """Bring the catalog to the new files *fresh* and to *sights*; durable on return. Running it again changes nothing
    more.
    """
    movable = _find_moves(scope, fresh, sights) if scope.may_move else {}
    rows: list[walked.FreshFile] = []
    rest = list(sights)
    for row in fresh:
        if row[_NLINK] == 1 and row[0] + row[1] not in movable:
            rows.append(row)
        else:
            rest.append(Seen(_as_looked_at(row), None))
    keep_until_ns = scope.context.clock.now_ns() + scope.context.config.versions.keep_days * NS_PER_DAY
    with scope.context.catalog.write() as tx:
        work = _sort(tx, scope, rest, movable) if rest else _Work()
        if rest:
            files.update_scanned(tx, work.updates, op_id=op_id, keep_until_ns=keep_until_ns)
            moves.follow(tx, work.moved, op_id=op_id)
            files.add_new(tx, work.new, op_id=op_id)
        if rows:
            walked.add_fresh(tx, scope.root.root_id, rows, access_quality=scope.quality, op_id=op_id)
        if rest:
            commit.adopt(tx, work.adopted, op_id=op_id, reason="placeholder found at a new path")
        if work.named:
            versions.prolong(tx, work.named, keep_until_ns=keep_until_ns)
    return BatchOutcome(
        new=len(work.new) + len(rows),
        changed=len(work.updates) - len(work.moved),
        moved=len(work.moved),
        adopted=len(work.adopted),
        problems=tuple(work.problems),
        displaced=tuple(work.displaced),
        left_devices=frozenset(work.left_devices),
    )


def _as_looked_at(row: walked.FreshFile) -> Entry:
    dir, name, size, mtime_ns, ctime_ns, dev, ino, links, mode, uid, gid, atime_ns = row
    # Where the mount's atimes count for nothing nobody asks for it.
    status = status_of((mtime_ns, ctime_ns, dev, ino, size, links, mode, atime_ns or 0, uid, gid))
    return Entry(dir, name, Kind.FILE, status, None)


def _find_moves(scope: BatchScope, fresh: Sequence[walked.FreshFile], sights: Sequence[Seen]) -> dict[bytes, FileRow]:
    """Return new path -> the row of the file that stood elsewhere before; only where its old path is empty now."""
    files_at = {(row[5], row[6]): row for row in fresh if row[_NLINK] == 1}
    new = [seen.entry for seen in sights if seen.row is None and seen.entry.stat.st_nlink == 1]
    links_at = {(entry.stat.st_dev, entry.stat.st_ino): entry for entry in new}
    if not (files_at or links_at):
        return {}
    with scope.context.catalog.read() as tx:
        found = moves.by_inodes(tx, scope.root.root_id, [*files_at, *links_at])
    movable: dict[bytes, FileRow] = {}
    for inode, rows in found.items():
        entry = _as_looked_at(files_at[inode]) if inode in files_at else links_at[inode]
        if len(rows) == 1 and _is_same_file(entry, rows[0]) and not _stands(scope.root, rows[0]):
            movable[entry.path] = rows[0]
    return movable


def _is_same_file(entry: Entry, row: FileRow) -> bool:
    """Return whether *entry* is the file of *row* by all that a rename leaves unchanged."""
    was = row.missing_from if row.state is FileState.MISSING else row.state
    if row.state not in _MOVABLE or row.leader_id is not None or row.nlink != 1:
        return False
    if row.mtime_ns != entry.stat.st_mtime_ns:
        return False
    if entry.kind is Kind.PLACEHOLDER:
        return was == FileState.OFFLINE
    return was in _ON_DISK and row.size == entry.stat.st_size


def _stands(root: OpenRoot, row: FileRow) -> bool:
    """Return whether the inode of *row* is still at its path."""
    try:
        status = os.lstat(os.path.join(root.path, row.path))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # not known to be gone
    return signed64(status.st_ino) == row.ino and signed64(status.st_dev) == row.dev


def _sort(tx: Tx, scope: BatchScope, sights: Sequence[Seen], movable: dict[bytes, FileRow]) -> _Work:
    busy = journal.files_at_work(tx)
    current = files.by_ids(tx, {seen.row.file_id for seen in sights if seen.row is not None})
    named = _recipes_named(tx, scope, sights)
    sorter = _Sorter(tx, scope, named)
    for seen in sights:
        row = None if seen.row is None else current.get(seen.row.file_id)
        if row is not None and row.path != seen.entry.path:
            row = None  # it has followed its file elsewhere since the page was read
            if files.get(tx, scope.root.root_id, seen.entry.dir, seen.entry.name) is not None:
                continue
        origin = movable.get(seen.entry.path)
        if row is not None and row.file_id in busy:
            continue
        if row is None and origin is not None and origin.file_id not in busy:
            fresh = files.by_ids(tx, [origin.file_id]).get(origin.file_id)
            origin = origin if fresh == origin else None
        if seen.entry.kind is Kind.PLACEHOLDER:
            sorter.placeholder(seen.entry, row, origin)
        else:
            sorter.file(seen.entry, row, origin)
    return sorter.work


def _recipes_named(tx: Tx, scope: BatchScope, sights: Sequence[Seen]) -> dict[str, RecipeRow]:
    wanted: set[str] = set()
    for seen in sights:
        if seen.entry.target is not None and (parsed := parse_target(seen.entry.target)) is not None:
            wanted.add(parsed.recipe_id)
    return recipes.by_ids(tx, wanted)


class _Sorter:
    """Decides for each sight what is to be done, and puts it on the right heap."""

    def __init__(self, tx: Tx, scope: BatchScope, named: dict[str, RecipeRow]) -> None:
        self._tx = tx
        self._scope = scope
        self._named = named
        self.work = _Work()

    def file(self, entry: Entry, row: FileRow | None, origin: FileRow | None) -> None:
        """Take a regular file."""
        if row is not None:
            self.work.updates.append(self._scanned(entry, row))
        elif origin is not None:
            self.work.updates.append(self._scanned(entry, origin))
            self.work.moved.append(moves.Move(origin.file_id, entry.dir, entry.name))
        else:
            self.work.new.append(self._new(entry))

    def placeholder(self, entry: Entry, row: FileRow | None, origin: FileRow | None) -> None:
        """Take a link that has the form of a placeholder."""
        recipe, fault = self._judge(entry)
        if recipe is not None and row is not None and row.recipe_no == recipe.recipe_no:
            self.work.updates.append(self._scanned(entry, row, is_placeholder=True))
        elif recipe is not None and row is None and origin is not None and origin.recipe_no == recipe.recipe_no:
            self.work.updates.append(self._scanned(entry, origin, is_placeholder=True))
            self.work.moved.append(moves.Move(origin.file_id, entry.dir, entry.name))
        elif recipe is None or fault:
            self.work.problems.append(Skipped(self._shown(entry), fault, Skip.REFUSED))
            if recipe is not None and recipe.state == "live":
                self.work.named.add(recipe.recipe_no)
            if row is not None:
                self.work.displaced.append(row)
        else:
            if row is not None and row.recipe_no is not None:
                # Another file's placeholder came over this path: what the row stored becomes a version first.
                self.work.updates.append(self._scanned(entry, row))
            self.work.adopted.append(self._adoption(entry, recipe))

    def _judge(self, entry: Entry) -> tuple[RecipeRow | None, str]:
        """Return the recipe that the link names, and why it may not be adopted ("" if it may)."""
        parsed = parse_target(entry.target or b"")
        if parsed is None:
            return None, "it is no placeholder any more"
        if parsed.store_id != self._scope.context.store_id:
            return None, f"the placeholder belongs to another store ({parsed.store_id})"
        recipe = self._named.get(parsed.recipe_id)
        if recipe is None:
            return None, f"the placeholder names recipe {parsed.recipe_id}, which this catalog does not know"
        if recipe.state != "live":
            return recipe, f"the placeholder names recipe {parsed.recipe_id}, whose retention is over"
        if entry.stat.st_uid not in {recipe.owner_uid, 0}:
            return recipe, (
                f"forged or foreign placeholder: it belongs to user {entry.stat.st_uid}, the file it names to user "
                f"{recipe.owner_uid}; it was not adopted and gives nothing away"
            )
        return recipe, ""

    def _adoption(self, entry: Entry, recipe: RecipeRow) -> AdoptedFile:
        holders = files.by_recipe(self._tx, recipe.recipe_no)
        mode, gid = (holders[0].mode, holders[0].gid) if holders else (stat.S_IFREG | 0o600, entry.stat.st_gid)
        return AdoptedFile(
            root_id=self._scope.root.root_id,
            dir=entry.dir,
            name=entry.name,
            recipe_no=recipe.recipe_no,
            placeholder=Identity.of(entry.stat),
            mode=mode,
            uid=recipe.owner_uid,
            gid=gid,
        )

    def _scanned(self, entry: Entry, row: FileRow, *, is_placeholder: bool = False) -> ScannedFile:
        status = entry.stat
        same_inode = (signed64(status.st_dev), signed64(status.st_ino)) == (row.dev, row.ino)
        keeps_evidence = is_placeholder or (same_inode and row.state is not FileState.OFFLINE)
        identity = Identity.of(status)
        if (identity.ino, identity.mtime_ns) == (row.ino, row.mtime_ns) and identity.dev != row.dev:
            self.work.left_devices.add(row.dev)
        return ScannedFile(
            file_id=row.file_id,
            size=identity.size,
            mtime_ns=identity.mtime_ns,
            ctime_ns=identity.ctime_ns,
            dev=identity.dev,
            ino=identity.ino,
            # A placeholder's own mode and owner say nothing of the file.
            nlink=row.nlink if is_placeholder else status.st_nlink,
            mode=row.mode if is_placeholder else status.st_mode,
            uid=row.uid if is_placeholder else status.st_uid,
            gid=row.gid if is_placeholder else status.st_gid,
            last_access_ns=row.last_access_ns if keeps_evidence else self._first_access(entry),
            access_quality=self._scope.quality,
            is_placeholder=is_placeholder,
        )

    def _new(self, entry: Entry) -> NewFile:
        status = entry.stat
        return NewFile(
            root_id=self._scope.root.root_id,
            dir=entry.dir,
            name=entry.name,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            dev=status.st_dev,
            ino=status.st_ino,
            nlink=status.st_nlink,
            mode=status.st_mode,
            uid=status.st_uid,
            gid=status.st_gid,
            last_access_ns=self._first_access(entry),
            access_quality=self._scope.quality,
        )

    def _first_access(self, entry: Entry) -> int | None:
        """Return the atime of a file met for the first time: whoever read it, nobody read it later than that."""
        return entry.stat.st_atime_ns if self._scope.counts_atime else None

    def _shown(self, entry: Entry) -> str:
        return os.fsdecode(os.path.join(self._scope.root.path, entry.path))
