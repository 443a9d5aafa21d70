"""Joins what a walk sees with what the catalog knows: both come in (dir, name) order, so one pass and no memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tiering.catalog.values import FileRow
from tiering.hot.walk import Entry, Kind, WalkProblem


@dataclass(frozen=True, slots=True)
class Seen:
    """A file or placeholder on the disk, and the row of its path."""

    entry: Entry
    row: FileRow | None
    """None: the path is new."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A row whose path has no file and no placeholder (any more)."""

    row: FileRow
    replaced: bool
    """Something else stands there (a link, a device); else nothing was seen."""


Sight = Seen | Gone | WalkProblem


def merge(entries: Iterable[Entry | WalkProblem], rows: Iterable[FileRow]) -> Iterator[Sight]:
    """Yield every sight in (dir, name) order. Rows below a folder that could not be read are passed over: unknown is
    not gone. Links and special files at paths without a row are passed over too.
    """
    known = _Rows(rows)
    for entry in entries:
        if isinstance(entry, WalkProblem):
            yield from known.before((entry.dir, entry.name))
            known.skip(entry)
            yield entry
            continue
        yield from known.before((entry.dir, entry.name))
        row = known.take((entry.dir, entry.name))
        if entry.kind in {Kind.FILE, Kind.PLACEHOLDER}:
            yield Seen(entry, row)
        elif row is not None:
            yield Gone(row, replaced=True)
    yield from known.before(None)


class _Rows:
    """The catalog's side of the merge, with one row of look-ahead."""

    def __init__(self, rows: Iterable[FileRow]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)
        self._unreadable: list[bytes] = []
        """Folders still to be passed over; they leave when the order has gone beyond them."""

    def before(self, key: tuple[bytes, bytes] | None) -> Iterator[Gone]:
        """Yield as gone what sorts before *key*; all that is left for None."""
        while self._next is not None and (key is None or (self._next.dir, self._next.name) < key):
            if not self._is_unknown(self._next):
                yield Gone(self._next, replaced=False)
            self._next = next(self._rows, None)

    def take(self, key: tuple[bytes, bytes]) -> FileRow | None:
        """Return the row at exactly *key*, if there is one."""
        if self._next is None or (self._next.dir, self._next.name) != key:
            return None
        row = self._next
        self._next = next(self._rows, None)
        return row

    def skip(self, problem: WalkProblem) -> None:
        """Pass over the rows that *problem* hides: those of the folder and below, or those of one name."""
        if problem.name:
            self.take((problem.dir, problem.name))
            self._unreadable.append(problem.dir + problem.name + b"/")
        else:
            self._unreadable.append(problem.dir)

    def _is_unknown(self, row: FileRow) -> bool:
        self._unreadable = [folder for folder in self._unreadable if folder >= row.dir or row.dir.startswith(folder)]
        return any(row.dir.startswith(folder) for folder in self._unreadable)
