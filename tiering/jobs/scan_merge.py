"""Joins what a walk sees with what the catalog knows: both come in (dir, name) order, so one pass and no memory.

Most files of most scans are as the catalog has them. They are told from the others by one comparison of tuples per
file; only what differs becomes a value that somebody looks at.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import le

from policies.values import AccessQuality
from tiering.catalog.values import FileState, signed64
from tiering.catalog.walked import FreshFile, KnownFile, KnownRow
from tiering.hot.looks import Looks, status_of
from tiering.hot.walk import SLICE, Entry, Kind, Listing, WalkProblem
from tiering.jobs.scan_limits import misfit

_ON_DISK = frozenset({str(FileState.REGULAR), str(FileState.DUAL)})


@dataclass(frozen=True, slots=True)
class Seen:
    """A file or placeholder on the disk, and the row of its path."""

    entry: Entry
    row: KnownFile | None
    """None: the path is new."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A row whose path has no file and no placeholder (any more)."""

    row: KnownFile
    replaced: bool
    """Something else stands there (a link, a device); else nothing was seen."""


@dataclass(slots=True)
class Stretch:
    """What a stretch of the walk says beside the catalog. What is as it was is only counted."""

    files: int = 0
    size_bytes: int = 0
    """Apparent; an inode with all its names counts once."""
    fresh: list[tuple[bytes, bytes, os.stat_result]] = field(default_factory=list)
    """(dir, name, stat) of files at paths without a row."""
    plain: list[FreshFile] = field(default_factory=list)
    """More of them, each the only name of its inode."""
    seen: list[Seen] = field(default_factory=list)
    """Known files that differ, placeholders that are new or differ."""
    gone: list[Gone] = field(default_factory=list)
    problems: list[WalkProblem] = field(default_factory=list)
    reads: list[tuple[int, int | None, int]] = field(default_factory=list)
    """(file id, last access in the catalog, atime in ns) of known files whose atime is later."""


def merge(
    listings: Iterable[Listing | WalkProblem], pages: Iterable[list[KnownRow]], *, quality: str, counts_atime: bool
) -> Iterator[Stretch]:
    """Yield the walk's stretches in (dir, name) order, joined with *pages* of rows in the same order.

    *quality* is what the mount's atimes are worth: rows marked with another are looked at again. Rows below a folder
    that could not be read are passed over: unknown is not gone. Links and special files at paths without a row are
    passed over too.
    """
    known = _Known(pages)
    compare = _Comparison(frozenset({str(quality), str(AccessQuality.OPENS)}), counts_atime)
    for item in listings:
        if isinstance(item, WalkProblem):
            for rows in known.before((item.dir, item.name)):
                yield known.gone(rows)
            known.skip(item)
            yield Stretch(problems=[item])
            continue
        stands: list[KnownRow] = []
        for rows in known.before((item.dir, item.last + b"\0")):
            passed, own = _split(rows, item)
            if passed:
                yield known.gone(passed)
            stands += own
        if stands and not (item.files or item.others) and compare.is_as_known(item.looks, stands):
            yield Stretch(len(stands), _size_bytes(item.looks))
            continue
        here = {row[1]: row for row in stands}
        stretch = compare.files(item, here)
        compare.looks(item, here, stretch)
        for other in item.others:
            if isinstance(other, WalkProblem):
                here.pop(other.name, None)
                known.hide(other)
                stretch.problems.append(other)
            else:
                compare.other(other, here.pop(other.name, None), stretch)
        stretch.gone += known.gone(list(here.values())).gone
        yield stretch
    for rows in known.before(None):
        yield known.gone(rows)


