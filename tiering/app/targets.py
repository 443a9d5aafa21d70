"""Turns the paths of a command line into names the catalog knows."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tiering.catalog import files
from tiering.catalog.files import EVERY, Only
from tiering.catalog.totals import Alike, alike
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow
from tiering.errors import UsageError
from tiering.jobs.bucket_roots import SCHEME
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.stored_paths import absolute_path, place_of, rows_below


@dataclass(frozen=True, slots=True)
class Target:
    """What one path means: a whole root, a folder below it, or one file."""

    root: OpenRoot
    dir: bytes
    """b"" or "a/b/": of a folder the folder itself, of a file the one it is in."""
    name: bytes
    """b"" for a folder."""

    @property
    def is_folder(self) -> bool:
        """Whether everything below is meant."""
        return not self.name

    def rows(self, tx: Tx) -> Iterator[FileRow]:
        """Yield the catalog's rows at or below the target, in (dir, name) order."""
        if self.is_folder:
            yield from files.every(tx, self.root.root_id, under=self.dir)
        elif (row := self._file(tx)) is not None:
            yield row

    def stream(self, context: Context, only: Only = EVERY) -> Iterator[FileRow]:
        """Yield rows() a page at a time, each page read in a transaction of its own: the caller may write meanwhile."""
        if self.is_folder:
            yield from rows_below(context, self.root.root_id, self.dir, only)
            return
        with context.catalog.read() as tx:
            row = self._file(tx)
        if row is not None and only.holds(row):
            yield row

    def alike(self, tx: Tx) -> list[Alike]:
        """Return the names at or below the target in groups."""
        if self.is_folder:
            return alike(tx, self.root.root_id, under=self.dir)
        row = self._file(tx)
        return [] if row is None else [Alike(row, 1, row.size)]

    def covers(self, other: "Target") -> bool:
        """Return whether all of *other* is at or below this one."""
        if other.root.root_id != self.root.root_id:
            return False
        if self.is_folder:
            return other.dir.startswith(self.dir)
        return (other.dir, other.name) == (self.dir, self.name)

    def _file(self, tx: Tx) -> FileRow | None:
        return files.get(tx, self.root.root_id, self.dir, self.name)


def apart(targets: Sequence[Target]) -> list[Target]:
    """Return *targets* without those that another one covers: each file is under one of them."""
    found: list[Target] = []
    for target in targets:
        if not any(other.covers(target) for other in found):
            found = [*(other for other in found if not target.covers(other)), target]
    return found


def find_targets(context: Context, paths: Sequence[str], *, with_objects: bool = False) -> list[Target]:
    """Return what *paths* (relative to the working directory, or absolute) mean; each lies under a root.

    *with_objects* takes s3://BUCKET/KEY too, or NAME/KEY of a bucket in mode ingest. A path that is neither on the disk
    nor in the catalog is a UsageError naming it and the roots there are.
    """
    return [_find_any(context, absolute_path(context, path), with_objects=with_objects) for path in paths]


def whole_roots(context: Context) -> list[Target]:
    """Return every root as a target, and every bucket whose objects are stored."""
    return [Target(root, b"", b"") for root in (*context.roots, *context.buckets)]


def roots_of(targets: Sequence[Target]) -> list[OpenRoot]:
    """Return the roots that *targets* lie under, each once, in order."""
    return list({target.root.root_id: target.root for target in targets}.values())


def _find_any(context: Context, path: str, *, with_objects: bool) -> Target:
    if not path.startswith(SCHEME):
        return _find(context, os.fsencode(path))
    if not with_objects:
        raise UsageError(
            f"{path} is an object of a bucket, which this command does not do",
            now="nothing was done",
            hint="frostline cat, restore and ls read stored objects; frostline buckets restore puts them back",
        )
    place = place_of(context, path)
    folder, _, name = place.path.rpartition(b"/")
    folder = folder + b"/" if folder else b""
    with context.catalog.read() as tx:
        if name and files.get(tx, place.root.root_id, folder, name) is not None:
            return Target(place.root, folder, name)
        if not name or files.page(tx, place.root.root_id, under=place.path + b"/", limit=1):
            return Target(place.root, place.path + b"/" if place.path else b"", b"")
    raise UsageError(f"nothing is stored of {path}", hint="frostline ls lists what is known")


def _find(context: Context, path: bytes) -> Target:
    root = _root_of(context, path)
    if root is None:
        shown = ", ".join(os.fsdecode(known.path) for known in context.roots) or "none"
        raise UsageError(
            f"{os.fsdecode(path)} is not under any root", now="nothing was done", hint=f"the roots are: {shown}"
        )
    relative = _below(path, root.path)
    if not relative:
        return Target(root, b"", b"")
    if os.path.isdir(path) and not os.path.islink(path):
        return Target(root, relative + b"/", b"")
    folder, _, name = relative.rpartition(b"/")
    folder = folder + b"/" if folder else b""
    with context.catalog.read() as tx:
        if files.get(tx, root.root_id, folder, name) is not None:
            return Target(root, folder, name)
        if files.page(tx, root.root_id, under=relative + b"/", limit=1):
            return Target(root, relative + b"/", b"")  # a folder whose files are all offline without placeholders
    if os.path.lexists(path):
        return Target(root, folder, name)  # not scanned yet
    raise UsageError(
        f"{os.fsdecode(path)} is neither on the disk nor in the catalog",
        now="nothing was done",
        hint="check the spelling; frostline ls lists what is known",
    )


def _root_of(context: Context, path: bytes) -> OpenRoot | None:
    # The folder's symlinks are resolved, the last name's are not: a placeholder is a symlink.
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    for candidate in (path, real, os.path.realpath(path)):
        for root in context.roots:
            if _is_within(candidate, root.path) or _is_within(candidate, os.path.realpath(root.path)):
                return root
    return None


def _below(path: bytes, root: bytes) -> bytes:
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    for candidate in (path, real, os.path.realpath(path)):
        for top in (root, os.path.realpath(root)):
            if _is_within(candidate, top):
                return candidate[len(top) :].strip(b"/")
    return b""


def _is_within(inner: bytes, outer: bytes) -> bool:
    return inner == outer or inner.startswith(outer.rstrip(b"/") + b"/")
