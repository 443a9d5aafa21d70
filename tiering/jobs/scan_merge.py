"""Joins what a walk sees with what the catalog knows: both come in (dir, name) order, so one pass and no memory.

Most files of most scans are as the catalog has them. They are told from the others by one comparison of columns per
stretch of a folder, or of tuples per file; only what differs becomes a value that somebody looks at.
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
from tiering.hot.looks import Looks, looks_of, status_of
from tiering.hot.walk import SLICE, Entry, Kind, Listing, WalkProblem
from tiering.jobs.scan_limits import all_fit, misfit

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
    fresh: list[FreshFile] = field(default_factory=list)
    """Files at paths without a row."""
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
        looks, misfits = _looks(item)
        stands: list[KnownRow] = []
        for rows in known.before((item.dir, item.last + b"\0")):
            passed, own = _split(rows, item, looks)
            if passed:
                yield known.gone(passed)
            stands += own
        if stands and not (misfits or item.others) and compare.is_as_known(looks, stands):
            yield Stretch(len(stands), _size_bytes(looks))
            continue
        here = {row[1]: row for row in stands}
        stretch = compare.files(item.dir, looks, misfits, here)
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


def _looks(listing: Listing) -> tuple[Looks, list[WalkProblem]]:
    """Return the files of *listing*, however they were looked at, and those whose numbers cannot be kept."""
    if not listing.files:
        return listing.looks, []
    files, misfits = listing.files, []
    looks = looks_of(files)
    if not all_fit(looks):
        reasons = {name: reason for name, status in files if (reason := misfit(status))}
        looks = looks_of([file for file in files if file[0] not in reasons])
        misfits = [WalkProblem(listing.dir, name, reason) for name, reason in reasons.items()]
    if listing.looks.names:
        looks = Looks(*zip(*sorted([*zip(*looks, strict=True), *zip(*listing.looks, strict=True)]), strict=True))
    return looks, misfits


def _split(rows: list[KnownRow], listing: Listing, looks: Looks) -> tuple[list[KnownRow], list[KnownRow]]:
    """Part the rows that nothing in *listing* stands for, as far as bounded memory asks for it, from the others."""
    cut = 0 if rows[0][0] == listing.dir else bisect_left(rows, (listing.dir,))
    passed, own = rows[:cut], rows[cut:]
    if len(own) <= SLICE:
        return passed, own
    # A file whose numbers cannot be kept stands there too.
    names = {name for name, _ in listing.files} | {other.name for other in listing.others} | {*looks.names}
    return passed + [row for row in own if row[1] not in names], [row for row in own if row[1] in names]


class _Comparison:
    """Tells what the catalog has to learn from files and placeholders, access times aside."""

    def __init__(self, qualities: frozenset[str], counts_atime: bool) -> None:
        self._qualities = qualities
        self._counts_atime = counts_atime

    def files(self, dir: bytes, looks: Looks, misfits: list[WalkProblem], here: dict[bytes, KnownRow]) -> Stretch:
        """Compare the files of a folder with the rows *here*, by name; those that were met leave *here*."""
        stretch = Stretch(len(looks.names), _size_bytes(looks), problems=misfits)
        for problem in misfits:
            here.pop(problem.name, None)
        fresh = self._fresh(dir, looks)
        if not here:
            stretch.fresh += fresh
            return stretch
        for name, numbers, new in zip(looks.names, zip(*looks[1:], strict=True), fresh, strict=True):
            row = here.pop(name, None)
            if row is None:
                stretch.fresh.append(new)
            else:
                self._known(dir, name, numbers, row, stretch)
        return stretch

    def is_as_known(self, looks: Looks, rows: Sequence[KnownRow]) -> bool:
        """Return whether *rows* are those of the files *looks*, and the catalog has nothing to learn from any."""
        _, *numbers, states, qualities, last, _ = zip(*rows, strict=True)
        if list(map(tuple, looks[: len(numbers)])) != numbers:
            return False
        if not ({*states} <= _ON_DISK and {*qualities} <= self._qualities):
            return False
        return not self._counts_atime or (None not in last and all(map(le, looks.atime_ns, last)))

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
        elif known is None or known.state != FileState.OFFLINE or _differs(known, entry.stat):
            stretch.seen.append(Seen(entry, known))

    def _known(self, dir: bytes, name: bytes, numbers: tuple[int, ...], row: KnownRow, stretch: Stretch) -> None:
        """Compare a file that has these *numbers* of Looks with its row."""
        # Columns mtime_ns to mode of a KnownFile, its state and quality, and when it was last read.
        is_same = row[2:9] == numbers[:7] and row[9] in _ON_DISK and row[10] in self._qualities
        is_read = self._counts_atime and (row[11] is None or numbers[7] > row[11])
        if is_same and not is_read:
            return
        known = KnownFile._make(row)
        if is_read:
            stretch.reads.append((known.file_id, known.last_access_ns, numbers[7]))
        if not is_same:
            stretch.seen.append(Seen(Entry(dir, name, Kind.FILE, status_of(numbers), None), known))


def _size_bytes(looks: Looks) -> int:
    """Return the apparent bytes of files; an inode with all its names counts once."""
    if {*looks.nlink} <= {1}:
        return sum(looks.size)
    return sum(size // max(1, links) for size, links in zip(looks.size, looks.nlink, strict=True))


def _differs(row: KnownFile, status: os.stat_result) -> bool:
    """Return whether another placeholder stands there than the row knows; its size and mode say nothing."""
    return (
        row.mtime_ns != status.st_mtime_ns
        or row.ctime_ns != status.st_ctime_ns
        or row.ino != signed64(status.st_ino)
        or row.dev != signed64(status.st_dev)
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