def _split(rows: list[KnownRow], listing: Listing) -> tuple[list[KnownRow], list[KnownRow]]:
    """Part the rows that nothing in *listing* stands for, as far as bounded memory asks for it, from the others."""
    cut = 0 if rows[0][0] == listing.dir else bisect_left(rows, (listing.dir,))
    passed, own = rows[:cut], rows[cut:]
    if len(own) <= SLICE:
        return passed, own
    names = {name for name, _ in listing.files} | {other.name for other in listing.others} | {*listing.looks.names}
    return passed + [row for row in own if row[1] not in names], [row for row in own if row[1] in names]


class _Comparison:
    """Tells what the catalog has to learn from files and placeholders, access times aside."""

    def __init__(self, qualities: frozenset[str], counts_atime: bool) -> None:
        self._qualities = qualities
        self._counts_atime = counts_atime

    def files(self, listing: Listing, here: dict[bytes, KnownRow]) -> Stretch:
        """Compare the files of *listing* with the rows *here*, by name; those that were met leave *here*."""
        stretch = Stretch(files=len(listing.files))
        take, on_disk, qualities, ignores_atime = here.pop, _ON_DISK, self._qualities, not self._counts_atime
        total = 0
        for name, status in listing.files:
            row = take(name, None)
            size, links = status.st_size, status.st_nlink
            total += size if links == 1 else size // max(1, links)
            if (
                row is not None
                # Columns mtime_ns to mode of a KnownFile. A number beyond 2**63 never equals its signed form: _file().
                and row[2:9]
                == (status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino, size, links, status.st_mode)
                and row[9] in on_disk
                and row[10] in qualities
                and (ignores_atime or (row[11] is not None and status.st_atime_ns <= row[11]))
            ):
                continue
            self._file(listing.dir, name, status, row, stretch)
        stretch.size_bytes += total
        return stretch

    def is_as_known(self, looks: Looks, rows: Sequence[KnownRow]) -> bool:
        """Return whether *rows* are those of the files *looks*, and the catalog has nothing to learn from any."""
        _, *numbers, states, qualities, last, _ = zip(*rows, strict=True)
        if list(map(tuple, looks[: len(numbers)])) != numbers:
            return False
        if not ({*states} <= _ON_DISK and {*qualities} <= self._qualities):
            return False
        return not self._counts_atime or (None not in last and all(map(le, looks.atime_ns, last)))

    def looks(self, listing: Listing, here: dict[bytes, KnownRow], stretch: Stretch) -> None:
        """Do what files() does with those that were looked at together, and add it to *stretch*."""
        looks = listing.looks
        stretch.files += len(looks.names)
        stretch.size_bytes += _size_bytes(looks)
        if not here and {*looks.nlink} == {1}:
            stretch.plain += self._fresh(listing.dir, looks)
            return
        for name, numbers in zip(looks.names, zip(*looks[1:], strict=True), strict=True):
            row = here.pop(name, None)
            if row is None or not self._is_met(row, numbers):
                self._file(listing.dir, name, status_of(numbers), row, stretch)

    def _is_met(self, row: KnownRow, numbers: tuple[int, ...]) -> bool:
        """Return whether the catalog has nothing to learn from a file with these *numbers* of Looks."""
        return (
            row[2:9] == numbers[:7]
            and row[9] in _ON_DISK
            and row[10] in self._qualities
            and (not self._counts_atime or (row[11] is not None and numbers[7] <= row[11]))
        )

    def _fresh(self, dir: bytes, looks: Looks) -> Iterable[FreshFile]:
        # Whoever read a file that is met for the first time, nobody read it later than its atime.
        read_ns = looks.atime_ns if self._counts_atime else repeat(None, len(looks.names))
        stamps = (looks.size, looks.mtime_ns, looks.ctime_ns, looks.dev, looks.ino, looks.nlink, looks.mode)
        return zip(repeat(dir), looks.names, *stamps, looks.uid, looks.gid, read_ns, strict=False)

    def other(self, entry: Entry, row: KnownRow | None, stretch: Stretch) -> None:
        """Compare what is no file with the row of its path."""
        known = None if row is None else KnownFile._make(row)
        if entry.kind is not Kind.PLACEHOLDER:
            if known is not None:
                stretch.gone.append(Gone(known, replaced=True))
        elif reason := misfit(entry.stat):
            stretch.problems.append(WalkProblem(entry.dir, entry.name, reason))
        elif known is None or known.state != FileState.OFFLINE or _differs(known, entry.stat, with_size=False):
            stretch.seen.append(Seen(entry, known))

    def _file(self, dir: bytes, name: bytes, status: os.stat_result, row: KnownRow | None, stretch: Stretch) -> None:
        if reason := misfit(status):
            stretch.problems.append(WalkProblem(dir, name, reason))
            stretch.files -= 1
            stretch.size_bytes -= status.st_size // max(1, status.st_nlink)
            return
        if row is None:
            stretch.fresh.append((dir, name, status))
            return
        known = KnownFile._make(row)
        if self._counts_atime and (known.last_access_ns is None or status.st_atime_ns > known.last_access_ns):
            stretch.reads.append((known.file_id, known.last_access_ns, status.st_atime_ns))
        if (
            known.state not in _ON_DISK
            or known.access_quality not in self._qualities
            or _differs(known, status, with_size=True)
        ):
            stretch.seen.append(Seen(Entry(dir, name, Kind.FILE, status, None), known))


