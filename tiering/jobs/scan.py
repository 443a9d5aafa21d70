"""Scan: bring the catalog to what stands under a root, reading names and stat only.

Absence is not deletion (P5): the root's marker is checked first and again at the end, what could not be read is
unknown, files not seen are marked missing only after the whole root was seen, and not at all when very many are. New,
changed and moved files are written as they are met, in batches with one ledger entry each, so a scan that is killed
has lost nothing and marked nothing. Memory does not grow with the root.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from policies.values import NS_PER_S, AccessQuality
from tiering.catalog import files, leases, scans, walked
from tiering.errors import FrostlineError, NoSpace
from tiering.hot.evidence import mount_quality
from tiering.hot.marker import check_marker
from tiering.hot.walk import Listing, WalkProblem, listings
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.devices import follow_device
from tiering.jobs.exclusive import alone
from tiering.jobs.reports import Skip, Skipped
from tiering.jobs.scan_access import AccessEvidence
from tiering.jobs.scan_batch import BatchOutcome, BatchScope, apply_batch
from tiering.jobs.scan_merge import Seen, Stretch, merge
from tiering.jobs.scan_missing import MissingFiles

BATCH_FILES = 5000  # known rows per transaction: about 0.2 s on SQLite, well under the second a writer may hold it
FRESH_FILES = 20_000  # new rows per transaction: about 0.1 s; every file is held as a row until then, 10 MB
PAGE_ROWS = 5000  # read ahead; 5 MB
LEASE_S = 600
RENEW_S = 120
PROBLEMS_LISTED = 1000  # the rest is counted


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan saw and changed. Files unless named otherwise."""

    root: str
    scan_id: int
    state: str
    """complete; awaiting_confirmation (too many missing: none was marked); refused (stopped before the end)."""
    files: int = 0
    bytes: int = 0
    """Apparent, on the hot disk; an inode with all its names under the root counts once."""
    new: int = 0
    changed: int = 0
    moved: int = 0
    adopted: int = 0
    """Placeholders taken up at new paths."""
    missing: int = 0
    """Marked missing; in state awaiting_confirmation: not seen."""
    sweep: bool = False
    access_quality: str = AccessQuality.NONE
    problems: tuple[Skipped, ...] = ()
    problem_count: int = 0
    """All of them; *problems* lists the first 1,000."""
    note: str = ""
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 complete; 3 with problems, too many missing, or stopped."""
        return 0 if self.state == "complete" and not self.problem_count else 3


@dataclass(slots=True)
class _Tally:
    """Counts on the way."""

    files: int = 0
    bytes: int = 0
    new: int = 0
    changed: int = 0
    moved: int = 0
    adopted: int = 0
    problem_count: int = 0
    problems: list[Skipped] = field(default_factory=list)
    batches: int = 0
    left_devices: set[int] = field(default_factory=set)

    def add(self, outcome: BatchOutcome) -> None:
        self.new += outcome.new
        self.changed += outcome.changed
        self.moved += outcome.moved
        self.adopted += outcome.adopted
        self.left_devices |= outcome.left_devices
        for problem in outcome.problems:
            self.problem(problem)

    def problem(self, problem: Skipped) -> None:
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_LISTED:
            self.problems.append(problem)


@dataclass(slots=True)
class _Pending:
    """What the next batch is to write."""

    fresh: list[walked.FreshFile] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.seen) >= BATCH_FILES or len(self.fresh) >= FRESH_FILES

    @property
    def is_empty(self) -> bool:
        return not (self.fresh or self.seen)

    def add(self, stretch: Stretch) -> None:
        self.fresh += stretch.fresh
        self.seen += stretch.seen


def scan_root(ctx: Context, root: OpenRoot, *, confirm_missing: bool = False) -> ScanReport:
    """Scan one root; with *confirm_missing*, believe that very many files are gone.

    Raises RootMissing when the root is not mounted, or another tree is (before or after the walk): nothing was marked
    missing then, and the scan is on record as refused. Raises CatalogBusy while another process scans the root.
    """
    with alone(ctx, _lease_name(root), seconds=LEASE_S):
        return _Scan(ctx, root).run(confirm_missing=confirm_missing)


def _lease_name(root: OpenRoot) -> str:
    return f"scan:{root.root_id}"


class _Scan:
    """One pass over one root."""

    def __init__(self, ctx: Context, root: OpenRoot) -> None:
        self._ctx = ctx
        self._root = root
        self._settings = ctx.config.root(root.name)
        self._tally = _Tally()
        self._begun_s = ctx.clock.monotonic_s()
        self._renewed_s = self._begun_s
        self._scan_id = 0
        self._known_files = 0
        self._last_complete_ns = 0
        self._mount = AccessQuality.NONE

    def run(self, *, confirm_missing: bool) -> ScanReport:
        """Scan; see scan_root."""
        self._start()
        try:
            self._check_marker()
            follow_device(self._ctx, self._root)
            self._mount = _quality(self._root.path)
            return self._run(confirm_missing=confirm_missing)
        except FrostlineError as error:
            self._finish("refused", note=str(error))
            raise
        except OSError as error:
            self._finish("refused", note=str(error))
            raise _failure(error, self._root) from error

    def _run(self, *, confirm_missing: bool) -> ScanReport:
        os.makedirs(self._ctx.config.spool_dir, exist_ok=True)
        evidence = AccessEvidence(self._ctx, self._root, mount=self._mount, last_complete_ns=self._last_complete_ns)
        missing = MissingFiles(self._ctx, self._root, settings=self._settings, known_files=self._known_files)
        with closing(evidence), closing(missing):
            is_whole = self._walk(evidence, missing)
            self._check_marker()
            if not is_whole:
                return self._finish("refused", note="stopped before the end: nothing was marked missing")
            missing.settle(left_devices=self._tally.left_devices, confirmed=confirm_missing)
            self._note_unmounted(missing)
            if missing.is_mass() and not confirm_missing:
                note = (
                    f"{missing.count:,} of {self._known_files:,} files were not seen: none was marked missing; "
                    "if they are meant to be gone, scan again with --confirm-missing"
                )
                return self._finish("awaiting_confirmation", missing=missing.count, note=note)
            self._ctx.step("scan.missing")
            marked = missing.mark(op_id=f"scan:{self._scan_id}:missing")
            is_sweep, worth = evidence.conclude()
            note = "a sweep (backup, antivirus) read most files: not counted as access" if is_sweep else ""
            return self._finish("complete", missing=marked, sweep=is_sweep, quality=worth, note=note)

    def _check_marker(self) -> None:
        """See check_marker; a root that is only looked at carries none, and MissingFiles knows."""
        if not self._settings.read_only:
            check_marker(self._root.path, self._root.marker)

    def _start(self) -> None:
        with self._ctx.catalog.write() as tx:
            last = scans.last(tx, self._root.root_id, state="complete")
            self._last_complete_ns = last.started_ns if last is not None else 0
            self._known_files = files.count(tx, root_id=self._root.root_id)
            self._scan_id = scans.start(tx, self._root.root_id, access_quality=AccessQuality.NONE)
        self._ctx.progress.start(f"scan {self._root.name}", total_files=self._known_files or None)

    def _walk(self, evidence: AccessEvidence, missing: MissingFiles) -> bool:
        """Merge the tree with the catalog; False if it was told to stop."""
        scope = BatchScope(
            context=self._ctx,
            root=self._root,
            quality=self._mount,
            counts_atime=self._mount.is_evidence,
            may_move=self._known_files > 0,
        )
        pending = _Pending()
        walked_root = listings(self._root.path, cross_mounts=self._settings.cross_mounts)
        stretches = merge(
            self._watched(walked_root, evidence), self._pages(), quality=self._mount, counts_atime=scope.counts_atime
        )
        for stretch in stretches:
            if self._ctx.stop.is_set():
                return False
            self._take(stretch, evidence, missing)
            pending.add(stretch)
            if pending.is_full:
                self._apply(scope, pending, missing)
                pending = _Pending()
            self._renew()
        if not pending.is_empty:
            self._apply(scope, pending, missing)
        return True

    def _watched(
        self, walked_root: Iterator[Listing | WalkProblem], evidence: AccessEvidence
    ) -> Iterator[Listing | WalkProblem]:
        for item in walked_root:
            if isinstance(item, Listing):
                evidence.feed(item.files, item.looks)
                self._ctx.progress.advance(files=len(item.files) + len(item.looks.names))
            yield item

    def _pages(self) -> Iterator[list[walked.KnownRow]]:
        """Yield the root's rows, a page at a time, each page as it is when the walk gets there."""
        after: tuple[bytes, bytes] | None = None
        while True:
            with self._ctx.catalog.read() as tx:
                page = walked.known_page(tx, self._root.root_id, after=after, limit=PAGE_ROWS)
            if not page:
                return
            yield page
            after = (page[-1][0], page[-1][1])

    def _take(self, stretch: Stretch, evidence: AccessEvidence, missing: MissingFiles) -> None:
        self._tally.files += stretch.files
        self._tally.bytes += stretch.size_bytes
        if stretch.reads:
            evidence.note(stretch.reads)
        for gone in stretch.gone:
            missing.note(gone.row, replaced=gone.replaced)
        for problem in stretch.problems:
            self._note_problem(problem)

    def _apply(self, scope: BatchScope, pending: _Pending, missing: MissingFiles) -> None:
        self._ctx.step("scan.batch")
        self._tally.batches += 1
        op_id = f"scan:{self._scan_id}:{self._tally.batches}"
        outcome = apply_batch(scope, pending.fresh, pending.seen, op_id=op_id)
        self._tally.add(outcome)
        for row in outcome.displaced:
            missing.note(row, replaced=True)

    def _note_problem(self, problem: WalkProblem) -> None:
        if not problem.is_mount:
            path = os.fsdecode(os.path.join(self._root.path, problem.dir + problem.name))
            self._tally.problem(Skipped(path, f"{problem.reason}; what is there counts as it was", Skip.UNREADABLE))

    def _note_unmounted(self, missing: MissingFiles) -> None:
        for folder, count in sorted(missing.unmounted.items()):
            path = os.fsdecode(os.path.join(self._root.path, folder))
            what = (
                f"{count:,} files were on a file system that is not mounted here now; they count as they were. If they "
                "are gone for good: frostline scan --confirm-missing"
            )
            self._tally.problem(Skipped(path, what, Skip.UNREADABLE))

    def _renew(self) -> None:
        now_s = self._ctx.clock.monotonic_s()
        if now_s - self._renewed_s < RENEW_S:
            return
        self._renewed_s = now_s
        with self._ctx.catalog.write() as tx:
            until_ns = tx.now_ns + LEASE_S * NS_PER_S
            leases.acquire(tx, _lease_name(self._root), owner=self._ctx.owner, until_ns=until_ns)

    def _finish(
        self,
        state: str,
        *,
        missing: int = 0,
        sweep: bool = False,
        quality: AccessQuality | None = None,
        note: str = "",
    ) -> ScanReport:
        tally = self._tally
        counts = {"files": tally.files, "bytes": tally.bytes, "new": tally.new, "missing": missing}
        changed = tally.changed + tally.moved + tally.adopted
        trusted = quality or self._mount
        self._ctx.step("scan.finish")
        with self._ctx.catalog.write() as tx:
            values = {"state": state, "sweep": sweep, "access_quality": str(trusted), "note": note, "changed": changed}
            scans.finish(tx, self._scan_id, **values, **counts)
        self._ctx.progress.finish()
        return ScanReport(
            root=self._root.name,
            scan_id=self._scan_id,
            state=state,
            files=tally.files,
            bytes=tally.bytes,
            new=tally.new,
            changed=tally.changed,
            moved=tally.moved,
            adopted=tally.adopted,
            missing=missing,
            sweep=sweep,
            access_quality=trusted,
            problems=tuple(tally.problems),
            problem_count=tally.problem_count,
            note=note,
            seconds=self._ctx.clock.monotonic_s() - self._begun_s,
        )


def _quality(path: bytes) -> AccessQuality:
    try:
        return mount_quality(path)
    except OSError:
        return AccessQuality.NONE  # nobody can say what the mount records: unknown is not cold


def _failure(error: OSError, root: OpenRoot) -> FrostlineError:
    now = "nothing was marked missing; what was found until then is in the catalog"
    what = f"the scan of root {root.name} failed: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return NoSpace(what, now=now, hint="make room in catalog.state_dir, then scan again")
    return FrostlineError(what, now=now, hint="scan again; frostline doctor looks at the root")
