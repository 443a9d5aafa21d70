"""Which stored version a path means, now or at an earlier time: for restore and cat. Rows below a folder, by the page.

Answers from the catalog alone: the path need not exist any more.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tiering.catalog import files, versions
from tiering.catalog.files import EVERY, Only
from tiering.catalog.stored_rows import inode_of, stored_page
from tiering.catalog.totals import unstored_below
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow
from tiering.errors import UsageError
from tiering.hot.paths import split
from tiering.jobs.bucket_roots import SCHEME, short, url_of
from tiering.jobs.context import Context, OpenRoot

PAGE_ROWS = 2000  # 2 MB, 10 ms to read


class StoredVersion(NamedTuple):
    """A path and the recipe that stands for it."""

    root_id: int
    dir: bytes
    name: bytes
    recipe_no: int
    inode_of: int | None = None
    """File id of the leader of a hard link group, so that its names can be linked again; None for a lone file or a
    version.
    """


@dataclass(frozen=True, slots=True)
class Place:
    """What one path of a command means."""

    root: OpenRoot
    path: bytes
    """Relative to the root, no slash at its ends; b"" is the root."""


def absolute_path(ctx: Context, path: str) -> str:
    """Return what a command's *path* means: the URL of an object, given as such or as NAME/KEY of a bucket in mode
    ingest (where nothing of that name is on the disk), else an absolute path.
    """
    url = "" if os.path.lexists(path) else url_of(ctx.config, path)
    return url or os.path.abspath(path)


def place_of(ctx: Context, path: str) -> Place:
    """Return where *path* lies, absolute or the URL of an object; it need not exist. Raises UsageError if it is under
    no root.
    """
    if path.startswith(SCHEME):
        return _place_in_bucket(ctx, path)
    plain = os.path.abspath(os.fsencode(path))
    # The folder's links are resolved, the last name's are not: a placeholder is a link.
    resolved = os.path.join(os.path.realpath(os.path.dirname(plain)), os.path.basename(plain))
    for candidate in (plain, resolved, os.path.realpath(plain)):
        for root in ctx.roots:
            for top in (root.path, os.path.realpath(root.path)):
                if candidate == top or candidate.startswith(top.rstrip(b"/") + b"/"):
                    return Place(root, candidate[len(top) :].strip(b"/"))
    known = ", ".join(os.fsdecode(root.path) for root in ctx.roots) or "none"
    raise UsageError(f"{path} is not under any root", now="nothing was done", hint=f"the roots are: {known}")


def _place_in_bucket(ctx: Context, url: str) -> Place:
    for root in ctx.buckets:
        if os.fsencode(url) == root.path or os.fsencode(url).startswith(root.path + b"/"):
            return Place(short(root), os.fsencode(url)[len(root.path) :].strip(b"/"))
    known = ", ".join(os.fsdecode(root.path) for root in ctx.buckets) or "none"
    raise UsageError(
        f"{url} is in no bucket of which objects are stored",
        now="nothing was done",
        hint=f"those are: {known}; what was never taken in stands in its bucket",
    )


def version_of_file(tx: Tx, place: Place, at_ns: int | None) -> StoredVersion | None:
    """Return the stored version of the file at exactly that path; the newest kept one if the file is gone or never
    was current.
    """
    folder, name = split(place.path)
    root_id = place.root.root_id
    row = files.get(tx, root_id, folder, name)
    if row is not None and (found := _current(row, at_ns)):
        return found
    if at_ns is not None:
        version = versions.at(tx, root_id, folder, name, at_ns=at_ns)
    else:
        version = next(iter(versions.of_path(tx, root_id, folder, name)), None)
    return None if version is None else StoredVersion(root_id, folder, name, version.recipe_no)


def rows_below(ctx: Context, root_id: int, under: bytes = b"", only: Only = EVERY) -> Iterator[FileRow]:
    """Yield the rows below the folder *under* ("" or "a/b/") in (dir, name) order, each page read in a transaction of
    its own: the caller may write meanwhile.

    A row is as it stood when its page was read. Places do not change: none is met twice or passed over.
    """
    after: tuple[bytes, bytes] | None = None
    while True:
        with ctx.catalog.read() as tx:
            rows = files.page(tx, root_id, after=after, limit=PAGE_ROWS, under=under, only=only)
        yield from rows
        if len(rows) < PAGE_ROWS:
            return
        after = (rows[-1].dir, rows[-1].name)


def versions_below(ctx: Context, place: Place, at_ns: int | None) -> Iterator[StoredVersion]:
    """Yield the stored version of every file below the folder, in path order; without *at_ns* deleted files are left
    out.

    Read by the page, each in a transaction of its own, so that nothing is held up however long the caller takes: what
    changes meanwhile is met as it is by then.
    """
    folder = place.path + b"/" if place.path else b""
    after: tuple[bytes, bytes] | None = None
    while True:
        with ctx.catalog.read() as tx:
            found, after = _page(tx, place.root.root_id, folder, at_ns, after)
        yield from found
        if after is None:
            return


def _page(
    tx: Tx, root_id: int, folder: bytes, at_ns: int | None, after: tuple[bytes, bytes] | None
) -> tuple[list[StoredVersion], tuple[bytes, bytes] | None]:
    """Return the next stored versions in path order, and the path up to which that is all; None at the end.

    Current and kept versions of one stretch are read together: one that is being replaced is met in one form or the
    other.
    """
    if at_ns is None:
        stored, end = stored_page(tx, root_id, after=after, limit=PAGE_ROWS, under=folder)
        return [StoredVersion(root_id, *row) for row in stored], end
    rows = files.page(tx, root_id, after=after, limit=PAGE_ROWS, under=folder)
    kept = versions.page_under(tx, root_id, folder, at_ns=at_ns, after=after, limit=PAGE_ROWS)
    ends = [(page[-1].dir, page[-1].name) for page in (rows, kept) if len(page) == PAGE_ROWS]
    upto = min(ends, default=None)
    found: dict[tuple[bytes, bytes], StoredVersion] = {}
    for row in rows:
        if (current := _current(row, at_ns)) is not None:
            found[row.dir, row.name] = current
    for old in kept:
        found.setdefault((old.dir, old.name), StoredVersion(root_id, old.dir, old.name, old.recipe_no))
    return [found[path] for path in sorted(found) if upto is None or path <= upto], upto


def count_unstored(tx: Tx, place: Place) -> int:
    """Return how many files below the folder have no stored copy: they are on the disk only."""
    folder = place.path + b"/" if place.path else b""
    return unstored_below(tx, place.root.root_id, under=folder)


def _current(row: FileRow, at_ns: int | None) -> StoredVersion | None:
    """Return what *row* holds, missing or not, if it was current at that time."""
    if row.recipe_no is None:
        return None
    if at_ns is not None:
        ended = row.missing_since_ns is not None and row.missing_since_ns <= at_ns
        if (row.stored_ns or row.first_seen_ns) > at_ns or ended:
            return None
    return StoredVersion(row.root_id, row.dir, row.name, row.recipe_no, inode_of(row))