def _size_bytes(looks: Looks) -> int:
    """Return the apparent bytes of files; an inode with all its names counts once."""
    if {*looks.nlink} <= {1}:
        return sum(looks.size)
    return sum(size // max(1, links) for size, links in zip(looks.size, looks.nlink, strict=True))


def _differs(row: KnownFile, status: os.stat_result, *, with_size: bool) -> bool:
    return (
        row.mtime_ns != status.st_mtime_ns
        or row.ctime_ns != status.st_ctime_ns
        or row.ino != signed64(status.st_ino)
        or row.dev != signed64(status.st_dev)
        or (with_size and (row.size != status.st_size or row.nlink != status.st_nlink or row.mode != status.st_mode))
    )


class _Known:
    """The catalog's side of the merge, a page at a time."""

    def __init__(self, pages: Iterable[list[KnownRow]]) -> None:
        self._pages = iter(pages)
        self._page: list[KnownRow] = []
        self._at = 0
        self._unreadable: list[bytes] = []
        """Folders still to be passed over; they leave when the order has gone beyond them."""

    def before(self, key: tuple[bytes, bytes] | None) -> Iterator[list[KnownRow]]:
        """Take what sorts before *key*, all that is left for None; none of the lists is empty."""
        while True:
            # A row's first two columns are its key, and a tuple sorts behind its own beginning.
            end = len(self._page) if key is None else bisect_left(self._page, key, self._at)
            rows, self._at = self._page[self._at : end], end
            if rows:
                yield rows
            if end < len(self._page):
                return
            following = next(self._pages, None)
            if following is None:
                self._page, self._at = [], 0
                return
            self._page, self._at = following, 0

    def gone(self, rows: list[KnownRow]) -> Stretch:
        """Return the stretch that says *rows* are gone, but for those of which nothing is known."""
        found = map(KnownFile._make, rows)
        return Stretch(gone=[Gone(row, replaced=False) for row in found if not self._is_unknown(row)])

    def skip(self, problem: WalkProblem) -> None:
        """Pass over the rows that *problem* hides: those of a folder and below."""
        self._unreadable.append(problem.dir)

    def hide(self, problem: WalkProblem) -> None:
        """Pass over the rows below the name of *problem*, should it be a folder."""
        self._unreadable.append(problem.dir + problem.name + b"/")

    def _is_unknown(self, row: KnownFile) -> bool:
        self._unreadable = [folder for folder in self._unreadable if folder >= row.dir or row.dir.startswith(folder)]
        return any(row.dir.startswith(folder) for folder in self._unreadable)
